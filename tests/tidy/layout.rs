//! Rules about the tree: what may stand at the top, links that lead somewhere, paths of one machine.
//!
//! The top level stays short enough to be read at a glance; files of tools are dot files.

use super::tree::{Finding, Tree};
use crate::docs::prose_lines;

const TOP: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "node",
    "relay",
    "mobile-shim",
    "scenarios",
    "tests",
    "docs",
];

pub(super) fn top_level(tree: &Tree) -> Vec<Finding> {
    let mut tops: Vec<&str> = tree
        .paths()
        .map(|path| path.split('/').next().unwrap_or(path))
        .collect();
    tops.dedup();
    let extra = tops
        .into_iter()
        .filter(|top| !top.starts_with('.') && !TOP.contains(top));
    extra
        .map(|top| Finding::new(top, 0, "not on the list of the top level"))
        .collect()
}

pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut dead = Vec::new();
    for (path, text) in tree.texts_ending(&[".md"]) {
        for (n, line) in prose_lines(text) {
            for target in targets(&line).filter(|target| !leads_somewhere(tree, path, target)) {
                dead.push(Finding::new(path, n, format!("dead link: {target}")));
            }
        }
    }
    dead
}

/// What stands in the round brackets of `[text](target)` and `[text](target "title")`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let after_brackets = line.split("](").skip(1);
    after_brackets.filter_map(|rest| rest.split([')', ' ']).next())
}

fn leads_somewhere(tree: &Tree, from: &str, target: &str) -> bool {
    let file = target.split('#').next().unwrap_or_default();
    if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
        return true;
    }
    let mut place: Vec<&str> = from.split('/').collect();
    place.pop();
    for part in file.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." if place.pop().is_none() => return false,
            ".." => {}
            name => place.push(name),
        }
    }
    tree.has(&place.join("/"))
}

/// Absolute paths of a developer's machine. Not found within a longer path or an address.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let folders = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        for (n, line) in (1..).zip(text.lines()) {
            let on_machine = |folder: &&str| {
                line.match_indices(*folder)
                    .any(|(at, _)| starts_path(&line[..at]))
            };
            if let Some(folder) = folders.iter().find(|folder| on_machine(folder)) {
                found.push(Finding::new(path, n, format!("a path of one machine: {folder}")));
            }
        }
    }
    found
}

fn starts_path(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || "._-~}*".contains(c))
}
