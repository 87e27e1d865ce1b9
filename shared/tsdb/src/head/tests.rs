use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::hour::hour_range;
use crate::testing::{any_batch, bits_of, with_histograms};
use crate::{Block, merge};

/// What a batch holds, merged the slow way.
fn expected(batches: &[Batch]) -> Vec<Series> {
    let one = |batch: &Batch| -> Vec<Vec<Series>> {
        let sample = |series: BatchSeries<'_>| -> Vec<Vec<Series>> {
            let labels = series.labels.to_labels();
            let numbers = series.samples().map(|sample| vec![Series::from_samples(labels.clone(), &[sample])]);
            let native = series.histograms.iter().map(|sample| {
                let samples = vec![(sample.timestamp, Arc::clone(&sample.histogram))];
                vec![with_histograms(Series::from_samples(labels.clone(), &[]), samples)]
            });
            numbers.chain(native).collect()
        };
        batch.iter().flat_map(sample).collect()
    };
    merge(batches.iter().flat_map(one).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_head_gives_what_was_appended_whatever_the_order(batches in proptest::collection::vec(any_batch(), 0..5)) {
        let mut head = Head::new();
        batches.iter().for_each(|batch| head.append(batch));
        let mut turned = Head::new();
        batches.iter().rev().for_each(|batch| turned.append(batch));
        batches.iter().for_each(|batch| turned.append(batch));
        let expected = bits_of(&expected(&batches));
        prop_assert_eq!(&bits_of(&head.select(&[], TimeRange::ALL)), &expected);
        prop_assert_eq!(&bits_of(&turned.select(&[], TimeRange::ALL)), &expected);
        let mut sorted = turned.clone();
        sorted.sort();
        prop_assert_eq!(&bits_of(&sorted.select(&[], TimeRange::ALL)), &expected);
        for time in turned.select(&[], TimeRange::ALL).iter().flat_map(|series| series.timestamps.to_vec()) {
            let range = TimeRange::new(time, time + std::time::Duration::from_secs(30));
            prop_assert_eq!(bits_of(&sorted.select(&[], range)), bits_of(&head.select(&[], range)));
            prop_assert_eq!(sorted.count(&[], range), turned.count(&[], range));
        }
        for (batch, minute) in batches.iter().zip(1..) {
            sorted.append_arrived(batch, minute);
            sorted.sort();
            sorted.forget_through(minute);
        }
        prop_assert!(sorted.select(&[], TimeRange::ALL).is_empty());
    }

    #[test]
    fn chunks_hold_all_samples_each_in_its_hour(batches in proptest::collection::vec(any_batch(), 0..5)) {
        let mut head = Head::new();
        batches.iter().for_each(|batch| head.append(batch));
        let mut parts = Vec::new();
        for (hour, bytes) in head.cut() {
            let block = Block::open(Bytes::from(bytes)).unwrap();
            let range = block.time_range().unwrap();
            let hour = hour_range(hour);
            prop_assert!(hour.start <= range.start && range.end <= hour.end);
            parts.push(block.select(&[], TimeRange::ALL).unwrap());
        }
        prop_assert_eq!(bits_of(&merge(parts)), bits_of(&head.select(&[], TimeRange::ALL)));
        let chunks = head.cut();
        head.sort();
        prop_assert_eq!(head.cut(), chunks, "the order of a block does not depend on that of the head");
    }

    #[test]
    fn what_arrived_through_a_minute_is_cut_and_forgotten_and_nothing_else(
        batches in proptest::collection::vec((any_batch(), -1..3i64), 0..6), minute in -2..4i64,
    ) {
        let head_of = |wanted: &dyn Fn(i64) -> bool| {
            let mut head = Head::new();
            let chosen = batches.iter().filter(|(_, arrived)| wanted(*arrived));
            chosen.for_each(|(batch, arrived)| head.append_arrived(batch, *arrived));
            head
        };
        let (closed, open) = (head_of(&|arrived| arrived <= minute), head_of(&|arrived| arrived > minute));
        let mut head = head_of(&|_| true);
        prop_assert_eq!(head.count_through(minute), closed.sample_count());
        let mut parts = Vec::new();
        for (_, bytes) in head.cut_through(minute) {
            parts.push(Block::open(Bytes::from(bytes)).unwrap().select(&[], TimeRange::ALL).unwrap());
        }
        prop_assert_eq!(bits_of(&merge(parts)), bits_of(&closed.select(&[], TimeRange::ALL)));
        head.forget_through(minute);
        prop_assert_eq!(head.sample_count(), open.sample_count());
        prop_assert_eq!(head.count_through(minute), 0);
        // What comes later finds its series again.
        let mut head_after = open;
        for (batch, arrived) in &batches {
            head.append_arrived(batch, *arrived + 10);
            head_after.append_arrived(batch, *arrived + 10);
        }
        prop_assert_eq!(bits_of(&head.select(&[], TimeRange::ALL)), bits_of(&head_after.select(&[], TimeRange::ALL)));
        prop_assert_eq!(head.series_count(), head_after.series_count());
        for series in head_after.select(&[], TimeRange::ALL) {
            let one = [Matcher::equal(METRIC_NAME, series.labels.metric_name())];
            prop_assert_eq!(bits_of(&head.select(&one, TimeRange::ALL)), bits_of(&head_after.select(&one, TimeRange::ALL)));
        }
    }
}
