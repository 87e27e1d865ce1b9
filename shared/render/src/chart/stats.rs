//! What a series was like over a range.

use model::Timestamp;

/// Figures of one series' finite values.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// The smallest value.
    pub min: f64,
    /// The mean of all points.
    pub mean: f64,
    /// The value that 95 of 100 points do not exceed (nearest rank).
    pub p95: f64,
    /// The greatest value.
    pub max: f64,
    /// The newest value.
    pub last: f64,
}

impl Stats {
    /// The figures; `None` without a finite value.
    pub fn of(points: &[(Timestamp, f64)]) -> Option<Self> {
        let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
        let last = *values.last()?;
        let count = values.len();
        let divisor = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        // Each value is divided before it is added: the sum of large values could overflow.
        let mean = values.iter().map(|value| value / divisor).sum();
        values.sort_unstable_by(f64::total_cmp);
        let rank = (count * 95).div_ceil(100).max(1);
        Some(Self { min: values[0], mean, p95: values[rank - 1], max: values[count - 1], last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_ramp() {
        let points: Vec<_> =
            (1..=100).map(|n| (Timestamp::from_secs(n), f64::from(u32::try_from(n).unwrap()))).collect();
        let stats = Stats::of(&points).unwrap();
        assert_eq!((stats.min, stats.p95, stats.max, stats.last), (1.0, 95.0, 100.0, 100.0));
        assert!((stats.mean - 50.5).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        let at = Timestamp::from_secs;
        let stats = Stats::of(&[(at(1), 2.0), (at(2), f64::NAN), (at(3), f64::INFINITY)]).unwrap();
        assert_eq!(stats, Stats { min: 2.0, mean: 2.0, p95: 2.0, max: 2.0, last: 2.0 });
        assert_eq!(Stats::of(&[(at(1), f64::NAN)]), None);
        assert_eq!(Stats::of(&[]), None);
    }
}
