//! The messenger of ambulances and field teams: the node and its command line, as a library.
//!
//! ```text
//!  cli ── what people type           client ── asks the node that runs here, over its socket
//!  api ── the local API              service ── what people may do
//!  run ── a device with its API until it is told to stop
//!  device ── folder, vault, identity, node, links          office ── the administrator's vault
//!  setup ── first steps on folders                         org ── enrolment, on files alone
//!  demo ── the promise, played by three processes of this program
//!  fault ── every stable code, once                        config, ecg_files ── files that people write
//! ```
//!
//! Nothing here decides about threads or delivery, and no word of delivery is made here: both are the
//! machine's (`aidmesh-core`). Nothing clinical is decoded here but through `aidmesh-ecg`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod device;
pub mod ecg_files;
pub mod fault;
pub mod office;
pub mod org;
pub mod run;
pub mod service;
pub mod setup;

use aidmesh_host::node::Hooks;
use std::ffi::OsString;
use std::process::ExitCode;

/// The program with these arguments, its name first. `hooks`: none in a product.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>, hooks: Hooks) -> ExitCode {
    match demo::role(arguments.into_iter().collect()) {
        demo::Role::Relay(arguments) => aidmesh_relay::main_from(arguments, hooks),
        demo::Role::Program(arguments) => ExitCode::from(cli::main_from(arguments, hooks) as u8),
    }
}
