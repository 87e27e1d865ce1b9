//! Series in memory that a test loads, and queries on them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Batch, Histogram, HistogramSamples, Labels, Sample, Series, TimedHistogram, Timestamp, matches_all, stale_nan,
};

use super::compare::{Found, found_vector};
use super::native;
use super::notation::{Point, expand, read_series};
use crate::ast::Expr;
use crate::error::{EvalError, SourceError};
use crate::eval::{Source, evaluate};
use crate::selection::{Params, Selection, selections};
use crate::value::{Output, Value, format_float};

/// Samples by series and time in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    series: BTreeMap<Labels, BTreeMap<i64, Stored>>,
    /// What is later is not there yet.
    until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
enum Stored {
    Number(f64),
    Histogram(Arc<Histogram>),
}

/// One sample of the answer to an instant query; prints as promtool prints it: labels, then the value.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Which series.
    pub labels: Labels,
    /// The number; 0 beside a histogram.
    pub value: f64,
    /// The histogram, in the notation of scripts.
    pub histogram: Option<String>,
}

impl Storage {
    /// Adds a series in expanding notation: `up{job="a"}` and `0+10x5 _ stale`, the first value at `start`.
    ///
    /// # Errors
    /// When either text is none of the notation.
    pub fn add(&mut self, series: &str, values: &str, start: Timestamp, step: Duration) -> Result<(), String> {
        let (labels, rest) = read_series(series)?;
        if !rest.trim().is_empty() {
            return Err(format!("{rest:?} stands behind the series {labels}"));
        }
        self.add_points(&labels, expand(values)?, start, step, &mut native::Classic::default())
    }

    pub(super) fn add_line(&mut self, line: &str, step: Duration, classic: &mut native::Classic) -> Result<(), String> {
        let (labels, points) = read_series(line)?;
        self.add_points(&labels, expand(points)?, Timestamp::from_millis(0), step, classic)
    }

    fn add_points(
        &mut self,
        labels: &Labels,
        points: Vec<Point>,
        start: Timestamp,
        step: Duration,
        classic: &mut native::Classic,
    ) -> Result<(), String> {
        let step = i64::try_from(step.as_millis()).map_err(|_| "a step that long")?;
        let samples = self.series.entry(labels.clone()).or_default();
        for (index, point) in (0_i64..).zip(points) {
            let time = start.as_millis().saturating_add(index.saturating_mul(step));
            let sample = match point {
                Point::Absent => continue,
                Point::Float(value) => {
                    classic.add(labels, time, value);
                    Stored::Number(value)
                }
                Point::Stale => Stored::Number(stale_nan()),
                Point::Histogram(written) => Stored::Histogram(written.histogram),
            };
            samples.insert(time, sample);
        }
        Ok(())
    }

    pub(super) fn add_histograms(&mut self, classic: native::Classic) -> Result<(), String> {
        for (labels, time, histogram) in classic.finish()? {
            self.series.entry(labels).or_default().insert(time, Stored::Histogram(histogram));
        }
        Ok(())
    }

    /// Takes in a sample; one that is there at that time stays.
    pub fn insert(&mut self, labels: Labels, sample: Sample) {
        let time = sample.timestamp.as_millis();
        self.series.entry(labels).or_default().entry(time).or_insert(Stored::Number(sample.value));
    }

    /// Takes in a native histogram; a sample that is there at that time stays.
    pub fn insert_histogram(&mut self, labels: Labels, sample: TimedHistogram) {
        let time = sample.timestamp.as_millis();
        self.series.entry(labels).or_default().entry(time).or_insert(Stored::Histogram(sample.histogram));
    }

    /// All samples as a sender would send them: histograms say of resets what they were written with.
    pub fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (labels, samples) in &self.series {
            let of_series = samples.iter().map(|(time, sample)| (Timestamp::from_millis(*time), sample));
            let numbers = of_series.clone().filter_map(|(timestamp, sample)| match sample {
                Stored::Number(value) => Some(Sample { timestamp, value: *value }),
                Stored::Histogram(_) => None,
            });
            let histograms = of_series.filter_map(|(timestamp, sample)| {
                Some(TimedHistogram { timestamp, histogram: Arc::clone(sample.histogram()?) })
            });
            batch.push_native(labels.as_ref(), numbers, histograms);
        }
        batch
    }

    /// From now on queries see what was measured up to then, and nothing later.
    pub const fn show_until(&mut self, time: Timestamp) {
        self.until = Some(time);
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    pub fn answer(&self, expr: &Expr, params: &Params) -> Result<Output, EvalError> {
        let selected = Selected { storage: self, selections: selections(expr, params) };
        evaluate(expr, &selected, params)
    }

    /// The samples of an instant query: those of a vector in its order, or a scalar without labels.
    ///
    /// # Errors
    /// When it cannot be evaluated, or gives neither.
    pub fn samples(&self, expr: &Expr, params: &Params) -> Result<Vec<Answered>, String> {
        let output = self.answer(expr, params).map_err(|error| error.to_string())?;
        match &output.value {
            Value::Scalar(sample) => Ok(vec![Answered::number(Labels::empty(), sample.value)]),
            Value::Vector(_) => {
                Ok(found_vector(&output).into_iter().map(|(labels, found)| Answered::of(labels, &found)).collect())
            }
            Value::String(_) | Value::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    fn select(&self, selection: &Selection) -> Vec<Series> {
        let matching = self.series.iter().filter(|(labels, _)| matches_all(&selection.matchers, labels.as_ref()));
        matching.filter_map(|(labels, samples)| self.cut(labels, samples, selection)).collect()
    }

    /// The samples of a series within the range of a selection.
    fn cut(&self, labels: &Labels, samples: &BTreeMap<i64, Stored>, selection: &Selection) -> Option<Series> {
        let (mut numbers, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (start, end) = (selection.range.start.as_millis(), selection.range.end.as_millis());
        let shown = self.until.map_or(end, |until| end.min(until.as_millis()));
        let mut before = samples.range(..start).next_back().and_then(|(_, sample)| sample.histogram());
        if start > shown {
            return None;
        }
        for (time, sample) in samples.range(start..=shown) {
            let timestamp = Timestamp::from_millis(*time);
            match sample {
                Stored::Number(value) => numbers.push(Sample { timestamp, value: *value }),
                Stored::Histogram(histogram) => {
                    times.push(timestamp);
                    values.push(native::with_stored_hint(histogram, before));
                }
            }
            before = sample.histogram();
        }
        let samples = HistogramSamples::new(times.into(), values);
        let histograms = (!samples.values.is_empty()).then(|| Box::new(samples));
        let series = Series { histograms, ..Series::from_samples(labels.clone(), &numbers) };
        (!series.is_empty()).then_some(series)
    }
}

/// The stored series as a source.
struct Selected<'a> {
    storage: &'a Storage,
    selections: Vec<Selection>,
}

impl Source for Selected<'_> {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        Ok(self.storage.select(&self.selections[selection]))
    }
}

impl Stored {
    const fn histogram(&self) -> Option<&Arc<Histogram>> {
        match self {
            Self::Number(_) => None,
            Self::Histogram(histogram) => Some(histogram),
        }
    }
}

impl Answered {
    const fn number(labels: Labels, value: f64) -> Self {
        Self { labels, value, histogram: None }
    }

    fn of(labels: Labels, found: &Found) -> Self {
        match found {
            Found::Number(value) => Self::number(labels, *value),
            Found::Histogram(histogram) => Self { labels, value: 0.0, histogram: Some(native::written(histogram)) },
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}} ", labels.join(", "))?;
        match &self.histogram {
            Some(histogram) => f.write_str(histogram),
            None if self.value.is_finite() => {
                let text = format!("{:E}", self.value);
                let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
                write!(f, "{digits}E{sign}{exponent:0>2}")
            }
            None => f.write_str(&format_float(self.value)),
        }
    }
}

/// Reads the labels of a series as they are written in a query: `up{job="a"}`; nothing is the empty set.
///
/// # Errors
/// When the text is no series.
pub fn read_labels(text: &str) -> Result<Labels, String> {
    if text.trim().is_empty() {
        return Ok(Labels::empty());
    }
    let (labels, rest) = read_series(text.trim())?;
    if rest.trim().is_empty() { Ok(labels) } else { Err(format!("{rest:?} stands behind {labels}")) }
}

/// Reads one histogram, and writes it in the one form that equal histograms share.
///
/// # Errors
/// When the text is not exactly one histogram.
pub fn read_histogram(text: &str) -> Result<String, String> {
    match expand(text)?.as_slice() {
        [Point::Histogram(histogram)] => Ok(native::written(&histogram.histogram)),
        [_] => Err(format!("expected histogram, got {text}")),
        points => Err(format!("expected 1 value, got {}", points.len())),
    }
}
