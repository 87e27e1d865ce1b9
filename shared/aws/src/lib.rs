//! The ports on AWS, and what the functions need around them.
//!
//! Read [`client`] first: it takes explicit [`client::AwsSettings`] and gives [`client::Clients`], from which every
//! adapter makes the one SDK client it needs. Then, for a function, [`runtime::run`], which is its host, and
//! [`handlers`], what it does with an event.
//!
//! Invariants:
//! - The only crate that names an SDK type. What a function does not call is not linked into it: [`client::Clients`]
//!   holds no SDK client, only what all of them share.
//! - No environment here but in the host of the functions; no clock but the one in [`client::AwsSettings`].
//! - What AWS documents as a limit is checked before the call, since emulators accept more than AWS does.

pub mod client;
pub mod handlers;
pub mod http_event;
pub mod queue;
pub mod runtime;

mod alert_queue;
mod cloudwatch;
mod failure;
mod messenger;
mod objects;
mod pause;
mod secrets;
mod state;
mod topic;
mod wal;

pub use alert_queue::AlertQueue;
pub use cloudwatch::CloudWatchReader;
pub use messenger::{AwsMessenger, MailMessenger};
pub use objects::S3Objects;
pub use secrets::SsmSecrets;
pub use state::DynamoState;
pub use topic::SnsTopic;
pub use wal::DynamoWal;

#[cfg(test)]
mod testing;
