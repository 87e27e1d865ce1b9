//! What every series from outside must fulfil, whatever format it came in.

use model::{Exemplar, LabelError, LabelsBuilder, Limits, METRIC_NAME, Timestamp};

use crate::error::{ProtobufError, SeriesError, excerpt};

/// The limits of one request that arrives now.
#[derive(Debug)]
pub(crate) struct Checks<'a> {
    limits: &'a Limits,
    oldest_exemplar: Timestamp,
    oldest: Timestamp,
    newest: Timestamp,
}

/// What was seen of the series that is being read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeriesSoFar {
    labels: usize,
    label_bytes: usize,
    samples: usize,
    has_metric_name: bool,
}

/// Why a series was refused, before it is known which one it was.
pub(crate) enum Refused {
    /// The message itself cannot be read.
    Protobuf(ProtobufError),
    /// The series breaks a rule.
    Series(SeriesError),
}

impl From<ProtobufError> for Refused {
    fn from(error: ProtobufError) -> Self {
        Self::Protobuf(error)
    }
}

impl From<SeriesError> for Refused {
    fn from(error: SeriesError) -> Self {
        Self::Series(error)
    }
}

impl From<LabelError> for Refused {
    fn from(error: LabelError) -> Self {
        Self::Series(error.into())
    }
}

impl<'a> Checks<'a> {
    pub(crate) fn new(limits: &'a Limits, now: Timestamp) -> Self {
        Self {
            limits,
            oldest_exemplar: now - limits.exemplar_retention,
            oldest: now - limits.sample_age_max,
            newest: now + limits.sample_ahead_max,
        }
    }

    /// Checks sizes, and that there is a name; order is the business of the set. An empty value means absent, which
    /// only the metric name must not be.
    #[inline]
    pub(crate) fn label(&self, so_far: &mut SeriesSoFar, name: &[u8], value: &[u8]) -> Result<(), SeriesError> {
        so_far.labels += 1;
        so_far.label_bytes += name.len() + value.len();
        let limits = self.limits;
        let fine = !name.is_empty()
            && name.len() <= limits.label_name_bytes_max
            && value.len() <= limits.label_value_bytes_max
            && so_far.labels <= limits.labels_per_series_max
            && so_far.label_bytes <= limits.label_set_bytes_max;
        if !fine {
            return Err(self.label_error(so_far, name, value));
        }
        if name == METRIC_NAME.as_bytes() {
            if value.is_empty() {
                return Err(SeriesError::EmptyMetricName);
            }
            so_far.has_metric_name = true;
        }
        Ok(())
    }

    /// Checks that a sample lies within the window.
    #[inline]
    pub(crate) fn sample(&self, so_far: &mut SeriesSoFar, timestamp: Timestamp) -> Result<(), SeriesError> {
        let sample_index = so_far.samples;
        so_far.samples += 1;
        if timestamp < self.oldest {
            return Err(SeriesError::TooOld { sample_index, timestamp, limit: self.limits.sample_age_max });
        }
        if timestamp > self.newest {
            return Err(SeriesError::TooFarAhead { sample_index, timestamp, limit: self.limits.sample_ahead_max });
        }
        Ok(())
    }

    /// An exemplar, unless it is one that is not kept.
    pub(crate) fn exemplar<'b>(
        &self,
        pairs: impl IntoIterator<Item = (&'b [u8], &'b [u8])>,
        value: f64,
        timestamp: Timestamp,
    ) -> Option<Exemplar> {
        let mut labels = LabelsBuilder::new();
        let mut chars = 0;
        for (name, text) in pairs {
            let (name, text) = (str::from_utf8(name).ok()?, str::from_utf8(text).ok()?);
            chars += name.chars().count() + text.chars().count();
            labels.set(name, text);
        }
        let is_kept =
            chars <= self.limits.exemplar_labels_chars_max && (self.oldest_exemplar..=self.newest).contains(&timestamp);
        Some(Exemplar { labels: labels.build().ok().filter(|_| is_kept)?, value, timestamp })
    }

    /// The limits of the request.
    pub(crate) const fn limits(&self) -> &'a Limits {
        self.limits
    }

    #[cold]
    fn label_error(&self, so_far: &SeriesSoFar, name: &[u8], value: &[u8]) -> SeriesError {
        let limits = self.limits;
        let label = excerpt(name);
        if name.is_empty() {
            return LabelError::EmptyName { value: excerpt(value) }.into();
        }
        if so_far.labels > limits.labels_per_series_max {
            return SeriesError::TooManyLabels { limit: limits.labels_per_series_max };
        }
        if name.len() > limits.label_name_bytes_max {
            let (size_bytes, limit_bytes) = (name.len(), limits.label_name_bytes_max);
            return SeriesError::NameTooLong { label, size_bytes, limit_bytes };
        }
        if value.len() > limits.label_value_bytes_max {
            let (size_bytes, limit_bytes) = (value.len(), limits.label_value_bytes_max);
            return SeriesError::ValueTooLong { label, size_bytes, limit_bytes };
        }
        SeriesError::LabelSetTooLarge { label, limit_bytes: limits.label_set_bytes_max }
    }
}

impl SeriesSoFar {
    /// How many samples there were.
    pub(crate) const fn samples(&self) -> usize {
        self.samples
    }

    /// Checks that the labels say what is measured.
    #[inline]
    pub(crate) const fn finish(&self) -> Result<(), SeriesError> {
        if self.has_metric_name { Ok(()) } else { Err(SeriesError::MissingMetricName) }
    }
}
