//! The program `aidmesh-relay` as an operator and devices meet it: a process with a folder, sockets, signals.

mod people;
mod process;
mod program;
