//! The program `aidmesh`; everything is in the library.

fn main() -> std::process::ExitCode {
    aidmesh::cli::main()
}
