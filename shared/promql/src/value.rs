//! What a query answers.

use std::sync::Arc;

use model::{Histogram, Labels, Sample, Series, Timestamp};

/// The answer to a query.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number at the time of an instant query.
    Scalar(Sample),
    /// A text.
    String(String),
    /// One number a series, in the order to be shown; series that have a histogram are in [`Output::histograms`].
    Vector(Vec<(Labels, Sample)>),
    /// The samples of each series: of a range query at its steps, of a range selector as they are.
    Matrix(Vec<Series>),
}

/// The answer and what was noteworthy about it.
#[derive(Clone, Debug)]
pub struct Output {
    /// The answer.
    pub value: Value,
    /// The samples of a vector that are histograms, in the order to be shown.
    pub histograms: Vec<HistogramSample>,
    /// Each begins `PromQL warning:` and ends with its position.
    pub warnings: Vec<String>,
    /// Each begins `PromQL info:` and ends with its position.
    pub infos: Vec<String>,
}

/// A histogram in the answer to an instant query.
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// Its place among all samples of the vector, those of [`Value::Vector`] included, counted from 0.
    pub position: usize,
    /// Which series.
    pub labels: Labels,
    /// When.
    pub timestamp: Timestamp,
    /// The histogram.
    pub histogram: Arc<Histogram>,
}

/// Writes a number as Prometheus does: the shortest text that reads back, never with an exponent; `NaN`, `+Inf`, `-Inf`.
pub fn format_float(value: f64) -> String {
    let mut text = String::new();
    push_float(&mut text, value);
    text
}

/// As [`format_float`], to the end of a text.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53 are the same as an integer")]
pub fn push_float(text: &mut String, value: f64) {
    /// From here on not every whole number has a float of its own.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value.abs() < WHOLE_MAX && value.trunc().to_bits() == value.to_bits() {
        if value == 0.0 {
            text.push_str(if value.is_sign_negative() { "-0" } else { "0" });
            return;
        }
        text.push_str(itoa::Buffer::new().format(value as i64));
    } else {
        push_without_exponent(text, zmij::Buffer::new().format_finite(value));
    }
}

/// Moves the point of a number with an exponent to where it belongs.
fn push_without_exponent(text: &mut String, written: &str) {
    let Some((number, exponent)) = written.split_once('e') else {
        text.push_str(written.strip_suffix(".0").unwrap_or(written));
        return;
    };
    let number = match number.strip_prefix('-') {
        None => number,
        Some(number) => {
            text.push('-');
            number
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = if fraction == "0" { "" } else { fraction };
    let exponent: i32 = exponent.parse().expect("an exponent is a small whole number");
    let zeros = |text: &mut String, count: usize| text.extend(std::iter::repeat_n('0', count));
    // Where the point is, counted from the first digit.
    let places = usize::try_from(exponent.unsigned_abs()).expect("an exponent is a small number");
    if exponent < 0 {
        text.push_str("0.");
        zeros(text, places.saturating_sub(whole.len()));
        text.push_str(whole);
        text.push_str(fraction);
    } else {
        text.push_str(whole);
        text.push_str(fraction);
        zeros(text, places.saturating_sub(fraction.len()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From here on floats are a quarter apart: halfway between two texts with one digit behind the point.
    const TIE: f64 = 1_125_899_906_842_624.0;

    #[test]
    fn numbers_are_written_as_prometheus_writes_them() {
        let cases = [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1.5e-7, "0.00000015"),
            (f64::NAN, "NaN"),
            (model::stale_nan(), "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.1 + 0.2, "0.30000000000000004"),
            // Of two texts that are as short and as near, the one with the even digit, as Go writes it.
            (TIE + 0.25, "1125899906842624.2"),
            (TIE + 0.75, "1125899906842624.8"),
            (-(TIE + 1.25), "-1125899906842625.2"),
            (1e23, "100000000000000000000000"),
        ];
        for (value, expected) in cases {
            assert_eq!(format_float(value), expected);
        }
    }

    /// As [`format_float`] must write it: Rust's text, save that of two texts as near Rust takes the greater one.
    fn shortest(value: f64) -> String {
        let text = value.to_string();
        let Some(last) = text.bytes().last().filter(|digit| text.contains('.') && digit % 2 == 1) else { return text };
        let below = format!("{}{}", &text[..text.len() - 1], char::from(last - 1));
        let exactly = |text: &str| format!("{:.1100}", text.parse::<f64>().expect("a number was written"));
        // Both read back, and what lies exactly between them is the number.
        let middle = format!("{below}5{}", "0".repeat(1100));
        let places = exactly(&text).len();
        if below.parse() == Ok(value) && exactly(&text) == middle[..places] { below } else { text }
    }

    proptest! {
        #[test]
        fn any_number_is_written_as_the_shortest_text_that_reads_back(bits in any::<u64>(), number in -1e6..1e6f64) {
            let quarters = number.trunc() / 4.0 + TIE;
            for value in [f64::from_bits(bits), number, number.trunc(), 1.0 / number, number * 1e12, quarters] {
                if value.is_finite() {
                    let text = format_float(value);
                    prop_assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
                    prop_assert_eq!(text, shortest(value));
                }
            }
        }
    }
}
