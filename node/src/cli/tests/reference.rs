//! `docs/reference/cli.md`: written from the table of commands, and compared with it ever after.
//!
//! `AIDMESH_WRITE_DOCS=1 cargo test -p aidmesh cli_reference` writes it.

use super::*;
use std::fmt::Write as _;

const HEAD: &str = "# Command line

From the same table as `aidmesh --help`. Written by `AIDMESH_WRITE_DOCS=1 cargo test -p aidmesh
cli_reference`; a test compares.

";

const NOTES: &str = "## What holds for all

- **Exit codes**: 0 done; 1 failed; 2 usage; 3 stored here, but the state of `--wait` did not come in
  time; 4 refused by policy; 130 after Ctrl-C. An entry that was stored stays stored in every case.
- **`--json`**: one object on standard output, or one a line for lists; nothing else there. Errors are
  `{\"error\":{\"code\",\"what\",\"means\",\"next\"}}` on standard error. `aidmesh explain CODE` says more.
- **`--wait`**: `delivered` is every recipient's device, `seen` and `acknowledged` are at least one
  person. A declined alert was seen, and is not acknowledged.
- **Names**: a thread by its title or the beginning of its id, an entry by its id or a unique beginning,
  a person by name or the first 8 digits of the device. If several fit, all are listed and nothing is
  done.
- **Times** are UTC (`14:09:02 UTC`), with the day before them unless it is today.
- **Secrets** are never arguments: `--passphrase-file`, else the systemd credential
  `aidmesh-passphrase`, else a prompt.
- **Colour** only on a terminal and without `NO_COLOR`.
";

fn page() -> String {
    let mut command = command();
    command.build();
    let mut text = HEAD.to_owned();
    section(&command, "aidmesh", &mut text);
    options(&command, &mut text);
    text.push_str(NOTES);
    text
}

fn section(command: &clap::Command, path: &str, text: &mut String) {
    let level = if path == "aidmesh" { "##" } else { "###" };
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let dot = if about.ends_with('.') { "" } else { "." };
    writeln!(text, "{level} `{path}`\n\n{about}{dot}\n").unwrap();
    if !command.has_subcommands() {
        options(command, text);
    }
    let after = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    writeln!(text, "```text\n{}\n```\n", after.trim_end()).unwrap();
    for inner in shown(command) {
        section(inner, &format!("{path} {}", inner.get_name()), text);
    }
}

fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    let inner = command.get_subcommands();
    inner.filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
}

/// A list of arguments: those of one command, or of the program for all commands.
fn options(command: &clap::Command, text: &mut String) {
    let whole = command.get_name() == "aidmesh";
    if whole {
        text.push_str("## With every command\n\n");
    }
    let arguments = command.get_arguments().filter(|argument| {
        let name = argument.get_id().as_str();
        !argument.is_hide_set() && argument.is_global_set() == whole && name != "help" && name != "version"
    });
    let mut any = false;
    for argument in arguments {
        any = true;
        let values = argument.get_possible_values();
        let values: Vec<&str> = values
            .iter()
            .filter(|v| !v.is_hide_set())
            .map(|v| v.get_name())
            .collect();
        let defaults = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy());
        let defaults: Vec<_> = defaults.filter(|value| !value.is_empty()).collect();
        let about = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let dot = if about.ends_with('.') { "" } else { "." };
        write!(text, "- `{}`: {about}{dot}", usage(argument)).unwrap();
        if !values.is_empty() && argument.get_action().takes_values() {
            write!(text, " One of: {}.", values.join(", ")).unwrap();
        }
        if !defaults.is_empty() && argument.get_action().takes_values() {
            write!(text, " Default: {}.", defaults.join(" ")).unwrap();
        }
        text.push('\n');
    }
    if any {
        text.push('\n');
    }
}

/// `--to <PERSON>`, `<THREAD>`, `-v, --verbose`.
fn usage(argument: &clap::Arg) -> String {
    let names = argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|name| format!("<{name}>"));
    let value = names.collect::<Vec<_>>().join(" ");
    let value = if argument.get_action().takes_values() {
        value
    } else {
        String::new()
    };
    let short = argument
        .get_short()
        .map(|short| format!("-{short}, "))
        .unwrap_or_default();
    let long = argument.get_long().map(|long| format!("--{long}"));
    format!("{short}{} {value}", long.unwrap_or_default())
        .trim()
        .to_owned()
}

#[test]
fn cli_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let page = page();
    if std::env::var_os("AIDMESH_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).find(|(now, then)| now != then);
    assert_eq!(differs, None, "write it again with AIDMESH_WRITE_DOCS=1");
    assert_eq!(
        page.len(),
        written.len(),
        "write it again with AIDMESH_WRITE_DOCS=1"
    );
}
