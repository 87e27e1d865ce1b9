//! The values of a request, one by one: few measured values are true floats, most are small integers and decimals.
//!
//! A value becomes a kind (how many decimal places, how many bytes) and an integer of that many bytes. A series with
//! several samples stores differences, as long as the places stay the same. Kinds lie together, and so do the bytes of
//! the same rank of all integers of one width: `FORMAT.md`, "Log blob".

use model::{STALE_NAN_BITS, is_stale};

use super::WHAT;
use crate::coding::{low_byte, unzigzag, zigzag};
use crate::error::{Result, TsdbError};

/// The largest number of decimal places that is tried.
const PLACES_MAX: usize = 9;
/// Integers up to here are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const POWERS: [f64; PLACES_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The value's own bits follow, eight bytes.
const KIND_BITS: u8 = 0xf8;
/// A staleness marker.
const KIND_STALE: u8 = 0xf0;

/// Collects values.
#[derive(Debug, Default)]
pub(super) struct ValueWriter {
    kinds: Vec<u8>,
    /// The integers by the bytes they need.
    widths: [Vec<u64>; 9],
}

/// What the next value of a series differs from: decimal places and integer.
type Before = Option<(u8, i64)>;

impl ValueWriter {
    /// Adds the values of a series.
    pub(super) fn push(&mut self, values: &[f64]) {
        let mut before = None;
        for &value in values {
            before = self.push_one(value, before);
        }
    }

    fn push_one(&mut self, value: f64, before: Before) -> Before {
        if is_stale(value) {
            self.kinds.push(KIND_STALE);
            return before;
        }
        let Some((places, integer)) = decimal(value) else {
            self.kinds.push(KIND_BITS);
            self.widths[8].push(value.to_bits());
            return before;
        };
        let base = before.filter(|(known, _)| *known == places).map_or(0, |(_, integer)| integer);
        let folded = zigzag(integer - base);
        let width = 8 - (folded.leading_zeros() / 8) as usize;
        self.kinds.push(places << 4 | low_byte(width as u64));
        self.widths[width].push(folded);
        Some((places, integer))
    }

    /// Kinds, then the integers of each width, byte by byte, the highest first.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = self.kinds;
        for (width, integers) in self.widths.iter().enumerate() {
            for rank in (0..width).rev() {
                out.extend(integers.iter().map(|integer| integer.to_le_bytes()[rank]));
            }
        }
        out
    }
}

/// Decimal places and integer of a value that is exactly `integer / 10^places`.
fn decimal(value: f64) -> Option<(u8, i64)> {
    for (places, power) in (0u8..).zip(POWERS) {
        let scaled = value * power;
        if scaled.is_nan() || scaled.abs() > EXACT_MAX {
            return None;
        }
        let integer = round(scaled);
        if undo(places, integer).to_bits() == value.to_bits() {
            return Some((places, integer));
        }
    }
    None
}

/// The nearest integer; which way halves go does not matter, since the result is checked.
#[expect(clippy::cast_possible_truncation, reason = "the caller checked the range")]
#[inline]
fn round(value: f64) -> i64 {
    (value + 0.5_f64.copysign(value)) as i64
}

#[expect(clippy::cast_precision_loss, reason = "what was written is exact, and what was not does no harm")]
#[inline]
fn undo(places: u8, integer: i64) -> f64 {
    integer as f64 / POWERS[usize::from(places)]
}

/// Gives back the values that a [`ValueWriter`] took.
#[derive(Debug)]
pub(super) struct ValueReader<'a> {
    kinds: std::slice::Iter<'a, u8>,
    /// The integers of each width, as planes.
    planes: [&'a [u8]; 9],
    /// How many of each width were read.
    read: [usize; 9],
}

impl<'a> ValueReader<'a> {
    /// A reader of so many values.
    pub(super) fn new(bytes: &'a [u8], count: usize) -> Result<Self> {
        let malformed = || TsdbError::malformed(WHAT, "its values do not fill it");
        let (kinds, mut rest) = bytes.split_at_checked(count).ok_or_else(malformed)?;
        let mut counts = [0usize; 9];
        for kind in kinds {
            let width = usize::from(kind & 15);
            *counts.get_mut(width).ok_or_else(malformed)? += 1;
            if usize::from(kind >> 4) > PLACES_MAX && *kind != KIND_BITS && *kind != KIND_STALE {
                return Err(TsdbError::malformed(WHAT, "unknown kind of value"));
            }
        }
        let mut planes = [&[][..]; 9];
        for (width, count) in counts.into_iter().enumerate() {
            (planes[width], rest) = rest.split_at_checked(count * width).ok_or_else(malformed)?;
        }
        if rest.is_empty() { Ok(Self { kinds: kinds.iter(), planes, read: [0; 9] }) } else { Err(malformed()) }
    }

    /// Shows the next so many values: those of a series. There are as many as the reader was told.
    pub(super) fn series(&mut self, count: usize, mut show: impl FnMut(f64)) {
        let mut before: Before = None;
        for _ in 0..count {
            let Some(&kind) = self.kinds.next() else { return };
            match kind {
                KIND_STALE => show(f64::from_bits(STALE_NAN_BITS)),
                KIND_BITS => show(f64::from_bits(self.number(8))),
                _ => {
                    let places = kind >> 4;
                    let base = before.filter(|(known, _)| *known == places).map_or(0, |(_, integer)| integer);
                    let integer = base.wrapping_add(unzigzag(self.number(usize::from(kind & 15))));
                    before = Some((places, integer));
                    show(undo(places, integer));
                }
            }
        }
    }

    #[inline]
    fn number(&mut self, width: usize) -> u64 {
        let planes = self.planes[width];
        let index = self.read[width];
        self.read[width] += 1;
        let count = planes.len().checked_div(width).unwrap_or(0);
        (0..width).fold(0, |number, rank| number << 8 | u64::from(planes[rank * count + index]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::any_value;

    fn packed(series: &[Vec<f64>]) -> Vec<u8> {
        let mut writer = ValueWriter::default();
        series.iter().for_each(|values| writer.push(values));
        writer.finish()
    }

    fn check(series: &[Vec<f64>], bytes: usize) {
        let packed = packed(series);
        assert_eq!(packed.len(), bytes, "{series:?}");
        let mut reader = ValueReader::new(&packed, series.iter().map(Vec::len).sum()).unwrap();
        for values in series {
            let mut back = Vec::new();
            reader.series(values.len(), |value| back.push(value.to_bits()));
            assert_eq!(back, values.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn values_take_as_many_bytes_as_their_digits_need() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        check(&[vec![0.0, 0.0, 0.0]], 3);
        check(&[vec![1.0], vec![127.0], vec![-128.0], vec![128.0]], 4 + 3 + 2);
        check(&[vec![1_000_000.0, 1_000_001.0, 1_000_003.0]], 3 + 3 + 2);
        check(&[vec![0.25], vec![12.5, 12.6], vec![stale]], 4 + 1 + 1 + 1);
        check(&[vec![-0.0, f64::NAN, f64::INFINITY, 1.0 / 3.0, f64::MAX]], 5 * 9);
        check(&[vec![9_007_199_254_740_992.0, -9_007_199_254_740_992.0]], 2 + 7 + 7);
    }

    proptest! {
        #[test]
        fn any_values_come_back_bit_by_bit(
            series in proptest::collection::vec(proptest::collection::vec(any_value(), 0..6), 0..20),
        ) {
            check(&series, packed(&series).len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), count in 0..40usize) {
            if let Ok(mut reader) = ValueReader::new(&bytes, count) {
                let mut shown = 0;
                reader.series(count, |_| shown += 1);
                prop_assert_eq!(shown, count);
            }
        }
    }
}
