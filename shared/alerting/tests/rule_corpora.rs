//! Rule files and templates of other projects, read in place: set `MIHARI_CORPORA` to their folder.
//!
//! One trial a rule file, one a template fact. Without the variable every trial is ignored; with it, zero trials are a
//! failure.

#![expect(clippy::unwrap_used, reason = "a test: a broken corpus file stops it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alerting::rule;
use alerting::template::{Environment, QueryResult, Template};
use libtest_mimic::{Arguments, Failed, Trial};
use model::{Labels, Timestamp};

fn main() {
    let arguments = Arguments::from_args();
    #[expect(clippy::disallowed_methods, reason = "the corpora lie outside of the repository")]
    let root = std::env::var("MIHARI_CORPORA");
    let trials = match root {
        Err(_) => vec![Trial::test("corpora (MIHARI_CORPORA is not set)", || Ok(())).with_ignored_flag(true)],
        Ok(root) => {
            let trials = [rule_files(Path::new(&root)), template_facts(Path::new(&root))].concat_trials();
            assert!(trials.len() > 100, "only {} cases below {root}", trials.len());
            trials
        }
    };
    libtest_mimic::run(&arguments, trials).exit();
}

trait Concat {
    fn concat_trials(self) -> Vec<Trial>;
}

impl<const N: usize> Concat for [Vec<Trial>; N] {
    fn concat_trials(self) -> Vec<Trial> {
        self.into_iter().flatten().collect()
    }
}

fn rule_files(root: &Path) -> Vec<Trial> {
    let folders = ["rules-awesome-prometheus-alerts", "rules-kube-prometheus", "rules-prometheus-testdata"];
    let mut files = Vec::new();
    for folder in folders {
        walk(&root.join(folder), &mut files);
    }
    files.sort();
    let trial = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        // Refused only under the old naming rules, which Prometheus 3 has dropped.
        let dropped = name.contains("legacy_validation_annotation.bad");
        // Needs the query language, which this crate does not know.
        let query = name.contains("bad_expr.bad");
        let bad = name.contains(".bad.") || name.ends_with("invalid_rules.yaml");
        Trial::test(name, move || check_rule_file(&path, bad && !dropped)).with_ignored_flag(query)
    };
    files.into_iter().map(trial).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            files.push(path);
        }
    }
}

fn check_rule_file(path: &Path, bad: bool) -> Result<(), Failed> {
    let yaml = unwrapped(std::fs::read_to_string(path)?)?;
    match (rule::parse("rules.yml", &yaml, &|_| Ok(())), bad) {
        (Ok(_), true) => Err("was accepted".into()),
        (Err(errors), false) => Err(format!("{errors:?}").into()),
        (Ok(groups), false) => expand_all(&groups),
        (Err(errors), true) => match errors.iter().find(|error| error.line == 0) {
            Some(error) => Err(format!("no place in {error}").into()),
            None => Ok(()),
        },
    }
}

/// The rule file inside of a Kubernetes resource; any other file as it is.
fn unwrapped(yaml: String) -> Result<String, Failed> {
    if !yaml.contains("kind: PrometheusRule") {
        return Ok(yaml);
    }
    let resource: serde_json::Value = serde_saphyr::from_str(&yaml)?;
    // JSON is YAML.
    Ok(resource["spec"].to_string())
}

/// Every template of the file expands, whatever the labels are.
fn expand_all(groups: &[rule::RuleGroup]) -> Result<(), Failed> {
    let labels = Labels::from_pairs([("instance", "a:1"), ("job", "j")])?;
    let external = BTreeMap::new();
    let environment = environment(&labels, &external, &|_| Ok(vec![(Labels::empty(), 1.0)]));
    for rule in groups.iter().flat_map(|group| &group.rules) {
        let rule::RuleKind::Alerting { annotations, .. } = &rule.kind else { continue };
        for template in rule.labels.values().chain(annotations.values()) {
            if template.source().contains("$.labels") {
                // A field in lower case: read by Prometheus too, and as impossible to expand there.
                continue;
            }
            template.expand(&environment).map_err(|error| format!("{}: {error}: {}", rule.name, template.source()))?;
        }
    }
    Ok(())
}

fn environment<'a>(
    labels: &'a Labels,
    external_labels: &'a BTreeMap<String, String>,
    query: &'a dyn Fn(&str) -> QueryResult,
) -> Environment<'a> {
    Environment {
        labels,
        value: 1.5,
        external_labels,
        external_url: "http://testhost:9090/path/prefix",
        now: Timestamp::from_secs(1_353_755_652),
        query,
    }
}

fn template_facts(root: &Path) -> Vec<Trial> {
    let path = root.join("facts/prom_template.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cases = facts["cases"].as_array().unwrap();
    let trial = |(index, case): (usize, &serde_json::Value)| {
        let case = case.clone();
        let name = format!("prom_template {index:02} {}", case["text"].as_str().unwrap());
        let skipped = unsupported(&case).is_some();
        Trial::test(name, move || check_fact(&case)).with_ignored_flag(skipped)
    };
    cases.iter().enumerate().map(trial).collect()
}

/// Why a fact does not apply: it asks for what the templates of rules do not have, or not yet.
fn unsupported(case: &serde_json::Value) -> Option<&'static str> {
    let text = case["text"].as_str().unwrap();
    let all = case.to_string();
    if case["html"] == true || !case["options"].is_null() {
        return Some("console pages");
    }
    if all.contains("FloatHistogram") {
        return Some("native histograms");
    }
    if text == "{{ .Foo }}" {
        return Some("a template without data");
    }
    None
}

fn check_fact(case: &serde_json::Value) -> Result<(), Failed> {
    // The data of a rule stands in the dot; facts that hand over something else get it by a variable that ranges see.
    let text = case["text"].as_str().unwrap();
    let source = match input(&case["input"]) {
        Some(items) => text.replacen("range .", &format!("range args {}", items.join(" ")), 1),
        None => text.to_owned(),
    };
    let labels = Labels::empty();
    let external = BTreeMap::new();
    let samples = query_result(&case["queryResult"]);
    let query = |_: &str| Ok(samples.clone());
    let environment = environment(&labels, &external, &query);
    let expanded = Template::parse(&source).and_then(|template| template.expand(&environment));
    match (expanded, case["output"].as_str()) {
        (Ok(text), Some(expected)) if text == expected => Ok(()),
        (Err(_), None) => Ok(()),
        (outcome, expected) => Err(format!("{source}: {outcome:?} instead of {expected:?}").into()),
    }
}

/// The items of a list as they are written in a template.
fn input(value: &serde_json::Value) -> Option<Vec<String>> {
    let written = |item: &serde_json::Value| {
        if let Some(text) = item.as_str() {
            return format!("{text:?}");
        }
        match item["$expr"].as_str() {
            None => item.to_string(),
            Some("math.MaxUint64") => "18446744073709551615".to_owned(),
            Some("math.MaxInt64") => "9223372036854775807".to_owned(),
            Some("math.MinInt64") => "-9223372036854775808".to_owned(),
            Some("86400 + 3600") => "90000".to_owned(),
            Some("-(86400*2 + 3600*3 + 60*4 + 5)") => "-183845".to_owned(),
            Some(other) => panic!("unknown expression {other}"),
        }
    };
    Some(value.as_array()?.iter().map(written).collect())
}

fn query_result(value: &serde_json::Value) -> Vec<(Labels, f64)> {
    let items = value["$items"].as_array().cloned().unwrap_or_default();
    let sample = |item: &serde_json::Value| {
        let expr = item["Metric"]["$expr"].as_str().unwrap_or("");
        let words: Vec<&str> =
            expr.trim_start_matches("labels.FromStrings(").trim_end_matches(')').split(", ").collect();
        let plain = |word: &str| {
            if word == "labels.MetricName" { "__name__".to_owned() } else { word.trim_matches('"').to_owned() }
        };
        let pairs: Vec<(String, String)> = words.chunks_exact(2).map(|pair| (plain(pair[0]), plain(pair[1]))).collect();
        let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap();
        (labels, item["F"].as_f64().unwrap())
    };
    items.iter().map(sample).collect()
}
