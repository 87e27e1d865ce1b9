//! Query results in the form of Prometheus's HTTP API.

use std::fmt::Write as _;

use model::{Labels, Sample, Series, Timestamp};
use promql::{Output, Value, format_float};

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
            json.push_str(r#"{"resultType":"scalar","result":"#);
            push_sample(&mut json, *sample);
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
            push_array(&mut json, &samples[..samples.len().min(limit)], push_vector_sample);
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

fn push_vector_sample(json: &mut String, (labels, sample): &(Labels, Sample)) {
    json.push_str("{\"metric\":");
    push_labels(json, labels);
    json.push_str(",\"value\":");
    push_sample(json, *sample);
    json.push('}');
}

fn push_series(json: &mut String, series: &Series) {
    json.push_str("{\"metric\":");
    push_labels(json, &series.labels);
    json.push_str(",\"values\":[");
    for (index, sample) in series.samples().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_sample(json, sample);
    }
    json.push_str("]}");
}

fn push_sample(json: &mut String, sample: Sample) {
    json.push('[');
    push_time(json, sample.timestamp);
    json.push_str(",\"");
    json.push_str(&format_float(sample.value));
    json.push_str("\"]");
}

/// Seconds with a fraction only where there is one.
fn push_time(json: &mut String, time: Timestamp) {
    let millis = time.as_millis();
    let sign = if millis < 0 { "-" } else { "" };
    let (seconds, fraction) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    let written = match fraction {
        0 => write!(json, "{sign}{seconds}"),
        _ => write!(json, "{sign}{seconds}.{fraction:03}"),
    };
    written.expect("a String takes everything");
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
    let quoted = serde_json::to_string(text.as_ref()).expect("any text can be written as JSON");
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
        ];
        for (value, expected) in cases {
            let data = query_data(&output(value), Timestamp::from_secs(4), None);
            assert_eq!(data, expected);
            serde_json::from_str::<serde_json::Value>(&data).unwrap();
        }
    }

    #[test]
    fn notes_stand_beside_the_data() {
        let json = success("[]", &["careful".to_owned()], &[]);
        assert_eq!(json, r#"{"status":"success","data":[],"warnings":["careful"]}"#);
        assert_eq!(error("bad_data", "no"), r#"{"status":"error","errorType":"bad_data","error":"no"}"#);
    }
}
