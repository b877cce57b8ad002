//! The program `aidmesh`; everything is in the library.

fn main() -> std::process::ExitCode {
    aidmesh::main_from(std::env::args_os(), Default::default())
}
