//! Turns a column of values into small unsigned numbers and back, bit by bit.
//!
//! Few measured values are true floats. Most are constant; most others are decimals that some program divided by, or
//! multiplied with, a power of ten: as integers they differ little from one scrape to the next, and their differences
//! often share a divisor (pages, sectors, kilobytes). What is no decimal goes the same way with its bits as integer.

use crate::coding::{unzigzag, zigzag};

/// The largest power of ten that is tried.
const EXPONENT_MAX: u8 = 9;
/// Integers up to here are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const FRACTIONS: [f64; 10] = [1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9];

/// How an integer becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// The integer holds the bits of the value.
    Bits,
    /// integer / 10^e: what parsing a decimal gives.
    Divide(u8),
    /// integer * 10^-e: what programs get that multiply with a unit.
    Multiply(u8),
    /// integer / 1000 / 10^(e - 3): what programs get that convert twice.
    DivideTwice(u8),
}

impl Scale {
    /// Code and exponent, as they are stored.
    pub(crate) const fn code(self) -> (u8, u8) {
        match self {
            Self::Bits => (0, 0),
            Self::Divide(exponent) => (1, exponent),
            Self::Multiply(exponent) => (2, exponent),
            Self::DivideTwice(exponent) => (3, exponent),
        }
    }

    pub(crate) const fn from_code(code: u8, exponent: u8) -> Option<Self> {
        match (code, exponent) {
            (0, 0) => Some(Self::Bits),
            (1, 0..=EXPONENT_MAX) => Some(Self::Divide(exponent)),
            (2, 0..=EXPONENT_MAX) => Some(Self::Multiply(exponent)),
            (3, 3..=EXPONENT_MAX) => Some(Self::DivideTwice(exponent)),
            _ => None,
        }
    }

    /// Fills `integers` with the column under the cheapest scale that gives back each value exactly.
    pub(crate) fn find(values: &[f64], integers: &mut Vec<i64>) -> Self {
        let decimals = (0..=EXPONENT_MAX).map(Self::Divide);
        let products = (1..=EXPONENT_MAX).map(Self::Multiply);
        let doubles = [6, 9].map(Self::DivideTwice);
        for scale in decimals.chain(products).chain(doubles) {
            if scale.fill(values, integers) {
                return scale;
            }
        }
        integers.clear();
        integers.extend(values.iter().map(|value| value.to_bits().cast_signed()));
        Self::Bits
    }

    /// Whether all values are integers of this scale; stops at the first that is not.
    fn fill(self, values: &[f64], integers: &mut Vec<i64>) -> bool {
        let power = POWERS[usize::from(self.code().1)];
        integers.clear();
        for value in values {
            let scaled = value * power;
            if scaled.is_nan() || scaled.abs() > EXACT_MAX {
                return false;
            }
            let integer = round(scaled);
            if self.value(integer).to_bits() != value.to_bits() {
                return false;
            }
            integers.push(integer);
        }
        true
    }

    #[expect(clippy::cast_precision_loss, reason = "integers of a scale are exact as floats")]
    #[inline]
    fn value(self, integer: i64) -> f64 {
        match self {
            Self::Bits => f64::from_bits(integer.cast_unsigned()),
            Self::Divide(exponent) => integer as f64 / POWERS[usize::from(exponent)],
            Self::Multiply(exponent) => integer as f64 * FRACTIONS[usize::from(exponent)],
            Self::DivideTwice(exponent) => integer as f64 / 1000.0 / POWERS[usize::from(exponent - 3)],
        }
    }

    /// Appends the values of the integers.
    pub(crate) fn values(self, integers: &[i64], out: &mut Vec<f64>) {
        match self {
            // Each arm is a loop of its own, so that the compiler can make it a fast one.
            Self::Divide(0) => out.extend(integers.iter().map(|&integer| Self::Divide(0).value(integer))),
            Self::Bits => out.extend(integers.iter().map(|&integer| Self::Bits.value(integer))),
            Self::Divide(exponent) => out.extend(integers.iter().map(|&integer| Self::Divide(exponent).value(integer))),
            Self::Multiply(_) | Self::DivideTwice(_) => out.extend(integers.iter().map(|&integer| self.value(integer))),
        }
    }
}

/// The nearest integer; which way halves go does not matter, since the result is checked.
#[expect(clippy::cast_possible_truncation, reason = "the caller checked the range")]
#[inline]
fn round(value: f64) -> i64 {
    (value + 0.5_f64.copysign(value)) as i64
}

/// How the integers of a column follow from residuals, which are small and not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    /// `base + divisor * residual`: one a value.
    Offset {
        /// The smallest integer.
        base: i64,
    },
    /// Differences, the sign folded into the lowest bit.
    Delta {
        /// The first integer.
        first: i64,
    },
    /// Differences of differences.
    DeltaDelta {
        /// The first integer.
        first: i64,
        /// The first difference, over the divisor.
        step: i64,
    },
    /// Differences over the smallest one.
    DeltaOverMin {
        /// The first integer.
        first: i64,
        /// The smallest difference, over the divisor.
        step: i64,
    },
}

impl Transform {
    /// Code and the one or two numbers it needs, as they are stored.
    pub(crate) const fn code(self) -> (u8, i64, Option<i64>) {
        match self {
            Self::Offset { base } => (0, base, None),
            Self::Delta { first } => (1, first, None),
            Self::DeltaDelta { first, step } => (2, first, Some(step)),
            Self::DeltaOverMin { first, step } => (3, first, Some(step)),
        }
    }

    /// Whether a code needs a second number.
    pub(crate) const fn has_step(code: u8) -> bool {
        code >= 2
    }

    pub(crate) const fn from_code(code: u8, first: i64, step: i64) -> Self {
        match code {
            0 => Self::Offset { base: first },
            1 => Self::Delta { first },
            2 => Self::DeltaDelta { first, step },
            _ => Self::DeltaOverMin { first, step },
        }
    }

    /// How many of the values of a column have no residual.
    pub(crate) const fn lead(self) -> usize {
        match self {
            Self::Offset { .. } => 0,
            Self::Delta { .. } | Self::DeltaOverMin { .. } => 1,
            Self::DeltaDelta { .. } => 2,
        }
    }
}

/// Working memory for [`Residuals::of`], kept from column to column.
#[derive(Debug, Default)]
pub(crate) struct Residuals {
    deltas: Vec<i64>,
    /// The residuals of the column looked at last.
    pub(crate) residuals: Vec<u64>,
}

impl Residuals {
    /// Finds the transform with the fewest bits for at least two integers, and its divisor; leaves the residuals.
    pub(crate) fn of(&mut self, integers: &[i64]) -> (Transform, u64) {
        assert!(integers.len() >= 2, "a single value is constant");
        self.deltas.clear();
        let mut overflow = false;
        self.deltas.extend(integers.windows(2).map(|pair| {
            let (delta, over) = pair[1].overflowing_sub(pair[0]);
            overflow |= over;
            delta
        }));
        // Far-apart numbers only occur among bits of mixed signs: their differences wrap, and wrap back.
        let spread = integers.iter().max().zip(integers.iter().min());
        overflow |= spread.is_none_or(|(max, min)| max.checked_sub(*min).is_none());
        if overflow {
            self.residuals.clear();
            self.residuals.extend(self.deltas.iter().map(|&delta| zigzag(delta)));
            return (Transform::Delta { first: integers[0] }, 1);
        }
        let divisor = common_divisor(&self.deltas);
        if divisor > 1 {
            for delta in &mut self.deltas {
                *delta /= divisor;
            }
        }
        (self.choose(integers, divisor), divisor.unsigned_abs())
    }

    fn choose(&mut self, integers: &[i64], divisor: i64) -> Transform {
        let first = integers[0];
        let deltas = &self.deltas;
        let step = deltas.iter().copied().min().expect("two integers have a difference");
        let base = integers.iter().copied().min().expect("there are integers");
        let offset = |integer: i64| (integer - base).unsigned_abs() / divisor.unsigned_abs();
        let second = |pair: &[i64]| zigzag(pair[1].wrapping_sub(pair[0]));
        let over_min = |delta: &i64| delta.wrapping_sub(step).cast_unsigned();
        let costs = [
            deltas.iter().map(|delta| bits(zigzag(*delta))).sum::<u32>(),
            deltas.windows(2).map(|pair| bits(second(pair))).sum(),
            deltas.iter().map(|delta| bits(over_min(delta))).sum(),
            offset_cost(deltas),
        ];
        let residuals = &mut self.residuals;
        residuals.clear();
        let cheapest = costs.iter().enumerate().min_by_key(|(_, cost)| **cost).map_or(0, |(index, _)| index);
        match cheapest {
            0 => {
                residuals.extend(deltas.iter().map(|delta| zigzag(*delta)));
                Transform::Delta { first }
            }
            1 => {
                residuals.extend(deltas.windows(2).map(second));
                Transform::DeltaDelta { first, step: deltas[0] }
            }
            2 => {
                residuals.extend(deltas.iter().map(over_min));
                Transform::DeltaOverMin { first, step }
            }
            _ => {
                residuals.extend(integers.iter().map(|&integer| offset(integer)));
                Transform::Offset { base }
            }
        }
    }
}

/// Bits of the offsets over the smallest integer, told from the differences.
fn offset_cost(deltas: &[i64]) -> u32 {
    let (mut at, mut least) = (0i64, 0i64);
    for delta in deltas {
        at = at.wrapping_add(*delta);
        least = least.min(at);
    }
    let mut at = 0i64.wrapping_sub(least);
    let mut cost = bits(at.cast_unsigned());
    for delta in deltas {
        at = at.wrapping_add(*delta);
        cost += bits(at.cast_unsigned());
    }
    cost
}

/// Appends the integers that residuals and transform stand for: the exact opposite of [`Residuals::of`].
pub(crate) fn integers(transform: Transform, divisor: u64, residuals: &[u64], out: &mut Vec<i64>) {
    let divisor = divisor.cast_signed();
    let scaled = |number: i64| number.wrapping_mul(divisor);
    match transform {
        Transform::Offset { base } => {
            out.extend(residuals.iter().map(|&residual| base.wrapping_add(scaled(residual.cast_signed()))));
        }
        Transform::Delta { first } => {
            let mut at = first;
            out.push(at);
            out.extend(residuals.iter().map(|&residual| {
                at = at.wrapping_add(scaled(unzigzag(residual)));
                at
            }));
        }
        Transform::DeltaDelta { first, step } => {
            let (mut at, mut delta) = (first.wrapping_add(scaled(step)), step);
            out.extend([first, at]);
            out.extend(residuals.iter().map(|&residual| {
                delta = delta.wrapping_add(unzigzag(residual));
                at = at.wrapping_add(scaled(delta));
                at
            }));
        }
        Transform::DeltaOverMin { first, step } => {
            let mut at = first;
            out.push(at);
            out.extend(residuals.iter().map(|&residual| {
                at = at.wrapping_add(scaled(step.wrapping_add(residual.cast_signed())));
                at
            }));
        }
    }
}

/// The greatest number that divides all; 1 when they are all zero.
fn common_divisor(numbers: &[i64]) -> i64 {
    let mut divisor = 0u64;
    for number in numbers {
        let (mut a, mut b) = (divisor, number.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            break;
        }
    }
    i64::try_from(divisor).unwrap_or(1).max(1)
}

const fn bits(number: u64) -> u32 {
    64 - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[f64], expected: Option<Scale>) {
        let (mut found, mut decoded) = (Vec::new(), Vec::new());
        let scale = Scale::find(values, &mut found);
        if let Some(expected) = expected {
            assert_eq!(scale, expected, "{values:?}");
        }
        let (code, exponent) = scale.code();
        assert_eq!(Scale::from_code(code, exponent), Some(scale));
        let mut working = Residuals::default();
        let mut back = Vec::new();
        let (transform, divisor) = working.of(&found);
        assert_eq!(working.residuals.len() + transform.lead(), values.len());
        let (code, first, step) = transform.code();
        let stored = Transform::from_code(code, first, step.unwrap_or(0));
        integers(stored, divisor, &working.residuals, &mut back);
        assert_eq!(back, found, "{transform:?} {divisor}");
        scale.values(&back, &mut decoded);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decoded), bits(values));
    }

    #[test]
    fn each_scale_is_found_and_exact() {
        check(&[1.0, 5.0, -3.0], Some(Scale::Divide(0)));
        check(&[0.1, 0.25, 1e6], Some(Scale::Divide(2)));
        check(&[8168.0 * 0.001, 574.0 * 0.001], Some(Scale::Multiply(3)));
        check(&[35_515_022.0 / 1000.0 / 1000.0, 2_338_169.0 / 1000.0 / 1000.0], Some(Scale::DivideTwice(6)));
        check(&[std::f64::consts::PI, 1.0], Some(Scale::Bits));
        check(&[0.0, -0.0], Some(Scale::Bits));
        check(&[f64::NAN, f64::INFINITY], Some(Scale::Bits));
        check(&[9_007_199_254_740_992.0, 0.0], Some(Scale::Divide(0)));
        check(&[9_007_199_254_740_994.0, 0.0], Some(Scale::Bits));
        check(&[f64::MAX, f64::MIN, -0.0, 5e-324], Some(Scale::Bits));
    }

    #[test]
    fn a_common_divisor_is_taken_out() {
        let mut working = Residuals::default();
        let (_, divisor) = working.of(&[4096 * 5 + 3, 4096 * 9 + 3, 4096 * 6 + 3]);
        assert_eq!(divisor, 4096);
        assert!(working.residuals.iter().all(|residual| *residual < 8));
    }

    proptest! {
        #[test]
        fn any_column_comes_back(values in proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), 2..40)) {
            check(&values, None);
        }

        #[test]
        fn decimals_come_back(
            start in -1_000_000_000i64..1_000_000_000, steps in proptest::collection::vec(-50_000i64..50_000, 2..40),
            exponent in 0u8..=9, form in 0..4,
        ) {
            let mut at = start;
            let values: Vec<f64> = steps.iter().map(|step| {
                at += step;
                match form {
                    0 => Scale::Divide(exponent).value(at),
                    1 => Scale::Multiply(exponent).value(at),
                    2 => Scale::DivideTwice(exponent.max(3)).value(at),
                    _ => Scale::Divide(0).value(at * 4096),
                }
            }).collect();
            check(&values, None);
        }

        #[test]
        fn any_integers_come_back(integers_in in proptest::collection::vec(any::<i64>(), 2..20)) {
            let mut working = Residuals::default();
            let (transform, divisor) = working.of(&integers_in);
            let mut back = Vec::new();
            integers(transform, divisor, &working.residuals, &mut back);
            prop_assert_eq!(back, integers_in);
        }
    }
}
