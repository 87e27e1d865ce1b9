//! The value axis.

use super::{Chart, HEIGHT};

/// Marks of a value axis and where values lie between its ends.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Values of the marks; the first and last are the ends.
    pub(super) ticks: Vec<f64>,
    /// Their texts.
    pub(super) labels: Vec<String>,
}

/// About how many steps an axis has.
const STEPS: usize = 4;
/// A threshold this near above the values is shown with them.
const THRESHOLD_NEAR: f64 = 1.6;

impl Axis {
    /// An axis that holds all values of a chart and starts at zero unless they are negative.
    pub(super) fn of(chart: &Chart) -> Self {
        let values = chart.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
        let finite = values.filter(|value| value.is_finite());
        let (min, max) = finite.fold((0.0_f64, 0.0_f64), |(min, max), value| (min.min(value), max.max(value)));
        let near =
            chart.thresholds.iter().map(|threshold| threshold.value).filter(|&value| value <= max * THRESHOLD_NEAR);
        let max = near.fold(max.max(chart.reach.unwrap_or(0.0)), f64::max);
        let ticks = chart.unit.ticks(min, max, STEPS);
        let labels = chart.unit.tick_labels(&ticks);
        Self { ticks, labels }
    }

    /// The lower end.
    pub(super) fn min(&self) -> f64 {
        self.ticks.first().copied().unwrap_or(0.0)
    }

    /// The upper end.
    pub(super) fn max(&self) -> f64 {
        self.ticks.last().copied().unwrap_or(1.0)
    }

    /// Whether a value lies on the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        self.min() <= value && value <= self.max()
    }

    /// How far below the upper edge of the plot a value lies, in pixels.
    pub(super) fn y(&self, value: f64) -> f64 {
        let (min, max) = (self.min(), self.max());
        // Halved, so that the distance between the largest numbers there are does not overflow.
        let part = (value / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0);
        HEIGHT - part * HEIGHT
    }
}
