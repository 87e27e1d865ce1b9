//! Query results in the form of Prometheus's HTTP API.

use std::fmt::Write as _;

use model::{Bucket, General, Histogram, Labels, Sample, Series, Timestamp};
use promql::{HistogramSample, Output, Value, push_float};

/// `{"status":"success","data":<data>,...}` with the warnings and infos that are there.
pub(super) fn success(data: &str, warnings: &[String], infos: &[String]) -> String {
    let mut json = String::with_capacity(data.len() + 64);
    json.push_str(r#"{"status":"success","data":"#);
    json.push_str(data);
    for (name, notes) in [("warnings", warnings), ("infos", infos)] {
        if !notes.is_empty() {
            json.push_str(",\"");
            json.push_str(name);
            json.push_str("\":");
            push_array(&mut json, notes, |json, note| push_text(json, note));
        }
    }
    json.push('}');
    json
}

/// `{"status":"error","errorType":...,"error":...}`.
pub(super) fn error(error_type: &str, message: &str) -> String {
    let mut json = String::from(r#"{"status":"error","errorType":"#);
    push_text(&mut json, error_type);
    json.push_str(",\"error\":");
    push_text(&mut json, message);
    json.push('}');
    json
}

/// The data of a query's answer; at most `limit` series of a vector or matrix.
pub(super) fn query_data(output: &Output, time: Timestamp, limit: Option<usize>) -> String {
    let limit = limit.unwrap_or(usize::MAX);
    let mut json = String::new();
    match &output.value {
        Value::Scalar(sample) => {
            json.push_str(r#"{"resultType":"scalar","result":["#);
            push_time(&mut json, sample.timestamp);
            json.push_str(",\"");
            // In full, however long, unlike what stands in series.
            push_float(&mut json, sample.value);
            json.push_str("\"]");
        }
        Value::String(text) => {
            json.push_str(r#"{"resultType":"string","result":["#);
            push_time(&mut json, time);
            json.push(',');
            push_text(&mut json, text);
            json.push(']');
        }
        Value::Vector(samples) => {
            json.push_str(r#"{"resultType":"vector","result":"#);
            push_vector(&mut json, samples, &output.histograms, limit);
        }
        Value::Matrix(series) => {
            json.push_str(r#"{"resultType":"matrix","result":"#);
            push_array(&mut json, &series[..series.len().min(limit)], push_series);
        }
    }
    json.push('}');
    json
}

/// An array of texts.
pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = texts.into_iter().collect();
    let mut json = String::new();
    push_array(&mut json, &all, |json, text| push_text(json, text));
    json
}

/// An array of label sets.
pub(super) fn label_sets(sets: &[Labels]) -> String {
    let mut json = String::new();
    push_array(&mut json, sets, push_labels);
    json
}

/// Numbers and histograms in the order to be shown.
fn push_vector(json: &mut String, numbers: &[(Labels, Sample)], histograms: &[HistogramSample], limit: usize) {
    let (mut numbers, mut histograms) = (numbers.iter(), histograms.iter().peekable());
    json.push('[');
    for position in 0..(numbers.len() + histograms.len()).min(limit) {
        if position > 0 {
            json.push(',');
        }
        if let Some(sample) = histograms.next_if(|sample| sample.position <= position || numbers.len() == 0) {
            json.push_str("{\"metric\":");
            push_labels(json, &sample.labels);
            json.push_str(",\"histogram\":");
            push_histogram(json, sample.timestamp, &sample.histogram);
            json.push('}');
        } else if let Some(sample) = numbers.next() {
            push_vector_sample(json, sample);
        }
    }
    json.push(']');
}

fn push_vector_sample(json: &mut String, (labels, sample): &(Labels, Sample)) {
    json.push_str("{\"metric\":");
    push_labels(json, labels);
    json.push_str(",\"value\":");
    push_sample(json, *sample);
    json.push('}');
}

fn push_series(json: &mut String, series: &Series) {
    /// About what a sample takes.
    const SAMPLE_BYTES: usize = 34;
    json.reserve(series.values.len() * SAMPLE_BYTES);
    json.push_str("{\"metric\":");
    push_labels(json, &series.labels);
    if !series.values.is_empty() || series.histograms.is_none() {
        json.push_str(",\"values\":[");
        for (index, sample) in series.samples().enumerate() {
            if index > 0 {
                json.push(',');
            }
            push_sample(json, sample);
        }
        json.push(']');
    }
    if let Some(samples) = &series.histograms {
        let histograms: Vec<_> = samples.timestamps.iter().zip(&samples.values).collect();
        json.push_str(",\"histograms\":");
        push_array(json, &histograms, |json, (time, histogram)| push_histogram(json, **time, histogram));
    }
    json.push('}');
}

fn push_histogram(json: &mut String, time: Timestamp, histogram: &Histogram) {
    json.push('[');
    push_time(json, time);
    let [count, sum] = [histogram.count(), histogram.sum()].map(number);
    write!(json, ",{{\"count\":\"{count}\",\"sum\":\"{sum}\"").expect("a String takes everything");
    let buckets: Vec<Bucket> = histogram.buckets().filter(|bucket| bucket.count != 0.0).collect();
    if !buckets.is_empty() {
        json.push_str(",\"buckets\":");
        push_array(json, &buckets, push_bucket);
    }
    json.push_str("}]");
}

/// Which of its bounds belong to it, the bounds, the count.
fn push_bucket(json: &mut String, bucket: &Bucket) {
    let inclusive = match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => 0,
        (true, false) => 1,
        (false, false) => 2,
        (true, true) => 3,
    };
    let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(number);
    write!(json, "[{inclusive},\"{lower}\",\"{upper}\",\"{count}\"]").expect("a String takes everything");
}

fn push_sample(json: &mut String, sample: Sample) {
    json.push('[');
    push_time(json, sample.timestamp);
    json.push_str(",\"");
    push_number(json, sample.value);
    json.push_str("\"]");
}

/// The value of a sample: with an exponent where it would be a long row of zeros.
fn push_number(json: &mut String, value: f64) {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) || !size.is_finite() {
        push_float(json, value);
    } else {
        write!(json, "{}", General(value)).expect("a String takes everything");
    }
}

/// As the value of a sample is written.
pub(super) fn number(value: f64) -> String {
    let mut text = String::new();
    push_number(&mut text, value);
    text
}

/// Seconds with a fraction only where there is one.
fn push_time(json: &mut String, time: Timestamp) {
    let millis = time.as_millis();
    if millis < 0 {
        json.push('-');
    }
    let (seconds, fraction) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    json.push_str(itoa::Buffer::new().format(seconds));
    if fraction > 0 {
        write!(json, ".{fraction:03}").expect("a String takes everything");
    }
}

/// An object of label names and values.
fn push_labels(json: &mut String, labels: &Labels) {
    json.push('{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_text(json, name);
        json.push(':');
        push_text(json, value);
    }
    json.push('}');
}

fn push_array<T>(json: &mut String, items: &[T], push: impl Fn(&mut String, &T)) {
    json.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push(json, item);
    }
    json.push(']');
}

fn push_text(json: &mut String, text: impl AsRef<str>) {
    let text = text.as_ref();
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
        return;
    }
    let quoted = serde_json::to_string(text).expect("any text can be written as JSON");
    json.push_str(&quoted);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(millis: i64, value: f64) -> Sample {
        Sample { timestamp: Timestamp::from_millis(millis), value }
    }

    fn output(value: Value) -> Output {
        Output { value, histograms: Vec::new(), warnings: Vec::new(), infos: Vec::new() }
    }

    #[test]
    fn answers_have_the_shapes_that_clients_expect() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a\"b")]).unwrap();
        let cases = [
            (Value::Scalar(sample(4000, 2.0)), r#"{"resultType":"scalar","result":[4,"2"]}"#),
            (Value::String("x\ny".to_owned()), r#"{"resultType":"string","result":[4,"x\ny"]}"#),
            (
                Value::Vector(vec![(labels.clone(), sample(1500, f64::INFINITY))]),
                r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"b"},"value":[1.500,"+Inf"]}]}"#,
            ),
            (
                Value::Matrix(vec![Series::from_samples(labels, &[sample(-1, 1.0), sample(1000, f64::NAN)])]),
                r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a\"b"},"values":[[-0.001,"1"],[1,"NaN"]]}]}"#,
            ),
            (Value::Vector(Vec::new()), r#"{"resultType":"vector","result":[]}"#),
            (Value::Scalar(sample(4000, 1e21)), r#"{"resultType":"scalar","result":[4,"1000000000000000000000"]}"#),
        ];
        for (value, expected) in cases {
            let data = query_data(&output(value), Timestamp::from_secs(4), None);
            assert_eq!(data, expected);
            serde_json::from_str::<serde_json::Value>(&data).unwrap();
        }
    }

    #[test]
    fn values_are_written_as_prometheus_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.000_001, "0.000001"),
            (9.5e-7, "9.5e-07"),
            (5e-324, "5e-324"),
            (1e20, "100000000000000000000"),
            (-1e21, "-1e+21"),
            (1.5e308, "1.5e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn histograms_stand_among_numbers() {
        let labels = |name| Labels::from_pairs([("__name__", name)]).unwrap();
        let run = |offset, counts: &[f64]| model::Buckets::from_run(offset, counts.to_vec()).unwrap();
        let parts = model::HistogramParts {
            count: 6.0,
            sum: 2.5,
            zero_threshold: 0.5,
            zero_count: 1.0,
            positive: run(1, &[2.0, 0.0, 1.0]),
            negative: run(0, &[2.0]),
            ..model::HistogramParts::default()
        };
        let histogram = std::sync::Arc::new(Histogram::new(parts).unwrap());
        let timestamp = Timestamp::from_secs(4);
        let written = r#"[4,{"count":"6","sum":"2.5","buckets":[[1,"-1","-0.5","2"],[3,"-0.5","0.5","1"],[0,"1","2","2"],[0,"4","8","1"]]}]"#;
        let native = HistogramSample { position: 1, labels: labels("b"), timestamp, histogram: histogram.clone() };
        let numbers = vec![(labels("a"), sample(4000, 1.0)), (labels("c"), sample(4000, 3.0))];
        let vector = Output { histograms: vec![native], ..output(Value::Vector(numbers)) };
        let number = |name, value| format!(r#"{{"metric":{{"__name__":"{name}"}},"value":[4,"{value}"]}}"#);
        let middle = format!(r#"{{"metric":{{"__name__":"b"}},"histogram":{written}}}"#);
        for (limit, last) in [(None, format!(",{}", number("c", 3))), (Some(2), String::new())] {
            let expected = format!(r#"{{"resultType":"vector","result":[{},{middle}{last}]}}"#, number("a", 1));
            assert_eq!(query_data(&vector, timestamp, limit), expected);
        }
        let samples = model::HistogramSamples::new([timestamp].into(), vec![histogram]);
        let series = Series { histograms: Some(Box::new(samples)), ..Series::from_samples(labels("b"), &[]) };
        let expected =
            format!(r#"{{"resultType":"matrix","result":[{{"metric":{{"__name__":"b"}},"histograms":[{written}]}}]}}"#);
        assert_eq!(query_data(&output(Value::Matrix(vec![series])), timestamp, None), expected);
    }

    #[test]
    fn notes_stand_beside_the_data() {
        let json = success("[]", &["careful".to_owned()], &[]);
        assert_eq!(json, r#"{"status":"success","data":[],"warnings":["careful"]}"#);
        assert_eq!(error("bad_data", "no"), r#"{"status":"error","errorType":"bad_data","error":"no"}"#);
    }
}
