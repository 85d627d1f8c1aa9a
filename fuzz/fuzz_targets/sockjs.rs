//! See `checks/sockjs.rs`, which the tests run, too.

#![no_main]

#[path = "../checks/sockjs.rs"]
mod checked;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checked::check(input));
