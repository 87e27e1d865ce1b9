//! The product from outside: the binary is started, written to, asked, killed and started again.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod access;
mod alerts;
mod bad_input;
mod config;
mod durability;
mod native_histograms;
mod newcomer;
mod secrets;
mod server;
