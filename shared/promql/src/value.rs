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
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (value, expected) in cases {
            assert_eq!(format_float(value), expected);
        }
    }
}
