//! The Prometheus text format 0.0.4: what a `/metrics` page holds.
//!
//! [`encode`] writes [`Family`]s, [`parse`] reads a [`Page`]: samples, and what is said about metrics. Names beyond the classic letters are
//! quoted, in both directions.

mod escaping;
mod families;
mod read;
mod write;

pub use escaping::Escaping;
pub use read::{Page, parse};
pub use write::encode;

use model::{Metadata, MetricType, Timestamp};

/// The content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family of series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    /// Only grows, until it starts again at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations in buckets, their sum and count.
    Histogram,
    /// Quantiles of observations, their sum and count.
    Summary,
    /// Nobody said what.
    Untyped,
}

impl FamilyType {
    /// As a TYPE line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// All series of one metric, with what is said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The metric name, without the suffixes of a histogram's or summary's series.
    pub name: String,
    /// What it measures, in one sentence.
    pub help: String,
    /// What its series are.
    pub family_type: FamilyType,
    /// The series, in the order they are written.
    pub points: Vec<Point>,
}

/// One series of a family with its value now.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What follows the family's name: `_bucket`, `_sum`, `_count`, or nothing.
    pub suffix: &'static str,
    /// Name and value of each label, in the order they are written.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// When it was measured; `None` means when the page is read.
    pub timestamp: Option<Timestamp>,
}

impl From<FamilyType> for MetricType {
    fn from(family_type: FamilyType) -> Self {
        match family_type {
            FamilyType::Counter => Self::Counter,
            FamilyType::Gauge => Self::Gauge,
            FamilyType::Histogram => Self::Histogram,
            FamilyType::Summary => Self::Summary,
            FamilyType::Untyped => Self::Unknown,
        }
    }
}

impl Family {
    /// What is said about the metric.
    pub fn metadata(&self) -> Metadata {
        let (metric, help) = (self.name.clone(), self.help.clone());
        Metadata { metric, metric_type: self.family_type.into(), help, unit: String::new() }
    }

    /// A family without series.
    pub fn new(name: &str, family_type: FamilyType, help: &str) -> Self {
        Self { name: name.to_owned(), help: help.to_owned(), family_type, points: Vec::new() }
    }

    /// Adds a series.
    #[must_use]
    pub fn with(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        self.push("", labels, value);
        self
    }

    /// Adds a series in place; `suffix` follows the family's name.
    pub fn push(&mut self, suffix: &'static str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.points.push(Point { suffix, labels, value, timestamp: None });
    }

    /// Adds the series of one histogram: `buckets` are upper bounds in ascending order with the observations up to
    /// each (cumulative), without the infinite one.
    #[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53")]
    pub fn push_histogram(&mut self, labels: &[(&str, &str)], buckets: &[(f64, u64)], sum: f64, count: u64) {
        let all = std::iter::once((f64::INFINITY, count));
        for (bound, cumulative) in buckets.iter().copied().chain(all) {
            let bound = write::number(bound);
            let with_bound: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.push("_bucket", &with_bound, cumulative as f64);
        }
        self.push("_sum", labels, sum);
        self.push("_count", labels, count as f64);
    }
}

/// Whether a metric name needs no quotes.
fn is_classic_metric_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().enumerate().all(|(index, byte)| is_name_byte(byte, index) || byte == b':')
}

/// Whether a label name needs no quotes.
fn is_classic_label_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().enumerate().all(|(index, byte)| is_name_byte(byte, index))
}

/// Whether a byte may stand at this place of a classic label name.
const fn is_name_byte(byte: u8, index: usize) -> bool {
    byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
