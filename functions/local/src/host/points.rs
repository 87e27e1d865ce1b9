//! Collects points into a batch.

use model::{Batch, Labels, METRIC_NAME, Sample, Timestamp};

/// What the kernel counts in, as a way to our unit. Fractions are made by division, which rounds once, so that a
/// number of milliseconds stays a decimal with three digits.
pub(super) type Unit = fn(f64) -> f64;

/// Our unit already.
pub(super) const SAME: Unit = |value| value;
/// Milliseconds to seconds.
pub(super) const MILLISECONDS: Unit = |value| value / 1000.0;
/// Microseconds to seconds.
pub(super) const MICROSECONDS: Unit = |value| value / 1_000_000.0;
/// Sectors to bytes, whatever the disk's own sectors are.
pub(super) const SECTORS: Unit = |value| value * 512.0;
/// Kilobytes of 1,024 bytes to bytes.
pub(super) const KILOBYTES: Unit = |value| value * 1024.0;
/// Megabits a second to bytes a second.
pub(super) const MEGABITS: Unit = |value| value * 125_000.0;

/// The points of one collection.
#[derive(Debug)]
pub(crate) struct Points {
    batch: Batch,
    job: &'static str,
    instance: String,
    now: Timestamp,
}

impl Points {
    /// No point yet; each will carry the job, the instance and the time.
    pub(crate) fn new(job: &'static str, instance: &str, now: Timestamp) -> Self {
        Self { batch: Batch::new(), job, instance: instance.to_owned(), now }
    }

    /// Adds a point. A name or value that is too long for a label is left out: the kernel gives none.
    pub(crate) fn push(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let own = [(METRIC_NAME, name), ("job", self.job), ("instance", self.instance.as_str())];
        if let Ok(labels) = Labels::from_pairs(own.into_iter().chain(labels.iter().copied())) {
            self.batch.push(labels.as_ref(), [Sample { timestamp: self.now, value }]);
        }
    }

    /// Adds a point whose value is the text of a number in some unit; nothing when it is none.
    pub(super) fn push_text(&mut self, name: &str, labels: &[(&str, &str)], value: Option<&str>, unit: Unit) {
        if let Some(value) = value.and_then(number) {
            self.push(name, labels, unit(value));
        }
    }

    /// All points.
    pub(crate) fn finish(self) -> Batch {
        self.batch
    }
}

/// A number as the kernel writes it.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}
