//! Recorded requests of Firehose that bring metric streams.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::{Failed, Trial};
use model::{Limits, Timestamp};
use serde_json::{Value, json};
use wire::cloudwatch::firehose::{Delivery, decode};

pub(crate) fn trials(folder: &Path) -> Vec<Trial> {
    let folder = folder.join("cloudwatch-metric-streams");
    let trial = |name: &'static str, check: fn(&[u8]) -> Result<(), Failed>| {
        let path = folder.join(name);
        Trial::test(format!("metric stream {name}"), move || check(&std::fs::read(&path)?))
    };
    vec![
        trial("telegraf-firehose-records.json", every_datum_is_taken),
        trial("telegraf-record.json", every_datum_is_taken),
        trial("single_record", |record| every_datum_is_taken(&around(record))),
        trial("invalid_records", every_line_is_named),
    ]
}

/// A request with one record.
fn around(record: &[u8]) -> Vec<u8> {
    let request = json!({ "requestId": "a", "timestamp": 1, "records": [{ "data": STANDARD.encode(record) }] });
    request.to_string().into_bytes()
}

/// The datum's lines as plain JSON.
fn data(request: &[u8]) -> Result<Vec<Value>, Failed> {
    let request: Value = serde_json::from_slice(request)?;
    let mut data = Vec::new();
    for record in request["records"].as_array().unwrap() {
        let text = String::from_utf8(STANDARD.decode(record["data"].as_str().unwrap())?)?;
        for line in text.lines() {
            data.push(serde_json::from_str(line)?);
        }
    }
    Ok(data)
}

fn read(request: &[u8], newest_millis: i64) -> Result<Delivery, Failed> {
    let now = Timestamp::from_millis(newest_millis + 180_000);
    decode(request, None, &Limits::default(), now).map_err(|error| error.to_string().into())
}

/// Each datum gives its four statistics and the average, with the values that stand in it.
fn every_datum_is_taken(request: &[u8]) -> Result<(), Failed> {
    let data = data(request)?;
    let newest = data.iter().map(|datum| datum["timestamp"].as_i64().unwrap()).max().unwrap();
    let delivery = read(request, newest)?;
    let mut read: Vec<(String, i64, f64)> = Vec::new();
    for series in delivery.batch.iter() {
        assert_eq!(series.values.len(), 1);
        read.push((series.labels.to_string(), series.timestamps[0].as_millis(), series.values[0]));
    }
    if delivery.data != data.len() || delivery.problems.count != 0 || read.len() != 5 * data.len() {
        return Err(format!("{} data, {} taken, {} samples", data.len(), delivery.data, read.len()).into());
    }
    for (datum, samples) in data.iter().zip(read.chunks(5)) {
        let value = |name: &str| datum["value"][name].as_f64().unwrap();
        let minute = datum["timestamp"].as_i64().unwrap() + 60_000;
        let expected = [
            ("sample_count", value("count")),
            ("sum", value("sum")),
            ("maximum", value("max")),
            ("minimum", value("min")),
            ("average", value("sum") / value("count")),
        ];
        for (statistic, value) in expected {
            let is_this = |(labels, time, found): &(String, i64, f64)| {
                let named = labels.split('{').next().unwrap().ends_with(&format!("_{statistic}"));
                named && *time == minute && found.to_bits() == value.to_bits()
            };
            let Some((labels, ..)) = samples.iter().find(|sample| is_this(sample)) else {
                return Err(format!("no {statistic} of {value} at {minute} in {samples:?}").into());
            };
            let dimensions = datum["dimensions"].as_object().unwrap().iter();
            let labels_of = dimensions.map(|(name, value)| format!("dimension_{name}={value}"));
            for text in labels_of.chain([format!("region={}", datum["region"])]) {
                if !labels.contains(&text) {
                    return Err(format!("{labels} is without {text}").into());
                }
            }
        }
    }
    Ok(())
}

/// Lines of another kind are all refused, each with its place.
fn every_line_is_named(record: &[u8]) -> Result<(), Failed> {
    let delivery = read(&around(record), 0)?;
    let lines = String::from_utf8(record.to_vec())?.lines().count();
    let message = delivery.problems.message().unwrap_or_default();
    let all_named = (1..=lines).all(|line| message.contains(&format!("record 0, line {line}: not a datum")));
    if (delivery.data, delivery.problems.count) == (0, lines) && all_named { Ok(()) } else { Err(message.into()) }
}
