//! The floor: what it costs at least to take a queue onto the disk. A process of its own, so that
//! /proc counts it alone. It appends the bytes of one read to a file, syncs the file, and
//! acknowledges the messages in one write. It decodes, indexes and publishes nothing.

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::stomp::{self, Connection};

/// The benchmark started with this first argument is the floor.
pub(crate) const ARGUMENT: &str = "rabbitmq-floor";

/// `PORT QUEUE FILE`, until it is killed.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [port, queue, file] = arguments else {
        eprintln!("{ARGUMENT} PORT QUEUE FILE");
        return ExitCode::FAILURE;
    };
    let failed = port
        .parse()
        .map_err(io::Error::other)
        .and_then(|port| run(port, queue, file));
    if let Err(error) = failed {
        eprintln!("{error}");
    }
    ExitCode::FAILURE
}

fn run(port: u16, queue: &str, file: &str) -> io::Result<()> {
    let mut file = File::create(file)?;
    let mut connection = Connection::open(port)?;
    connection.subscribe(queue, "client-individual")?;
    let mut acks = Vec::new();
    loop {
        file.write_all(connection.read()?)?;
        file.sync_data()?;
        acks.clear();
        connection.whole(|frame| stomp::acknowledge(frame, &mut acks))?;
        if !acks.is_empty() {
            connection.send(&acks)?;
        }
    }
}
