//! `mihari rules test`: rules on series that a file gives, compared with what the file expects.
//!
//! Read [`Bench`] first: it evaluates the groups slot by slot with the state machine of the server. What is printed, in
//! which stream, and the exit codes are promtool's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use alerting::rule::{self, GroupState, Moment, Phase, RuleGroup, RuleKind, RuleResult, UnknownFields};
use alerting::template::QueryResult;
use anyhow::Context as _;
use app::evaluate::rule_result;
use model::{Labels, Timestamp};
use promql::testing::{Answered, Storage, read_histogram, read_labels};
use promql::{Expr, Params};
use regex::Regex;

use super::unit_file::{AlertTest, ExprTest, Texts, UnitFile, UnitTest};
use super::unit_text::{self, LabelsAndAnnotations, Pairs, go_duration};
use super::{check_expr, complain, glob, junit};
use crate::cli::RulesTestArgs;
use crate::clock;
use crate::commands::print;

/// From one evaluation to the next where a file says nothing.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs unit tests of rules.
///
/// # Errors
/// When a flag is no regular expression, or an output cannot be written.
pub(super) fn test(arguments: &RulesTestArgs) -> anyhow::Result<ExitCode> {
    let run = match arguments.run.as_slice() {
        [] => None,
        patterns => Some(Regex::new(&patterns.join("|")).context("--run")?),
    };
    let mut suites = Vec::new();
    let mut failed = false;
    for path in &arguments.files {
        print(&format!("Unit Testing:  {}", path.display()))?;
        let started = jiff::Timestamp::from_millisecond(clock::now().as_millis()).context("the clock")?;
        let mut suite = junit::Suite {
            name: path.display().to_string(),
            timestamp: started.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            ..junit::Suite::default()
        };
        let failures = test_file(path, run.as_ref(), arguments, &mut suite)?;
        if failures.is_empty() {
            print("  SUCCESS")?;
        } else {
            failed = true;
            complain("  FAILED:")?;
            for failure in &failures {
                complain(failure)?;
                print("")?;
            }
        }
        print("")?;
        suites.push(suite);
    }
    if let Some(file) = &arguments.junit {
        fs::write(file, junit::document(&suites)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is wrong with one file or failed in it.
fn test_file(
    path: &Path,
    run: Option<&Regex>,
    arguments: &RulesTestArgs,
    suite: &mut junit::Suite,
) -> anyhow::Result<Vec<String>> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("{file}: {error}"));
    let unit = match text.and_then(|text| UnitFile::parse(&file, &text)) {
        Ok(unit) => unit,
        Err(error) => {
            suite.error = Some(error.clone());
            return Ok(vec![error]);
        }
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let rule_files = match rule_files(folder, &unit) {
        Ok(files) => files,
        Err(error) => return Ok(vec![error]),
    };
    let mut all = Vec::new();
    for (index, test) in unit.tests.iter().flatten().enumerate() {
        let name = test.name.clone().unwrap_or_default();
        if run.is_some_and(|run| !run.is_match(&name)) {
            continue;
        }
        let name = if name.is_empty() { format!("unnamed#{index}") } else { name };
        if arguments.debug {
            print(&format!("DEBUG: Starting test {name}"))?;
        }
        let failures = match Bench::new(&unit, test, &rule_files, arguments) {
            Ok(mut bench) => {
                let failures = bench.run(arguments.diff);
                if arguments.debug {
                    print(&bench.dump())?;
                }
                failures
            }
            Err(errors) => errors,
        };
        all.extend(failures.iter().cloned());
        suite.cases.push(junit::Case { name, failures });
    }
    Ok(all)
}

/// The rule files that a file of tests names.
fn rule_files(folder: &Path, unit: &UnitFile) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for pattern in unit.rule_files.iter().flatten() {
        let path = folder.join(pattern);
        let found = glob::glob(&path)?;
        if found.is_empty() {
            complain(&format!("  WARNING: no file match pattern {}", path.display()))
                .map_err(|error| error.to_string())?;
        }
        files.extend(found);
    }
    Ok(files)
}

/// One test on its way: series, rules and their state.
struct Bench<'a> {
    test: &'a UnitTest,
    interval: Duration,
    is_fuzzy: bool,
    external_labels: Pairs,
    storage: Storage,
    groups: Vec<RuleGroup>,
    states: Vec<GroupState>,
    exprs: BTreeMap<String, Expr>,
}

impl<'a> Bench<'a> {
    fn new(
        unit: &UnitFile,
        test: &'a UnitTest,
        rule_files: &[PathBuf],
        arguments: &RulesTestArgs,
    ) -> Result<Self, Vec<String>> {
        let interval = if unit.evaluation_interval.0.is_zero() { INTERVAL } else { unit.evaluation_interval.0 };
        let step = if test.interval.0.is_zero() { interval } else { test.interval.0 };
        let mut storage = Storage::default();
        for input in test.input_series.iter().flatten() {
            storage.add(&input.series, &input.values, test.start_timestamp.0, step).map_err(|error| vec![error])?;
        }
        let mut groups = load_groups(rule_files, arguments)?;
        let order: Vec<&String> = unit.group_eval_order.iter().flatten().collect();
        groups.sort_by_key(|group| order.iter().position(|name| **name == group.name).unwrap_or(0));
        let rules = groups.iter().flat_map(|group| &group.rules);
        let texts = rules.flat_map(|rule| std::iter::once(rule.expr.as_str()).chain(rule.recover_expr()));
        let exprs = texts.filter_map(|text| Some((text.to_owned(), promql::parse(text).ok()?))).collect();
        let external_labels = test.external_labels.as_ref().map(plain).unwrap_or_default();
        let states = groups.iter().map(|_| GroupState::default()).collect();
        Ok(Self { test, interval, is_fuzzy: unit.fuzzy_compare, external_labels, storage, groups, states, exprs })
    }

    /// Evaluates all rules up to the last time that matters, and says what is not as expected.
    fn run(&mut self, diff: bool) -> Vec<String> {
        let alert_tests: Vec<&AlertTest> = self.test.alert_rule_test.iter().flatten().collect();
        if let Some(nameless) = alert_tests.iter().find(|test| test.alertname.as_deref().unwrap_or("").is_empty()) {
            let group = self.test.name.as_ref().map_or_else(String::new, |name| format!(" (in TestGroup {name})"));
            let time = model::duration::format(nameless.eval_time.0);
            return vec![format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {time}{group}"
            )];
        }
        let start = self.test.start_timestamp.0;
        let eval_time_max = self.test.eval_time_max();
        let mut failures = Vec::new();
        let mut passed = Duration::ZERO;
        while passed <= eval_time_max {
            let slot = start + passed;
            self.storage.show_until(slot);
            let errors = self.evaluate(slot);
            if !errors.is_empty() {
                failures.extend(errors);
                return failures;
            }
            let due = passed..passed + self.interval;
            let mut due: Vec<&AlertTest> =
                alert_tests.iter().copied().filter(|test| due.contains(&test.eval_time.0)).collect();
            due.sort_by_key(|test| test.eval_time);
            failures.extend(due.into_iter().filter_map(|test| self.check_alerts(test, diff)));
            passed += self.interval;
        }
        failures.extend(self.test.promql_expr_test.iter().flatten().filter_map(|test| self.check_expr(test)));
        failures
    }

    /// Evaluates every rule at a slot, in order; what one records, those behind it see.
    fn evaluate(&mut self, slot: Timestamp) -> Vec<String> {
        let mut errors = Vec::new();
        for (group, state) in self.groups.iter().zip(&mut self.states) {
            let identities = group.identities();
            let offset = group.query_offset.unwrap_or_default();
            for (rule, identity) in group.rules.iter().zip(identities) {
                let params = Params::instant(slot - offset);
                let storage = &self.storage;
                let answer = |expr: &Expr| -> RuleResult {
                    rule_result(storage.answer(expr, &params).map_err(|error| error.to_string())?)
                };
                let answer_text = |text: &str| -> RuleResult {
                    answer(self.exprs.get(text).ok_or_else(|| format!("{text:?} cannot be parsed"))?)
                };
                let result = answer_text(&rule.expr);
                let known = || Some(answer(&promql::unfiltered(self.exprs.get(&rule.expr)?)?));
                let recovered = || answer_text(rule.recover_expr().unwrap_or_default());
                let query = |text: &str| -> QueryResult {
                    let expr = promql::parse(text).map_err(|error| error.to_string())?;
                    storage.samples(&expr, &Params::instant(slot)).map(vector)
                };
                let moment = Moment {
                    slot,
                    last_slot: state.slot,
                    query_offset: offset,
                    interval: self.interval,
                    resend_delay: INTERVAL,
                    limit: group.limit,
                    limit_max: usize::MAX,
                    external_url: self.test.external_url.as_deref().unwrap_or(""),
                    external_labels: &self.external_labels,
                    query: &query,
                    known: &known,
                    recovered: &recovered,
                };
                let known = state.rules.remove(&identity).unwrap_or_default();
                let outcome = rule::step(rule, known, result, &moment);
                if let Some(error) = outcome.error {
                    let time = go_duration(slot.since(Timestamp::from_millis(0)));
                    errors.push(format!("    rule: {}, time: {time}, err: {error}", rule.name));
                }
                state.rules.insert(identity, outcome.state);
                for (labels, sample) in outcome.samples {
                    self.storage.insert(labels, sample);
                }
                for (labels, sample) in outcome.histograms {
                    self.storage.insert_histogram(labels, sample);
                }
            }
            state.slot = Some(slot);
        }
        errors
    }

    /// The alerts of a name that fire now, in all groups.
    fn firing(&self, name: &str) -> Vec<LabelsAndAnnotations> {
        let mut found = Vec::new();
        for (group, state) in self.groups.iter().zip(&self.states) {
            for (rule, identity) in group.rules.iter().zip(group.identities()) {
                let is_wanted = rule.name == name && matches!(rule.kind, RuleKind::Alerting { .. });
                let active = state.rules.get(&identity).filter(|_| is_wanted).map(|rule| &rule.active);
                let firing =
                    active.into_iter().flatten().filter(|(_, alert)| matches!(alert.phase, Phase::Firing { .. }));
                found.extend(firing.map(|(labels, alert)| LabelsAndAnnotations {
                    labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                    annotations: alert.annotations.clone(),
                }));
            }
        }
        found.sort();
        found
    }

    fn check_alerts(&self, test: &AlertTest, diff: bool) -> Option<String> {
        let name = test.alertname.as_deref().unwrap_or("");
        let found = self.firing(name);
        let mut expected = Vec::new();
        for alert in test.exp_alerts.iter().flatten() {
            let mut labels = alert.exp_labels.as_ref().map(plain).unwrap_or_default();
            labels.insert(rule::ALERT_NAME.to_owned(), name.to_owned());
            let annotations = alert.exp_annotations.as_ref().map(plain).unwrap_or_default();
            expected.push(LabelsAndAnnotations { labels, annotations });
        }
        expected.sort();
        if expected == found {
            return None;
        }
        let group = self.test.name.as_ref().map_or_else(String::new, |name| format!("    name: {name},\n"));
        let time = model::duration::format(test.eval_time.0);
        let head = format!("{group}    alertname: {name}, time: {time}, \n");
        if diff {
            let shown = unit_text::diff(&expected, &found)?;
            return Some(format!("{head}        diff: {}", unit_text::indented(&shown, "            ")));
        }
        let (expected, found) = (unit_text::alerts(&expected), unit_text::alerts(&found));
        Some(format!("{head}        exp:{expected}, \n        got:{found}"))
    }

    fn check_expr(&self, test: &ExprTest) -> Option<String> {
        let time = model::duration::format(test.eval_time.0);
        let head = format!("    expr: {:?}, time: {time},", test.expr);
        let params = Params::instant(self.test.start_timestamp.0 + test.eval_time.0);
        let parsed = promql::parse(&test.expr).map_err(|error| error.to_string());
        let mut found = match parsed.and_then(|expr| self.storage.samples(&expr, &params)) {
            Ok(found) => found,
            Err(error) => return Some(format!("{head} err: {error}")),
        };
        let mut expected = match expected_samples(test) {
            Ok(expected) => expected,
            Err(error) => return Some(format!("{head} err: {error}")),
        };
        found.sort_by(|left, right| left.labels.cmp(&right.labels));
        expected.sort_by(|left, right| left.labels.cmp(&right.labels));
        let same = |(left, right): (&Answered, &Answered)| {
            left.labels == right.labels && left.histogram == right.histogram && self.same_value(left.value, right.value)
        };
        if found.len() == expected.len() && expected.iter().zip(&found).all(same) {
            return None;
        }
        Some(format!("{head}\n        exp: {}\n        got: {}", samples(&expected), samples(&found)))
    }

    /// Whether two numbers are the same; NaN is not NaN, as for promtool.
    #[expect(clippy::float_cmp, reason = "neighbours are equal only where the file asks for it")]
    fn same_value(&self, left: f64, right: f64) -> bool {
        left == right || (self.is_fuzzy && (left.next_up() == right || left.next_down() == right))
    }

    /// Every series with its samples.
    fn dump(&self) -> String {
        let range = (self.test.eval_time_max().as_secs() + 1) * 1000;
        let text = format!("{{__name__=~\".+\"}}[{range}ms]");
        let time = Duration::from_millis(range);
        let params = Params::instant(self.test.start_timestamp.0 + time);
        let expr = promql::parse(&text).map_err(|error| error.to_string());
        match expr.and_then(|expr| self.storage.answer(&expr, &params).map_err(|error| error.to_string())) {
            Ok(output) => {
                let promql::Value::Matrix(matrix) = output.value else { return String::new() };
                let mut shown = format!("DEBUG: Dump of all data (input_series and rules) at {}:", go_duration(time));
                for series in &matrix {
                    shown.push_str(&format!("\n{} =>", series.labels));
                    for sample in series.samples() {
                        let value = promql::format_float(sample.value);
                        shown.push_str(&format!("\n{value} @[{}]", sample.timestamp.as_millis()));
                    }
                }
                shown
            }
            Err(error) => format!("DEBUG: Failed querying, expr: {text:?}, err: {error}"),
        }
    }
}

fn load_groups(files: &[PathBuf], arguments: &RulesTestArgs) -> Result<Vec<RuleGroup>, Vec<String>> {
    let unknown = if arguments.ignore_unknown_fields { UnknownFields::Ignored } else { UnknownFields::Refused };
    let mut groups = Vec::new();
    // A file that several patterns name counts once.
    for file in files.iter().collect::<BTreeSet<_>>() {
        let name = file.display().to_string();
        let text = fs::read_to_string(file).map_err(|error| vec![format!("{name}: {error}")])?;
        let parsed = rule::parse_with(&name, &text, &|expr| check_expr(arguments.promql_profile, expr), unknown);
        groups.extend(parsed.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?);
    }
    Ok(groups)
}

fn expected_samples(test: &ExprTest) -> Result<Vec<Answered>, String> {
    let mut expected = Vec::new();
    for sample in test.exp_samples.iter().flatten() {
        let written = sample.labels.as_deref().unwrap_or("");
        let named = |error: String| format!("labels {written:?}: {error}");
        let labels = read_labels(written).map_err(named)?;
        let histogram = sample.histogram.as_deref().filter(|text| !text.is_empty());
        let histogram = histogram.map(read_histogram).transpose().map_err(named)?;
        expected.push(Answered { labels, value: sample.value, histogram });
    }
    Ok(expected)
}

fn samples(samples: &[Answered]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    samples.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The numbers of an answer.
fn vector(samples: Vec<Answered>) -> Vec<(Labels, f64)> {
    samples.into_iter().map(|sample| (sample.labels, sample.value)).collect()
}

/// What is missing is the empty text.
fn plain(texts: &Texts) -> Pairs {
    texts.iter().map(|(key, value)| (key.clone(), value.clone().unwrap_or_default())).collect()
}
