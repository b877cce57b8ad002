//! Faults by name: `--break blind|truth|resume` anywhere among the arguments of a program under test. The
//! product does not know the argument.

use aidmesh_host::node::Hooks;
use std::ffi::OsString;

/// The arguments without `--break NAME`, and the faults that it names.
pub(crate) fn take(
    arguments: impl Iterator<Item = OsString>,
    in_clear: &'static str,
) -> Result<(Vec<OsString>, Hooks), String> {
    let (mut left, mut hooks) = (Vec::new(), Hooks::default());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if argument != "--break" {
            left.push(argument);
            continue;
        }
        let name = arguments.next().unwrap_or_default();
        match name.to_str() {
            Some("blind") => hooks.in_clear = Some(in_clear.into()),
            Some("truth") => hooks.word_before_evidence = true,
            Some("resume") => hooks.parts_forgotten = true,
            _ => return Err("--break takes blind, truth or resume".to_owned()),
        }
        hooks.arguments.extend([argument, name]);
    }
    Ok((left, hooks))
}
