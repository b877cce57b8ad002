//! The messenger of ambulances and field teams: the node and its command line, as a library.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api {
    //! The local API.

    pub mod types;
}
pub mod client;
pub mod demo;
pub mod org;
