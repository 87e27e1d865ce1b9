//! Bytes from outside to the model, never trusting the input.
//!
//! Read [`remote_write::decode`] first (what Prometheus and vmagent push), then [`exposition`] (the text that a
//! `/metrics` page holds), [`cloudwatch`] (what AWS measures) and [`remote_read`] (what Prometheus asks back);
//! [`WireError`] is everything that can be wrong with what was sent.
//!
//! Invariants:
//! - Any bytes give a result or an error: nothing here panics, and no request allocates or works more than in
//!   proportion to the bytes that were really received, whatever lengths they declare.
//! - All or nothing: a request with one bad series gives no batch at all. Only Firehose, which cannot drop a record of
//!   a request, gets its bad ones named beside the batch.
//! - Values are moved bit by bit: NaN payloads and staleness markers arrive as they were sent.
//! - No I/O, no clock, no environment, no async. Nothing here knows storage, HTTP servers or queries; headers come as
//!   plain text, `now` as an argument.

pub mod cloudwatch;
pub mod encoding;
mod error;
pub mod exposition;
mod protobuf;
pub mod remote_read;
pub mod remote_write;
mod series;
mod snappy;

pub use error::{BodyError, DatumError, ProtobufError, ProtobufProblem, SeriesError, TextError, WireError};
