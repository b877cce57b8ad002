//! The program `aidmesh-relay`, and with `--break` one that has a planted fault.

mod planted;

use std::process::ExitCode;

fn main() -> ExitCode {
    match planted::take(std::env::args_os(), aidmesh::demo::PLANTED) {
        Ok((arguments, hooks)) => aidmesh_relay::main_from(arguments, hooks),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
