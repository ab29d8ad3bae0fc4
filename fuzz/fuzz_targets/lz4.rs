//! Run files compressed with lz4.

#![no_main]

#[allow(dead_code, reason = "each target has one entry")]
#[path = "../../crates/midas/tests/entries/mod.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::encoded(aquifer_midas::Encoding::Lz4, bytes));
