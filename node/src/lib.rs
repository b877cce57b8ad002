//! The messenger of ambulances and field teams: the node and its command line, as a library.
//!
//! ```text
//!  cli ── what people type           client ── asks the node that runs here, over its socket
//!  api ── the local API              service ── what people may do
//!  device ── folder, vault, identity, node, links          org ── enrolment, on files alone
//!  demo ── the promise, played by three processes of this program
//! ```
//!
//! Nothing here decides about threads or delivery, and no word of delivery is made here: both are the
//! machine's (`aidmesh-core`). Nothing clinical is decoded here but through `aidmesh-ecg`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod client;
pub mod demo;
pub mod device;
pub mod fault;
pub mod office;
pub mod org;
pub mod service;
pub mod setup;
