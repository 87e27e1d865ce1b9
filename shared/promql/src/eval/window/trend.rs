//! Straight lines and smoothed values through the samples of a window.

use super::super::float::Sum;
use super::super::vector::ABSENT;
use super::{Window, in_seconds};

/// The slope a second of the least-squares line.
pub(super) fn slope(window: Window<'_>) -> f64 {
    if window.values.len() < 2 {
        return ABSENT;
    }
    regression(window, window.times[0].as_millis()).0
}

/// Where the least-squares line will be so many seconds after the step.
pub(super) fn predict(window: Window<'_>, seconds: f64) -> f64 {
    if window.values.len() < 2 {
        return ABSENT;
    }
    let (slope, intercept) = regression(window, window.evaluated_at);
    slope * seconds + intercept
}

/// Slope a second and value at a time of the least-squares line.
#[expect(clippy::cast_precision_loss, reason = "a number of samples in memory")]
#[expect(clippy::float_cmp, reason = "only a line that does not move at all is exact")]
fn regression(window: Window<'_>, origin: i64) -> (f64, f64) {
    let first = window.values[0];
    if window.values.iter().all(|value| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let [mut sum_x, mut sum_y, mut sum_xy, mut sum_xx] = [Sum::default(); 4];
    for (time, &y) in window.times.iter().zip(window.values) {
        let x = in_seconds(time.as_millis().saturating_sub(origin));
        sum_x.add(x);
        sum_y.add(y);
        sum_xy.add(x * y);
        sum_xx.add(x * x);
    }
    let count = window.values.len() as f64;
    let [sum_x, sum_y, sum_xy, sum_xx] = [sum_x, sum_y, sum_xy, sum_xx].map(Sum::total);
    let covariance = sum_xy - sum_x * sum_y / count;
    let variance = sum_xx - sum_x * sum_x / count;
    let slope = covariance / variance;
    (slope, sum_y / count - slope * sum_x / count)
}

/// Holt's double exponential smoothing: of the level by the first factor, of the trend by the second.
pub(super) fn double_exponential(window: Window<'_>, smoothing: f64, trend_factor: f64) -> f64 {
    let [first, second, ..] = window.values else { return ABSENT };
    let (mut before, mut level, mut trend) = (0.0, *first, second - first);
    for (index, value) in window.values.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    level
}
