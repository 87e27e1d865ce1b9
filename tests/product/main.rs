//! The product from outside: the binary is started, written to, asked, killed and started again.

mod access;
mod alerts;
mod bad_input;
mod durability;
mod newcomer;
mod server;
