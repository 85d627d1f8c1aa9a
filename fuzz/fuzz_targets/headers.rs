//! See `checks/headers.rs`, which the tests run, too.

#![no_main]

#[path = "../checks/headers.rs"]
mod checked;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checked::check(input));
