//! The one integration-test binary of Aidmesh.
//!
//! One binary, because each more would link the whole product once more. It brings its own `main`
//! (`harness = false`) so that it can end in two tables that the standard harness does not print: what was
//! skipped, why and how to get it, and how long each layer took. Everything else behaves as `cargo test`
//! does: filters, `--list`, `--exact`, `--test-threads`.
//!
//! Each layer is a module with `pub(crate) fn tests() -> Vec<Test>`, listed in [`main`]. A test's name is
//! `layer::name`, and docs refer to it so.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test binary: a panic is a failure, stdout the report

mod demo;
mod docs;
mod first_patch;
mod harness;
mod judges;
mod processes;
mod tidy;
mod tutorial;
mod unit_file;

fn main() -> std::process::ExitCode {
    let layers = [
        harness::tests::tests(),
        tidy::tests(),
        docs::tests(),
        first_patch::tests(),
        tutorial::tests(),
        judges::tests(),
        unit_file::tests(),
        processes::tests(),
        demo::tests(),
    ];
    harness::run(layers.into_iter().flatten().collect())
}
