//! The crate from outside: real files, hostile files, pages.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod drawing;
mod fixtures;
mod hostile;
mod mutation;
mod recordings;
mod round_trip;
