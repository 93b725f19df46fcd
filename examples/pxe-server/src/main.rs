//! The program; everything is in the library, so that tests and the demo can start a server.

use std::process::ExitCode;

fn main() -> ExitCode {
    pxe_server::main()
}
