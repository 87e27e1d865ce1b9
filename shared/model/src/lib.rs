//! The words everything else is written in.
//!
//! Read [`Labels`] first, then [`Batch`] (what a request becomes) and [`Series`] (what a query loads).
//!
//! Invariants:
//! - A [`Labels`] is sorted by name, names are unique, no value is empty, all text is UTF-8: built once, valid ever after.
//! - Values are moved bit by bit: NaN payloads and staleness markers survive every copy.
//! - No I/O, no clock, no environment, no async. Nothing here knows a format, a protocol or a store.

mod batch;
pub mod duration;
mod error;
mod histogram;
mod labels;
mod language;
mod limits;
mod matcher;
mod metadata;
pub mod pattern;
mod sample;
mod series;
mod tenant;

pub use batch::{Batch, BatchBuilder, BatchSeries, InvalidUtf8, TimedHistogram};
pub use error::ErrorKind;
pub use histogram::{
    Bucket, BucketSpan, Buckets, CounterReset, Folded, General, Histogram, HistogramError, HistogramParts,
    HistogramSamples, MixedSchemas, Schema, fold as fold_histograms,
};
pub use labels::{LabelError, Labels, LabelsBuffer, LabelsBuilder, LabelsIter, LabelsRef, METRIC_NAME, SeriesId};
pub use language::Language;
pub use limits::Limits;
pub use matcher::{MatchOp, Matcher, MatcherError, matches_all};
pub use metadata::{Exemplar, Metadata, MetricType, SeriesExemplar};
pub use sample::{STALE_NAN_BITS, Sample, TimeRange, Timestamp, is_stale, stale_nan};
pub use series::{Aggregate, Series};
pub use tenant::{TenantError, TenantId};
