//! The program `aidmesh-relay` as an operator and devices meet it: a process with a folder, sockets, signals.

#![allow(clippy::unwrap_used)]

mod people;
mod process;
mod program;
