//! Alertmanager's own configuration files and matcher tables, read in place: set `MIHARI_CORPORA` to their folder.
//!
//! One trial a file or a row. Without the variable every trial is ignored; with it, zero trials are a failure.

#![expect(clippy::unwrap_used, reason = "a test: a broken corpus file stops it")]

use std::path::{Path, PathBuf};

use alerting::notify;
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
            assert!(trials.len() > 80, "only {} cases below {root}", trials.len());
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

/// A file that Alertmanager refuses is refused; one that it takes is taken, or refused for what is not supported yet,
/// by name and with its place.
fn check_config_file(path: &Path) -> Result<(), Failed> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let contradicts = ["-both-", "nil-", "bad", "-invalid", "-old-team"].iter().any(|part| name.contains(part));
    let lacks = name.contains("-no-") && !name.contains("smtp-no-username");
    let read = notify::parse(name, &std::fs::read_to_string(path).unwrap());
    match read {
        Ok(_) if contradicts || lacks => Err(format!("{name} was taken").into()),
        Err(error) if !contradicts && !lacks && !error.reason.ends_with("is not supported yet") => Err(error.into()),
        Err(error) if error.line == 0 => Err(format!("without a place: {error}").into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn matcher_facts(root: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in ["am_matchers_utf8", "am_matcher_utf8_single", "am_matchers_classic"] {
        let text = std::fs::read_to_string(root.join("facts").join(format!("{file}.json"))).unwrap();
        let facts: Value = serde_json::from_str(&text).unwrap();
        for (index, case) in facts["cases"].as_array().unwrap().iter().enumerate() {
            let refused = case.get("error").or_else(|| case.get("err")).is_some_and(|error| !error.is_null());
            // One notation refuses what the other one reads.
            if !refused {
                let case = case.clone();
                trials.push(Trial::test(format!("{file} {index}"), move || check_matchers(&case)));
            }
        }
    }
    trials
}

fn check_matchers(case: &Value) -> Result<(), Failed> {
    let input = case["input"].as_str().unwrap();
    let expected = expressions(case.get("expected").or_else(|| case.get("want")).unwrap_or(&Value::Null));
    let read = notify::parse_matchers(input)?;
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
