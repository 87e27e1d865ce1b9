use std::sync::Arc;

use model::{Buckets, Histogram, HistogramParts, TimedHistogram, stale_nan};
use proptest::prelude::*;

use super::super::{histogram, put_sample};
use super::*;
use crate::protobuf::{put_bytes, put_varint};
use crate::snappy;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, number, content);
    out
}

fn request(symbols: &[&[u8]], series: &[Vec<u8>]) -> Vec<u8> {
    let symbols = symbols.iter().map(|symbol| field(request::SYMBOLS, symbol));
    let series = series.iter().map(|series| field(request::SERIES, series));
    symbols.chain(series).collect::<Vec<_>>().concat()
}

fn labels(references: &[u64]) -> Vec<u8> {
    let mut packed = Vec::new();
    references.iter().for_each(|reference| put_varint(&mut packed, *reference));
    field(series::LABELS_REFS, &packed)
}

fn number(value: f64) -> Vec<u8> {
    let mut out = Vec::new();
    put_sample(&mut out, model::Sample { timestamp: NOW, value });
    // The start of counting, which newer senders add.
    put_varint(&mut out, tag(3, VARINT));
    put_varint(&mut out, 1_799_999_000_000);
    field(series::SAMPLE, &out)
}

fn native(count: f64, sum: f64) -> Vec<u8> {
    let positive = Buckets::from_run(1, vec![count]).unwrap();
    let histogram = Histogram::new(HistogramParts { count, sum, positive, ..HistogramParts::default() }).unwrap();
    let mut out = Vec::new();
    histogram::put(&mut out, &TimedHistogram { timestamp: NOW, histogram: Arc::new(histogram) });
    field(series::HISTOGRAM, &out)
}

const SYMBOLS: [&[u8]; 9] = [b"", b"__name__", b"up", b"job", b"api", b"requests", b"help text", b"bad\xff", b"le"];

fn decode_fine(message: &[u8]) -> Decoded {
    decode_message(message, &Limits::default(), NOW).unwrap()
}

#[test]
fn labels_are_looked_up_and_what_stands_beside_samples_is_kept() {
    let exemplar = |references: &[u64]| {
        field(series::EXEMPLAR, &[labels(references), vec![0x18, 0x80, 0xa0, 0xf1, 0xc2, 0xb1, 0x34]].concat())
    };
    let metadata = field(series::METADATA, &[0x08, 0x01, 0x18, 0x06]);
    let unknown_help = field(series::METADATA, &[0x08, 0x01, 0x18, 0x60]);
    let one = [labels(&[1, 2, 3, 4]), number(1.0), exemplar(&[3, 4]), exemplar(&[3]), metadata.clone()].concat();
    let two = [native(3.0, 4.5), native(2.0, stale_nan()), labels(&[1, 5]), number(2.0), unknown_help].concat();
    // What is refused brings nothing.
    let refused = [labels(&[3, 4]), number(1.0), exemplar(&[3, 4]), exemplar(&[3]), metadata.clone()].concat();
    let decoded = decode_fine(&request(&SYMBOLS, &[one, two, [labels(&[1, 2]), metadata].concat(), refused]));
    let batch = &decoded.batch;
    assert_eq!(batch.series_count(), 2, "a series without samples is none");
    assert_eq!(batch.series(0).labels.to_string(), r#"up{job="api"}"#);
    assert_eq!(batch.series(1).labels.to_string(), "requests");
    assert_eq!(batch.series(1).histograms[0].histogram.to_string(), "{count:3, sum:4.5, (1,2]:3}");
    assert_eq!((decoded.numbers(), decoded.histograms()), (2, 2), "a marker counts as what it came as");
    assert_eq!((decoded.exemplars_skipped, decoded.metadata_skipped), (1, 1));
    assert_eq!(decoded.metadata.len(), 1, "said twice, kept once");
    let (said, kept) = (&decoded.metadata[0], &decoded.exemplars[0]);
    assert_eq!((said.metric.as_str(), said.metric_type, said.help.as_str()), ("up", MetricType::Counter, "help text"));
    assert_eq!(
        (kept.series.to_string(), kept.exemplar.labels.to_string()),
        (r#"up{job="api"}"#.to_owned(), r#"{job="api"}"#.to_owned())
    );
    assert_eq!((kept.exemplar.timestamp, decoded.exemplars.len()), (NOW, 1));
    assert_eq!(decoded.refused.map(|(count, _)| count), Some(1));
}

#[test]
fn a_bad_series_is_left_out_and_the_others_are_taken() {
    let fine = [labels(&[1, 2]), number(1.0)].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            [labels(&[1, 2, 3]), number(1.0)].concat(),
            "3 references to symbols, which make no pairs of names and values",
        ),
        ([labels(&[1, 2, 3, 44]), number(1.0)].concat(), "a label refers to symbol 44 of 9"),
        ([labels(&[3, 4]), number(1.0)].concat(), "no metric name: the label \"__name__\" is missing"),
        ([labels(&[1, 2, 3, 7]), number(1.0)].concat(), "the value of label \"job\" is not valid UTF-8"),
        ([labels(&[3, 4, 1, 2]), number(1.0)].concat(), "labels are not sorted: \"__name__\" follows \"job\""),
        ([labels(&[1, 2, 3, 4, 3, 4]), number(1.0)].concat(), "duplicate label name \"job\""),
        (
            [
                labels(&[1, 2]),
                number(1.0),
                field(series::HISTOGRAM, &[0x08, 0x05, 0x78, 0x80, 0xa0, 0xf1, 0xc2, 0xb1, 0x34]),
            ]
            .concat(),
            "sample 1 at 1800000000: histogram counts 5 observations, its buckets 0",
        ),
        (
            [labels(&[1, 2]), field(series::SAMPLE, &[0x10, 1])].concat(),
            "sample 0 at 0.001 is older than the limit of 1w (sample_age_max)",
        ),
    ];
    for (bad, expected) in cases {
        let decoded = decode_fine(&request(&SYMBOLS, &[fine.clone(), bad.clone(), fine.clone()]));
        assert_eq!((decoded.batch.series_count(), decoded.numbers(), decoded.histograms()), (2, 2, 0));
        let (count, error) = decoded.refused.unwrap();
        let error = error.to_string();
        assert!(count == 1 && error.starts_with("series 1") && error.ends_with(expected), "{error}");
        let both = decode_fine(&request(&SYMBOLS, &[bad.clone(), fine.clone(), bad]));
        assert_eq!(both.refused.unwrap().0, 2);
    }
}

#[test]
fn a_message_that_is_none_is_refused_as_a_whole() {
    let refuse = |message: &[u8], expected: &str| {
        let error = decode_message(message, &Limits::default(), NOW).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let place = "of the decompressed message";
    refuse(&request(&[b"x"], &[]), "bad symbols: the first one is not empty");
    refuse(&[0x22, 5, 1], &format!("bad protobuf at byte 1 {place}: a field of 5 bytes where only 1 bytes are left"));
    refuse(&[0x20, 1], &format!("bad protobuf at byte 1 {place}: field 4 (symbols) has wire type 0, expected 2"));
    let bad_both = request(&SYMBOLS, &[[labels(&[1]), field(series::SAMPLE, &[0x09, 1])].concat()]);
    let error = decode_message(&bad_both, &Limits::default(), NOW).unwrap_err();
    assert!(error.to_string().ends_with("the message ends inside a number"), "{error}");
    assert_eq!(decode(&snappy::compress(b""), &Limits::default(), NOW).unwrap(), Decoded::default());
}

#[test]
fn a_few_references_do_not_become_a_lot_of_text() {
    let long = "x".repeat(1000);
    let series = [labels(&[1, 2]), number(1.0)].concat();
    let message = request(&[b"", b"__name__", long.as_bytes()], &vec![series; 100]);
    let limits = Limits { decoded_bytes_max: 20_000, ..Limits::default() };
    let decoded = decode_message(&message, &limits, NOW).unwrap();
    let (count, error) = decoded.refused.unwrap();
    assert_eq!((decoded.batch.series_count(), count), (19, 81));
    let expected = "the labels of all series take more than 20000 bytes (decoded_bytes_max)";
    assert!(error.to_string().ends_with(expected), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes, &Limits::default(), NOW));
        drop(decode_message(&bytes, &Limits::default(), NOW));
    }

    #[test]
    fn a_changed_message_is_read_or_refused(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let one = [labels(&[1, 2, 3, 4]), number(1.0), native(3.0, 4.5)].concat();
        let mut message = request(&SYMBOLS, &[one.clone(), one]);
        for (index, byte) in edits {
            let at = index.index(message.len());
            message[at] = byte;
        }
        if let Ok(decoded) = decode_message(&message, &Limits::default(), NOW) {
            prop_assert!(decoded.numbers() + decoded.histograms() == decoded.batch.sample_count());
        }
    }
}
