//! What the tests of several modules build their data with.

use std::sync::Arc;

use model::{Batch, Labels, Sample, Series, Timestamp, stale_nan};
use proptest::prelude::*;

/// A sample as it can be compared: bits, not values.
pub(crate) type Bits = (i64, u64);

/// All samples of all series, sorted, so that two stores of the same samples are equal.
pub(crate) fn bits_of(series: &[Series]) -> Vec<(String, Vec<Bits>)> {
    let one = |series: &Series| {
        let samples = series.samples().map(|sample| (sample.timestamp.as_millis(), sample.value.to_bits()));
        (series.labels.as_ref().as_text().to_owned(), samples.collect())
    };
    let mut all: Vec<_> = series.iter().map(one).collect();
    all.sort();
    all
}

/// Label sets as a few hosts have them, and odd ones.
pub(crate) fn any_labels() -> impl Strategy<Value = Labels> {
    let known = (0..4usize, 0..3usize, 0..3usize).prop_map(|(metric, host, device)| {
        let metric = ["up", "node_cpu_seconds_total", "node_disk_io_now", "見張り"][metric];
        let (host, device) = (format!("host-{host}:9100"), format!("sd{device}"));
        let pairs = [("__name__", metric), ("instance", &host), ("job", "node"), ("device", &device)];
        Labels::from_pairs(pairs).expect("these labels are fine")
    });
    let odd = proptest::collection::btree_map("[A-Za-zé_]{1,6}", "\\PC{1,12}", 0..4).prop_map(|pairs| {
        Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).expect("names differ")
    });
    prop_oneof![4 => known, 1 => odd]
}

/// Values as they are measured, and all others.
pub(crate) fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000i32..1000).prop_map(f64::from),
        2 => (0i32..100_000).prop_map(|number| f64::from(number) / 100.0),
        1 => (0i32..100_000).prop_map(|number| f64::from(number) * 0.001),
        1 => Just(stale_nan()),
        1 => Just(-0.0),
        1 => any::<u64>().prop_map(f64::from_bits),
    ]
}

/// Times at regular steps, mostly.
pub(crate) fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0i64..600).prop_map(|step| Timestamp::from_secs(1_795_000_000 + step * 15)),
        1 => (-10_000_000i64..10_000_000).prop_map(Timestamp::from_millis),
    ]
}

/// A request with anything in it: repeats, shuffled times, series that come twice.
pub(crate) fn any_batch() -> impl Strategy<Value = Batch> {
    let samples = proptest::collection::vec((any_time(), any_value()), 0..5);
    proptest::collection::vec((any_labels(), samples), 0..30).prop_map(|series| {
        let mut batch = Batch::new();
        for (labels, samples) in series {
            let samples = samples.into_iter().map(|(timestamp, value)| Sample { timestamp, value });
            batch.push(labels.as_ref(), samples);
        }
        batch
    })
}

/// Series as a block takes them: distinct, times ascending, with gaps.
pub(crate) fn any_series() -> impl Strategy<Value = Vec<Series>> {
    let samples = proptest::collection::btree_map(any_time(), any_value(), 0..60);
    proptest::collection::btree_map(any_labels(), samples, 0..20).prop_map(|all| {
        let series = |(labels, samples): (Labels, std::collections::BTreeMap<Timestamp, f64>)| Series {
            labels,
            timestamps: samples.keys().copied().collect::<Vec<_>>().into(),
            values: samples.into_values().collect(),
            weights: None,
            resolution: None,
            histograms: None,
        };
        all.into_iter().map(series).collect()
    })
}

/// A scrape loop: every series at the same times, without surprises.
pub(crate) fn scraped(metrics: &[(&str, &[f64])], step_secs: i64) -> Vec<Series> {
    let longest = metrics.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let times: Arc<[Timestamp]> =
        (1i64..).take(longest).map(|index| Timestamp::from_secs(1_795_003_200 + index * step_secs)).collect();
    let one = |(name, values): &(&str, &[f64])| Series {
        labels: Labels::from_pairs([("__name__", *name), ("job", "node")]).expect("these labels are fine"),
        timestamps: times[..values.len()].into(),
        values: values.to_vec(),
        weights: None,
        resolution: None,
        histograms: None,
    };
    metrics.iter().map(one).collect()
}
