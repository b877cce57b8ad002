//! Rules about source text: lengths, leftovers, names that must stay in the test world, module stories.
//!
//! Limits are those of `docs/CONTRIBUTING.md`. A line's length is counted in characters, a function's in
//! lines from its `fn` to its closing brace, both included. Lines with a web address may be longer.

use std::collections::BTreeSet;

use super::tree::{Finding, Tree};

const FILE_LINES_MAX: usize = 800;
const TEST_FILE_LINES_MAX: usize = 1200;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 110;

/// Hand-written source.
const SOURCE: [&str; 11] = [
    ".rs",
    ".js",
    ".mjs",
    ".css",
    ".html",
    ".py",
    ".sh",
    ".kt",
    ".swift",
    "tests/run",
    ".ci/run",
];

/// Names of the plain values that carry faults into a machine, and of the faults of a node. Its `Hooks` as
/// a whole are handed through products, all off.
const FAULT_NAMES: [&str; 6] = [
    "Flaws",
    "Lie",
    "open_with",
    "in_clear",
    "word_before_evidence",
    "parts_forgotten",
];

pub(super) fn file_length(tree: &Tree) -> Vec<Finding> {
    let files = tree.texts_ending(&SOURCE);
    let long = files.filter_map(|(path, text)| {
        let (lines, most) = (text.lines().count(), lines_max(path));
        (lines > most).then(|| Finding::new(path, 0, format!("{lines} lines, at most {most}")))
    });
    long.collect()
}

fn lines_max(path: &str) -> usize {
    if is_test(path) {
        TEST_FILE_LINES_MAX
    } else {
        FILE_LINES_MAX
    }
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

pub(super) fn line_length(tree: &Tree) -> Vec<Finding> {
    let files = tree
        .texts()
        .filter(|(path, _)| path.ends_with(".toml") || is_source(path));
    let lines = files.flat_map(|(path, text)| (1..).zip(text.lines()).map(move |(n, line)| (path, n, line)));
    let long = lines.filter_map(|(path, n, line)| {
        let length = line.chars().count();
        let too_long = length > LINE_CHARS_MAX && !line.contains("://");
        too_long.then(|| Finding::new(path, n, format!("{length} characters, at most {LINE_CHARS_MAX}")))
    });
    long.collect()
}

fn is_source(path: &str) -> bool {
    SOURCE.iter().any(|ending| path.ends_with(ending))
}

pub(super) fn function_length(tree: &Tree) -> Vec<Finding> {
    let files = tree.texts_ending(&[".rs"]);
    files
        .flat_map(|(path, text)| long_functions(path, text))
        .collect()
}

/// rustfmt puts a function's closing brace alone on a line, as deep as the line that begins it.
fn long_functions(path: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indent}}}");
        let one_line = line.ends_with('}') || line.ends_with(';');
        let Some(length) = lines[start..].iter().position(|line| *line == close) else {
            continue;
        };
        let body_follows = !one_line
            && lines[start..start + length]
                .iter()
                .all(|l| !is_signature_end(l, indent));
        if body_follows && length + 1 > FUNCTION_LINES_MAX {
            let what = format!("function of {} lines, at most {FUNCTION_LINES_MAX}", length + 1);
            found.push(Finding::new(path, start + 1, what));
        }
    }
    found
}

/// The end of a signature without a body, as in a trait: `) -> T;` as deep as its `fn`.
fn is_signature_end(line: &str, indent: &str) -> bool {
    line.strip_prefix(indent)
        .is_some_and(|rest| rest.starts_with(')') && rest.ends_with(';'))
}

fn begins_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub") {
        let after = after
            .strip_prefix('(')
            .and_then(|inner| Some(inner.split_once(')')?.1))
            .unwrap_or(after);
        rest = after.trim_start();
    }
    for qualifier in ["default ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(qualifier).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

pub(super) fn leftovers(tree: &Tree) -> Vec<Finding> {
    // Written in halves, so that this file is not its own finding.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
    ];
    let macros = [
        concat!("db", "g!"),
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
    ];
    let files = tree
        .texts()
        .filter(|(path, _)| is_source(path) || path.ends_with(".toml") || path.ends_with(".md"));
    let lines = files.flat_map(|(path, text)| (1..).zip(text.lines()).map(move |(n, line)| (path, n, line)));
    let hits = lines.filter_map(|(path, n, line)| {
        let left = words.iter().chain(&macros).find(|word| has_word(line, word))?;
        Some(Finding::new(path, n, format!("{left} is left over")))
    });
    hits.collect()
}

/// Faults are handed to `open_with` and to the binaries under test; the product never names them. A file
/// that defines such a name, with the folder of its module, may use it, and a `lib.rs` may re-export it.
pub(super) fn fault_names(tree: &Tree) -> Vec<Finding> {
    let homes: BTreeSet<&str> = tree
        .texts_ending(&[".rs"])
        .filter(|(path, text)| may_define(path) && text.lines().any(defines_fault_name))
        .map(|(path, _)| path.trim_end_matches(".rs"))
        .collect();
    let at_home = |path: &str| {
        homes.iter().any(|home| {
            path.strip_prefix(home)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    };
    let outside = tree
        .texts_ending(&[".rs"])
        .filter(|(path, _)| !is_test(path) && !path.starts_with("scenarios/") && !at_home(path));
    let lines =
        outside.flat_map(|(path, text)| (1..).zip(text.lines()).map(move |(n, line)| (path, n, line)));
    let uses = lines.filter_map(|(path, n, line)| {
        let code = line.trim_start();
        let exports = path.ends_with("src/lib.rs") && code.starts_with("pub use ");
        let name = FAULT_NAMES.into_iter().find(|name| has_word(code, name))?;
        (!exports && !code.starts_with("//"))
            .then(|| Finding::new(path, n, format!("{name} belongs to scenarios and tests")))
    });
    uses.collect()
}

fn may_define(path: &str) -> bool {
    path.starts_with("node/") || path.starts_with("relay/")
}

fn defines_fault_name(line: &str) -> bool {
    let line = line.trim_start();
    let defining = ["pub struct ", "pub enum ", "pub fn ", "pub "]
        .into_iter()
        .find_map(|start| line.strip_prefix(start));
    defining.is_some_and(|rest| {
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
        FAULT_NAMES.into_iter().any(|known| name == Some(known))
    })
}

/// A module says first what it is, why so, and what it does not do.
pub(super) fn module_story(tree: &Tree) -> Vec<Finding> {
    let silent = tree
        .texts_ending(&[".rs"])
        .filter(|(path, text)| !is_test(path) && !text.starts_with("//!"));
    silent
        .map(|(path, _)| Finding::new(path, 1, "a module opens with its story: `//! ...`"))
        .collect()
}

pub(super) fn mod_rs(tree: &Tree) -> Vec<Finding> {
    let found = tree.paths().filter(|path| path.ends_with("/mod.rs"));
    found
        .map(|path| Finding::new(path, 0, "modules are foo.rs and foo/"))
        .collect()
}

/// Whether `word` stands in `line` with no letter, digit or underscore directly before or after it.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(inside) && !after.starts_with(inside)
    })
}
