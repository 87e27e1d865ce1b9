//! Histograms as senders have them.

use model::{BucketSpan, Buckets, CounterReset, Histogram, HistogramParts, Schema};
use proptest::prelude::*;

/// Counts of neighbouring buckets, and how many buckets are left out before them.
type Runs = Vec<(i32, Vec<u32>)>;

fn buckets(first: i32, runs: &Runs, count: impl Fn(u32) -> f64) -> Buckets {
    let spans = runs.iter().enumerate().map(|(index, (gap, counts))| BucketSpan {
        offset: if index == 0 { first } else { *gap },
        length: u32::try_from(counts.len()).unwrap(),
    });
    let counts = runs.iter().flat_map(|(_, counts)| counts.iter().map(|one| count(*one)));
    Buckets::new(spans.collect(), counts.collect()).unwrap()
}

fn any_runs() -> impl Strategy<Value = Runs> {
    proptest::collection::vec((0..40, proptest::collection::vec(0u32..100_000, 0..6)), 0..4)
}

/// A measured histogram of either form and kind.
pub(in crate::remote_write) fn any_histogram() -> impl Strategy<Value = Histogram> {
    let bounds = proptest::option::weighted(0.3, proptest::collection::btree_set(-1000i32..1000, 0..8));
    let sum = prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY)];
    let hints = prop_oneof![
        Just(CounterReset::Unknown),
        Just(CounterReset::Reset),
        Just(CounterReset::NotReset),
        Just(CounterReset::Gauge)
    ];
    let numbers = (0u32..100_000, any::<bool>(), sum, hints, -4i8..=8, -500..500);
    (numbers, any_runs(), any_runs(), bounds).prop_map(|(numbers, positive, negative, bounds)| {
        let (zero, is_whole, sum, counter_reset, schema, first) = numbers;
        let count = |one: u32| if is_whole { f64::from(one) } else { f64::from(one) + 0.3 };
        let mut parts = match bounds {
            Some(bounds) => {
                let counts = vec![count(zero); bounds.len() + 1];
                let bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
                let positive = Buckets::from_run(0, counts).unwrap();
                HistogramParts { schema: Schema::Custom(bounds.into()), positive, ..HistogramParts::default() }
            }
            None => HistogramParts {
                schema: Schema::Exponential(schema),
                zero_threshold: 0.001,
                zero_count: count(zero),
                positive: buckets(first, &positive, count),
                negative: buckets(-first, &negative, count),
                ..HistogramParts::default()
            },
        };
        (parts.sum, parts.counter_reset) = (if model::is_stale(sum) { 1.0 } else { sum }, counter_reset);
        let counts = parts.positive.counts().iter().chain(parts.negative.counts());
        parts.count = counts.fold(parts.zero_count, |all, one| all + one);
        Histogram::new(parts).unwrap()
    })
}
