//! The files of a project and what Cargo says about it, as the rules see them.
//!
//! In a git checkout the files are those that git tracks or would track, so that a new file is judged before
//! its first commit; elsewhere (fixtures, source archives) every file outside `target`. The fixtures are left
//! out of the project's own tree: they break rules for a living.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;

use crate::harness;

/// Where the fixtures lie, relative to the root.
const FIXTURES: &str = "tests/tidy/fixtures/";

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Relative to the root of the tree.
    pub(crate) path: String,
    /// From 1; 0 if the finding is about the whole file.
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// A project: its files and its crates.
pub(crate) struct Tree {
    root: PathBuf,
    /// Relative path to content; `None` for a file that is not UTF-8 text.
    files: BTreeMap<String, Option<String>>,
    metadata: OnceLock<Result<Value, String>>,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> Result<Tree, String> {
        let root = root
            .canonicalize()
            .map_err(|e| format!("{}: {e}", root.display()))?;
        let mut files = BTreeMap::new();
        for path in file_names(&root)? {
            // A file may be gone from the folder and still be in git's index.
            if let Ok(bytes) = std::fs::read(root.join(&path)) {
                files.insert(path, String::from_utf8(bytes).ok());
            }
        }
        Ok(Tree {
            root,
            files,
            metadata: OnceLock::new(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// All paths, text or not.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// All text files.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Text files whose name ends in one of `endings`.
    pub(crate) fn texts_ending<'a>(
        &'a self,
        endings: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts()
            .filter(|(path, _)| endings.iter().any(|ending| path.ends_with(ending)))
    }

    /// A text file by its path.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether a file or a folder has this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.paths().any(|known| known.starts_with(&folder))
    }

    /// What `cargo metadata` says; `None` in a tree without a manifest at its root.
    pub(crate) fn metadata(&self) -> Option<Result<&Value, Finding>> {
        self.text("Cargo.toml")?;
        let answer = self.metadata.get_or_init(|| metadata(&self.root));
        Some(answer.as_ref().map_err(|why| Finding::new("Cargo.toml", 0, why)))
    }
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }

    /// `path` or `path:line`.
    pub(crate) fn place(&self) -> String {
        match self.line {
            0 => self.path.clone(),
            line => format!("{}:{line}", self.path),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place(), self.what)
    }
}

/// The project's own tree, read once.
pub(crate) fn project() -> Result<&'static Tree, String> {
    static TREE: LazyLock<Result<Tree, String>> = LazyLock::new(open_project);
    TREE.as_ref().map_err(String::clone)
}

fn open_project() -> Result<Tree, String> {
    let mut tree = Tree::open(&harness::project())?;
    tree.files.retain(|path, _| !path.starts_with(FIXTURES));
    Ok(tree)
}

fn file_names(root: &Path) -> Result<Vec<String>, String> {
    if let Some(names) = names_from_git(root) {
        return Ok(names);
    }
    let mut names = Vec::new();
    walk(root, "", &mut names).map_err(|e| format!("{}: {e}", root.display()))?;
    Ok(names)
}

/// `None` outside a checkout, and where git is absent or refuses, as in a checkout of another user.
fn names_from_git(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()?;
    let names = String::from_utf8(output.stdout)
        .ok()
        .filter(|_| output.status.success())?;
    Some(
        names
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if ["target", ".git"].contains(&name.as_str()) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => walk(&entry.path(), &format!("{name}/"), names)?,
            false => names.push(name),
        }
    }
    Ok(())
}

/// Asks Cargo without the network first: the sources are there, or this test would not have been built.
fn metadata(root: &Path) -> Result<Value, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let ask = |more: &[&str]| {
        let mut command = Command::new(&cargo);
        command
            .args(["metadata", "--format-version", "1"])
            .args(more)
            .current_dir(root)
            .output()
    };
    let mut output = ask(&["--offline"]).map_err(|e| format!("{cargo} metadata: {e}"))?;
    if !output.status.success() {
        output = ask(&[]).map_err(|e| format!("{cargo} metadata: {e}"))?;
    }
    if !output.status.success() {
        return Err(format!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}
