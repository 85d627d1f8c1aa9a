//! The binary: see the library.

use std::process::ExitCode;

/// See Cargo.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    stomp_bridge::cli::run()
}
