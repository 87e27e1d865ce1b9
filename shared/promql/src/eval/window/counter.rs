//! Rates and increases, as Prometheus extrapolates them.

use model::Timestamp;

use super::super::vector::ABSENT;
use super::{Window, Windowed, in_seconds, span_seconds};

/// What is made of the difference between the ends of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    /// A counter's increase a second.
    Rate,
    /// A counter's increase in the window.
    Increase,
    /// A gauge's change in the window.
    Delta,
}

/// Fills a row with rates, increases or deltas.
///
/// The difference of the first and last sample is extrapolated to the ends of the window, unless the samples stop well
/// before them; then by half the mean distance of two samples. A counter is not extrapolated below zero. A counter's
/// value before each reset is added to its increase. Rollups hold running increases: they never reset, and the
/// distance of their values is known.
pub(super) fn extrapolated(windowed: &Windowed<'_>, kind: Counter, row: &mut [f64]) {
    let values = &windowed.series.values;
    let is_counter = kind != Counter::Delta;
    let resets = if is_counter { resets(values) } else { Vec::new() };
    let stops_at_zero = is_counter && windowed.series.resolution.is_none();
    // What one second of increase is worth: a rate is per second, sums are for the length that was asked for.
    let (divisor, factor) = match kind {
        Counter::Rate => (in_seconds(windowed.range), 1.0),
        Counter::Increase | Counter::Delta => (1.0, windowed.asked),
    };
    let reaches = windowed.layout.reaches.get_or_init(|| reaches(windowed, divisor));
    let mut resets_left = &resets[..];
    for ((slot, &(first, end)), reach) in row.iter_mut().zip(&windowed.layout.bounds).zip(reaches) {
        let (first, end) = (first as usize, end as usize);
        if end < first + 2 {
            continue;
        }
        let mut increase = values[end - 1] - values[first];
        while let [reset, rest @ ..] = resets_left
            && *reset <= first
        {
            resets_left = rest;
        }
        for &reset in resets_left.iter().take_while(|&&reset| reset < end) {
            increase += values[reset - 1];
        }
        // The counter was zero after the start of the window: compared without a division, which is rarely needed.
        let was_zero = stops_at_zero
            && increase > 0.0
            && values[first] >= 0.0
            && reach.sampled * values[first] < reach.to_start * increase;
        let zero_at = || reach.stretch(reach.sampled * (values[first] / increase)) / divisor;
        *slot = increase * if was_zero { zero_at() } else { reach.full } * factor;
    }
}

/// Where a counter's value is less than the one before.
fn resets(values: &[f64]) -> Vec<usize> {
    let later = values.get(1..).unwrap_or_default();
    // Nearly always there is none: counted without branches, so that several are compared at once.
    let count = values.iter().zip(later).fold(0, |count, (before, after)| count + usize::from(after < before));
    if count == 0 {
        return Vec::new();
    }
    (1..values.len()).filter(|&index| values[index] < values[index - 1]).collect()
}

/// Where the samples of a window lie, in seconds; of a window with fewer than two it means nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::eval) struct Reach {
    /// From the first sample to the last.
    sampled: f64,
    /// How far the line is extrapolated to the left.
    to_start: f64,
    /// How far the line is extrapolated to the right.
    to_end: f64,
    /// How much longer the extrapolated span is than the sampled one; for a rate, divided by the window.
    full: f64,
}

impl Reach {
    fn stretch(&self, to_start: f64) -> f64 {
        (self.sampled + to_start + self.to_end) / self.sampled
    }
}

/// The reach of each window.
#[expect(clippy::cast_precision_loss, reason = "a number of samples in memory")]
fn reaches(windowed: &Windowed<'_>, divisor: f64) -> Vec<Reach> {
    let times = &windowed.series.timestamps;
    let of_window = |(step, &(first, end)): (usize, &(u32, u32))| {
        let (first, end) = (first as usize, end as usize);
        if end < first + 2 {
            return Reach::default();
        }
        let (window_end, from, to) = (windowed.ends.time(step), times[first], times[end - 1]);
        let sampled = in_seconds(span(from, to));
        let mean_distance = (sampled / (end - first - 1) as f64).max(span_seconds(windowed.series));
        let threshold = mean_distance * 1.1;
        let limited = |distance: f64| if distance >= threshold { mean_distance / 2.0 } else { distance };
        let to_start = limited(in_seconds(from.as_millis().saturating_sub(window_end.saturating_sub(windowed.range))));
        let to_end = limited(in_seconds(window_end.saturating_sub(to.as_millis())));
        let reach = Reach { sampled, to_start, to_end, full: 0.0 };
        Reach { full: reach.stretch(to_start) / divisor, ..reach }
    };
    windowed.layout.bounds.iter().enumerate().map(of_window).collect()
}

/// The change between the last two samples: of a counter a second, of a gauge as it is.
pub(super) fn instant(window: Window<'_>, is_rate: bool) -> f64 {
    let ([.., before, last], [.., from, to]) = (window.values, window.times) else { return ABSENT };
    let was_reset = is_rate && last < before;
    let change = if was_reset { *last } else { last - before };
    if is_rate { change / in_seconds(span(*from, *to)) } else { change }
}

const fn span(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millis().saturating_sub(from.as_millis())
}
