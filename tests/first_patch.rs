//! `docs/FIRST_PATCH.md` works as it is written.
//!
//! Both tests copy the project's files into a folder of their own below `target`. The cheap one applies the
//! page's `diff apply` fences in order. The other walks through the page as a newcomer does: it applies each
//! diff where it stands and runs each `sh patch` fence, whose info string says what must come out: `fails
//! TEST` or `passes TEST`. So the page shows, and this proves, that its test fails without its code.
//!
//! The copy always lies at the same place and files that did not change are not written again. Its build
//! shares the project's target folder, so that dependencies are compiled once. The copy has another version
//! than the project, for Cargo tells two packages with one path within their workspaces apart by version
//! only: without that the project's own tests ran on the patched copy.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{GIT, Test, project, target};
use crate::tidy::tree;

const LAYER: &str = "docs";
pub(crate) const PAGE: &str = "docs/FIRST_PATCH.md";
/// In the manifest of the workspace: what tells the copy from the project.
const VERSION: [&str; 2] = ["[workspace.package]\nversion = \"", "0.0.0-first-patch.was-"];

/// The tests of this page; they belong to the layer `docs`.
pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(LAYER, "first_patch_applies", || {
            let steps = steps(&page()?)?;
            let copy = copy_of_the_project("first-patch-applies")?;
            for step in &steps {
                if let Step::Apply { line, diff } = step {
                    apply(&copy, diff).map_err(|why| format!("{PAGE}:{line}: {why}"))?;
                }
            }
            let runs = |wanted: bool| {
                let mut runs = steps.iter();
                runs.any(|step| matches!(step, Step::Run { passes, .. } if *passes == wanted))
            };
            assert!(
                runs(false) && runs(true),
                "the page shows its test failing and passing"
            );
            Ok(())
        })
        .needs(&GIT),
        Test::new(LAYER, "first_patch_works", || {
            let page = page()?;
            let copy = copy_of_the_project("first-patch")?;
            for step in steps(&page)? {
                step.take(&copy)?;
            }
            let new = new_vectors(&copy)?;
            assert_eq!(new.len(), 1, "{new:?}");
            assert!(page.contains(&new[0]), "the page shows another line than {new:?}");
            Ok(())
        })
        .needs(&GIT),
    ]
}

/// One fence of the page that has to be followed.
enum Step {
    /// `diff apply`: for `git apply`.
    Apply { line: usize, diff: String },
    /// `sh patch fails TEST` or `sh patch passes TEST`.
    Run {
        line: usize,
        command: String,
        test: String,
        passes: bool,
    },
}

impl Step {
    fn take(&self, copy: &Path) -> Result<(), String> {
        match self {
            Step::Apply { line, diff } => apply(copy, diff).map_err(|why| format!("{PAGE}:{line}: {why}")),
            Step::Run {
                line,
                command,
                test,
                passes,
            } => {
                let output = Command::new("sh")
                    .args(["-eu", "-c", command])
                    .current_dir(copy)
                    .env("CARGO_TARGET_DIR", target())
                    .stdin(Stdio::null())
                    .output()
                    .map_err(|e| e.to_string())?;
                let said = String::from_utf8_lossy(&output.stdout);
                let word = if *passes { "ok" } else { "FAILED" };
                let came = said
                    .lines()
                    .any(|line| line.starts_with("test ") && line.ends_with(&format!("{test} ... {word}")));
                if came && output.status.success() == *passes {
                    return Ok(());
                }
                let stderr = String::from_utf8_lossy(&output.stderr);
                Err(format!(
                    "{PAGE}:{line}: {command}\nwanted: {test} ... {word}\n{said}\n{stderr}"
                ))
            }
        }
    }
}

/// Lines of the vectors that the patch added; `Err` if it changed one.
fn new_vectors(copy: &Path) -> Result<Vec<String>, String> {
    let vectors = "node/core/vectors/clinical.hex";
    let read = |root: &Path| fs::read_to_string(root.join(vectors)).map_err(|e| e.to_string());
    let (before, after) = (read(&project())?, read(copy)?);
    if before.lines().any(|line| !after.lines().any(|l| l == line)) {
        return Err(format!("{vectors}: a line changed"));
    }
    let new = after.lines().filter(|line| !before.lines().any(|l| l == *line));
    Ok(new.map(str::to_owned).collect())
}

fn page() -> Result<String, String> {
    fs::read_to_string(project().join(PAGE)).map_err(|e| format!("{PAGE}: {e}"))
}

/// The fences to follow, in order. A fence whose info string only looks like one of them is an error.
fn steps(page: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut lines = (1..).zip(page.lines());
    while let Some((line, text)) = lines.next() {
        let Some(info) = text.strip_prefix("```") else {
            continue;
        };
        let inside: Vec<&str> = lines
            .by_ref()
            .map(|(_, text)| text)
            .take_while(|text| *text != "```")
            .collect();
        let body = inside.join("\n") + "\n";
        match info.split(' ').collect::<Vec<_>>()[..] {
            ["diff", "apply"] => steps.push(Step::Apply { line, diff: body }),
            ["sh", "patch", end @ ("passes" | "fails"), test] => steps.push(Step::Run {
                line,
                command: body,
                test: test.to_owned(),
                passes: end == "passes",
            }),
            ["diff", ..] | ["sh", "patch", ..] => {
                return Err(format!("{PAGE}:{line}: not understood: {info}"));
            }
            _ => {}
        }
    }
    Ok(steps)
}

fn apply(copy: &Path, diff: &str) -> Result<(), String> {
    let mut git = Command::new("git")
        .args(["apply", "-"])
        .current_dir(copy)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("git: {e}"))?;
    let mut stdin = git.stdin.take().expect("piped above");
    stdin.write_all(diff.as_bytes()).map_err(|e| e.to_string())?;
    drop(stdin);
    let output = git.wait_with_output().map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The project's files as they are now. A file that is there with the same content keeps its time.
fn copy_of_the_project(name: &str) -> Result<PathBuf, String> {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let tree = tree::project()?;
    for path in tree.paths() {
        let mut bytes = fs::read(tree.root().join(path)).map_err(|e| format!("{path}: {e}"))?;
        if path == "Cargo.toml" {
            let manifest = tree.text(path).unwrap_or_default();
            assert!(manifest.contains(VERSION[0]), "no version in Cargo.toml");
            bytes = manifest.replace(VERSION[0], &VERSION.concat()).into_bytes();
        }
        let to = copy.join(path);
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        let folder = to.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        fs::write(&to, bytes).map_err(|e| format!("{}: {e}", to.display()))?;
    }
    // without a repository of its own the copy would be a part of this one, and `git apply` would skip it
    let init = ["init", "--quiet"];
    let made = Command::new("git").args(init).current_dir(&copy).status();
    match made.map_err(|e| format!("git: {e}"))?.success() {
        true => Ok(copy),
        false => Err("git init failed".to_owned()),
    }
}
