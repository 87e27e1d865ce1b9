//! Arithmetic that loses little.

/// A sum that carries what rounding took away (Neumaier's variant of Kahan's summation).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    value: f64,
    compensation: f64,
}

impl Sum {
    /// The sum of one number.
    pub(crate) const fn of(value: f64) -> Self {
        Self { value, compensation: 0.0 }
    }

    /// Adds a number.
    #[inline]
    pub(crate) fn add(&mut self, increment: f64) {
        Self::add_to(&mut self.value, &mut self.compensation, increment);
    }

    /// As [`Self::add`], to a sum whose parts stand in columns.
    #[inline]
    pub(crate) fn add_to(value: &mut f64, compensation: &mut f64, increment: f64) {
        let total = *value + increment;
        let (greater, less) = if value.abs() >= increment.abs() { (*value, increment) } else { (increment, *value) };
        let lost = *compensation + ((greater - total) + less);
        *compensation = if total.is_infinite() { 0.0 } else { lost };
        *value = total;
    }

    /// The sum so far.
    #[inline]
    pub(crate) fn total(self) -> f64 {
        Self::total_of(self.value, self.compensation)
    }

    /// As [`Self::total`], of a sum whose parts stand in columns.
    #[inline]
    pub(crate) fn total_of(value: f64, compensation: f64) -> f64 {
        if value.is_infinite() { value } else { value + compensation }
    }

    /// The sum divided by a number.
    pub(crate) fn divided_by(self, divisor: f64) -> f64 {
        if self.value.is_infinite() { self.value / divisor } else { self.value / divisor + self.compensation / divisor }
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.value);
        if other.compensation != 0.0 {
            self.add(other.compensation);
        }
    }

    /// Whether it has grown beyond all numbers, or taken in what is beyond.
    pub(crate) fn is_infinite(self) -> bool {
        self.value.is_infinite()
    }

    fn scaled(self, factor: f64) -> Self {
        Self { value: self.value * factor, compensation: self.compensation * factor }
    }
}

/// A mean: a sum until that would overflow, then a running mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    is_running: bool,
}

impl Mean {
    /// The mean of one number.
    pub(crate) const fn of(value: f64) -> Self {
        Self { sum: Sum::of(value), count: 1.0, is_running: false }
    }

    /// Takes a number in.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.is_running {
            let mut next = self.sum;
            next.add(value);
            if !next.value.is_infinite() {
                self.sum = next;
                return;
            }
            self.is_running = true;
            let before = self.count - 1.0;
            self.sum = Sum { value: self.sum.value / before, compensation: self.sum.compensation / before };
        }
        self.sum = self.sum.scaled((self.count - 1.0) / self.count);
        self.sum.add(value / self.count);
    }

    /// The mean of what was taken in.
    #[inline]
    pub(crate) fn value(self) -> f64 {
        if self.is_running { self.sum.value + self.sum.compensation } else { self.sum.divided_by(self.count) }
    }
}

/// The quantile of values, interpolated between the two nearest; sorts them, what is not a number first.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an index of a list in memory")]
#[expect(clippy::cast_sign_loss, reason = "the quantile is between 0 and 1 there")]
pub(crate) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let rank = quantile * (values.len() - 1) as f64;
    let (lower, weight) = (rank.floor() as usize, rank - rank.floor());
    let (_, &mut low, above) = values.select_nth_unstable_by(lower, |left, right| compare(*left, *right));
    let high = above.iter().copied().min_by(|left, right| compare(*left, *right)).unwrap_or(low);
    low * (1.0 - weight) + high * weight
}

/// Orders numbers, what is not a number first.
pub(crate) fn compare(left: f64, right: f64) -> std::cmp::Ordering {
    right.is_nan().cmp(&left.is_nan()).then(left.partial_cmp(&right).unwrap_or(std::cmp::Ordering::Equal))
}

/// The smaller one; not a number if one is not, unless the other is as small as can be.
pub(crate) fn min(left: f64, right: f64) -> f64 {
    let is_nan = left.is_nan() || right.is_nan();
    if is_nan && left != f64::NEG_INFINITY && right != f64::NEG_INFINITY { f64::NAN } else { left.min(right) }
}

/// The greater one; not a number if one is not, unless the other is as great as can be.
pub(crate) fn max(left: f64, right: f64) -> f64 {
    let is_nan = left.is_nan() || right.is_nan();
    if is_nan && left != f64::INFINITY && right != f64::INFINITY { f64::NAN } else { left.max(right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_survive_large_ones() {
        let mut sum = Sum::default();
        for value in [2.0, 8.0, 1e100, -1e100] {
            sum.add(value);
        }
        assert!((sum.total() - 10.0).abs() < 1e-12);
    }

    #[test]
    fn means_survive_overflow() {
        let mut mean = Mean::of(1.5e308);
        for _ in 0..3 {
            mean.add(1.5e308);
        }
        assert!((mean.value() / 1.5e308 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_interpolate() {
        assert!((quantile(0.8, &mut [4.0, 0.0, 1.0]) - 2.8).abs() < 1e-12);
        assert!((quantile(1.0, &mut [4.0, 0.0, 1.0]) - 4.0).abs() < 1e-12);
        assert!(quantile(0.2, &mut [0.0, f64::NAN, 1.0]).is_nan());
        assert_eq!(quantile(-0.1, &mut [0.0]).to_bits(), f64::NEG_INFINITY.to_bits());
        assert!(quantile(0.5, &mut []).is_nan());
    }
}
