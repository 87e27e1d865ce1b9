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
    let (times, values) = (&windowed.series.timestamps, &windowed.series.values);
    let is_counter = kind != Counter::Delta;
    let resets: Vec<usize> = match is_counter {
        true => (1..values.len()).filter(|&index| values[index] < values[index - 1]).collect(),
        false => Vec::new(),
    };
    let stops_at_zero = is_counter && windowed.series.resolution.is_none();
    let factor = match kind {
        Counter::Rate => 1.0 / in_seconds(windowed.range),
        Counter::Increase | Counter::Delta => windowed.asked,
    };
    let mut first_reset = 0;
    for (step, (slot, &(first, end))) in row.iter_mut().zip(windowed.bounds).enumerate() {
        let (first, end) = (first as usize, end as usize);
        if end - first < 2 {
            continue;
        }
        let mut increase = values[end - 1] - values[first];
        while first_reset < resets.len() && resets[first_reset] <= first {
            first_reset += 1;
        }
        for &reset in resets[first_reset..].iter().take_while(|&&reset| reset < end) {
            increase += values[reset - 1];
        }
        let (window_end, from, to) = (windowed.ends.time(step), times[first], times[end - 1]);
        let reach = Reach {
            sampled: in_seconds(to.as_millis() - from.as_millis()),
            to_start: in_seconds(from.as_millis() - (window_end - windowed.range)),
            to_end: in_seconds(window_end - to.as_millis()),
            samples: end - first,
        };
        let zero_at = (stops_at_zero && increase > 0.0 && values[first] >= 0.0)
            .then(|| reach.sampled * (values[first] / increase));
        *slot = increase * reach.factor(zero_at, span_seconds(windowed.series)) * factor;
    }
}

/// Where the samples of a window lie, in seconds.
struct Reach {
    sampled: f64,
    to_start: f64,
    to_end: f64,
    samples: usize,
}

impl Reach {
    /// How much longer the extrapolated span is than the sampled one.
    #[expect(clippy::cast_precision_loss, reason = "a number of samples in memory")]
    fn factor(&self, zero_at: Option<f64>, span: f64) -> f64 {
        let mean_distance = (self.sampled / (self.samples - 1) as f64).max(span);
        let threshold = mean_distance * 1.1;
        let limited = |distance: f64| if distance >= threshold { mean_distance / 2.0 } else { distance };
        let mut to_start = limited(self.to_start);
        if let Some(zero_at) = zero_at.filter(|zero_at| *zero_at < to_start) {
            to_start = zero_at;
        }
        (self.sampled + to_start + limited(self.to_end)) / self.sampled
    }
}

/// The change between the last two samples: of a counter a second, of a gauge as it is.
pub(super) fn instant(window: Window<'_>, is_rate: bool) -> f64 {
    let ([.., before, last], [.., from, to]) = (window.values, window.times) else { return ABSENT };
    let was_reset = is_rate && last < before;
    let change = if was_reset { *last } else { last - before };
    if is_rate { change / in_seconds(span(*from, *to)) } else { change }
}

const fn span(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millis() - from.as_millis()
}
