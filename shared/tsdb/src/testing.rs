//! What the tests of several modules build their data with.

use std::sync::Arc;

use model::{
    Batch, BucketSpan, Buckets, CounterReset, Histogram, HistogramParts, HistogramSamples, Labels, Sample, Schema,
    Series, TimedHistogram, Timestamp, stale_nan,
};
use proptest::prelude::*;

use crate::merge::separate;

/// A sample as it can be compared: bits, not values; of a histogram all there is.
pub(crate) type Bits = (i64, u64, String);

/// All samples of all series, sorted, so that two stores of the same samples are equal.
pub(crate) fn bits_of(series: &[Series]) -> Vec<(String, Vec<Bits>)> {
    let one = |series: &Series| {
        let numbers = series.samples().map(|one| (one.timestamp.as_millis(), one.value.to_bits(), String::new()));
        let native = series.histograms.iter().flat_map(|all| all.timestamps.iter().zip(&all.values));
        let native = native.map(|(time, histogram)| (time.as_millis(), 0, told(histogram)));
        (series.labels.as_ref().as_text().to_owned(), numbers.chain(native).collect())
    };
    let mut all: Vec<_> = series.iter().map(one).collect();
    all.sort();
    all
}

/// All of a histogram, its numbers bit by bit.
pub(crate) fn told(histogram: &Histogram) -> String {
    let parts = histogram.parts();
    let counts = parts.positive.counts().iter().chain(parts.negative.counts());
    let numbers = [parts.count, parts.sum, parts.zero_threshold, parts.zero_count];
    let bits: Vec<u64> = numbers.iter().chain(counts).map(|number| number.to_bits()).collect();
    let (positive, negative) = (parts.positive.spans(), parts.negative.spans());
    format!("{:?} {:?} {positive:?} {negative:?} {bits:x?}", parts.schema, parts.counter_reset)
}

/// Buckets that start at an index, with gaps.
fn any_buckets(count: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = Buckets> {
    let run = (0..40i32, proptest::collection::vec(count, 0..5));
    (-300..300i32, proptest::collection::vec(run, 0..4)).prop_map(|(first, runs)| {
        let span = |(index, (gap, counts)): (usize, &(i32, Vec<f64>))| BucketSpan {
            offset: if index == 0 { first } else { *gap },
            length: u32::try_from(counts.len()).expect("a few"),
        };
        let spans = runs.iter().enumerate().map(span).collect();
        Buckets::new(spans, runs.into_iter().flat_map(|(_, counts)| counts).collect()).expect("one count a place")
    })
}

/// Histograms of all kinds, those that calculations give included.
pub(crate) fn any_histogram() -> impl Strategy<Value = Histogram> {
    let count = prop_oneof![
        6 => (0..100_000u32).prop_map(f64::from),
        1 => any_value(),
    ];
    let hint = prop_oneof![
        Just(CounterReset::Unknown),
        Just(CounterReset::Reset),
        Just(CounterReset::NotReset),
        Just(CounterReset::Gauge),
    ];
    let bounds = proptest::option::weighted(0.3, proptest::collection::btree_set(-100..100i32, 0..6));
    let numbers = (count.clone(), any_value(), prop_oneof![Just(0.0), Just(0.001)], count.clone(), hint, -4..=8i8);
    (numbers, any_buckets(count.clone()), any_buckets(count), bounds).prop_map(
        |(numbers, positive, negative, bounds)| {
            let (count, sum, zero_threshold, zero_count, counter_reset, schema) = numbers;
            let parts = HistogramParts { count, sum, counter_reset, ..HistogramParts::default() };
            let parts = match bounds {
                Some(bounds) => {
                    let mut counts = positive.counts().to_vec();
                    counts.truncate(bounds.len() + 1);
                    let schema = Schema::Custom(bounds.into_iter().map(f64::from).collect());
                    HistogramParts { schema, positive: Buckets::from_run(0, counts).expect("a few"), ..parts }
                }
                None => {
                    let schema = Schema::Exponential(schema);
                    HistogramParts { schema, zero_threshold, zero_count, positive, negative, ..parts }
                }
            };
            Histogram::new(parts).expect("these parts fit together")
        },
    )
}

/// The histograms of a series: mostly none; else counters that grow, with changes of anything in between.
pub(crate) fn any_histograms() -> impl Strategy<Value = Vec<(Timestamp, Arc<Histogram>)>> {
    let grows = proptest::collection::vec((any_time(), proptest::option::weighted(0.2, any_histogram())), 1..12);
    let some = (any_histogram(), grows).prop_map(|(first, samples)| {
        let mut now = first;
        let mut all = Vec::new();
        for (time, other) in samples {
            now = other.unwrap_or_else(|| now.map(|count| count + 3.0));
            all.push((time, Arc::new(now.clone())));
        }
        all
    });
    prop_oneof![2 => Just(Vec::new()), 1 => some]
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
    let series = proptest::collection::vec((any_labels(), samples, any_histograms()), 0..30);
    (series, any::<bool>()).prop_map(|(series, is_native)| {
        let mut batch = Batch::new();
        for (labels, samples, histograms) in series {
            let samples = samples.into_iter().map(|(timestamp, value)| Sample { timestamp, value });
            let histograms = histograms.into_iter().filter(|_| is_native);
            let native = histograms.map(|(timestamp, histogram)| TimedHistogram { timestamp, histogram });
            batch.push_native(labels.as_ref(), samples, native);
        }
        batch
    })
}

/// Series as a block takes them: distinct, times ascending, with gaps.
pub(crate) fn any_series() -> impl Strategy<Value = Vec<Series>> {
    let samples = proptest::collection::btree_map(any_time(), any_value(), 0..60);
    let series = proptest::collection::btree_map(any_labels(), (samples, any_histograms()), 0..20);
    (series, any::<bool>()).prop_map(|(all, is_native)| {
        let series = |(labels, (numbers, native)): (Labels, (std::collections::BTreeMap<Timestamp, f64>, Vec<_>))| {
            let numbers: Vec<Sample> =
                numbers.into_iter().map(|(timestamp, value)| Sample { timestamp, value }).collect();
            let native = if is_native { native } else { Vec::new() };
            with_histograms(Series::from_samples(labels, &numbers), native)
        };
        all.into_iter().map(series).collect()
    })
}

/// Puts histograms into a series, in any order; numbers of the same times give way.
pub(crate) fn with_histograms(mut series: Series, native: Vec<(Timestamp, Arc<Histogram>)>) -> Series {
    let native: std::collections::BTreeMap<Timestamp, Arc<Histogram>> = native.into_iter().collect();
    if !native.is_empty() {
        let times: Vec<Timestamp> = native.keys().copied().collect();
        series.histograms = Some(Box::new(HistogramSamples::new(times.into(), native.into_values().collect())));
        separate(&mut series);
    }
    series
}

/// The samples of a series whose times are chosen.
pub(crate) fn chosen(series: &Series, is_chosen: impl Fn(Timestamp) -> bool) -> Series {
    let numbers: Vec<Sample> = series.samples().filter(|sample| is_chosen(sample.timestamp)).collect();
    let native = series.histograms.iter().flat_map(|all| all.timestamps.iter().copied().zip(all.values.clone()));
    let native = native.filter(|(time, _)| is_chosen(*time)).collect();
    with_histograms(Series::from_samples(series.labels.clone(), &numbers), native)
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
