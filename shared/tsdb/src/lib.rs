//! Storage formats and the pure operations on them.
//!
//! Read [`wal`] first (what a request is stored as), then [`Head`] (recent samples) and [`Block`] (everything older);
//! `FORMAT.md` has the bytes of each.
//!
//! Invariants:
//! - Values come back bit by bit: NaN payloads, staleness markers and -0.0 included.
//! - Bytes that were not written here give a [`TsdbError`], never a panic, and never more memory than they justify.
//! - Merging is commutative and idempotent, so that replays and the order of arrival never matter.
//! - No I/O, no clock, no environment, no async. Nothing here knows where bytes are kept.

pub mod wal;

mod head;
mod merge;

pub mod block;
mod column;
mod frame;
mod histogram;

pub mod hour;
pub mod retention;
pub mod rollup;

pub mod coding;
mod error;
mod text;

#[cfg(test)]
mod testing;

pub use block::{Block, BlockKind};
pub use error::{Result, TsdbError};
pub use head::Head;
pub use merge::merge;
