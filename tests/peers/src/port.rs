//! Free TCP ports on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below Linux's ephemeral range (32768 on). So no outgoing connection takes a free port before its
/// peer binds it, nor while the peer restarts.
const FIRST: u16 = 16_000;
const COUNT: u16 = 16_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nothing listens on and that this process gives out once.
pub fn free() -> u16 {
    // Test processes that run side by side start far from each other.
    let start = (std::process::id().wrapping_mul(389) % u32::from(COUNT)) as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < COUNT, "no free port left below the ephemeral range");
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
