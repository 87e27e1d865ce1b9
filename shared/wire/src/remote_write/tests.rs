use std::sync::Arc;
use std::time::Duration;

use model::{Labels, STALE_NAN_BITS, TimeRange, TimedHistogram};
use proptest::prelude::*;

use super::histogram::testing::any_histogram;
use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Limits under which every time is fine, as for recorded bodies.
fn any_time() -> Limits {
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    Limits { sample_age_max: century, sample_ahead_max: century, ..Limits::default() }
}

/// A field of bytes of a protobuf message.
fn field(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, number, content.as_ref());
    out
}

fn label(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    field(series::LABEL, [field(label::NAME, name), field(label::VALUE, value)].concat())
}

fn sample_at(timestamp: Timestamp, value: f64) -> Vec<u8> {
    let mut out = Vec::new();
    put_sample(&mut out, Sample { timestamp, value });
    field(series::SAMPLE, out)
}

fn one_series(parts: &[Vec<u8>]) -> Vec<u8> {
    field(request::SERIES, parts.concat())
}

fn name(value: &str) -> Vec<u8> {
    label("__name__", value)
}

fn fine() -> Vec<u8> {
    one_series(&[name("up"), label("job", "api"), sample_at(NOW, 1.0)])
}

fn refuse(message: &[u8], expected: &str) {
    let error = decode_message(message, &Limits::default(), NOW).unwrap_err();
    assert_eq!(error.to_string(), expected, "{message:02x?}");
}

#[test]
fn every_bad_series_is_refused_with_cause_and_place() {
    let long = "x".repeat(1025);
    let many: Vec<Vec<u8>> = (0..40).map(|index| label(format!("l{index:02}"), "v")).collect();
    let large: Vec<Vec<u8>> = (0..20).map(|index| label(format!("l{index:02}"), "v".repeat(1000))).collect();
    let now = || sample_at(NOW, 1.0);
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![name("up"), label("b", "1"), label("a", "1"), now()], "(up): labels are not sorted: \"a\" follows \"b\""),
        (vec![name("up"), label("a", "1"), label("a", "2"), now()], "(up): duplicate label name \"a\""),
        (vec![label("", "1"), name("up"), now()], "(up): label with an empty name (its value is \"1\")"),
        (vec![label("job", "api"), now()], ": no metric name: the label \"__name__\" is missing"),
        (vec![now()], ": no metric name: the label \"__name__\" is missing"),
        (vec![], ": no metric name: the label \"__name__\" is missing"),
        (vec![name(""), now()], ": the metric name (label \"__name__\") is empty"),
        (vec![name("up"), label(b"a\xff", "1"), now()], "(up): the label name \"a\u{fffd}\" is not valid UTF-8"),
        (vec![label("__name__", b"u\xff"), now()], "(u\u{fffd}): the value of label \"__name__\" is not valid UTF-8"),
        (
            vec![name("up"), label("a", b"\xe8\xa6"), label("b", b"\x8b")],
            "(up): the value of label \"a\" is not valid UTF-8",
        ),
        ([vec![name("up")], many].concat(), "(up): more than 40 labels (labels_per_series_max)"),
        (
            vec![name("up"), label(&long, "1"), now()],
            "(up): label name \"NAME\"… of 1025 bytes is over the limit of 1024 bytes (label_name_bytes_max)",
        ),
        (
            vec![name("up"), label("a", &long), now()],
            "(up): the value of label \"a\" has 1025 bytes, over the limit of 1024 bytes (label_value_bytes_max)",
        ),
        (
            [vec![name("up")], large].concat(),
            "(up): the label set is over the limit of 16384 bytes (label_set_bytes_max), at label \"l16\"",
        ),
        (
            vec![name("up"), now(), sample_at(NOW - Duration::from_secs(7 * 86_400 + 1), 1.0)],
            "(up): sample 1 at 1799395199 is older than the limit of 1w (sample_age_max)",
        ),
        (
            vec![name("up"), sample_at(NOW + Duration::from_secs(601), 1.0)],
            "(up): sample 0 at 1800000601 is further ahead of our clock than the limit of 10m (sample_ahead_max)",
        ),
    ];
    for (parts, expected) in cases {
        let separator = if expected.starts_with(':') { "" } else { " " };
        let expected = format!("series 1{separator}{}", expected.replace("NAME", &long[..80]));
        refuse(&[fine(), one_series(&parts), fine()].concat(), &expected);
    }
}

#[test]
fn bad_protobuf_is_refused_at_its_byte() {
    let place =
        |offset: usize, problem: &str| format!("bad protobuf at byte {offset} of the decompressed message: {problem}");
    let good = fine();
    let (at, cut) = (good.len(), good.len() - 1);
    refuse(&good[..cut], &place(1, &format!("a field of {} bytes where only {} bytes are left", at - 2, at - 3)));
    let bad_sample = one_series(&[name("up"), field(series::SAMPLE, [0x08, 0x01])]);
    refuse(&[good.clone(), bad_sample].concat(), &place(at + 21, "field 1 (value) has wire type 0, expected 1"));
    let bad_label = one_series(&[field(series::LABEL, [0x0a, 0x09, b'a'])]);
    refuse(&bad_label, &place(5, "a field of 9 bytes where only 1 bytes are left"));
    refuse(&[0x08, 0x01], &place(1, "field 1 (timeseries) has wire type 0, expected 2"));
    refuse(&[good, vec![0x07]].concat(), &place(at + 1, "tag 7 has no valid field number and wire type"));
}

#[test]
fn the_window_holds_both_its_ends() {
    let limits = Limits::default();
    let ends = [NOW - limits.sample_age_max, NOW + limits.sample_ahead_max];
    let message = one_series(&[name("up"), sample_at(ends[0], 1.0), sample_at(ends[1], 2.0)]);
    let decoded = decode_message(&message, &limits, NOW).unwrap();
    assert_eq!(decoded.batch.time_range(), Some(TimeRange::new(ends[0], ends[1])));
}

#[test]
fn a_bomb_costs_nothing() {
    let mut bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    bomb.resize(4 << 20, 0xfe);
    let error = decode(&bomb, &Limits::default(), NOW).unwrap_err();
    assert!(error.to_string().starts_with("body declares 4294967295 bytes after decompression"), "{error}");
    let large = vec![0; (4 << 20) + 1];
    let error = decode(&large, &Limits::default(), NOW).unwrap_err();
    assert_eq!(error.to_string(), "body of 4194305 bytes is over the limit of 4194304 bytes (body_bytes_max)");
}

#[test]
fn what_stands_beside_samples_is_kept_or_passed_over_and_counted() {
    let trace = |id: &str| field(1, [field(label::NAME, "trace_id"), field(label::VALUE, id)].concat());
    let exemplar = |time: Timestamp, value: f64, id: &str| {
        let mut observation = Vec::new();
        put_sample(&mut observation, Sample { timestamp: time, value });
        // A sample's fields have other numbers than an exemplar's.
        observation[0] = tag(2, FIXED64).to_le_bytes()[0];
        observation[9] = tag(3, VARINT).to_le_bytes()[0];
        field(series::EXEMPLAR, [trace(id), observation].concat())
    };
    let unknown = || field(99, b"later");
    let said = |metric: &str, help: &str| {
        let number = vec![0x08, 0x03];
        field(request::METADATA, [number, field(2, metric), field(4, help), field(5, "s")].concat())
    };
    let before = Timestamp::from_millis(NOW.as_millis() - 86_400_001);
    let message = [
        said("took_seconds_bucket", "How long."),
        said("took_seconds", "How long."),
        said("", "about nothing"),
        said("long", &"x".repeat(4096)),
        one_series(&[name("only_exemplars"), exemplar(NOW, 0.5, "a"), exemplar(before, 0.5, "old")]),
        one_series(&[unknown(), name("both"), exemplar(NOW, 2.0, &"x".repeat(121)), sample_at(NOW, 1.0)]),
        one_series(&[exemplar(NOW, f64::INFINITY, &"見".repeat(120)), name("both"), sample_at(NOW, 1.0)]),
        field(2, b"reserved"),
        vec![0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06],
    ]
    .concat();
    let decoded = decode_message(&message, &Limits::default(), NOW).unwrap();
    assert_eq!((decoded.exemplars_skipped, decoded.metadata_skipped), (2, 2));
    assert_eq!(decoded.batch.series_count(), 2);
    assert_eq!(decoded.batch.series(0).labels.to_string(), "both");
    let metadata = Metadata {
        metric: "took_seconds".to_owned(),
        metric_type: model::MetricType::Histogram,
        help: "How long.".to_owned(),
        unit: "s".to_owned(),
    };
    assert_eq!(decoded.metadata, [metadata]);
    let exemplars = decoded.exemplars.iter().map(|SeriesExemplar { series, exemplar }| {
        assert_eq!(exemplar.timestamp, NOW);
        (series.to_string(), exemplar.labels.get("trace_id").unwrap().chars().count(), exemplar.value)
    });
    let exemplars: Vec<_> = exemplars.collect();
    assert_eq!(exemplars, [("only_exemplars".to_owned(), 1, 0.5), ("both".to_owned(), 120, f64::INFINITY)]);
}

#[test]
fn fields_in_any_order_and_left_out_read_as_protobuf_says() {
    let later_wins =
        field(series::LABEL, [field(label::NAME, "z"), field(label::VALUE, "x"), field(label::NAME, "a")].concat());
    let zero = field(series::SAMPLE, []);
    let message = one_series(&[zero, sample_at(Timestamp::from_millis(-5), -0.0), name("up"), later_wins]);
    let decoded = decode_message(&message, &any_time(), Timestamp::from_secs(0)).unwrap();
    let series = decoded.batch.series(0);
    assert_eq!(series.labels.to_string(), r#"up{a="x"}"#);
    assert_eq!(series.timestamps, [Timestamp::default(), Timestamp::from_millis(-5)]);
    assert_eq!(series.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), [0, (-0.0_f64).to_bits()]);
}

#[test]
fn a_label_with_an_empty_value_is_absent() {
    let message = one_series(&[name("up"), label("a", "1"), label("b", ""), label("c", "3"), sample_at(NOW, 1.0)]);
    let decoded = decode_message(&message, &Limits::default(), NOW).unwrap();
    assert_eq!(decoded.batch.series(0).labels.to_string(), r#"up{a="1", c="3"}"#);
    assert_eq!(decoded.empty_labels_dropped, 1);
}

#[test]
fn times_of_every_length_read_back() {
    let times: Vec<i64> = (0..63).flat_map(|bits| [1_i64 << bits, (1_i64 << bits) - 1, -(1_i64 << bits)]).collect();
    let unlimited = Limits { sample_age_max: Duration::MAX, sample_ahead_max: Duration::MAX, ..Limits::default() };
    let samples: Vec<Vec<u8>> = times.iter().map(|&millis| sample_at(Timestamp::from_millis(millis), 1.5)).collect();
    let message = one_series(&[name("up"), samples.concat()]);
    let decoded = decode_message(&message, &unlimited, Timestamp::default()).unwrap();
    let read: Vec<i64> = decoded.batch.series(0).timestamps.iter().map(|time| time.as_millis()).collect();
    assert_eq!(read, times);
}

#[test]
fn an_empty_request_is_an_empty_batch() {
    let decoded = decode(&snappy::compress(b""), &Limits::default(), NOW).unwrap();
    assert_eq!(decoded, Decoded::default());
}

#[test]
fn headers_decide_between_reading_and_415() {
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let other = "is not supported, send application/x-protobuf, or \
                 application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let cases: [(Option<&str>, Option<&str>, &str); 11] = [
        (Some("application/x-protobuf"), Some("snappy"), ""),
        (Some("application/x-protobuf; proto=prometheus.WriteRequest"), Some("SNAPPY"), ""),
        (Some("Application/X-Protobuf"), None, ""),
        (None, None, ""),
        (Some(""), Some(""), ""),
        (Some(v2), Some("snappy"), ""),
        (
            Some("application/x-protobuf;proto=yolo"),
            Some("snappy"),
            "content type \"application/x-protobuf;proto=yolo\" OTHER",
        ),
        (Some("text/plain"), None, "content type \"text/plain\" OTHER"),
        (None, Some("zstd"), "content encoding \"zstd\" is not supported, send snappy"),
        (None, Some("gzip"), "content encoding \"gzip\" is not supported, send snappy"),
        (None, Some("snappy, gzip"), "content encoding \"snappy, gzip\" is not supported, send snappy"),
    ];
    for (content_type, encoding, expected) in cases {
        let answer = check_headers(content_type, encoding).map_err(|error| error.to_string());
        let protocol = if content_type == Some(v2) { Protocol::V2 } else { Protocol::V1 };
        let expected = if expected.is_empty() { Ok(protocol) } else { Err(expected.replace("OTHER", other)) };
        assert_eq!(answer, expected, "{content_type:?} {encoding:?}");
    }
}

#[test]
fn recorded_bodies_of_real_senders() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/remote_write");
    let read = |file: &str| std::fs::read(format!("{folder}/{file}")).unwrap();
    let cases = [
        (
            "prometheus-2.42.body",
            189,
            r#"go_gc_duration_seconds{cluster="test", instance="127.0.0.1:27100", job="node", quantile="0", replica="0"}"#,
        ),
        (
            "vmagent-1.79.body",
            189,
            r#"go_gc_duration_seconds{agent="vm", instance="127.0.0.1:27100", job="node", quantile="0"}"#,
        ),
        (
            "k6-1.1.body",
            13,
            r#"k6_http_req_duration_p99{expected_response="true", method="GET", name="http://127.0.0.1:27010/target", proto="HTTP/1.1", scenario="default", status="200", url="http://127.0.0.1:27010/target"}"#,
        ),
    ];
    for (file, samples, first) in cases {
        let decoded = decode(&read(file), &any_time(), NOW).unwrap();
        let batch = &decoded.batch;
        assert_eq!((batch.series_count(), batch.sample_count()), (samples, samples), "{file}");
        assert_eq!(batch.series(0).labels.to_string(), first, "{file}");
        let again = decode(&encode(batch), &any_time(), NOW).unwrap();
        assert_eq!(bits(&again.batch), bits(batch), "{file}");
    }
    let unsorted = decode(&read("npm-prometheus-remote-write.body"), &any_time(), NOW).unwrap_err();
    let expected = "series 0 (queue_depth): labels are not sorted: \"__name__\" follows \"service\"";
    assert_eq!(unsorted.to_string(), expected);
}

fn sample_strategy() -> impl Strategy<Value = Sample> {
    let value = prop_oneof![any::<u64>(), Just(STALE_NAN_BITS), (-1000_i32..1000).prop_map(|n| f64::from(n).to_bits())];
    (1_799_500_000_000_i64..1_800_000_500_000, value)
        .prop_map(|(millis, bits)| Sample { timestamp: Timestamp::from_millis(millis), value: f64::from_bits(bits) })
}

fn batch_strategy() -> impl Strategy<Value = Batch> {
    let labels = proptest::collection::btree_map(".{1,40}", ".{1,200}", 0..6);
    let samples = proptest::collection::vec(sample_strategy(), 1..5);
    let native = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(any_histogram(), 1..3)];
    proptest::collection::vec((labels, "[a-z_:]{1,30}", samples, native), 0..8).prop_map(|series| {
        let mut batch = Batch::new();
        for (mut pairs, name, samples, native) in series {
            pairs.insert(METRIC_NAME.to_owned(), name);
            let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            let at = |histogram| TimedHistogram { timestamp: NOW, histogram: Arc::new(histogram) };
            batch.push_native(labels.as_ref(), samples, native.into_iter().map(at));
        }
        batch
    })
}

/// Labels, times and the bits of values, so that NaN payloads are compared; of histograms all there is.
type Bits = (Labels, Vec<(Timestamp, u64)>, String);

fn bits(batch: &Batch) -> Vec<Bits> {
    let samples = |series: model::BatchSeries<'_>| series.samples().map(|s| (s.timestamp, s.value.to_bits())).collect();
    batch.iter().map(|one| (one.labels.to_labels(), samples(one), format!("{:?}", one.histograms))).collect()
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_bit_by_bit(batch in batch_strategy()) {
        let decoded = decode(&encode(&batch), &Limits::default(), NOW).unwrap();
        prop_assert_eq!(bits(&decoded.batch), bits(&batch));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes, &Limits::default(), NOW));
        drop(decode_message(&bytes, &any_time(), NOW));
    }

    #[test]
    fn a_changed_message_is_read_or_refused(
        batch in batch_strategy(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut message = encode_message(&batch);
        for (index, byte) in changes.iter().filter(|_| !message.is_empty()).cloned().collect::<Vec<_>>() {
            let at = index.index(message.len());
            message[at] = byte;
        }
        message.truncate(cut.index(message.len() + 1).max(message.len() / 2));
        for limits in [Limits::default(), any_time()] {
            if let Ok(decoded) = decode_message(&message, &limits, NOW) {
                let again = decode_message(&encode_message(&decoded.batch), &any_time(), NOW).unwrap();
                prop_assert_eq!(bits(&again.batch), bits(&decoded.batch));
            }
        }
    }

    #[test]
    fn a_changed_body_is_read_or_refused(batch in batch_strategy(), index in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = encode(&batch);
        let at = index.index(body.len());
        body[at] = byte;
        drop(decode(&body, &Limits::default(), NOW));
    }

    #[test]
    fn unknown_fields_change_nothing(batch in batch_strategy(), content in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut message = field(7, &content);
        message.extend(encode_message(&batch));
        put_bytes(&mut message, 1 << 28, &content);
        let decoded = decode_message(&message, &Limits::default(), NOW).unwrap();
        prop_assert_eq!(bits(&decoded.batch), bits(&batch));
    }
}
