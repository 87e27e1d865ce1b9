//! What a failed test prints, in promtool's form.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Labels or annotations, an empty one included.
pub(super) type Pairs = BTreeMap<String, String>;

/// Labels and annotations of an alert; sorted as they are shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LabelsAndAnnotations {
    pub(super) labels: Pairs,
    pub(super) annotations: Pairs,
}

/// Alerts as a numbered list, or `[]`; lines after the first one are indented by three steps.
pub(super) fn alerts(alerts: &[LabelsAndAnnotations]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let one = |(index, alert): (usize, &LabelsAndAnnotations)| {
        let (labels, annotations) = (written(&alert.labels), written(&alert.annotations));
        format!("{index}:\n  Labels:{labels}\n  Annotations:{annotations}")
    };
    let list: Vec<String> = alerts.iter().enumerate().map(one).collect();
    indented(&format!("[\n{}\n]", list.join(",\n")), "            ")
}

/// Every line but the first one behind an indent.
pub(super) fn indented(text: &str, indent: &str) -> String {
    text.replace('\n', &format!("\n{indent}"))
}

/// Labels in braces, values in quotes; names that are no plain words too.
fn written(labels: &Pairs) -> String {
    let is_plain = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    };
    let name = |name: &str| if is_plain(name) { name.to_owned() } else { format!("{name:?}") };
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{}={value:?}", name(key))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A length of time as Go prints it: `1m0s`, `1h0m0s`, `0s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
    let seconds = (duration - Duration::from_secs(duration.as_secs() / 60 * 60)).as_secs_f64();
    match (hours, minutes) {
        (0, 0) if duration.is_zero() => "0s".to_owned(),
        (0, 0) if duration < Duration::from_secs(1) => format!("{}ms", duration.as_millis()),
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Expected and found alerts as one JSON text, where they differ in colour; nothing when they are the same.
pub(super) fn diff(expected: &[LabelsAndAnnotations], found: &[LabelsAndAnnotations]) -> Option<String> {
    let (expected, found) = (listed(expected), listed(found));
    (expected != found).then(|| compared(Some(&expected), Some(&found), 0))
}

fn listed(alerts: &[LabelsAndAnnotations]) -> Value {
    let one = |alert: &LabelsAndAnnotations| json!({ "Labels": alert.labels, "Annotations": alert.annotations });
    if alerts.is_empty() { json!([{ "Labels": {}, "Annotations": {} }]) } else { alerts.iter().map(one).collect() }
}

const ADDED: &str = "\x1b[0;32m";
const REMOVED: &str = "\x1b[0;31m";
const CHANGED: &str = "\x1b[0;33m";
const PLAIN: &str = "\x1b[0m";

fn compared(expected: Option<&Value>, found: Option<&Value>, depth: usize) -> String {
    let inner = "    ".repeat(depth + 1);
    let outer = "    ".repeat(depth);
    match (expected, found) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            let entry = |key: &String| {
                let (colour, value) = coloured(left.get(key), right.get(key), depth + 1);
                format!("{inner}{colour}{}: {value}", json!(key))
            };
            let entries: Vec<String> = keys.into_iter().map(entry).collect();
            format!("{{\n{}\n{outer}}}", entries.join(",\n"))
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            let entry = |index: usize| {
                let (colour, value) = coloured(left.get(index), right.get(index), depth + 1);
                format!("{inner}{colour}{value}")
            };
            let entries: Vec<String> = (0..left.len().max(right.len())).map(entry).collect();
            format!("[\n{}\n{outer}]", entries.join(",\n"))
        }
        (Some(left), Some(right)) if left == right => left.to_string(),
        (Some(left), Some(right)) => format!("{CHANGED}{left} => {right}{PLAIN}"),
        (left, right) => left.or(right).map_or_else(String::new, Value::to_string),
    }
}

fn coloured(expected: Option<&Value>, found: Option<&Value>, depth: usize) -> (&'static str, String) {
    let text = compared(expected, found, depth);
    match (expected, found) {
        (Some(_), None) => (REMOVED, format!("{text}{PLAIN}")),
        (None, Some(_)) => (ADDED, format!("{text}{PLAIN}")),
        _ => ("", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let cases = [
            (0, "0s"),
            (250, "250ms"),
            (1500, "1.5s"),
            (60_000, "1m0s"),
            (5_400_000, "1h30m0s"),
            (86_400_000, "24h0m0s"),
        ];
        for (millis, expected) in cases {
            assert_eq!(go_duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_difference_shows_what_changed() {
        let alert = |value: &str| LabelsAndAnnotations {
            labels: Pairs::from([("a".to_owned(), value.to_owned())]),
            annotations: Pairs::new(),
        };
        assert_eq!(diff(&[alert("1")], &[alert("1")]), None);
        let shown = diff(&[alert("1")], &[alert("2")]).unwrap();
        assert!(shown.contains("\"a\": \x1b[0;33m\"1\" => \"2\"\x1b[0m"), "{shown}");
        let shown = diff(&[alert("1")], &[]).unwrap();
        assert!(shown.contains("\x1b[0;31m\"a\": \"1\"\x1b[0m"), "{shown}");
    }
}
