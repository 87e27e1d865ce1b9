//! Numbers as people read them: three significant digits and a unit that fits their size.

use std::borrow::Cow;

/// What the values of a chart, a tile or a table column measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Parts of a hundred: `12.3%`.
    Percent,
    /// Bytes, in powers of 1,024: `1.50 GiB`.
    Bytes,
    /// Bytes a second: `3.20 MiB/s`.
    BytesPerSecond,
    /// Seconds: `250 ms`, `1.5 min`.
    Seconds,
    /// Events a second: `1.2k/s`.
    PerSecond,
    /// A plain number: `1,234`, `1.23M`.
    Count,
}

/// A factor and what is written after numbers that were divided by it.
#[derive(Clone, Copy, Debug)]
struct Scale {
    divisor: f64,
    suffix: &'static str,
}

const fn scale(divisor: f64, suffix: &'static str) -> Scale {
    Scale { divisor, suffix }
}

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
const GIB: f64 = MIB * KIB;
const TIB: f64 = GIB * KIB;
const PIB: f64 = TIB * KIB;

/// From the largest to the smallest; the last one takes everything below.
const BYTES: [Scale; 6] = [
    scale(PIB, " PiB"),
    scale(TIB, " TiB"),
    scale(GIB, " GiB"),
    scale(MIB, " MiB"),
    scale(KIB, " KiB"),
    scale(1.0, " B"),
];
const BYTES_PER_SECOND: [Scale; 6] = [
    scale(PIB, " PiB/s"),
    scale(TIB, " TiB/s"),
    scale(GIB, " GiB/s"),
    scale(MIB, " MiB/s"),
    scale(KIB, " KiB/s"),
    scale(1.0, " B/s"),
];
const SECONDS: [Scale; 7] = [
    scale(86_400.0, " d"),
    scale(3600.0, " h"),
    scale(60.0, " min"),
    scale(1.0, " s"),
    scale(1e-3, " ms"),
    scale(1e-6, " µs"),
    scale(1e-9, " ns"),
];
const COUNT: [Scale; 5] = [scale(1e12, "T"), scale(1e9, "G"), scale(1e6, "M"), scale(1e3, "k"), scale(1.0, "")];
const PER_SECOND: [Scale; 5] =
    [scale(1e12, "T/s"), scale(1e9, "G/s"), scale(1e6, "M/s"), scale(1e3, "k/s"), scale(1.0, "/s")];
const PERCENT: [Scale; 1] = [scale(1.0, "%")];

/// Plain numbers up to here are written in full, `9,999`.
const COUNT_IN_FULL_MAX: f64 = 10_000.0;

impl Unit {
    /// A value with three significant digits; `–` for no number.
    pub fn format(self, value: f64) -> String {
        if let Some(text) = not_finite(value) {
            return text.to_owned();
        }
        if self == Self::Count && value.abs() < COUNT_IN_FULL_MAX && is_whole(value) {
            return grouped(value);
        }
        let scale = self.scale_for(value);
        let scaled = value / scale.divisor;
        let whole = scale.divisor <= 1.0 && matches!(self, Self::Bytes | Self::Count) && is_whole(scaled);
        let decimals = if whole || scaled == 0.0 { 0 } else { decimals_for(scaled) };
        format!("{}{}", minus(format!("{scaled:.decimals$}")), scale.suffix)
    }

    /// A round value without the zeros that [`Unit::format`] keeps for steady columns: `70%`, `0.5 s`.
    pub fn format_round(self, value: f64) -> String {
        let text = self.format(value);
        let split = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | '−')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        let trimmed = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
        format!("{trimmed}{suffix}")
    }

    /// At least two round values for the marks of an axis from `min` to `max`, about `count` of them.
    ///
    /// The first is at or below `min` and the last at or above `max`: they are the ends of the axis.
    pub fn ticks(self, min: f64, max: f64, count: usize) -> Vec<f64> {
        let max = if max > min { max } else { min + 1.0 };
        let span = (max - min).min(f64::MAX);
        let scale = self.scale_for(min.abs().max(max.abs()).max(span));
        let wanted = span / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX)) / scale.divisor;
        let step = self.round_step(wanted, scale) * scale.divisor;
        let first = (min / step).floor();
        let mut ticks = vec![(first * step).max(f64::MIN)];
        // An axis has few marks; the bound keeps values that swallow their step from going on for ever.
        for index in 1..64 {
            let tick = ((first + f64::from(index)) * step).clamp(f64::MIN, f64::MAX);
            ticks.push(tick);
            if tick >= max {
                break;
            }
        }
        ticks
    }

    /// The marks' texts, all in one unit and with the same decimals.
    pub fn tick_labels(self, ticks: &[f64]) -> Vec<String> {
        let largest = ticks.iter().fold(0.0_f64, |largest, tick| largest.max(tick.abs()));
        let scale = self.scale_for(largest);
        let step = match ticks {
            [first, second, ..] => (second - first).abs() / scale.divisor,
            _ => 1.0,
        };
        let decimals = (0..6).find(|&decimals| is_whole_to(step * 10_f64.powi(decimals))).unwrap_or(6);
        let decimals = usize::try_from(decimals).unwrap_or(0);
        let label = |tick: &f64| {
            let zero = tick.abs() < f64::EPSILON;
            let number = format!("{:.decimals$}", if zero { 0.0 } else { tick / scale.divisor });
            let number = if zero { "0".to_owned() } else { minus(number) };
            format!("{number}{}", if zero && self != Self::Percent { "" } else { scale.suffix })
        };
        ticks.iter().map(label).collect()
    }

    fn scale_for(self, value: f64) -> Scale {
        let scales: &[Scale] = match self {
            Self::Percent => &PERCENT,
            Self::Bytes => &BYTES,
            Self::BytesPerSecond => &BYTES_PER_SECOND,
            Self::Seconds => &SECONDS,
            Self::PerSecond => &PER_SECOND,
            Self::Count => &COUNT,
        };
        if value == 0.0 && self == Self::Seconds {
            return scale(1.0, " s");
        }
        // Two minutes read better as "2 min" than as "120 s", but 90 s as "90 s": a unit starts at one and a half of it.
        let enough = |scale: &&Scale| {
            value.abs() >= scale.divisor * if scale.divisor >= 60.0 && self == Self::Seconds { 1.5 } else { 0.9995 }
        };
        let smallest = scales[scales.len() - 1];
        *scales.iter().find(enough).unwrap_or(&smallest)
    }

    /// The smallest round step that is not below `wanted`, both in the scale's unit.
    fn round_step(self, wanted: f64, scale: Scale) -> f64 {
        let steps: &[f64] = match self {
            Self::Bytes | Self::BytesPerSecond if wanted >= 1.0 => {
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]
            }
            Self::Seconds if wanted >= 1.0 && (scale.divisor - 60.0).abs() < 1.0 => &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0],
            Self::Seconds if wanted >= 1.0 && scale.divisor > 3000.0 => &[1.0, 2.0, 3.0, 6.0, 12.0],
            Self::Bytes | Self::BytesPerSecond | Self::Seconds | Self::Percent | Self::PerSecond | Self::Count => &[],
        };
        if let Some(step) = steps.iter().find(|step| **step >= wanted) {
            return *step;
        }
        let magnitude = 10_f64.powf(wanted.max(1e-12).log10().floor());
        let factor =
            [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * magnitude >= wanted * 0.9999).unwrap_or(10.0);
        factor * magnitude
    }
}

/// What stands for a value that is no finite number.
fn not_finite(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("–")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "∞" } else { "−∞" })
    } else {
        None
    }
}

/// Decimals that leave three significant digits, as far as they are readable.
fn decimals_for(value: f64) -> usize {
    match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        size if size >= 0.09995 => 3,
        size if size >= 0.009995 => 4,
        _ => 6,
    }
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-9
}

fn is_whole_to(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6 * value.abs().max(1.0)
}

/// A whole number with commas between thousands.
/// Dollars: whole ones from 100 on, cents from 1 on, three significant digits below: `$1,234`, `$12.30`, `$0.00190`.
pub fn dollars(value: f64) -> String {
    if let Some(text) = not_finite(value) {
        return text.to_owned();
    }
    let amount = value.abs();
    let decimals = match amount {
        0.0 => 0,
        ..1e-6 => 8,
        ..0.9995 => (1..=8).find(|&digits| amount * 10_f64.powi(digits) >= 0.9995).map_or(8, |digits| digits + 2),
        ..99.995 => 2,
        _ => return format!("{}${}", if value < 0.0 { "−" } else { "" }, grouped(amount)),
    };
    let decimals = usize::try_from(decimals).unwrap_or(0);
    format!("{}${amount:.decimals$}", if value < 0.0 { "−" } else { "" })
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("−{text}") } else { text }
}

/// A number with a minus sign in place of a hyphen.
fn minus(number: String) -> String {
    match number.strip_prefix('-') {
        Some(rest) => format!("−{rest}"),
        None => number,
    }
}

/// A signed change, `+1.2` or `−3.4` with its unit, for comparisons.
pub fn signed(text: &str) -> Cow<'_, str> {
    if text.starts_with(['−', '–', '0']) { Cow::Borrowed(text) } else { Cow::Owned(format!("+{text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_at_a_glance() {
        let cases = [
            (0.0, "$0"),
            (0.001_896, "$0.00190"),
            (0.1, "$0.100"),
            (0.999_9, "$1.00"),
            (1.0, "$1.00"),
            (99.994, "$99.99"),
            (123.456, "$123"),
            (1_234_567.0, "$1,234,567"),
            (-0.25, "−$0.250"),
            (f64::NAN, "–"),
        ];
        for (value, expected) in cases {
            assert_eq!(dollars(value), expected);
        }
    }

    #[test]
    fn values_have_three_digits_and_a_fitting_unit() {
        let cases = [
            (Unit::Percent, 0.0, "0%"),
            (Unit::Percent, 12.345, "12.3%"),
            (Unit::Percent, 99.97, "100%"),
            (Unit::Percent, 0.5, "0.500%"),
            (Unit::Bytes, 0.0, "0 B"),
            (Unit::Bytes, 512.0, "512 B"),
            (Unit::Bytes, 1.63, "1.63 B"),
            (Unit::Bytes, 1024.0, "1.00 KiB"),
            (Unit::Bytes, 16.0 * GIB, "16.0 GiB"),
            (Unit::Bytes, 1023.9 * MIB, "1.00 GiB"),
            (Unit::BytesPerSecond, 3.2 * MIB, "3.20 MiB/s"),
            (Unit::Seconds, 0.0, "0 s"),
            (Unit::Seconds, 0.25, "250 ms"),
            (Unit::Seconds, 0.000_012_3, "12.3 µs"),
            (Unit::Seconds, 75.0, "75.0 s"),
            (Unit::Seconds, 150.0, "2.50 min"),
            (Unit::Seconds, 7200.0, "2.00 h"),
            (Unit::Seconds, 259_200.0, "3.00 d"),
            (Unit::PerSecond, 1234.0, "1.23k/s"),
            (Unit::PerSecond, 0.25, "0.250/s"),
            (Unit::Count, 1234.0, "1,234"),
            (Unit::Count, 12.5, "12.5"),
            (Unit::Count, 12_345.0, "12.3k"),
            (Unit::Count, 1_234_567.0, "1.23M"),
            (Unit::Count, -1234.0, "−1,234"),
            (Unit::Count, f64::NAN, "–"),
            (Unit::Count, f64::NEG_INFINITY, "−∞"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(unit.format(value), expected, "{unit:?} {value}");
        }
    }

    #[test]
    fn axes_have_round_marks_that_hold_the_values() {
        let cases: [(Unit, f64, f64, &[&str]); 9] = [
            (Unit::Percent, 0.0, 100.0, &["0%", "25%", "50%", "75%", "100%"]),
            (Unit::Percent, 0.0, 7.3, &["0%", "2%", "4%", "6%", "8%"]),
            (Unit::Bytes, 0.0, 15.6 * GIB, &["0", "4 GiB", "8 GiB", "12 GiB", "16 GiB"]),
            (Unit::BytesPerSecond, 0.0, 1.3 * MIB, &["0", "0.5 MiB/s", "1.0 MiB/s", "1.5 MiB/s"]),
            (Unit::Seconds, 0.0, 0.5, &["0", "200 ms", "400 ms", "600 ms"]),
            (Unit::Count, 0.0, 3.0, &["0", "1", "2", "3"]),
            (Unit::Count, 0.0, 45_000.0, &["0", "20k", "40k", "60k"]),
            (Unit::Count, -5.0, 5.0, &["−5.0", "−2.5", "0", "2.5", "5.0"]),
            (Unit::PerSecond, 0.0, 0.0, &["0", "0.25/s", "0.50/s", "0.75/s", "1.00/s"]),
        ];
        for (unit, min, max, expected) in cases {
            let ticks = unit.ticks(min, max, 4);
            assert_eq!(unit.tick_labels(&ticks), expected, "{unit:?} {min}..{max}");
            assert!(ticks[0] <= min && ticks[ticks.len() - 1] >= max);
        }
    }

    #[test]
    fn extreme_values_end() {
        for (min, max) in [(0.0, f64::MAX), (1e300, 1e300), (0.0, 1e-300), (f64::MIN, f64::MAX)] {
            assert!(Unit::Count.ticks(min, max, 4).len() <= 64);
        }
    }

    #[test]
    fn round_values_have_no_needless_zeros() {
        let cases = [
            (Unit::Percent, 70.0, "70%"),
            (Unit::Percent, 100.0, "100%"),
            (Unit::Seconds, 0.2, "200 ms"),
            (Unit::Count, 1000.0, "1,000"),
            (Unit::Bytes, 1.5 * GIB, "1.5 GiB"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(unit.format_round(value), expected);
        }
    }

    #[test]
    fn changes_carry_their_sign() {
        assert_eq!(signed("1.2%"), "+1.2%");
        assert_eq!(signed("−1.2%"), "−1.2%");
        assert_eq!(signed("0%"), "0%");
    }
}
