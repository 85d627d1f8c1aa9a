//! Java for tests: a virtual machine that starts fast and takes little memory.

use std::process::Command;

use super::process::tethered;

/// A tethered `java` with a heap of this many megabytes; the caller adds the program to run.
pub fn java(heap_mebibytes: usize) -> Command {
    let mut command = tethered("java");
    command.arg(format!("-Xmx{heap_mebibytes}M"));
    // Two cores are shared with everything else: neither a second compiler's nor a parallel
    // collector's threads.
    command.args([
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Djava.awt.headless=true",
    ]);
    command
        .env_remove("JAVA_TOOL_OPTIONS")
        .env_remove("_JAVA_OPTIONS");
    command
}
