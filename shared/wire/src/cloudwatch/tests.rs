use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::{Batch, Limits, Timestamp};

use super::firehose::{Delivery, answer, decode};
use crate::WireError;

const NOW: Timestamp = Timestamp::from_millis(1_651_679_861_072);

/// A line as a metric stream writes it; `value` is what stands in the object of that name.
fn line(dimensions: &str, value: &str) -> String {
    format!(
        r#"{{"metric_stream_name":"all","account_id":"123456789012","region":"us-west-2","namespace":"AWS/EC2","metric_name":"CPUUtilization","dimensions":{{{dimensions}}},"timestamp":1651679580000,"value":{{{value}}},"unit":"Percent"}}"#
    )
}

fn request(records: &[&str]) -> String {
    let records: Vec<String> =
        records.iter().map(|record| format!(r#"{{"data":"{}"}}"#, STANDARD.encode(record))).collect();
    format!(r#"{{"requestId":"ed4acda5","timestamp":1651679861072,"records":[{}]}}"#, records.join(","))
}

fn read(body: &[u8], encoding: Option<&str>) -> Result<Delivery, WireError> {
    decode(body, encoding, &Limits::default(), NOW)
}

/// One text a sample: labels, value, time.
fn samples(batch: &Batch) -> Vec<String> {
    let mut texts = Vec::new();
    for series in batch.iter() {
        for sample in series.samples() {
            texts.push(format!("{} {} {}", series.labels, sample.value, sample.timestamp));
        }
    }
    texts
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_datum_is_a_series_for_each_statistic_at_the_end_of_its_minute() {
    let record = line(r#""InstanceId":"i-1""#, r#""max":30.5,"min":10.0,"sum":40.5,"count":2.0,"p99.9":30.0"#);
    let body = request(&[&record]);
    for (body, encoding) in [(body.clone().into_bytes(), None), (gzip(body.as_bytes()), Some("gzip"))] {
        let delivery = read(&body, encoding).unwrap();
        assert_eq!((delivery.request_id.as_str(), delivery.data), ("ed4acda5", 1));
        assert_eq!(delivery.problems.message(), None);
        let labels = r#"account_id="123456789012", dimension_InstanceId="i-1", job="cloudwatch", region="us-west-2""#;
        let expected =
            [("maximum", "30.5"), ("minimum", "10"), ("sum", "40.5"), ("sample_count", "2"), ("p99_9", "30")]
                .into_iter()
                .chain([("average", "20.25")])
                .map(|(name, value)| format!("aws_ec2_cpuutilization_{name}{{{labels}}} {value} 1651679640"));
        assert_eq!(samples(&delivery.batch), expected.collect::<Vec<_>>());
    }
}

#[test]
fn bad_lines_are_named_with_their_place_and_the_others_taken() {
    let fine = line("", r#""count":0.0,"sum":0.0,"max":0.0,"min":0.0"#);
    let old = fine.replace("1651679580000", "1611929698000");
    let same_label = line(r#""a b":"1","a-b":"2""#, r#""count":1"#);
    let many: Vec<String> = (0..25).map(|rank| format!(r#""p{rank}":1"#)).collect();
    let many = line("", &many.join(","));
    let cases = [
        (
            "[1]",
            "record 1, line 2: expected a JSON object, found \"[1]\"; is the output format of the metric stream JSON?",
        ),
        (
            "{\"CHANGE\":-0.09}",
            "record 1, line 2: not a datum of a metric stream: missing field `account_id` at line 1 column 16",
        ),
        (&old, "record 1, line 2: sample 0 at 1611929758 is older than the limit of 1w (sample_age_max)"),
        (&same_label, "record 1, line 2: duplicate label name \"dimension_a_b\""),
        (&many, "record 1, line 2: more than 24 statistics of one metric"),
    ];
    for (bad, expected) in cases {
        let delivery = read(request(&[&fine, &format!("{fine}\n{bad}\n\n{fine}\n")]).as_bytes(), None).unwrap();
        let message = delivery.problems.message().unwrap();
        assert_eq!(message, format!("1 of the lines cannot be taken: {expected}"));
        // Without a single measurement there is no average.
        assert_eq!((delivery.data, delivery.batch.sample_count()), (3, 12), "{bad}");
    }
    let no_base64 = request(&[&fine]).replace("]}", r#",{"data":"?"}]}"#);
    let delivery = read(no_base64.as_bytes(), None).unwrap();
    assert_eq!((delivery.data, delivery.problems.count), (1, 1));
    assert!(delivery.problems.message().unwrap().ends_with("record 1, line 1: the record is not base64"));
}

#[test]
fn many_bad_lines_are_counted_and_a_few_named() {
    let delivery = read(request(&["no\n".repeat(1000).as_str()]).as_bytes(), None).unwrap();
    let message = delivery.problems.message().unwrap();
    assert_eq!((delivery.problems.count, message.matches("line ").count()), (1000, 5));
    assert!(message.ends_with("; and 995 more"), "{message}");
}

#[test]
fn bodies_that_are_no_requests_are_refused_whole() {
    let huge = gzip(&vec![b' '; 300_000]);
    let cases: [(&[u8], Option<&str>, &str); 6] = [
        (b"", None, "not a request of Firehose: EOF while parsing a value at line 1 column 0"),
        (b"{\"records\":[]}", None, "not a request of Firehose: missing field `requestId` at line 1 column 14"),
        (b"{}", Some("gzip"), "corrupt gzip body: "),
        (&gzip(b"{\"requestId\"")[..20], Some("gzip"), "corrupt gzip body: "),
        (&huge, Some("gzip"), "body unpacks to more than the limit of 200000 bytes (decoded_bytes_max)"),
        (b"{}", Some("br"), "unknown content encoding \"br\": send gzip, or none"),
    ];
    for (body, encoding, expected) in cases {
        let limits = Limits { decoded_bytes_max: 200_000, ..Limits::default() };
        let error = decode(body, encoding, &limits, NOW).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error:?} instead of {expected:?}");
    }
}

#[test]
fn label_text_is_bounded_whatever_the_lines_fan_out_to() {
    let limits = Limits { decoded_bytes_max: 20_000, ..Limits::default() };
    let ranks: Vec<String> = (0..24).map(|rank| format!(r#""p{rank}":1"#)).collect();
    let record = line(&format!(r#""long":"{}""#, "x".repeat(1000)), &ranks.join(","));
    let body = request(&[&record, &record, &record, &record]);
    let delivery = decode(body.as_bytes(), None, &limits, NOW).unwrap();
    assert_eq!((delivery.data, delivery.problems.count), (2, 2));
    let message = delivery.problems.message().unwrap();
    assert!(message.contains("record 2, line 1: the labels of all series take more than 40000 bytes"), "{message}");
}

#[test]
fn answers_are_what_firehose_expects() {
    let text = |message| String::from_utf8(answer("a\"b", NOW, message)).unwrap();
    assert_eq!(text(None), r#"{"requestId":"a\"b","timestamp":1651679861072}"#);
    let refused = text(Some(&"見".repeat(9000)));
    assert!(refused.starts_with(r#"{"requestId":"a\"b","timestamp":1651679861072,"errorMessage":"見見"#));
    assert_eq!(refused.matches('見').count(), 4000);
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_a_result_or_an_error(body in ".*", lines in proptest::collection::vec(".*", 0..5)) {
        // Neither panics; the second gets past the envelope.
        drop(read(body.as_bytes(), None));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let delivery = read(request(&lines).as_bytes(), None).unwrap();
        proptest::prop_assert_eq!(delivery.data, 0);
    }
}
