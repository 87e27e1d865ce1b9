//! Whether an answer is the expected one.

use model::{Labels, Sample, Series, Timestamp};
use regex::Regex;

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
                Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(message))
            }
        }
    }
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

pub(super) fn check_value(value: &Value, expected: &Expected, params: &Params) -> Result<(), String> {
    match value {
        Value::Scalar(sample) => match expected.scalar {
            Some(scalar) if almost_equal(sample.value, scalar) => Ok(()),
            other => Err(format!("is {}, expected {other:?}", sample.value)),
        },
        Value::String(text) if expected.text.as_deref() == Some(text) => Ok(()),
        Value::String(text) => Err(format!("is {text:?}, expected {:?}", expected.text)),
        Value::Vector(vector) => check_vector(vector, expected),
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

fn check_vector(vector: &[(Labels, Sample)], expected: &Expected) -> Result<(), String> {
    let mut missing: Vec<&(Labels, Vec<Point>)> = expected.series.iter().collect();
    for (position, (labels, sample)) in vector.iter().enumerate() {
        let Some(index) = missing.iter().position(|(wanted, _)| wanted == labels) else {
            return Err(format!("unexpected {labels} {}", sample.value));
        };
        if expected.is_ordered && index != 0 {
            return Err(format!("{labels} is at position {position}, expected {} there", missing[0].0));
        }
        match missing.remove(index).1[..] {
            [Point::Float(wanted)] if almost_equal(sample.value, wanted) => {}
            ref points => return Err(format!("{labels} is {}, expected {points:?}", sample.value)),
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
        let Some((_, points)) = wanted else { return Err(format!("unexpected {labels} {:?}", series.values)) };
        let wanted = points.iter().zip(times).filter_map(|(point, time)| match point {
            Point::Float(value) => Some((*time, *value)),
            Point::Absent | Point::Stale | Point::Histogram => None,
        });
        let wanted: Vec<(Timestamp, f64)> = wanted.collect();
        let found: Vec<(Timestamp, f64)> = series.samples().map(|sample| (sample.timestamp, sample.value)).collect();
        let same =
            |(left, right): (&(Timestamp, f64), &(Timestamp, f64))| left.0 == right.0 && almost_equal(left.1, right.1);
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
