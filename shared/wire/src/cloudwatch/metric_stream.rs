//! The JSON output format of CloudWatch metric streams: one object a line, each with the statistics of one metric over
//! one minute.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use model::{BatchBuilder, Sample, Timestamp};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{Metric, SeriesOf, Window};
use crate::error::{DatumError, excerpt};

/// How long each datum of a metric stream goes.
const PERIOD: Duration = Duration::from_secs(60);
/// Most statistics of one datum: the four that each has, and the twenty that can be added.
const STATISTICS_MAX: usize = 24;

/// One metric over one minute.
#[derive(Debug, Deserialize)]
struct Datum<'a> {
    #[serde(borrow)]
    account_id: Cow<'a, str>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    metric_name: Cow<'a, str>,
    #[serde(borrow)]
    dimensions: Pairs<'a, Text<'a>>,
    /// The start of the minute, in milliseconds.
    timestamp: i64,
    #[serde(borrow)]
    value: Pairs<'a, Option<f64>>,
}

/// Appends the samples of one line; gives back how many bytes of label text they took.
///
/// Beside `count`, `sum`, `min`, `max` and whatever percentiles the stream was asked for, the average follows from the
/// first two, since boards ask for it.
///
/// # Errors
/// When the line is no datum of a metric stream, or a series of it is over a limit: those before it are appended then.
pub fn push(line: &[u8], window: &Window<'_>, batch: &mut BatchBuilder) -> Result<usize, DatumError> {
    let datum: Datum<'_> = serde_json::from_slice(line).map_err(|error| not_a_datum(line, &error))?;
    if datum.value.0.len() > STATISTICS_MAX {
        return Err(DatumError::TooManyStatistics { limit: STATISTICS_MAX });
    }
    let metric = Metric {
        namespace: &datum.namespace,
        name: &datum.metric_name,
        account: Some(&datum.account_id),
        region: &datum.region,
    };
    let dimensions = datum.dimensions.0.iter().map(|(name, value)| (name.as_ref(), value.0.as_ref()));
    let series = SeriesOf::new(metric, dimensions, window)?;
    let timestamp = Timestamp::from_millis(datum.timestamp) + PERIOD;
    let mut text_bytes = 0;
    for (statistic, value) in statistics(&datum.value.0) {
        text_bytes += series.push(statistic, &[Sample { timestamp, value }], batch)?;
    }
    Ok(text_bytes)
}

/// The statistics by the names that CloudWatch's API has for them.
fn statistics<'a>(values: &'a [(Cow<'_, str>, Option<f64>)]) -> impl Iterator<Item = (&'a str, f64)> {
    let named = |wanted: &str| values.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| *value);
    let average = named("sum").zip(named("count")).filter(|(_, count)| *count > 0.0).map(|(sum, count)| sum / count);
    let given = values.iter().filter_map(|(name, value)| {
        let name = match name.as_ref() {
            "count" => "SampleCount",
            "sum" => "Sum",
            "min" => "Minimum",
            "max" => "Maximum",
            other => other,
        };
        value.map(|value| (name, value))
    });
    given.chain(average.map(|average| ("Average", average)))
}

fn not_a_datum(line: &[u8], error: &serde_json::Error) -> DatumError {
    if line.first() != Some(&b'{') {
        return DatumError::NotJson { found: excerpt(line) };
    }
    DatumError::NotADatum { reason: error.to_string() }
}

/// A JSON object as the pairs that stand in it, in their order.
#[derive(Debug)]
struct Pairs<'a, T>(Vec<(Cow<'a, str>, T)>);

/// A text that is borrowed where no escape stands in it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Pairs<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
            type Value = Vec<(Cow<'de, str>, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some((Text(name), value)) = map.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_map(PairsVisitor(std::marker::PhantomData)).map(Self)
    }
}
