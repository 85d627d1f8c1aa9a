//! A good message behind any frame whose end is known arrives, and nothing holds more than the limits
//! allow. The first byte of an input is the size of a chunk; the rest is a frame without its NUL.

use super::behind::{Sent, check as check_behind};

/// # Panics
/// It does not arrive.
pub(crate) fn check(input: &[u8]) {
    let [size, frame @ ..] = input else {
        return;
    };
    if frame.contains(&0) {
        return;
    }
    let odd = [frame, &[0]].concat();
    let sizes = [usize::from(*size)];
    for between in [&b""[..], b"\n", b"\r\n\0"] {
        let sizes = &sizes;
        check_behind(&odd, Sent { between, sizes });
    }
}
