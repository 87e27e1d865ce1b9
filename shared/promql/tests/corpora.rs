//! Expressions of other projects: each must be parsed, or refused as it says, and be written back as it says; a table
//! of what passes is printed at the end.
//!
//! Read in place from the folder that `MIHARI_CORPORA` names; ignored when it is not set.

#![expect(clippy::print_stdout, reason = "the table is what the test run shows")]

#[path = "support/tally.rs"]
mod tally;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use model::{Limits, Series, Timestamp};
use promql::{Params, Profile, Source, SourceError};
use serde_json::Value as Json;
use tally::Tallies;

fn main() {
    let arguments = Arguments::from_args();
    let Some(folder) = std::env::var_os("MIHARI_CORPORA").map(PathBuf::from) else {
        let unset = Trial::test("corpora", || Ok(())).with_ignored_flag(true);
        libtest_mimic::run(&arguments, vec![unset]).exit();
    };
    let tallies = Tallies::default();
    let collected = [
        facts(&folder, &tallies),
        printed(&folder, &tallies),
        prettier(&folder, &tallies),
        lezer(&folder, &tallies),
        compliance(&folder, &tallies),
        wild(&folder, &tallies),
    ];
    for trials in &collected {
        assert!(!trials.is_empty(), "a corpus in {} has no cases", folder.display());
    }
    let conclusion = libtest_mimic::run(&arguments, collected.into_iter().flatten().collect());
    tallies.print("corpus");
    conclusion.exit();
}

/// Whether each expression is one for a stock server, and what the errors say.
fn facts(folder: &Path, tallies: &Tallies) -> Vec<Trial> {
    trials(tallies, &json(&folder.join("facts/promql_parse.json"))["cases"], "parse", |case| {
        // Other texts are given as expressions of another language.
        let query = case["query"].as_str()?.to_owned();
        let should_fail = case["should_fail"].as_bool()?;
        let errors: Vec<String> =
            case["errors"].as_array().into_iter().flatten().filter_map(Json::as_str).map(plain).collect();
        Some((query.clone(), Box::new(move || check_fact(&query, should_fail, &errors)) as Check))
    })
}

/// The table was taken with the experiments that durations, functions and extended windows were: where a stock server
/// only says that they are off, the whole language must do as the table says.
fn check_fact(query: &str, should_fail: bool, errors: &[String]) -> Result<(), Failed> {
    match promql::parse_as(query, Profile::Prometheus, &Limits::default()) {
        Err(error) if error.message.contains("--promql-profile") => {}
        result => outcome(query, result, should_fail, errors)?,
    }
    check(query, Profile::Extended, should_fail, errors)
}

/// What the canonical text is.
fn printed(folder: &Path, tallies: &Tallies) -> Vec<Trial> {
    trials(tallies, &json(&folder.join("facts/promql_printer.json"))["cases"], "print", |case| {
        let query = case["in"].as_str()?.to_owned();
        let expected = case["out"].as_str()?.to_owned();
        Some((
            query.clone(),
            Box::new(move || {
                let expr = promql::parse(&query).map_err(|error| error.to_string())?;
                equal(&expr.to_string(), &expected)?;
                let again = promql::parse(&expected).map_err(|error| error.to_string())?;
                if again == expr { Ok(()) } else { Err(format!("{again:?} is not {expr:?}").into()) }
            }) as Check,
        ))
    })
}

/// What the text over several lines is; the table was taken with lines of ten bytes.
fn prettier(folder: &Path, tallies: &Tallies) -> Vec<Trial> {
    trials(tallies, &json(&folder.join("facts/promql_prettier.json"))["cases"], "pretty", |case| {
        let query = case["in"].as_str()?.to_owned();
        let expected = case["out"].as_str()?.to_owned();
        let check = move || {
            let expr = promql::parse(&query).map_err(|error| error.to_string())?;
            equal(&expr.pretty_within(10), &expected)
        };
        Some((case["in"].as_str()?.to_owned(), Box::new(check) as Check))
    })
}

/// Queries with their syntax trees; only whether the tree holds an error is looked at.
fn lezer(folder: &Path, tallies: &Tallies) -> Vec<Trial> {
    let text = fs::read_to_string(folder.join("promql-lezer/expression.txt")).expect("the corpus is there");
    let cases = text.split("\n# ").filter_map(|case| {
        let (title, rest) = case.split_once('\n')?;
        let (query, tree) = rest.split_once("==>")?;
        let (query, should_fail) = (query.trim().to_owned(), tree.contains('⚠') || tree.contains("Error"));
        Some((title.trim_start_matches("# ").to_owned(), query, should_fail))
    });
    cases
        .map(|(title, query, should_fail)| {
            // Trees say nothing about types: what is well formed may still be refused for its meaning.
            let syntax_only =
                ["expected type", "unknown function", "must contain", "unknown unit", "must be", "set operator"];
            let check = move || match promql::parse(&query) {
                Err(error) if !should_fail && syntax_only.iter().any(|text| error.message.contains(text)) => Ok(()),
                result => outcome(&query, result, should_fail, &[]),
            };
            Trial::test(format!("lezer: {title}"), tallies.counted("lezer", check))
        })
        .collect()
}

fn compliance(folder: &Path, tallies: &Tallies) -> Vec<Trial> {
    trials(tallies, &json(&folder.join("promql-compliance/queries.json")), "compliance", |case| {
        let query = case["query"].as_str()?.to_owned();
        // The others fail while they are evaluated.
        let should_fail = case["should_fail"].as_bool()? && query.starts_with('{');
        Some((query.clone(), Box::new(move || check_evaluates(&query, should_fail)) as Check))
    })
}

/// What is an expression must also be answered, here on no series at all.
fn check_evaluates(query: &str, should_fail: bool) -> Result<(), Failed> {
    check(query, Profile::Extended, should_fail, &[])?;
    let Ok(expr) = promql::parse(query) else { return Ok(()) };
    let (start, end) = (Timestamp::from_secs(1_700_000_000), Timestamp::from_secs(1_700_003_600));
    let params = Params::range(start, end, Duration::from_secs(60));
    match promql::evaluate(&expr, &Nothing, &params) {
        Err(error) if !query.contains("(.*\")") && !query.starts_with('"') && !query.ends_with(']') => {
            Err(error.to_string().into())
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// No series for any selection.
struct Nothing;

impl Source for Nothing {
    fn series(&self, _: usize) -> Result<Vec<Series>, SourceError> {
        Ok(Vec::new())
    }
}

fn wild(folder: &Path, tallies: &Tallies) -> Vec<Trial> {
    let text = fs::read_to_string(folder.join("promql-wild/kube-prometheus-dashboards.jsonl"));
    let lines: Vec<Json> = text
        .expect("the corpus is there")
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    trials(tallies, &Json::Array(lines), "wild", |case| {
        let query = case["query"].as_str()?.to_owned();
        Some((query.clone(), Box::new(move || check(&query, Profile::Prometheus, false, &[])) as Check))
    })
}

type Check = Box<dyn FnOnce() -> Result<(), Failed> + Send>;

fn trials(
    tallies: &Tallies,
    cases: &Json,
    corpus: &str,
    case: impl Fn(&Json) -> Option<(String, Check)>,
) -> Vec<Trial> {
    let cases = cases.as_array().expect("cases are a list");
    cases
        .iter()
        .enumerate()
        .filter_map(|(index, json)| {
            let (name, check) = case(json)?;
            let name = format!("{corpus} {index}: {}", name.replace('\n', " "));
            Some(Trial::test(name, tallies.counted(corpus, check)))
        })
        .collect()
}

fn check(query: &str, profile: Profile, should_fail: bool, errors: &[String]) -> Result<(), Failed> {
    outcome(query, promql::parse_as(query, profile, &Limits::default()), should_fail, errors)
}

fn outcome(
    query: &str,
    result: Result<promql::Expr, promql::ParseError>,
    should_fail: bool,
    errors: &[String],
) -> Result<(), Failed> {
    match result {
        Ok(expr) if should_fail => Err(format!("parsed as {expr}, should say {errors:?}").into()),
        Ok(expr) => {
            let again = promql::parse(&expr.to_string()).map_err(|error| format!("{expr}: {error}"))?;
            if again == expr { Ok(()) } else { Err(format!("{query}: {expr} reads back as {again}").into()) }
        }
        Err(error) if !should_fail => Err(error.to_string().into()),
        Err(error) if errors.is_empty() => {
            assert!(error.line > 0 && error.column > 0);
            Ok(())
        }
        Err(error) => {
            let said = plain(&error.message);
            if errors.iter().any(|expected| said.contains(expected.as_str())) {
                Ok(())
            } else {
                Err(format!("says {said:?}, should say {errors:?}").into())
            }
        }
    }
}

/// A message without quotes and backslashes, which the corpus holds in several degrees of escaping.
fn plain(message: &str) -> String {
    message.replace(['\\', '"'], "")
}

fn equal(left: &str, right: &str) -> Result<(), Failed> {
    if left == right { Ok(()) } else { Err(format!("{left:?} should be {right:?}").into()) }
}

fn json(path: &Path) -> Json {
    let text = fs::read_to_string(path).expect("the corpus is there");
    serde_json::from_str(&text).expect("the corpus is JSON")
}
