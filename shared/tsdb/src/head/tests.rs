use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::hour::hour_range;
use crate::testing::{any_batch, bits_of};
use crate::{Block, merge};

/// What a batch holds, merged the slow way.
fn expected(batches: &[Batch]) -> Vec<Series> {
    let one = |batch: &Batch| -> Vec<Vec<Series>> {
        let sample = |series: model::BatchSeries<'_>| -> Vec<Vec<Series>> {
            let labels = series.labels.to_labels();
            series.samples().map(|sample| vec![Series::from_samples(labels.clone(), &[sample])]).collect()
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
        prop_assert_eq!(bits_of(&turned.select(&[], TimeRange::ALL)), expected);
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
    }
}
