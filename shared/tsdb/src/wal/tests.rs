use model::Labels;
use proptest::prelude::*;

use super::*;
use crate::testing::{Bits, any_batch, told};

/// Everything in a batch, in an order that does not depend on that of the series.
fn content(batch: &Batch) -> Vec<(String, Vec<Bits>)> {
    let one = |series: BatchSeries<'_>| {
        let numbers = series.samples().map(|one| (one.timestamp.as_millis(), one.value.to_bits(), String::new()));
        let native = series.histograms.iter().map(|one| (one.timestamp.as_millis(), 0, told(&one.histogram)));
        (series.labels.as_text().to_owned(), numbers.chain(native).collect())
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
fn blobs_of_numbers_alone_are_what_they_were() {
    assert_eq!(encode(&page(1))[0], 2, "the version");
}

#[test]
fn another_version_is_refused_by_name() {
    let mut blob = encode(&page(1));
    blob[0] = 9;
    let error = decode(&blob).unwrap_err();
    assert_eq!(error.to_string(), "wal blob has format version 9, this program reads version 3");
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
        let sets: Vec<LabelsRef<'_>> = order.series(&batch).map(|series| series.labels).collect();
        let mut runs = encode_runs(&batch, &order);
        for &(at, byte) in &edits {
            let at = at % runs.len();
            runs[at] = byte;
        }
        let numbers = batch.sample_count() - batch.histogram_count();
        let values = vec![0; numbers];
        if count_samples(&runs) == Ok(values.len()) {
            let mut values = ValueReader::new(&values, values.len()).unwrap();
            if let Ok(decoded) = decode_series(&runs, &mut sets.into_iter(), &mut values, Vec::new()) {
                prop_assert_eq!(decoded.sample_count(), numbers);
            }
        }
        let mut resealed = blob;
        for (at, byte) in edits {
            let at = ENVELOPE_BYTES + at % (resealed.len() - ENVELOPE_BYTES);
            resealed[at] = byte;
        }
        let version = resealed[0];
        finish_seal(&mut resealed, version);
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

    /// Layouts made from some batches serve any other: what they do not know stands in the blob.
    #[test]
    fn any_batch_comes_back_with_any_layouts(batch in any_batch(), others in proptest::collection::vec(any_batch(), 0..3)) {
        let (dictionary, all) = dictionary_of(&others);
        let blob = encode_with(&batch, &dictionary);
        let named = layouts(&blob).unwrap();
        let given: Layouts = all.into_iter().filter(|(hash, _)| named.contains(hash)).collect();
        prop_assert_eq!(given.len(), named.len(), "only stored layouts are named");
        prop_assert_eq!(content(&decode_with(&blob, &given).unwrap()), content(&batch));
        if let Some(hash) = named.first() {
            prop_assert_eq!(decode(&blob), Err(TsdbError::UnknownLayout { hash: *hash }));
        }
    }

    #[test]
    fn nonsense_about_layouts_does_no_harm(
        batch in any_batch(),
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let (dictionary, all) = dictionary_of(std::slice::from_ref(&batch));
        let mut blob = encode_with(&batch, &dictionary);
        for (at, byte) in edits {
            let at = ENVELOPE_BYTES + at % (blob.len() - ENVELOPE_BYTES);
            blob[at] = byte;
        }
        let version = blob[0];
        finish_seal(&mut blob, version);
        drop(decode_with(&blob, &all));
    }

    #[test]
    fn a_layout_reads_back_and_a_changed_one_is_refused(batch in any_batch(), at: usize, bit in 0u8..8) {
        for layout in Layout::cut(batch.iter().map(|series| series.labels)) {
            let mut bytes = layout.encode();
            prop_assert_eq!(Layout::decode(&bytes), Ok(layout));
            let at = at % bytes.len();
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Layout::decode(&bytes).is_err());
        }
    }
}

fn dictionary_of(batches: &[Batch]) -> (Dictionary, Layouts) {
    let (mut dictionary, mut all) = (Dictionary::default(), Layouts::new());
    for batch in batches {
        for layout in Layout::cut(batch.iter().map(|series| series.labels)) {
            dictionary.insert(&layout);
            all.insert(layout.hash(), Arc::new(layout));
        }
    }
    (dictionary, all)
}

fn part(batch: &Batch, range: std::ops::Range<usize>) -> Batch {
    let mut out = Batch::new();
    range.for_each(|index| out.push(batch.series(index).labels, batch.series(index).samples()));
    out
}

#[test]
fn requests_that_are_cut_elsewhere_need_no_new_layouts() {
    let all = page(3000);
    let (dictionary, layouts_of_all) = dictionary_of(std::slice::from_ref(&all));
    for range in [0..3000, 17..40, 1500..3000, 2999..3000] {
        let batch = part(&all, range);
        let (alone, named) = (encode(&batch), encode_with(&batch, &dictionary));
        assert_eq!(decode_with(&named, &layouts_of_all).unwrap(), batch);
        assert!(named.len() < 300, "{} bytes, {} alone", named.len(), alone.len());
    }
}

#[test]
fn layouts_end_at_the_same_series_wherever_a_row_starts() {
    let all = page(6000);
    let hashes = |start: usize| -> Vec<u128> {
        let sets = (start..6000).map(|index| all.series(index).labels);
        Layout::cut(sets).iter().map(Layout::hash).collect()
    };
    let (whole, later) = (hashes(0), hashes(100));
    assert!(whole.len() > 4, "{} layouts", whole.len());
    assert!(later.len() > 4 && whole.ends_with(&later[1..]), "{whole:x?} {later:x?}");
}
