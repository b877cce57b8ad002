//! A fixture: a small tree in one text file, with the findings that it must give.
//!
//! Lines before the first `-- path --` are prose, save `expect: <rule> <place>`, one for each finding.
//! `-- path --` starts a file, `-- path x801 --` one whose content is repeated 801 times.
//! The tree is laid out in Cargo's scratch folder, so that `cargo metadata` can read it.

use std::fs;
use std::path::{Path, PathBuf};

use super::tree::Tree;
use super::{Rule, listed};

/// The names of all fixtures, without `.txt`.
pub(super) fn names() -> Vec<String> {
    let folder = fs::read_dir(folder()).expect("the fixtures lie beside the rules");
    let paths = folder.map(|entry| entry.expect("a readable folder").path());
    paths
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect()
}

/// The rules that a fixture makes fail.
pub(super) fn expected_rules(name: &str) -> Vec<String> {
    let all = expected(&text(name));
    all.iter()
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect()
}

/// Runs all rules on a fixture and compares `rule place` of each finding with what it states.
pub(super) fn check(name: &str, rules: &[Rule]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tidy").join(name);
    let text = text(name);
    lay_out(&text, &root).map_err(|e| format!("{}: {e}", root.display()))?;
    let tree = Tree::open(&root)?;

    let (mut found, mut details) = (Vec::new(), Vec::new());
    for rule in rules {
        let findings = (rule.check)(&tree);
        found.extend(
            findings
                .iter()
                .map(|finding| format!("{} {}", rule.name, finding.place())),
        );
        details.extend(findings);
    }
    found.sort();
    let mut wanted = expected(&text);
    wanted.sort();
    match found == wanted {
        true => Ok(()),
        false => Err(format!(
            "wanted {wanted:#?}\nfound {found:#?}\nin words:{}",
            listed(&details)
        )),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tidy/fixtures")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.txt"))).expect("a fixture is UTF-8 text")
}

fn expected(text: &str) -> Vec<String> {
    let head = text.lines().take_while(|line| file_name(line).is_none());
    head.filter_map(|line| line.strip_prefix("expect: "))
        .map(str::to_owned)
        .collect()
}

/// Path and repetition if the line starts a file.
fn file_name(line: &str) -> Option<(&str, usize)> {
    let inner = line.strip_prefix("-- ")?.strip_suffix(" --")?;
    match inner.rsplit_once(" x") {
        Some((path, times)) => Some((path, times.parse().ok()?)),
        None => Some((inner, 1)),
    }
}

fn lay_out(text: &str, root: &Path) -> std::io::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    let mut files: Vec<(&str, usize, String)> = Vec::new();
    for line in text.lines() {
        match (file_name(line), files.last_mut()) {
            (Some((path, times)), _) => files.push((path, times, String::new())),
            (None, Some((_, _, content))) => *content += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    for (path, times, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, content.repeat(times))?;
    }
    Ok(())
}
