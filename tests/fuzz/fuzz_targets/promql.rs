//! Any bytes are refused as a query, or are one that has an answer or an error, and reads back as it is printed.

#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::promql(bytes));
