//! Commands in README and docs, kept true.
//!
//! A fence with shell commands says in its info string what becomes of them: `sh run` is executed here, from
//! the root of the project; `sh tutorial` and `sh patch ..` run in the tests that follow the one page on
//! which such fences may stand ([`FOLLOWED`]); `sh` with a reason of [`REASONS`] (`sh long`,
//! `sh needs-root`) does not run. Any other fence fails. Only commands that are cheap and change nothing
//! may be run here, see [`RUNNABLE`]. A script named as `bash path` must exist, run or not.
//!
//! Not checked here: what commands print. That belongs to the test of the program in question.

use std::process::{Command, Stdio};

use crate::first_patch;
use crate::harness::Test;
use crate::tidy::Rule;
use crate::tidy::tree::{self, Finding, Tree};
use crate::tutorial;

/// The rule that all shell fences say what becomes of them.
pub(crate) const FENCES: Rule = Rule {
    layer: "docs",
    name: "fences",
    check: fences,
};

/// Beginnings of commands that a documentation test may execute.
const RUNNABLE: [&str; 4] = [
    "cargo tree ",
    "cargo metadata ",
    "bash tests/run --help",
    "git ls-files ",
];

/// First words of fates that another test takes care of, and the page that it follows.
const FOLLOWED: [(&str, &str); 2] = [("tutorial", tutorial::PAGE), ("patch", first_patch::PAGE)];

/// Beginnings of fates that say why commands are not run.
const REASONS: [&str; 2] = ["long", "needs-"];

/// Info strings that mean a shell.
const SHELLS: [&str; 4] = ["sh", "bash", "shell", "console"];

/// The tests of this layer, beside the rule [`FENCES`].
pub(crate) fn tests() -> Vec<Test> {
    let commands = Test::new("docs", "commands_run", || {
        let tree = tree::project()?;
        let mut ran = 0;
        for fence in shell_fences(tree).into_iter().filter(Fence::is_run) {
            for (line, command) in &fence.commands {
                let place = format!("{}:{line}", fence.path);
                execute(tree, command).map_err(|why| format!("{place}: {command}\n{why}"))?;
                ran += 1;
            }
        }
        assert!(ran > 0, "no fence is marked `sh run`");
        Ok(())
    });
    let hazards = Test::new("docs", "hazards_name_tests_that_exist", || {
        let tree = tree::project()?;
        let page = tree.text("docs/HAZARDS.md").ok_or("no docs/HAZARDS.md")?;
        let named: Vec<&str> = named_tests(page).collect();
        assert!(!named.is_empty(), "no hazard has a test");
        let missing = named.into_iter().filter(|name| !exists(tree, name));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new(), "no such test");
        Ok(())
    });
    vec![commands, hazards]
}

/// Paths in backticks in the last cell of the rows of a page.
fn named_tests(page: &str) -> impl Iterator<Item = &str> {
    let rows = page.lines().filter(|line| line.starts_with("| H"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.filter(|name| name.contains("::"))
}

/// A function of that name with its module in a path, or a test of this binary with that name.
fn exists(tree: &Tree, name: &str) -> bool {
    let mut parts = name.rsplit("::");
    let (test, module) = (parts.next().unwrap_or(name), parts.find(|part| *part != "tests"));
    let (function, literal) = (format!("fn {test}()"), format!("\"{test}\""));
    let mut files = tree.texts_ending(&[".rs"]);
    files.any(|(path, text)| {
        let here = module.is_some_and(|module| path.contains(module));
        here && (text.contains(&function) || path.starts_with("tests/") && text.contains(&literal))
    })
}

/// Shell commands of one fence, with the lines on which they stand.
struct Fence<'a> {
    path: &'a str,
    line: usize,
    /// What follows the shell's name in the info string.
    fate: &'a str,
    commands: Vec<(usize, &'a str)>,
}

impl Fence<'_> {
    fn is_run(&self) -> bool {
        self.fate == "run"
    }

    /// What is wrong with its info string.
    fn without_fate(&self) -> Option<String> {
        let word = self.fate.split(' ').next().unwrap_or_default();
        if word.is_empty() {
            return Some(
                "a bare shell fence: say `sh run`, or why it is not run, as in `sh long`".to_owned(),
            );
        }
        if let Some((_, page)) = FOLLOWED.iter().find(|(followed, _)| *followed == word) {
            let nobody = format!("`sh {word}` is followed on {page} only");
            return (self.path != *page).then_some(nobody);
        }
        let told = self.is_run() || REASONS.iter().any(|reason| word.starts_with(reason));
        (!told).then(|| format!("`{}` is no reason not to run it: long, or needs-WHAT", self.fate))
    }
}

fn fences(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for fence in shell_fences(tree) {
        if let Some(what) = fence.without_fate() {
            found.push(Finding::new(fence.path, fence.line, what));
        }
        for (line, command) in &fence.commands {
            if fence.is_run() && !RUNNABLE.iter().any(|start| command.starts_with(start)) {
                found.push(Finding::new(
                    fence.path,
                    *line,
                    format!("not on the list of what docs run: {command}"),
                ));
            }
            let script = command
                .strip_prefix("bash ")
                .and_then(|rest| rest.split_whitespace().next());
            if let Some(script) = script.filter(|script| !script.starts_with('-') && !tree.has(script)) {
                found.push(Finding::new(
                    fence.path,
                    *line,
                    format!("no such script: {script}"),
                ));
            }
        }
    }
    found
}

fn shell_fences(tree: &Tree) -> Vec<Fence<'_>> {
    let pages = tree
        .texts_ending(&[".md"])
        .filter(|(path, _)| *path == "README.md" || path.starts_with("docs/"));
    pages
        .flat_map(|(path, text)| shell_fences_of(path, text))
        .collect()
}

fn shell_fences_of<'a>(path: &'a str, text: &'a str) -> Vec<Fence<'a>> {
    let mut fences: Vec<Fence<'a>> = Vec::new();
    let mut inside: Option<bool> = None;
    // In a `console` fence only what follows the prompt is a command, the rest is what it printed.
    let mut prompt = "";
    for (n, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        match (line.strip_prefix("```"), inside) {
            (Some(info), None) => {
                let (shell, fate) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
                let is_shell = SHELLS.contains(&shell);
                if is_shell {
                    fences.push(Fence {
                        path,
                        line: n,
                        fate: fate.trim(),
                        commands: Vec::new(),
                    });
                }
                inside = Some(is_shell);
                prompt = if shell == "console" { "$ " } else { "" };
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => {
                let command = line.strip_prefix(prompt).filter(|rest| is_command(rest));
                if let (Some(fence), Some(command)) = (fences.last_mut(), command) {
                    fence.commands.push((n, command));
                }
            }
            (None, _) => {}
        }
    }
    fences
}

fn is_command(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn execute(tree: &Tree, command: &str) -> Result<(), String> {
    let shell = Command::new("sh")
        .args(["-eu", "-c", command])
        .current_dir(tree.root())
        .stdin(Stdio::null())
        .output();
    let output = shell.map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// The lines of a page that are prose: no fences, and what stands in backticks blanked. Lines from 1.
pub(crate) fn prose_lines(text: &str) -> Vec<(usize, String)> {
    let mut inside = false;
    let mut prose = Vec::new();
    for (n, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push((n, line.split('`').step_by(2).collect::<Vec<_>>().join(" ")));
        }
    }
    prose
}
