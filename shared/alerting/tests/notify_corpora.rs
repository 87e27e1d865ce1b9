//! Alertmanager's own configuration files, tables of matchers and calendars, and templates, read in place: set `MIHARI_CORPORA` to their folder.
//!
//! One trial a file or a row. Without the variable every trial is ignored; with it, zero trials are a failure.

#![expect(clippy::unwrap_used, reason = "a test: a broken corpus file stops it")]

use std::path::{Path, PathBuf};

use alerting::notify;
use alerting::template::{Data, DataAlert, Library, Markup, Text};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use serde_json::Value;

fn main() {
    let arguments = Arguments::from_args();
    #[expect(clippy::disallowed_methods, reason = "the corpora lie outside of the repository")]
    let root = std::env::var("MIHARI_CORPORA");
    let trials = match root {
        Err(_) => vec![Trial::test("corpora (MIHARI_CORPORA is not set)", || Ok(())).with_ignored_flag(true)],
        Ok(root) => {
            let mut trials = config_files(Path::new(&root));
            trials.extend(matcher_facts(Path::new(&root)));
            trials.extend(interval_facts(Path::new(&root)));
            trials.extend(template_facts(Path::new(&root)));
            assert!(trials.len() > 165, "only {} cases below {root}", trials.len());
            trials
        }
    };
    libtest_mimic::run(&arguments, trials).exit();
}

fn config_files(root: &Path) -> Vec<Trial> {
    let mut files = Vec::new();
    walk(&root.join("alertmanager-config"), &mut files);
    files.sort();
    let trial = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        Trial::test(name, move || check_config_file(&path))
    };
    files.into_iter().map(trial).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            files.push(path);
        }
    }
}

/// A file that Alertmanager refuses is refused with its place; one that it takes is taken, and nothing secret of it is
/// shown.
fn check_config_file(path: &Path) -> Result<(), Failed> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let yaml = std::fs::read_to_string(path).unwrap();
    match (notify::parse(name, &yaml), is_refused_upstream(name)) {
        (Ok(_), true) => Err(format!("{name} was taken").into()),
        (Err(error), false) => Err(error.into()),
        (Err(error), true) if error.line == 0 => Err(format!("without a place: {error}").into()),
        (Err(_), true) => Ok(()),
        (Ok(config), false) => {
            let again =
                notify::parse(name, &config.original.replace("<secret>", "https://slack.com/api/chat.postMessage"));
            again.map_err(|error| format!("what is shown of it is refused: {error}\n{}", config.original))?;
            let secrets = ["mysecret", "xoxb-", "asd132", "qwe456", "hooks.slack.com/services", "myprecious"];
            match secrets.iter().find(|secret| config.original.contains(**secret)) {
                Some(secret) => Err(format!("{secret} is shown").into()),
                None => Ok(()),
            }
        }
    }
}

/// What upstream's own tests say of the file.
fn is_refused_upstream(name: &str) -> bool {
    let contradicts = ["-both-", "nil-", "bad", "-invalid", "-old-team", "-and-webhook"];
    let lacks = name.contains("-no-") && !name.contains("smtp-no-username");
    lacks || contradicts.iter().any(|part| name.contains(part))
}

/// Calendars: what they contain, what they do not, and which are refused.
fn interval_facts(root: &Path) -> Vec<Trial> {
    let facts = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(root.join("facts").join(name)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone()
    };
    let mut trials = Vec::new();
    for (index, case) in facts("am_timeinterval_yaml.json").into_iter().enumerate() {
        trials.push(Trial::test(format!("am_timeinterval_yaml {index}"), move || {
            check_interval(case["in"].as_str().unwrap(), &case)
        }));
    }
    for (index, case) in facts("am_timeinterval_timestrings.json").into_iter().enumerate() {
        let yaml = format!("[{{times: [{}]}}]", case["timeString"].as_str().unwrap());
        trials.push(Trial::test(format!("am_timeinterval_timestrings {index}"), move || check_interval(&yaml, &case)));
    }
    trials
}

fn check_interval(yaml: &str, case: &Value) -> Result<(), Failed> {
    let refused = case["expectError"].as_bool().unwrap_or(false);
    let intervals = match (notify::TimeInterval::parse_list(yaml), refused) {
        (Ok(intervals), false) => intervals,
        (Err(_), true) => return Ok(()),
        (Ok(_), true) => return Err(format!("{yaml} was taken").into()),
        (Err(reason), false) => return Err(reason.into()),
    };
    for (field, expected) in [("contains", true), ("excludes", false)] {
        for time in case[field].as_array().into_iter().flatten() {
            let time = jiff::fmt::strtime::parse("%d %b %y %H:%M %z", time.as_str().unwrap())?.to_timestamp()?;
            let now = model::Timestamp::from_millis(time.as_millisecond());
            if intervals.iter().any(|interval| interval.contains(now)) != expected {
                return Err(format!("{yaml} at {time}: expected {expected}").into());
            }
        }
    }
    Ok(())
}

fn matcher_facts(root: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    let notations = [
        ("am_matchers_utf8", notify::Notation::Utf8),
        ("am_matcher_utf8_single", notify::Notation::Utf8),
        ("am_matchers_classic", notify::Notation::Classic),
    ];
    for (file, notation) in notations {
        let text = std::fs::read_to_string(root.join("facts").join(format!("{file}.json"))).unwrap();
        let facts: Value = serde_json::from_str(&text).unwrap();
        for (index, case) in facts["cases"].as_array().unwrap().iter().enumerate() {
            let case = case.clone();
            let is_list = file != "am_matcher_utf8_single";
            trials.push(Trial::test(format!("{file} {index}"), move || check_matchers(&case, notation, is_list)));
        }
    }
    trials
}

/// A notation reads what upstream's reads, and refuses what that refuses.
fn check_matchers(case: &Value, notation: notify::Notation, is_list: bool) -> Result<(), Failed> {
    let input = case["input"].as_str().unwrap();
    let refused = case.get("error").or_else(|| case.get("err")).is_some_and(|error| !error.is_null());
    if refused {
        return match notation.parse(input) {
            Ok(read) if is_list || read.len() == 1 && !input.starts_with('{') => {
                Err(format!("{input} was taken: {read:?}").into())
            }
            Ok(_) | Err(_) => Ok(()),
        };
    }
    let expected = expressions(case.get("expected").or_else(|| case.get("want")).unwrap_or(&Value::Null));
    let read = notation.parse(input)?;
    let read: Vec<(&str, &str, &str)> = read.iter().map(|one| (one.name(), one.op().as_str(), one.value())).collect();
    let expected: Vec<(&str, &str, &str)> =
        expected.iter().map(|(name, op, value)| (name.as_str(), *op, value.as_str())).collect();
    if read == expected { Ok(()) } else { Err(format!("{input}: {read:?}, expected {expected:?}").into()) }
}

/// The matchers that Go expressions build.
fn expressions(value: &Value) -> Vec<(String, &'static str, String)> {
    let call = Regex::new(
        r#"Match(Equal|NotEqual|Regexp|NotRegexp), ("(?:[^"\\]|\\.)*"|`[^`]*`), ("(?:[^"\\]|\\.)*"|`[^`]*`)\)"#,
    )
    .unwrap();
    let op = |name: &str| match name {
        "Equal" => "=",
        "NotEqual" => "!=",
        "Regexp" => "=~",
        _ => "!~",
    };
    let text = |literal: &str| match literal.strip_prefix('`') {
        Some(raw) => raw.trim_end_matches('`').to_owned(),
        None => serde_json::from_str(literal).unwrap(),
    };
    let one = |found: regex::Captures<'_>| (text(&found[2]), op(&found[1]), text(&found[3]));
    match value {
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        Value::Object(map) => match (map.get("$items"), map.get("$expr").and_then(Value::as_str)) {
            (Some(items), _) => expressions(items),
            (None, Some(expression)) => call.captures_iter(expression).map(one).collect(),
            (None, None) => Vec::new(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn template_facts(root: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in ["am_template", "am_template_funcs"] {
        let text = std::fs::read_to_string(root.join("facts").join(format!("{file}.json"))).unwrap();
        let facts: Value = serde_json::from_str(&text).unwrap();
        for (index, case) in facts["cases"].as_array().unwrap().iter().enumerate() {
            let case = case.clone();
            let name = format!("{file} {index:02} {}", case["title"].as_str().unwrap());
            trials.push(Trial::test(name, move || check_template(&case)));
        }
    }
    trials
}

/// A template expands to what upstream's test says, or fails as it does.
fn check_template(case: &Value) -> Result<(), Failed> {
    let mut source = case["in"].as_str().unwrap().to_owned();
    // A notification is always the dot here: what a fact hands over instead is written into the template.
    if let Some(dot) = written(&case["data"]) {
        source = source.replacen("{{ . ", &format!("{{{{ {dot} "), 1).replacen("range .", &format!("range {dot}"), 1);
    }
    let markup = if case["html"] == true { Markup::Html } else { Markup::Text };
    let expanded =
        Text::parse(&source).and_then(|text| text.expand(&Library::standard(), &data(&case["data"]), markup));
    let expected = case["exp"].as_str().map(|text| {
        // Without annotations there is an empty mapping in every real notification.
        text.replace("\"annotations\":null", "\"annotations\":{}")
            .replace("0001-01-01T00:00:00Z\",\"endsAt", "1970-01-01T00:00:00Z\",\"endsAt")
    });
    match (expanded, expected) {
        (Ok(text), Some(expected)) if text == expected => Ok(()),
        (Err(error), None) => match case["expErr"].as_str() {
            Some(expected) if !expected.ends_with(&error.reason) => {
                Err(format!("{error} instead of {expected}").into())
            }
            Some(_) | None => Ok(()),
        },
        (outcome, expected) => Err(format!("{source}: {outcome:?} instead of {expected:?}").into()),
    }
}

/// What is no notification, as it is written in a template.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().filter_map(written).collect();
            let function = if items.iter().all(Value::is_string) { "stringSlice" } else { "list" };
            Some(format!("({function} {})", texts.join(" ")))
        }
        Value::String(_) | Value::Number(_) => Some(value.to_string()),
        Value::Object(_) => match value["$expr"].as_str()? {
            "time.Date(2024, 1, 1, 8, 15, 30, 0, time.UTC)" => {
                Some("(mustToDate \"2006-01-02 15:04:05\" \"2024-01-01 08:15:30\")".to_owned())
            }
            "86400 + 3600" => Some("90000".to_owned()),
            "-(86400*2 + 3600*3 + 60*4 + 5)" => Some("-183845".to_owned()),
            other => panic!("unknown expression {other}"),
        },
        Value::Null | Value::Bool(_) => None,
    }
}

fn data(value: &Value) -> Data {
    let map = |value: &Value| {
        let pairs = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "$type");
        pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    };
    let alert = |alert: &Value| DataAlert {
        labels: map(&alert["Labels"]),
        ended_at: (alert["Status"] == "resolved").then(model::Timestamp::default),
        ..DataAlert::default()
    };
    Data {
        alerts: value["Alerts"]["$items"].as_array().into_iter().flatten().map(alert).collect(),
        group_labels: map(&value["GroupLabels"]),
        route_labels: map(&value["RouteLabels"]),
        ..Data::default()
    }
}
