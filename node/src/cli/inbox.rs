//! `inbox` and `open`: what others sent, and taking their files out of the store.
//!
//! File names come from other people. A name is used only as a name in the folder that was given
//! ([`safe_name`]), and no file is overwritten: what cannot be written is said before anything is written.
//!
//! `open` is the act of a person and tells the author *seen*. A script that only files things away says
//! `--not-seen`: a copy in an archive is nobody's look at an ECG.

use super::Context;
use super::screen::{Paint, clean, moment, now_ms};
use crate::api::types::{EntryInfo, Fault, LayerInfo, Made, NewSeen};
use crate::client::{Client, segment};
use crate::fault::{self, Exit};
use aidmesh_core::delivery::words;
use clap::Args;
use serde::Serialize;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const ORIGINAL: &str = "original";
/// Longest name that is written.
const NAME_CHARS_MAX: usize = 80;

/// `inbox`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aidmesh inbox\n  aidmesh inbox --json")]
pub struct Inbox {}

/// `open`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh open 3f9a01c2-5be1d07a-12 --to ~/ecg\n  \
    aidmesh open 3f9a01c2-5be1d07a-12 --to /srv/archive --not-seen")]
pub struct Open {
    /// Id of the entry, or its unique beginning.
    #[arg(value_name = "ENTRY")]
    pub entry: String,
    /// Folder for the files; made if it is not there. Nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Do not tell the author that a person has seen it.
    #[arg(long)]
    pub not_seen: bool,
}

#[derive(Serialize)]
struct Opened {
    entry: EntryInfo,
    files: Vec<PathBuf>,
    seen: bool,
}

impl Inbox {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let node = context.node()?;
        let entries: Vec<EntryInfo> = node.get("/v1/inbox").await?;
        for entry in &entries {
            context.screen.object(entry);
        }
        if entries.is_empty() {
            context
                .screen
                .line("Nothing from others that this device knows of.");
        }
        let now = now_ms();
        let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, now)).collect();
        context.screen.table("", &rows);
        Ok(Exit::Fine)
    }
}

impl Open {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let node = context.node()?;
        let entry: EntryInfo = node.get(&format!("/v1/entries/{}", segment(&self.entry))).await?;
        let originals: Vec<&LayerInfo> = entry
            .layers
            .iter()
            .filter(|layer| layer.layer == ORIGINAL)
            .collect();
        let missing: Vec<String> = originals
            .iter()
            .filter(|l| !l.complete)
            .map(|l| parts(l))
            .collect();
        if !missing.is_empty() {
            return Err(fault::with("AM-NODE-05", clean(&missing.join(" "))));
        }
        let files = files(&node, &entry, &originals, &self.to).await?;
        write_all(&files)?;
        if !self.not_seen && !entry.mine {
            let layer = (!originals.is_empty()).then(|| ORIGINAL.to_owned());
            let path = format!("/v1/entries/{}/seen", segment(&entry.entry));
            let _: Made = node.post(&path, &NewSeen { layer }).await?;
        }
        let now = now_ms();
        let about = format!(
            "{}  {}  {}: {}",
            clean(&entry.entry),
            moment(entry.at_ms, now),
            clean(&entry.person),
            clean(&entry.text)
        );
        context.screen.line(&about);
        if !entry.marks.is_empty() {
            let marks = clean(&entry.marks.join(", "));
            let marks = context.screen.paint(Paint::Bad, &marks);
            context.screen.line(&format!("  {marks}"));
        }
        for (path, bytes) in &files {
            let line = format!("  {}  {} B", path.display(), bytes.len());
            context.screen.line(&clean(&line));
        }
        let seen = !self.not_seen && !entry.mine;
        let files = files.into_iter().map(|(path, _)| path).collect();
        context.screen.object(&Opened { entry, files, seen });
        Ok(Exit::Fine)
    }
}

/// Cells of an entry in the inbox.
fn row(entry: &EntryInfo, now_ms: u64) -> Vec<String> {
    let held = entry.layers.iter().filter(|layer| !layer.complete).map(parts);
    let remarks: Vec<String> = held.chain(entry.marks.iter().cloned()).collect();
    vec![
        entry.entry.clone(),
        moment(entry.at_ms, now_ms),
        entry.thread_name.clone(),
        entry.person.clone(),
        entry.kind.clone(),
        entry.text.clone(),
        remarks.join(" "),
    ]
}

/// How much of a layer is here.
fn parts(layer: &LayerInfo) -> String {
    let (held, total) = (layer.held.to_string(), layer.total.to_string());
    words::fill(
        "detail.parts",
        &[
            ("layer", layer.layer.as_str()),
            ("held", &held),
            ("total", &total),
        ],
    )
}

/// Each original with the path that it will have.
async fn files(
    node: &Client,
    entry: &EntryInfo,
    originals: &[&LayerInfo],
    folder: &Path,
) -> Result<Vec<(PathBuf, bytes::Bytes)>, Fault> {
    let mut files: Vec<(PathBuf, bytes::Bytes)> = Vec::new();
    for (number, layer) in originals.iter().enumerate() {
        let mut path = folder.join(safe_name(&layer.name, number));
        if files.iter().any(|(other, _)| *other == path) {
            path = folder.join(format!("{}-{}", number + 1, safe_name(&layer.name, number)));
        }
        let from = format!("/v1/entries/{}/files/{number}", segment(&entry.entry));
        let bytes = node.bytes(&from).await?;
        files.push((path, bytes));
    }
    Ok(files)
}

/// A name from somebody else as a name in a folder: no folders, nothing hidden, no control characters.
fn safe_name(name: &str, number: usize) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = clean(last)
        .chars()
        .filter(|c| *c != '\u{fffd}')
        .take(NAME_CHARS_MAX)
        .collect();
    let kept = kept.trim_start_matches(['.', '-', ' ']).trim_end();
    match kept.is_empty() {
        true => format!("file-{}", number + 1),
        false => kept.to_owned(),
    }
}

/// Writes all files, or says which is in the way and writes none.
fn write_all(files: &[(PathBuf, bytes::Bytes)]) -> Result<(), Fault> {
    let Some(folder) = files.first().and_then(|(path, _)| path.parent()) else {
        return Ok(());
    };
    let failed = |path: &Path, why: std::io::Error| match why.kind() {
        ErrorKind::AlreadyExists => fault::with("AM-USE-06", path.display()),
        _ => fault::with("AM-USE-07", format_args!("{}: {why}", path.display())),
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|why| failed(folder, why))?;
    if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(fault::with("AM-USE-06", path.display()));
    }
    for (path, bytes) in files {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let written = file.and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(|why| failed(path, why))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_stay_in_the_folder() {
        for (name, safe) in [
            ("HR06000.hea", "HR06000.hea"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("..", "file-3"),
            ("", "file-3"),
            ("a/", "file-3"),
            ("ecg\u{1b}[2J\u{202e}.dcm", "ecg[2J.dcm"),
            ("Müller 1.dcm", "Müller 1.dcm"),
        ] {
            assert_eq!(safe_name(name, 2), safe, "{name}");
        }
        assert_eq!(safe_name(&"x".repeat(500), 0).len(), NAME_CHARS_MAX);
    }

    #[test]
    fn nothing_is_overwritten_and_then_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            (
                folder.path().join("new").join(name),
                bytes::Bytes::from_static(b"x"),
            )
        };
        write_all(&[at("a"), at("b")]).unwrap();
        let fault = write_all(&[at("c"), at("b")]).unwrap_err();
        assert!(
            fault.code == "AM-USE-06" && fault.what.ends_with("/b"),
            "{fault:?}"
        );
        assert!(!folder.path().join("new/c").exists());
        // a dangling link is in the way too
        std::os::unix::fs::symlink("/nowhere", folder.path().join("new/d")).unwrap();
        assert_eq!(write_all(&[at("d")]).unwrap_err().code, "AM-USE-06");
    }
}
