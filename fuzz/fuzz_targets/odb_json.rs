//! ODB dumps in JSON.

#![no_main]

#[allow(dead_code, reason = "each target has one entry")]
#[path = "../../crates/midas/tests/entries/mod.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::odb_json(bytes));
