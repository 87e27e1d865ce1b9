use model::Labels;
use proptest::prelude::*;

use super::*;
use crate::testing::any_batch;

/// Everything in a batch, in an order that does not depend on that of the series.
fn content(batch: &Batch) -> Vec<(String, Vec<(i64, u64)>)> {
    let one = |series: BatchSeries<'_>| {
        let samples = series.samples().map(|sample| (sample.timestamp.as_millis(), sample.value.to_bits()));
        (series.labels.as_text().to_owned(), samples.collect())
    };
    let mut all: Vec<_> = batch.iter().map(one).collect();
    all.sort();
    all
}

fn page(series: i64) -> Batch {
    let mut batch = Batch::new();
    for index in 0..series {
        let cpu = (index / 8).to_string();
        let mode = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"][(index % 8) as usize];
        let pairs = [("__name__", "node_cpu_seconds_total"), ("cpu", &cpu), ("instance", "a:9100"), ("mode", mode)];
        let sample = Sample { timestamp: Timestamp::from_millis(1_795_000_000_123), value: 1.0 };
        batch.push(Labels::from_pairs(pairs).unwrap().as_ref(), [sample]);
    }
    batch
}

#[test]
fn the_order_of_a_page_is_kept_and_a_shuffled_one_is_sorted() {
    let batch = page(400);
    assert_eq!(decode(&encode(&batch)).unwrap(), batch);
    let mut shuffled = Batch::new();
    for index in (0..400).map(|index| index * 277 % 400) {
        let series = batch.series(index);
        shuffled.push(series.labels, series.samples());
    }
    let (tidy, sorted) = (encode(&batch), encode(&shuffled));
    assert_eq!(content(&decode(&sorted).unwrap()), content(&batch));
    assert!(sorted.len() < tidy.len() * 2, "{} against {}", sorted.len(), tidy.len());
}

#[test]
fn a_scrape_takes_few_bytes_a_sample() {
    let blob = encode(&page(400));
    assert!(blob.len() < 400 * 5, "{} bytes", blob.len());
}

#[test]
fn another_version_is_refused_by_name() {
    let mut blob = encode(&page(1));
    blob[0] = 9;
    let error = decode(&blob).unwrap_err();
    assert_eq!(error.to_string(), "wal blob has format version 9, this program reads version 1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_batch_comes_back_bit_by_bit(batch in any_batch()) {
        let decoded = decode(&encode(&batch)).unwrap();
        prop_assert_eq!(content(&decoded), content(&batch));
    }

    #[test]
    fn changed_bytes_are_refused(batch in any_batch(), at: usize, bit in 0u8..8) {
        let mut blob = encode(&batch);
        let at = at % blob.len();
        blob[at] ^= 1u8 << bit;
        prop_assert!(decode(&blob).is_err());
        prop_assert!(decode(&blob[..at]).is_err());
    }

    /// With a checksum that holds, the content must still not be trusted.
    #[test]
    fn nonsense_under_a_good_checksum_does_no_harm(
        batch in any_batch(),
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let blob = encode(&batch);
        let order = Order::of(&batch);
        let mut labels = Batch::new();
        order.series(&batch).for_each(|series| labels.push(series.labels, []));
        let mut runs = encode_runs(&batch, &order);
        for &(at, byte) in &edits {
            let at = at % runs.len();
            runs[at] = byte;
        }
        let values: Vec<f64> = vec![0.0; batch.sample_count()];
        if let Ok(decoded) = decode_series(&runs, &labels, &values) {
            prop_assert_eq!(decoded.sample_count(), batch.sample_count());
        }
        let mut resealed = blob;
        for (at, byte) in edits {
            let at = ENVELOPE_BYTES + at % (resealed.len() - ENVELOPE_BYTES);
            resealed[at] = byte;
        }
        finish_seal(&mut resealed, VERSION);
        drop(decode(&resealed));
    }

    /// The next scrape of the same page, with what the thread remembers of the last one.
    #[test]
    fn the_same_labels_with_other_samples_come_back(batch in any_batch(), value in any::<u64>()) {
        prop_assert_eq!(encode(&batch), encode(&batch));
        let mut next = Batch::new();
        for series in batch.iter() {
            let change = |sample: Sample| Sample { value: f64::from_bits(value), ..sample };
            next.push(series.labels, series.samples().map(change));
        }
        prop_assert_eq!(content(&decode(&encode(&next)).unwrap()), content(&next));
    }
}
