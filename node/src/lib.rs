//! The messenger of ambulances and field teams: the node and its command line, as a library.
//!
//! The program `aidmesh` is five lines around [`cli`]. What runs for long is the node; everything else is a
//! short-lived command that speaks to it over [`client`] or works on files alone.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api {
    //! The local API.

    pub mod types;
}
pub mod cli;
pub mod client;
pub mod config;
pub mod ecg_files;
pub mod fault;
