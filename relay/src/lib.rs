//! The relay of Aidmesh: keeps sealed items for devices that are not there, signs for them, cannot read them.
//!
//! All that a relay decides about items is decided by the machine of `aidmesh-core`; how it meets disk and
//! network is in `aidmesh-host`. Here is what an operator has in hands:
//!
//! ```text
//! args -> init  -> data (folder, vault, key_file, settings)        once
//!      -> run   -> live: node + uplink server behind the door of admission
//!                  admin: /healthz /readyz /metrics /status, this machine alone
//!      -> status, card, trust
//! ```
//!
//! * It holds one secret, its routing key, in a vault that a key file opens. It has no key of any thread:
//!   the crates that could open an item are linked, the keys are not here.
//! * Who is let in was certified by an organisation whose card the operator gave ([`admission`]).
//! * Devices pin the relay's key from the invite ([`certificate`] says why).
//! * What is printed, logged and measured has no handle, no key of a device and no name of a person.
//! * It stops gracefully, and it stops when it cannot save: a relay that takes what it cannot keep lies.
//!
//! Not here: anything about threads and people, backups, TLS certificates of others, a second machine.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin;
pub mod admission;
pub mod args;
pub mod card;
#[cfg(test)]
mod cast;
pub mod certificate;
mod commands;
pub mod data;
pub mod key_file;
mod live;
mod log;
pub mod metrics;
pub mod orgs;
mod run;
pub mod settings;
pub mod status;
mod store_watch;
pub mod trouble;

pub use aidmesh_host::node::Hooks;
pub use card::RelayCard;
pub use run::{Ready, serve};

use args::{Args, What};
use clap::Parser;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use trouble::Trouble;

/// The program. `arguments` begin with its name; `hooks` are faults for the test of the tests, none in a
/// product. Exit codes: 0 done, 1 failed, 2 usage.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>, hooks: Hooks) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(why) => {
            // help goes to standard output, the rest to standard error; without them there is nobody to tell
            let _ = why.print();
            return ExitCode::from(u8::try_from(why.exit_code()).unwrap_or(2));
        }
    };
    let json = args.json;
    match dispatch(args, hooks) {
        Ok(code) => code,
        Err(trouble) => {
            let text = match json {
                true => format!("{}\n", trouble.json()),
                false => trouble.lines(),
            };
            let _ = io::stderr().write_all(text.as_bytes());
            match [trouble::SAID, trouble::NOT_LOOPBACK].contains(&trouble.code) {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

fn dispatch(args: Args, hooks: Hooks) -> Result<ExitCode, Trouble> {
    let (data, json) = (args.data, args.json);
    if let What::Status(status) = args.what {
        return commands::status(data.as_deref(), &status, json);
    }
    let data = data::folder(data.as_deref())?;
    match args.what {
        What::Init(init) => commands::init(&data, init, json)?,
        What::Trust(trust) => commands::trust(&data, &trust, json)?,
        What::Card => commands::card(&data, json)?,
        What::Run(run) => run::run(&data, &run, json, hooks)?,
        What::Status(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output. Who closed it does not want to know.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn runtime() -> Result<tokio::runtime::Runtime, Trouble> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|why| Trouble::new(trouble::SYSTEM, why))
}
