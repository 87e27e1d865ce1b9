//! Whether an answer is the expected one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::pattern::{self, PATTERN_BYTES_MAX};
use model::{Histogram, Labels, Series, Timestamp};

use super::native::Written;
use super::notation::Point;
use super::{Expected, Text};
use crate::selection::Params;
use crate::value::{Output, Value};

/// How far numbers may be apart, relatively.
const TOLERANCE: f64 = 1e-6;

pub(super) fn check_failure(outcome: Result<Output, String>, expected: &[Text]) -> Result<(), String> {
    let Err(message) = outcome else { return Err("succeeds, but is expected to fail".to_owned()) };
    match expected.iter().find(|text| !text.fits(&message)) {
        None => Ok(()),
        Some(text) => Err(format!("fails with {message:?}, expected {text:?}")),
    }
}

pub(super) fn check_annotations(kind: &str, found: &[String], expected: Option<&[Text]>) -> Result<(), String> {
    let Some(expected) = expected else { return Ok(()) };
    if matches!(expected, [Text::None]) {
        return if found.is_empty() { Ok(()) } else { Err(format!("unexpected {kind}: {found:?}")) };
    }
    if let Some(text) = expected.iter().find(|text| !found.iter().any(|found| text.fits(found))) {
        return Err(format!("no {kind} is {text:?} among {found:?}"));
    }
    match found.iter().find(|found| !expected.iter().any(|text| text.fits(found))) {
        None => Ok(()),
        Some(found) => Err(format!("unexpected {kind}: {found}")),
    }
}

impl Text {
    fn fits(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::None => false,
            Self::Exactly(text) => message == text || unquoted(text) == Some(message),
            Self::Matching(pattern) => {
                let pattern = unquoted(pattern).unwrap_or(pattern);
                pattern::anywhere(pattern, PATTERN_BYTES_MAX).is_ok_and(|pattern| pattern.is_match(message))
            }
        }
    }
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// A sample of an answer.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Number(f64),
    Histogram(Arc<Histogram>),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) => value.fmt(f),
            Self::Histogram(histogram) => {
                write!(f, "{histogram} of schema {:?}, {:?}", histogram.schema(), histogram.counter_reset())
            }
        }
    }
}

impl Found {
    fn fits(&self, point: &Point) -> bool {
        match (self, point) {
            (Self::Number(value), Point::Float(wanted)) => almost_equal(*value, *wanted),
            (Self::Histogram(histogram), Point::Histogram(wanted)) => wanted.fits(histogram),
            _ => false,
        }
    }

    /// Whether two answers say the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => almost_equal(*left, *right),
            (Self::Histogram(left), Self::Histogram(right)) => {
                Written { histogram: Arc::clone(left), has_hint: false }.fits(right)
            }
            _ => false,
        }
    }
}

/// The samples of a vector, in the order to be shown.
pub(super) fn found_vector(output: &Output) -> Vec<(Labels, Found)> {
    let Value::Vector(numbers) = &output.value else { return Vec::new() };
    let mut found: Vec<(Labels, Found)> =
        numbers.iter().map(|(labels, sample)| (labels.clone(), Found::Number(sample.value))).collect();
    for sample in &output.histograms {
        let place = sample.position.min(found.len());
        found.insert(place, (sample.labels.clone(), Found::Histogram(Arc::clone(&sample.histogram))));
    }
    found
}

/// The samples of a series by time.
pub(super) fn found_series(series: &Series) -> BTreeMap<Timestamp, Found> {
    let mut found: BTreeMap<Timestamp, Found> =
        series.samples().map(|sample| (sample.timestamp, Found::Number(sample.value))).collect();
    if let Some(samples) = &series.histograms {
        let histograms = samples.timestamps.iter().zip(&samples.values);
        found.extend(histograms.map(|(time, histogram)| (*time, Found::Histogram(Arc::clone(histogram)))));
    }
    found
}

pub(super) fn check_value(output: &Output, expected: &Expected, params: &Params) -> Result<(), String> {
    match &output.value {
        Value::Scalar(sample) => match expected.scalar {
            Some(scalar) if almost_equal(sample.value, scalar) => Ok(()),
            other => Err(format!("is {}, expected {other:?}", sample.value)),
        },
        Value::String(text) if expected.text.as_deref() == Some(text) => Ok(()),
        Value::String(text) => Err(format!("is {text:?}, expected {:?}", expected.text)),
        Value::Vector(_) => check_vector(&found_vector(output), expected),
        Value::Matrix(matrix) => {
            let times = match expected.range_vector {
                Some((start, end, step)) => times(start, end, step),
                None => {
                    let step = i64::try_from(params.step.as_millis()).unwrap_or(1);
                    times(params.start.as_millis(), params.end.as_millis(), step)
                }
            };
            check_matrix(matrix, expected, &times)
        }
    }
}

fn times(start: i64, end: i64, step: i64) -> Vec<Timestamp> {
    let step = usize::try_from(step.max(1)).unwrap_or(1);
    (start..=end).step_by(step).map(Timestamp::from_millis).collect()
}

fn check_vector(vector: &[(Labels, Found)], expected: &Expected) -> Result<(), String> {
    let mut missing: Vec<&(Labels, Vec<Point>)> = expected.series.iter().collect();
    for (position, (labels, sample)) in vector.iter().enumerate() {
        let Some(index) = missing.iter().position(|(wanted, _)| wanted == labels) else {
            return Err(format!("unexpected {labels} {sample}"));
        };
        if expected.is_ordered && index != 0 {
            return Err(format!("{labels} is at position {position}, expected {} there", missing[0].0));
        }
        match &missing.remove(index).1[..] {
            [wanted] if sample.fits(wanted) => {}
            points => return Err(format!("{labels} is {sample}, expected {points:?}")),
        }
    }
    match missing.first() {
        None => Ok(()),
        Some((labels, _)) => Err(format!("{labels} is missing among {} series", vector.len())),
    }
}

fn check_matrix(matrix: &[Series], expected: &Expected, times: &[Timestamp]) -> Result<(), String> {
    for series in matrix {
        let labels = &series.labels;
        let wanted = expected.series.iter().find(|(wanted, _)| wanted == labels);
        let found = found_series(series);
        let Some((_, points)) = wanted else { return Err(format!("unexpected {labels} {found:?}")) };
        let wanted: Vec<(Timestamp, &Point)> = times
            .iter()
            .zip(points)
            .filter(|(_, point)| matches!(point, Point::Float(_) | Point::Histogram(_)))
            .map(|(time, point)| (*time, point))
            .collect();
        let same = |((time, found), (wanted_time, wanted)): ((&Timestamp, &Found), &(Timestamp, &Point))| {
            time == wanted_time && found.fits(wanted)
        };
        if found.len() != wanted.len() || !found.iter().zip(&wanted).all(same) {
            return Err(format!("{labels} is {found:?}, expected {wanted:?}"));
        }
    }
    let is_found = |labels: &Labels| matrix.iter().any(|series| series.labels == *labels);
    let has_points = |points: &[Point]| points.iter().any(|point| *point != Point::Absent);
    match expected.series.iter().find(|(labels, points)| has_points(points) && !is_found(labels)) {
        None => Ok(()),
        Some((labels, _)) => Err(format!("{labels} is missing among {} series", matrix.len())),
    }
}

/// Whether two numbers are the same but for rounding.
#[expect(clippy::float_cmp, reason = "equal numbers need no tolerance")]
pub(super) fn almost_equal(left: f64, right: f64) -> bool {
    if left == right || (left.is_nan() && right.is_nan()) {
        return true;
    }
    let (sum, difference) = (left.abs() + right.abs(), (left - right).abs());
    if left == 0.0 || right == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}
