use model::{Buckets, HistogramParts, Labels, Schema, Series};

use super::super::{RollupSeries, aggregate};
use super::*;
use crate::testing::with_histograms;

/// A histogram of one schema, with these counts from bucket 1 on.
fn native(schema: i8, counts: &[f64]) -> Histogram {
    let positive = Buckets::from_run(1, counts.to_vec()).unwrap();
    let count: f64 = counts.iter().sum();
    let schema = Schema::Exponential(schema);
    Histogram::new(HistogramParts { schema, count, sum: count * 2.0, positive, ..Default::default() }).unwrap()
}

/// The rollups of histograms 15 s apart, in spans of a minute.
fn minutes(histograms: Vec<Histogram>) -> Vec<RollupSeries> {
    let at =
        |(index, histogram): (i64, Histogram)| (Timestamp::from_secs(1_795_003_200 + index * 15), Arc::new(histogram));
    let labels = Labels::from_pairs([("__name__", "latency")]).unwrap();
    let samples = (1i64..).zip(histograms).map(at).collect();
    let series = with_histograms(Series::from_samples(labels, &[]), samples);
    super::super::roll_up(&[series], Resolution::Minute, TimeRange::ALL)
}

fn texts(histograms: &[Arc<Histogram>]) -> Vec<String> {
    histograms.iter().map(ToString::to_string).collect()
}

fn of(rollups: &[RollupSeries], wanted: Aggregate) -> HistogramSamples {
    let made = aggregate(rollups.to_vec(), wanted, Resolution::Minute);
    *made[0].histograms.clone().unwrap()
}

#[test]
fn a_span_holds_count_sum_last_and_increase() {
    // Reset before the third; the fifth is in the next span.
    let counts = [[1.0, 5.0], [4.0, 6.0], [2.0, 0.0], [3.0, 1.0], [7.0, 1.0]];
    let rollups = minutes(counts.iter().map(|counts| native(0, counts)).collect());
    let histograms = rollups[0].histograms.as_ref().unwrap();
    assert_eq!(histograms.counts, [4.0, 1.0]);
    assert_eq!(
        texts(&histograms.sums),
        ["{count:22, sum:44, (1,2]:10, (2,4]:12}", "{count:8, sum:16, (1,2]:7, (2,4]:1}"]
    );
    assert_eq!(texts(&histograms.lasts), ["{count:4, sum:8, (1,2]:3, (2,4]:1}", "{count:8, sum:16, (1,2]:7, (2,4]:1}"]);
    assert_eq!(texts(&histograms.increases), ["{count:8, sum:16, (1,2]:6, (2,4]:2}", "{count:4, sum:8, (1,2]:4}"]);
    let average = of(&rollups, Aggregate::Average);
    assert_eq!(texts(&average.values)[0], "{count:5.5, sum:11, (1,2]:2.5, (2,4]:3}");
    assert_eq!(average.weights, Some(vec![4.0, 1.0]));
    let increase = of(&rollups, Aggregate::Increase);
    assert_eq!(texts(&increase.values)[1], "{count:8, sum:16, (1,2]:7, (2,4]:1}");
    assert_eq!(increase.values[1].counter_reset(), CounterReset::NotReset);
}

#[test]
fn a_counter_made_of_increases_starts_again_where_its_buckets_change() {
    let mut all: Vec<Histogram> = (1..=4).map(|step| native(1, &[f64::from(step); 4])).collect();
    all.extend((5..=8).map(|step| native(0, &[f64::from(step) * 2.0; 2])));
    all.extend((9..=12).map(|step| native(1, &[f64::from(step); 4])));
    let increase = of(&minutes(all), Aggregate::Increase);
    let hints: Vec<CounterReset> = increase.values.iter().map(|histogram| histogram.counter_reset()).collect();
    assert_eq!(hints, [CounterReset::Unknown, CounterReset::Reset, CounterReset::Reset]);
    assert_eq!(increase.values[1].to_string(), "{count:16, sum:32, (1,2]:8, (2,4]:8}");
    // Buckets that became finer are a reset in the raw samples, too: 12 of each, not 4.
    let finer = &increase.values[2];
    assert_eq!((finer.schema().number(), finer.parts().positive.counts()), (1, &[12.0; 4][..]));
}

#[test]
fn of_two_kinds_of_buckets_in_a_span_the_later_one_stays() {
    let custom = |count: f64| {
        let schema = Schema::Custom([1.0, 2.0].into());
        let positive = Buckets::from_run(0, vec![count]).unwrap();
        Histogram::new(HistogramParts { schema, count, positive, ..Default::default() }).unwrap()
    };
    let rollups = minutes(vec![native(0, &[1.0]), custom(3.0), custom(5.0)]);
    let histograms = rollups[0].histograms.as_ref().unwrap();
    assert_eq!(histograms.counts, [3.0]);
    assert_eq!(texts(&histograms.sums), ["{count:8, sum:0, [-Inf,1]:8}"]);
    assert_eq!(texts(&histograms.increases), ["{count:5, sum:0, [-Inf,1]:5}"]);
}
