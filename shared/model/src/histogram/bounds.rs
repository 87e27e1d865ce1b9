//! Where buckets begin and end.

use std::sync::{Arc, LazyLock};

use super::HistogramError;

/// Where the bounds of a histogram's buckets are.
#[derive(Clone, Debug, PartialEq)]
pub enum Schema {
    /// Bounds are powers of 2^(2^-n): n is from -4 (each bound is 65,536 times the one before) to 8 (1.0027 times).
    Exponential(i8),
    /// The upper bounds of all buckets but the last, which has none; shared between the samples of a series.
    Custom(Arc<[f64]>),
}

impl Default for Schema {
    fn default() -> Self {
        Self::Exponential(0)
    }
}

/// The finest schema.
const FINEST: i8 = 8;

/// Bounds of the finest schema from 1 on up to 2, which is excluded.
static POWERS: LazyLock<[f64; 1 << FINEST]> = LazyLock::new(|| {
    // Halving the distances step by step rounds as Prometheus does, so that bounds are the same to the last digit.
    let mut powers = [1.0; 1 << FINEST];
    let mut distance = powers.len() / 2;
    let mut factor = std::f64::consts::SQRT_2;
    powers[distance] = 2.0 / factor;
    while distance > 1 {
        factor = factor.sqrt();
        for index in (0..powers.len()).step_by(distance) {
            powers[index + distance / 2] = powers[index] * factor;
        }
        distance /= 2;
    }
    powers
});

impl Schema {
    /// The number of the schema with custom bounds in Prometheus's formats.
    pub const CUSTOM: i32 = -53;

    /// The schema of that number; `bounds` matter for custom ones only.
    ///
    /// # Errors
    /// When there is no such schema, or the bounds do not ascend.
    pub fn new(number: i32, bounds: &[f64]) -> Result<Self, HistogramError> {
        if number == Self::CUSTOM {
            let ascend = bounds.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascend || !bounds.iter().all(|bound| bound.is_finite()) {
                return Err(HistogramError::UnsortedBounds);
            }
            return Ok(Self::Custom(bounds.into()));
        }
        match i8::try_from(number) {
            Ok(exponential @ -4..=FINEST) => Ok(Self::Exponential(exponential)),
            Ok(_) | Err(_) => Err(HistogramError::UnknownSchema { schema: number }),
        }
    }

    /// Its number in Prometheus's formats.
    pub fn number(&self) -> i32 {
        match self {
            Self::Exponential(number) => i32::from(*number),
            Self::Custom(_) => Self::CUSTOM,
        }
    }

    /// Whether the bounds are custom.
    pub const fn is_custom(&self) -> bool {
        matches!(self, Self::Custom(_))
    }

    /// The lower and the upper bound of a bucket, of exponential ones above zero.
    pub fn bounds(&self, index: i32) -> (f64, f64) {
        match self {
            Self::Exponential(schema) => (power(*schema, i64::from(index) - 1), power(*schema, i64::from(index))),
            Self::Custom(bounds) => {
                let at = usize::try_from(index).ok();
                let upper = at.map_or(f64::NEG_INFINITY, |at| bounds.get(at).copied().unwrap_or(f64::INFINITY));
                let before = at.and_then(|at| at.checked_sub(1));
                let lower = before.map_or(f64::NEG_INFINITY, |at| bounds.get(at).copied().unwrap_or(f64::INFINITY));
                (lower, upper)
            }
        }
    }
}

/// The bucket of a coarser exponential schema that holds a bucket.
pub(super) const fn coarser(index: i32, from: i8, to: i8) -> i32 {
    if from == to { index } else { ((index.saturating_sub(1)) >> (from - to)) + 1 }
}

/// The upper bound of an exponential bucket.
#[expect(clippy::cast_possible_truncation, reason = "exponents are clamped far within 32 bits")]
#[expect(clippy::cast_sign_loss, reason = "a remainder of a power of two is positive")]
fn power(schema: i8, index: i64) -> f64 {
    let (whole, fraction) = if schema <= 0 {
        (index.saturating_mul(1 << -schema), 0)
    } else {
        (index >> schema, ((index & ((1 << schema) - 1)) << (FINEST - schema)) as usize)
    };
    if whole == 1024 && fraction == 0 {
        // The largest observation there can be is in this bucket.
        return f64::MAX;
    }
    let exponent = whole.clamp(-2100, 2100) as i32;
    let half = exponent / 2;
    POWERS[fraction] * 2f64.powi(half) * 2f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers() {
        let cases = [
            (0, 0, 0.5, 1.0),
            (0, 1, 1.0, 2.0),
            (0, 5, 16.0, 32.0),
            (-1, 1, 1.0, 4.0),
            (-4, 0, 1.0 / 65536.0, 1.0),
            (1, 1, 1.0, std::f64::consts::SQRT_2),
            (3, 8, 1.834_008_086_409_342_4, 2.0),
            (8, -256, 0.498_648_028_042_735_06, 0.5),
            (0, 1024, 2f64.powi(1023), f64::MAX),
        ];
        for (schema, index, lower, upper) in cases {
            let (found_lower, found_upper) = Schema::new(schema, &[]).unwrap().bounds(index);
            let near = |left: f64, right: f64| (left / right - 1.0).abs() < 1e-14;
            assert!(
                near(found_lower, lower) && near(found_upper, upper),
                "{schema} {index}: {found_lower} {found_upper}"
            );
        }
        let custom = Schema::new(-53, &[5.0, 10.0]).unwrap();
        assert_eq!(custom.bounds(0), (f64::NEG_INFINITY, 5.0));
        assert_eq!(custom.bounds(1), (5.0, 10.0));
        assert_eq!(custom.bounds(2), (10.0, f64::INFINITY));
    }

    #[test]
    fn schemas_are_checked() {
        assert_eq!(Schema::new(9, &[]), Err(HistogramError::UnknownSchema { schema: 9 }));
        assert_eq!(Schema::new(-5, &[]), Err(HistogramError::UnknownSchema { schema: -5 }));
        assert_eq!(Schema::new(-53, &[2.0, 1.0]), Err(HistogramError::UnsortedBounds));
        assert_eq!(Schema::new(-53, &[1.0, f64::INFINITY]), Err(HistogramError::UnsortedBounds));
    }

    #[test]
    fn coarser_buckets_hold_finer_ones() {
        for (index, expected) in [(-1, -1), (0, 0), (1, 1), (2, 1), (3, 2), (4, 2)] {
            let expected = if index == -1 { 0 } else { expected };
            assert_eq!(coarser(index, 1, 0), expected, "{index}");
        }
    }
}
