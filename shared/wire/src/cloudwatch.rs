//! What CloudWatch measures, as series: the names and labels that the exporter YACE gives them, so that boards and rules
//! made for it work as they are.
//!
//! [`SeriesOf`] names the series of one metric, whichever way its values came: polled, or pushed by a metric stream
//! ([`metric_stream`]) that Firehose delivers ([`firehose`]).
//!
//! `CPUUtilization` of `AWS/EC2` becomes `aws_ec2_cpuutilization_average{account_id="…",dimension_InstanceId="…",
//! job="cloudwatch",region="…"}`. A sample is stamped with the end of its period, when its value came to be true:
//! CloudWatch itself stamps it with the start.

pub mod alarm;
pub mod firehose;
pub mod metric_stream;
mod names;

pub use names::{dimension_label, metric_name};

use std::borrow::Cow;

use model::{BatchBuilder, Limits, METRIC_NAME, Sample, Timestamp};

use crate::error::SeriesError;
use crate::series::{Checks, SeriesSoFar};

/// The value of the label `job` of all series from CloudWatch.
pub const JOB: &str = "cloudwatch";

/// One metric of CloudWatch: what is measured, of which thing, where.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    /// Such as `AWS/EC2`.
    pub namespace: &'a str,
    /// Such as `CPUUtilization`.
    pub name: &'a str,
    /// The number of the account; no label without it.
    pub account: Option<&'a str>,
    /// Such as `ap-northeast-1`.
    pub region: &'a str,
}

/// The series of one metric, one for each statistic: their labels, checked.
#[derive(Debug)]
pub struct SeriesOf<'a> {
    /// What all names begin with.
    stem: String,
    checks: &'a Checks<'a>,
    /// Sorted; all but the metric name.
    labels: Vec<(Cow<'a, str>, &'a str)>,
    so_far: SeriesSoFar,
}

/// What is allowed now of series and samples from CloudWatch.
#[derive(Debug)]
pub struct Window<'a>(Checks<'a>);

impl<'a> Window<'a> {
    /// The limits of what arrives now.
    pub fn new(limits: &'a Limits, now: Timestamp) -> Self {
        Self(Checks::new(limits, now))
    }
}

impl<'a> SeriesOf<'a> {
    /// Names the series of a metric with these dimensions, in any order.
    ///
    /// # Errors
    /// When the labels are over a limit, or two dimensions get the same label.
    pub fn new(
        metric: Metric<'a>,
        dimensions: impl Iterator<Item = (&'a str, &'a str)>,
        window: &'a Window<'a>,
    ) -> Result<Self, SeriesError> {
        let fixed = [("account_id", metric.account.unwrap_or("")), ("job", JOB), ("region", metric.region)];
        let mut labels: Vec<(Cow<'_, str>, &str)> =
            fixed.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
        labels.extend(dimensions.map(|(name, value)| (Cow::Owned(dimension_label(name)), value)));
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort_unstable();
        let mut so_far = SeriesSoFar::default();
        for (name, value) in &labels {
            window.0.label(&mut so_far, name.as_bytes(), value.as_bytes())?;
        }
        if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(model::LabelError::Duplicate { name: pair[0].0.to_string() }.into());
        }
        Ok(Self { stem: names::stem(metric.namespace, metric.name), checks: &window.0, labels, so_far })
    }

    /// Appends the series of a statistic with its samples; gives back how many bytes of label text it took.
    ///
    /// # Errors
    /// When the name is over a limit or a sample is too old or too far ahead: nothing is appended then.
    pub fn push(&self, statistic: &str, samples: &[Sample], batch: &mut BatchBuilder) -> Result<usize, SeriesError> {
        let metric_name = names::with_statistic(&self.stem, statistic);
        let mut so_far = self.so_far;
        self.checks.label(&mut so_far, METRIC_NAME.as_bytes(), metric_name.as_bytes())?;
        for sample in samples {
            self.checks.sample(&mut so_far, sample.timestamp)?;
        }
        let name = (METRIC_NAME, metric_name.as_str());
        let others = self.labels.iter().map(|(name, value)| (name.as_ref(), *value));
        for (name, value) in std::iter::once(name).chain(others) {
            if let Err(error) = batch.push_label(name.as_bytes(), value.as_bytes()) {
                batch.discard_series();
                return Err(error.into());
            }
        }
        samples.iter().for_each(|sample| batch.push_sample(*sample));
        let text_bytes = batch.series_text_bytes();
        batch.end_series();
        Ok(text_bytes)
    }
}

#[cfg(test)]
mod tests;
