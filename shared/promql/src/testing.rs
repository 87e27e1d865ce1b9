//! Test scripts for queries: `load` series, then `eval` queries and say what they answer.
//!
//! The format is the one of Prometheus's own query tests: `load <interval>` with series in expanding notation
//! (`0+10x5`, `_x3`, `stale`), `clear`, and `eval instant at <time> <query>` or
//! `eval range from <start> to <end> step <step> <query>` followed by `expect` lines and expected series. Read
//! [`Script`] first; [`Storage`] holds the series, for tests of other forms too.
//!
//! Native histograms are written `{{schema:0 count:4 sum:5 buckets:[1 2 1]}}`; `load_with_nhcb` makes ones with custom
//! buckets of classic histograms.

mod compare;
mod native;
mod notation;
mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Timestamp};

use self::compare::{Found, check_annotations, check_failure, check_value, found_series, found_vector};
use self::notation::{Point, expand, read_duration, read_series};
use crate::ast::{Expr, ExprKind};
use crate::parser::parse;
use crate::selection::Params;
use crate::value::{Output, Value};

pub use self::storage::{Answered, Storage, read_histogram, read_labels};

/// Why a text is no script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line, counted from 1.
    pub line: usize,
    /// What was wrong.
    pub message: String,
}

/// A script: cases in the order of the text, each with what was loaded before it.
#[derive(Clone, Debug)]
pub struct Script {
    cases: Vec<Case>,
}

/// One `eval` of a script.
#[derive(Clone, Debug)]
pub struct Case {
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    when: When,
    expected: Expected,
    loaded: Arc<Storage>,
}

/// What answers a query: a text and when it is evaluated to an answer, or to the message of an error.
pub type Answering<'a> = dyn FnMut(&str, &Params) -> Result<Output, String> + 'a;

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
enum When {
    At(Timestamp),
    Over { start: Timestamp, end: Timestamp, step: Duration },
}

/// What a query is to answer.
#[derive(Clone, Debug, Default)]
struct Expected {
    series: Vec<(Labels, Vec<Point>)>,
    scalar: Option<f64>,
    text: Option<String>,
    is_ordered: bool,
    /// Start, end and step in milliseconds of a range vector's samples.
    range_vector: Option<(i64, i64, i64)>,
    fails: Option<Vec<Text>>,
    warnings: Option<Vec<Text>>,
    infos: Option<Vec<Text>>,
}

/// What a message must be.
#[derive(Clone, Debug)]
enum Text {
    Any,
    None,
    Exactly(String),
    Matching(String),
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// When a line is none of the format.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self { cases: Vec::new() };
        let mut loaded = Storage::default();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let error = |message: String| ScriptError { line: number + 1, message };
            let line = line.trim();
            let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let mut block = Vec::new();
            while !command.is_empty() && !command.starts_with('#') {
                match lines.peek() {
                    Some((_, next)) if !next.trim().is_empty() && !begins_command(next.trim()) => {
                        let (number, next) = lines.next().expect("it was just seen");
                        if !next.trim().starts_with('#') {
                            block.push((number + 1, next.trim()));
                        }
                    }
                    _ => break,
                }
            }
            match command {
                "" => {}
                _ if command.starts_with('#') => {}
                "clear" => loaded = Storage::default(),
                "load" | "load_with_nhcb" => {
                    let step = read_duration(rest.trim()).map_err(error)?;
                    let mut classic = native::Classic::default();
                    for (line, text) in block {
                        loaded.add_line(text, step, &mut classic).map_err(|message| ScriptError { line, message })?;
                    }
                    if command == "load_with_nhcb" {
                        loaded.add_histograms(classic).map_err(error)?;
                    }
                }
                _ if command.starts_with("eval") => {
                    let case = Case::read(command, rest, &block, &loaded).map_err(error)?;
                    script.cases.push(Case { line: number + 1, ..case });
                }
                other => return Err(error(format!("unknown command {other:?}"))),
            }
        }
        Ok(script)
    }

    /// Its cases, in the order of the text.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

fn begins_command(line: &str) -> bool {
    ["load", "clear", "eval"].iter().any(|command| {
        line.strip_prefix(command).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '_', '\t']))
    })
}

impl Case {
    fn read(command: &str, rest: &str, block: &[(usize, &str)], loaded: &Storage) -> Result<Self, String> {
        let rest = rest.trim();
        let (when, query) = if let Some(rest) = rest.strip_prefix("instant at") {
            let (time, query) = next_word(rest)?;
            (When::At(read_time(time)?), query)
        } else if let Some(rest) = rest.strip_prefix("range from") {
            let (start, rest) = next_word(rest)?;
            let (end, rest) = next_word(rest.strip_prefix("to").ok_or("expected \"to\"")?)?;
            let (step, query) = next_word(rest.strip_prefix("step").ok_or("expected \"step\"")?)?;
            (When::Over { start: read_time(start)?, end: read_time(end)?, step: read_duration(step)? }, query)
        } else {
            return Err("expected \"instant at\" or \"range from\"".to_owned());
        };
        let mut expected = Expected::default();
        match command {
            "eval_fail" => expected.fails = Some(vec![Text::Any]),
            "eval_warn" => expected.warnings = Some(vec![Text::Any]),
            "eval_info" => expected.infos = Some(vec![Text::Any]),
            "eval_ordered" => expected.is_ordered = true,
            _ => {}
        }
        for (_, line) in block {
            expected.read_line(line, when)?;
        }
        Ok(Self { line: 0, query: query.to_owned(), when, expected, loaded: Arc::new(loaded.clone()) })
    }

    /// The functions it calls.
    pub fn functions(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        if let Ok(expr) = parse(&self.query) {
            collect_functions(&expr, &mut names);
        }
        names
    }

    /// Evaluates the query over what was loaded, and compares the answer.
    ///
    /// # Errors
    /// When the answer is another one; says how.
    pub fn run(&self) -> Result<(), String> {
        self.run_on(&mut |_, params| self.answer(params))
    }

    /// Lets something else answer the query, once or at several times, and compares what it says: the text and when are
    /// its arguments. It should have taken in [`Case::loaded`].
    ///
    /// # Errors
    /// When the answer is another one; says how.
    pub fn run_on(&self, answer: &mut Answering<'_>) -> Result<(), String> {
        let params = self.params();
        let outcome = answer(&self.query, &params);
        if let Some(expected) = &self.expected.fails {
            return check_failure(outcome, expected);
        }
        let output = outcome.map_err(|error| format!("fails: {error}"))?;
        check_annotations("warning", &output.warnings, self.expected.warnings.as_deref())?;
        check_annotations("info", &output.infos, self.expected.infos.as_deref())?;
        check_value(&output, &self.expected, &params)?;
        self.check_as_range(&output, answer)
    }

    /// What was loaded before it.
    pub fn loaded(&self) -> &Storage {
        &self.loaded
    }

    /// An instant query must answer what a range query answers at its time.
    fn check_as_range(&self, instant: &Output, answer: &mut Answering<'_>) -> Result<(), String> {
        let When::At(time) = self.when else { return Ok(()) };
        let sees_range = ["start", "end", "range", "step"].iter().any(|name| self.functions().contains(name));
        let Value::Vector(_) = instant.value else { return Ok(()) };
        if sees_range || ["start()", "end()", "range()", "step()"].iter().any(|text| self.query.contains(text)) {
            return Ok(());
        }
        let minute = Duration::from_secs(60);
        let params = Params::range(time - minute, time + minute, minute);
        let output = answer(&self.query, &params).map_err(|error| format!("fails as a range query: {error}"))?;
        let Value::Matrix(matrix) = output.value else { return Err("a range query gave no matrix".to_owned()) };
        let mut found: BTreeMap<&Labels, Found> = BTreeMap::new();
        for series in &matrix {
            if let Some(sample) = found_series(series).remove(&time) {
                found.insert(&series.labels, sample);
            }
        }
        for (labels, sample) in found_vector(instant) {
            let value = found.remove(&labels).ok_or_else(|| format!("as a range query: {labels} is missing"))?;
            if !value.same(&sample) {
                return Err(format!("as a range query: {labels} is {value}, not {sample}"));
            }
        }
        if found.is_empty() { Ok(()) } else { Err(format!("as a range query: more series {found:?}")) }
    }

    fn params(&self) -> Params {
        match self.when {
            When::At(time) => Params::instant(time),
            When::Over { start, end, step } => Params::range(start, end, step),
        }
    }

    fn answer(&self, params: &Params) -> Result<Output, String> {
        let expr = parse(&self.query).map_err(|error| error.to_string())?;
        self.loaded.answer(&expr, params).map_err(|error| error.to_string())
    }
}

fn collect_functions(expr: &Expr, names: &mut Vec<&'static str>) {
    if let ExprKind::Call(call) = &expr.kind {
        names.push(call.function.name);
    }
    expr.kind.children().for_each(|child| collect_functions(child, names));
}

impl Expected {
    fn read_line(&mut self, line: &str, when: When) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("expected_fail_message ") {
            self.fails = Some(vec![Text::Exactly(rest.trim().to_owned())]);
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("expected_fail_regexp ") {
            self.fails = Some(vec![Text::Matching(rest.trim().to_owned())]);
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("expect ") {
            return self.read_expectation(rest.trim());
        }
        if let (When::At(_), Ok(value)) = (when, line.parse()) {
            self.scalar = Some(value);
            return Ok(());
        }
        let (labels, points) = read_series(line)?;
        self.series.push((labels, expand(points)?));
        Ok(())
    }

    fn read_expectation(&mut self, line: &str) -> Result<(), String> {
        let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let text = || -> Result<Text, String> {
            let rest = rest.trim();
            if let Some(message) = rest.strip_prefix("msg:") {
                return Ok(Text::Exactly(message.trim().to_owned()));
            }
            if let Some(pattern) = rest.strip_prefix("regex:") {
                return Ok(Text::Matching(pattern.trim().to_owned()));
            }
            if rest.is_empty() { Ok(Text::Any) } else { Err(format!("unknown expectation {line:?}")) }
        };
        match kind {
            "fail" => self.fails.get_or_insert_default().push(text()?),
            "warn" => self.warnings.get_or_insert_default().push(text()?),
            "info" => self.infos.get_or_insert_default().push(text()?),
            "no_warn" => self.warnings = Some(vec![Text::None]),
            "no_info" => self.infos = Some(vec![Text::None]),
            "ordered" => self.is_ordered = true,
            "string" => self.text = Some(notation::read_text(rest.trim())?),
            "range" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let ["vector", "from", start, "to", end, "step", step] = words[..] else {
                    return Err(format!("unknown expectation {line:?}"));
                };
                let millis = |word: &str| read_time(word).map(Timestamp::as_millis);
                self.range_vector = Some((millis(start)?, millis(end)?, millis(step)?));
            }
            other => return Err(format!("unknown expectation {other:?}")),
        }
        Ok(())
    }
}

fn next_word(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).ok_or_else(|| format!("expected more than {text:?}"))?;
    Ok((word, rest.trim()))
}

/// A time: seconds or a duration since the epoch, perhaps before it.
fn read_time(text: &str) -> Result<Timestamp, String> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let duration = read_duration(text)?;
    let epoch = Timestamp::from_millis(0);
    Ok(if negative { epoch - duration } else { epoch + duration })
}

#[cfg(test)]
mod tests;
