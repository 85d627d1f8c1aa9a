//! A good message behind any frame whose end is known arrives, and nothing holds more than the
//! limits allow: `cargo +nightly fuzz run lenient fuzz/corpus/lenient fuzz/seeds/lenient --
//! -rss_limit_mb=256 -malloc_limit_mb=1`. The first byte of an input is the size of a chunk; the
//! rest is a frame without its NUL.

#![no_main]

// The tests check the same.
#[path = "../../tests/protocol/codec/behind.rs"]
mod behind;

use behind::{Sent, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [size, frame @ ..] = input else {
        return;
    };
    if frame.contains(&0) {
        return;
    }
    let odd = [frame, &[0]].concat();
    let sizes = [usize::from(*size)];
    for between in [&b""[..], b"\n", b"\r\n\0"] {
        check(
            &odd,
            Sent {
                between,
                sizes: &sizes,
            },
        );
    }
});
