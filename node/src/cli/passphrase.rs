//! The passphrase of a vault: from a file, from a credential of systemd, or typed on the terminal.
//!
//! Never from an argument or a variable: other users of the computer can read both, and shells keep them.
//! What was read is wiped when it is dropped. One line end at the end of a file is not part of it.

use crate::api::types::Fault;
use crate::fault;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Name of the credential in `$CREDENTIALS_DIRECTORY`.
pub const CREDENTIAL: &str = "aidmesh-passphrase";
/// Longest passphrase.
const BYTES_MAX: usize = 4096;

/// Whether it is the first time, so that a typing error would lock the person out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// For a vault that is there.
    Once,
    /// For a new vault: typed twice.
    Twice,
}

/// The passphrase, from `file`, else from the credential, else typed.
///
/// # Errors
/// `AM-STORE-12` if there is none.
pub fn passphrase(file: Option<&Path>, asked: Asked) -> Result<Zeroizing<String>, Fault> {
    let credential =
        std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(CREDENTIAL));
    match source(file, credential) {
        Some(path) => from_file(&path),
        None => typed(asked),
    }
}

/// The file that is named, else the credential if it is there.
fn source(file: Option<&Path>, credential: Option<PathBuf>) -> Option<PathBuf> {
    file.map(Path::to_owned)
        .or(credential.filter(|path| path.is_file()))
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, Fault> {
    let none =
        |why: &dyn std::fmt::Display| fault::with("AM-STORE-12", format_args!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|why| none(&why))?;
    // as large as it can get, so that growing leaves no copies behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 3));
    let read = file.take(BYTES_MAX as u64 + 2).read_to_end(&mut bytes);
    read.map_err(|why| none(&why))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| none(&"it is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.len() {
        0 => Err(none(&"it is empty")),
        len if len > BYTES_MAX => Err(none(&"it is too long")),
        _ => Ok(Zeroizing::new(text.to_owned())),
    }
}

fn typed(asked: Asked) -> Result<Zeroizing<String>, Fault> {
    if !std::io::stdin().is_terminal() {
        return Err(fault::of("AM-STORE-12"));
    }
    let ask = |prompt: &str| {
        let typed = rpassword::prompt_password(prompt).map_err(|why| fault::with("AM-STORE-12", why))?;
        Ok::<_, Fault>(Zeroizing::new(typed))
    };
    let first = ask("Passphrase: ")?;
    if first.is_empty() {
        return Err(fault::with("AM-STORE-12", "it is empty"));
    }
    if asked == Asked::Twice && ask("The same again: ")? != first {
        return Err(fault::with("AM-STORE-12", "the two differ"));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        for (content, expected) in [
            (&b"correct horse"[..], "correct horse"),
            (b"correct horse\n", "correct horse"),
            (b"correct horse\r\n", "correct horse"),
            (b" spaces stay \n\n", " spaces stay \n"),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(passphrase(Some(&path), Asked::Twice).unwrap().as_str(), expected);
        }
        let longest = "x".repeat(BYTES_MAX);
        fs::write(&path, format!("{longest}\r\n")).unwrap();
        assert_eq!(from_file(&path).unwrap().len(), BYTES_MAX);
    }

    #[test]
    fn what_is_no_passphrase_is_refused_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let long = [b'x'; BYTES_MAX + 1];
        for content in [&b""[..], b"\n", b"secret\xff", &long] {
            fs::write(&path, content).unwrap();
            let fault = from_file(&path).unwrap_err();
            assert!(
                fault.code == "AM-STORE-12" && !fault.what.contains("secret"),
                "{fault:?}"
            );
        }
        assert_eq!(
            from_file(&folder.path().join("no")).unwrap_err().code,
            "AM-STORE-12"
        );
    }

    #[test]
    fn a_named_file_is_before_the_credential() {
        let folder = tempfile::tempdir().unwrap();
        let credential = folder.path().join(CREDENTIAL);
        let named = folder.path().join("named");
        assert_eq!(source(None, None), None);
        assert_eq!(source(None, Some(credential.clone())), None, "it is not there");
        fs::write(&credential, "x").unwrap();
        assert_eq!(source(None, Some(credential.clone())), Some(credential.clone()));
        assert_eq!(source(Some(&named), Some(credential)), Some(named));
    }
}
