use std::time::Duration;

use model::Labels;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn any_time() -> model::Limits {
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    model::Limits { sample_age_max: century, sample_ahead_max: century, ..model::Limits::default() }
}

/// Reads a page and prints its series, one a line.
fn read(page: &str) -> String {
    match parse(page.as_bytes(), &[], NOW, &any_time()) {
        Ok(Page { batch, .. }) => {
            let line = |one: model::BatchSeries<'_>| format!("{} {} {}", one.labels, one.values[0], one.timestamps[0]);
            batch.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn a_page_is_written_as_prometheus_writes_it() {
    let mut latency =
        Family::new("request_seconds", FamilyType::Histogram, "How long\nrequests take, \\ in \"seconds\".");
    latency.push_histogram(&[("path", "/a\"b\\c\nd")], &[(0.1, 3), (2.5, 4)], 1_756_047.3, 5);
    let mut stamped = Family::new("見張り", FamilyType::Untyped, "").with(&[("dotted.label", "x")], f64::NEG_INFINITY);
    stamped.points[0].timestamp = Some(Timestamp::from_millis(-1));
    let families = [Family::new("up", FamilyType::Gauge, "Whether it is up.").with(&[], 1.0), latency, stamped];
    let expected = r#"# HELP up Whether it is up.
# TYPE up gauge
up 1
# HELP request_seconds How long\nrequests take, \\ in "seconds".
# TYPE request_seconds histogram
request_seconds_bucket{path="/a\"b\\c\nd",le="0.1"} 3
request_seconds_bucket{path="/a\"b\\c\nd",le="2.5"} 4
request_seconds_bucket{path="/a\"b\\c\nd",le="+Inf"} 5
request_seconds_sum{path="/a\"b\\c\nd"} 1.7560473e+06
request_seconds_count{path="/a\"b\\c\nd"} 5
# TYPE "見張り" untyped
{"見張り","dotted.label"="x"} -Inf -1
"#;
    assert_eq!(encode(&families), expected);
    let page = parse(expected.as_bytes(), &[], NOW, &any_time()).unwrap();
    assert_eq!(page.batch.series_count(), 7);
    let said: Vec<Metadata> = families.iter().map(Family::metadata).collect();
    assert_eq!(page.metadata, [&said[1..2], &said[0..1], &said[2..]].concat());
}

#[test]
fn numbers_are_written_as_prometheus_writes_them() {
    let cases = [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-12.5, "-12.5"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (999_999.0, "999999"),
        (1e6, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (1.7e308, "1.7e+308"),
        (5e-324, "5e-324"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
    ];
    for (value, expected) in cases {
        assert_eq!(write::number(value), expected);
    }
}

#[test]
fn lines_are_read_with_blanks_comments_and_quotes_anywhere() {
    let cases = [
        ("\n \t\n# nothing\n#\n", ""),
        ("a 1\n", "a 1 1800000000"),
        ("  a:b\t{ x = \"1\" , }-Inf\n", "a:b{x=\"1\"} -inf 1800000000"),
        ("a{y=\"2\",x=\"\\\\\\\"\\n\"} 0.5 1500\n", "a{x=\"\\\\\\\"\\n\", y=\"2\"} 0.5 1.5"),
        ("a{x=\"\"} nan -5\n", "a NaN -0.005"),
        ("{x=\"1\", \"dotted.name\"} 1\n", "{__name__=\"dotted.name\", x=\"1\"} 1 1800000000"),
        ("# TYPE a counter\n# HELP a\na 1e3\na{b=\"c\"} +Inf\n", "a 1000 1800000000\na{b=\"c\"} inf 1800000000"),
    ];
    for (page, expected) in cases {
        assert_eq!(read(page), expected, "{page:?}");
    }
}

#[test]
fn bad_lines_are_named() {
    let cases = [
        ("a 1\nb 2", "line 2: the text ends without a line feed"),
        ("\n1a 2\n", "line 2: expected a metric name, found '1'"),
        ("{x=\"1\"} 2\n", "line 1: expected a metric name, found none between the braces"),
        ("a{1x=\"1\"} 2\n", "line 1: expected a label name, found '1'"),
        ("a{__name__=\"b\"} 1\n", "line 1: the label name \"__name__\" is reserved"),
        ("a{\"b\"} 1\n", "line 1: second metric name \"b\""),
        ("a{x=1} 2\n", "line 1: expected a label value in quotes, found '1'"),
        ("a{x} 2\n", "line 1: expected \"=\" after a label name, found '}'"),
        ("a{x=\"1\" y=\"2\"} 2\n", "line 1: expected \",\" or \"}\" after a label, found 'y'"),
        ("a{x=\"\\t\"} 2\n", "line 1: invalid escape sequence \\t"),
        ("a{x=\"\n\"} 2\n", "line 1: unescaped line feed or end of text inside quotes"),
        ("a{x=\"1\",x=\"2\"} 2\n", "line 1: duplicate label name \"x\""),
        ("a\n", "line 1: expected a number as value, found \"\""),
        ("a 0x1\n", "line 1: expected a number as value, found \"0x1\""),
        ("a 1e999\n", "line 1: expected a number as value, found \"1e999\""),
        ("a 1 1.5\n", "line 1: expected a timestamp in whole milliseconds, found \"1.5\""),
        ("a 1 2 3\n", "line 1: expected a line feed after the value, found '3'"),
        ("# TYPE a what\n", "line 1: unknown metric type \"what\""),
        ("a 1\n# TYPE a counter\n", "line 2: TYPE line for \"a\" comes a second time or after its samples"),
        ("# UNIT a s\n# UNIT a s\n", "line 2: UNIT line for \"a\" comes a second time or after its samples"),
        ("# HELP a b\n# HELP a c\n", "line 2: HELP line for \"a\" comes a second time or after its samples"),
        (
            "# TYPE a histogram\na_bucket{le=\"x\"} 1\n",
            "line 2: expected a number as value of label \"le\", found \"x\"",
        ),
        ("# TYPE a histogram\na_count -1\n", "line 2: negative count of histogram \"a\""),
    ];
    for (page, expected) in cases {
        assert_eq!(read(page), format!("error: {expected}"), "{page:?}");
    }
    let not_utf8 = parse(b"a 1\na{x=\"\xff\"} 1\n", &[], NOW, &any_time()).unwrap_err();
    assert_eq!(not_utf8.to_string(), "line 2: invalid UTF-8");
    let old = parse(b"a 1 0\n", &[], NOW, &model::Limits::default()).unwrap_err();
    assert_eq!(old.to_string(), "line 1: sample 0 at 0 is older than the limit of 1w (sample_age_max)");
}

/// What a page says about metrics, one a line.
fn said(page: &str) -> String {
    let page = parse(page.as_bytes(), &[], NOW, &any_time()).unwrap();
    let line = |one: &Metadata| format!("{} {} {:?} {}", one.metric, one.metric_type.as_str(), one.help, one.unit);
    page.metadata.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_page_says_about_metrics_is_read_whether_they_have_samples_or_not() {
    let cases = [
        ("a 1\n", ""),
        ("# HELP a What it is.  \na 1\n", "a unknown \"What it is.  \" "),
        ("# TYPE a counter\n# UNIT a seconds \n# HELP a \\\\ \\n \\t\n", "a counter \"\\\\ \\n \\\\t\" seconds"),
        ("# TYPE b stateset\n#TYPE a GaugeHistogram\n", "a gaugehistogram \"\" \nb stateset \"\" "),
        ("# TYPE \"a.b\" info\n# HELP h\n# EOF\n", "a.b info \"\" "),
        ("# TYPE h histogram\nh_count 1\n# HELP h later\n", "h histogram \"later\" "),
    ];
    for (page, expected) in cases {
        assert_eq!(said(page), expected, "{page:?}");
    }
    let limits = model::Limits { metadata_bytes_max: 10, ..any_time() };
    let page = parse(b"# HELP a 1234567890\n# HELP b 123456789\n", &[], NOW, &limits).unwrap();
    assert_eq!((page.metadata.len(), page.metadata_skipped), (1, 1));
}

#[test]
fn labels_of_the_sender_take_the_place_of_those_of_the_page() {
    let extra = [("job", "batch"), ("zone", "1")];
    let batch = parse(b"a{job=\"x\",y=\"2\"} 1\nb 2\n", &extra, NOW, &any_time()).unwrap().batch;
    let labels: Vec<String> = batch.iter().map(|series| series.labels.to_string()).collect();
    assert_eq!(labels, ["a{job=\"batch\", y=\"2\", zone=\"1\"}", "b{job=\"batch\", zone=\"1\"}"]);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        name in ".{1,20}",
        labels in proptest::collection::btree_map(".{1,20}", ".{0,40}", 0..4),
        bits in any::<u64>(),
        millis in proptest::option::of(-1_000_000_000_000_i64..3_000_000_000_000),
    ) {
        let labels: Vec<(String, String)> = labels.into_iter().filter(|(name, _)| name != "__name__").collect();
        let mut family = Family::new(&name, FamilyType::Gauge, "Anything.");
        let value = f64::from_bits(bits);
        family.points.push(Point { suffix: "", labels: labels.clone(), value, timestamp: millis.map(Timestamp::from_millis) });
        let batch = parse(encode(&[family]).as_bytes(), &[], NOW, &any_time()).unwrap().batch;
        let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([("__name__", name.as_str())]);
        let series = batch.series(0);
        prop_assert_eq!(series.labels.to_labels(), Labels::from_pairs(pairs).unwrap());
        prop_assert_eq!(series.timestamps[0], millis.map_or(NOW, Timestamp::from_millis));
        prop_assert!(series.values[0].to_bits() == bits || (series.values[0].is_nan() && value.is_nan()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        drop(parse(&bytes, &[], NOW, &any_time()));
    }

    #[test]
    fn any_text_of_the_format_s_characters_is_read_or_refused(text in "[a-z0-9{}=\",#\\\\ \n.é]{0,60}") {
        drop(parse(text.as_bytes(), &[], NOW, &any_time()));
    }
}
