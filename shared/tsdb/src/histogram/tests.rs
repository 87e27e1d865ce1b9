use model::CounterReset::{NotReset, Unknown};
use proptest::prelude::*;

use super::*;
use crate::testing::{any_histogram, any_histograms, told};

fn written(histograms: &[Arc<Histogram>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_all(&mut out, histograms.iter().map(AsRef::as_ref));
    out
}

fn read(bytes: &[u8], count: usize) -> Result<Vec<Arc<Histogram>>> {
    let mut reader = Reader::new(bytes, "test");
    let all = read_all(&mut reader, count)?;
    reader.end()?;
    Ok(all)
}

fn texts(histograms: &[Arc<Histogram>]) -> Vec<String> {
    histograms.iter().map(|histogram| told(histogram)).collect()
}

fn counter(counts: &[f64], sum: f64, counter_reset: CounterReset) -> Arc<Histogram> {
    let positive = Buckets::from_run(3, counts.to_vec()).unwrap();
    let count = counts.iter().sum();
    Arc::new(Histogram::new(HistogramParts { count, sum, positive, counter_reset, ..Default::default() }).unwrap())
}

#[test]
fn a_counter_takes_a_byte_a_bucket_and_less_than_that_once_packed() {
    let first = counter(&[10.0, 2000.0, 30.0], 1.5, Unknown);
    let next = counter(&[12.0, 2050.0, 30.0], 1.5, NotReset);
    let one = written(std::slice::from_ref(&first));
    let two = written(&[first, next]);
    // The head, the sum, all observations (two bytes), the zero bucket and three buckets.
    assert_eq!(two.len() - one.len(), 1 + 1 + 1 + 1 + 3);
}

#[test]
fn a_claim_of_too_much_is_refused_before_memory_is_taken() {
    let mut bytes = vec![0];
    put_signed(&mut bytes, 0);
    put_bits(&mut bytes, 0.0, 0.0);
    put_varint(&mut bytes, 1);
    put_signed(&mut bytes, 0);
    put_varint(&mut bytes, u64::from(u32::MAX));
    put_varint(&mut bytes, 0);
    bytes.extend([0; 10]);
    let error = read(&bytes, 1).unwrap_err();
    assert_eq!(error.to_string(), "histogram is malformed: there are more buckets than follow");
    assert!(read(&bytes, usize::MAX).is_err());
    assert_eq!(
        read(&[FLAG_SAME_SHAPE], 1).unwrap_err().to_string(),
        "histogram is malformed: the first one has no one before it"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_histograms_come_back_bit_by_bit(histograms in proptest::collection::vec(any_histogram().prop_map(Arc::new), 0..6)) {
        let bytes = written(&histograms);
        prop_assert_eq!(texts(&read(&bytes, histograms.len()).unwrap()), texts(&histograms));
    }

    #[test]
    fn series_with_changes_in_between_come_back_bit_by_bit(samples in any_histograms()) {
        let histograms: Vec<Arc<Histogram>> = samples.into_iter().map(|(_, histogram)| histogram).collect();
        let bytes = written(&histograms);
        prop_assert_eq!(texts(&read(&bytes, histograms.len()).unwrap()), texts(&histograms));
    }

    #[test]
    fn changed_bytes_are_read_or_refused(
        histograms in proptest::collection::vec(any_histogram().prop_map(Arc::new), 1..4),
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = written(&histograms);
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        drop(read(&bytes, histograms.len()));
    }

    #[test]
    fn of_two_the_same_one_stays_whichever_comes_first(one in any_histogram(), two in any_histogram()) {
        prop_assert_eq!(order(&one, &two), order(&two, &one).reverse());
        prop_assert_eq!(order(&one, &two).is_eq(), told(&one) == told(&two));
    }
}
