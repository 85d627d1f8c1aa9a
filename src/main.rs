//! The binary: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    stomp_bridge::cli::run()
}
