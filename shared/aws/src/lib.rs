//! The ports on AWS, and what the functions need around them.
//!
//! Read [`client`] first: it takes explicit [`client::AwsSettings`] and gives [`client::Clients`], from which every
//! adapter makes the one SDK client it needs.
//!
//! Invariants:
//! - The only crate that names an SDK type. What a function does not call is not linked into it: [`client::Clients`]
//!   holds no SDK client, only what all of them share.
//! - No environment here but in the host of the functions; no clock but the one in [`client::AwsSettings`].
//! - What AWS documents as a limit is checked before the call, since emulators accept more than AWS does.

pub mod client;

mod error;
mod objects;
mod pause;
mod state;
mod wal;

pub use objects::S3Objects;
pub use state::DynamoState;
pub use wal::DynamoWal;

#[cfg(test)]
mod testing;
