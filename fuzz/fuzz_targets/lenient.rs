//! See `checks/lenient.rs`, which the tests run, too.

#![no_main]

#[path = "../../tests/protocol/codec/behind.rs"]
mod behind;
#[path = "../checks/lenient.rs"]
mod checked;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checked::check(input));
