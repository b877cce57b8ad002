//! The program `aidmesh-relay`; everything is in the library.

fn main() -> std::process::ExitCode {
    aidmesh_relay::main_from(std::env::args_os(), Default::default())
}
