//! The template language: Go's `text/template` with Prometheus's functions in labels and annotations of rules, and
//! with Alertmanager's in the texts of receivers, where it is `html/template` for what is HTML.
//!
//! `lex` cuts the text into tokens, `parse` builds a tree, `exec` runs it; `functions`, `humanize`, `print`, `json` and
//! `html` are what it calls. Read [`Template`] first, the template of a rule; then [`Text`], that of a receiver, with
//! the named templates that it may call ([`Library`]) and what it sees ([`Data`]).
//!
//! The language is whole: pipelines, variables, `if`, `else if`, `range`, `with`, `define`, `template`, `block`,
//! `break`, `continue`, comments, trimming, and the methods of times and durations (`methods`).

mod dates;
mod exec;
mod functions;
mod html;
mod humanize;
mod json;
mod lex;
mod library;
mod methods;
mod notice;
mod parse;
mod print;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::{Labels, Timestamp};

pub(crate) use functions::{GraphTab, graph_path};
pub use library::{Library, Markup, Text};
pub use notice::{Data, DataAlert};
pub(crate) use print::{exponential, quoted};

/// Whose functions a template may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Prometheus's.
    Rule,
    /// Alertmanager's.
    Notification,
}

/// Why a template cannot be read or run. Prints as `line: reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{line}: {reason}", inside.as_ref().map(|name| format!("in template {name:?}, line ")).unwrap_or_default())]
pub struct TemplateError {
    /// The line in the template, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
    /// What was running; `None` when the template cannot be read.
    pub running: Option<Running>,
    /// The named template in which it happened, whose lines count then.
    pub inside: Option<String>,
}

/// The piece of a template that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The byte of the line it starts at, counted from 0.
    pub column: usize,
    /// The piece itself.
    pub text: String,
}

impl TemplateError {
    /// What Prometheus sets before the template of a rule, and so counts in the columns of its first line.
    const PREAMBLE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                            {{$externalURL := .ExternalURL}}{{$value := .Value}}";

    fn at(source: &str, offset: usize, reason: impl Into<String>) -> Self {
        let line = 1 + source.bytes().take(offset).filter(|&byte| byte == b'\n').count();
        Self { line, reason: reason.into(), running: None, inside: None }
    }

    fn while_running(source: &str, span: (usize, usize), reason: impl Into<String>) -> Self {
        let (start, end) = span;
        let before = source.get(..start).unwrap_or("");
        let column = before.rfind('\n').map_or(start, |newline| start - newline - 1);
        let text = source.get(start..end).unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ");
        Self { running: Some(Running { column, text }), ..Self::at(source, start, reason) }
    }

    /// The failure in the words of Go: `template: NAME:1:3: executing "NAME" at <...>: ...`.
    pub fn in_go_words(&self, name: &str) -> String {
        match &self.running {
            None => format!("template: {name}:{}: {}", self.line, self.reason),
            Some(Running { column, text }) => {
                let column = if self.line == 1 { column + Self::PREAMBLE.len() } else { *column };
                format!("template: {name}:{}:{column}: executing {name:?} at <{text}>: {}", self.line, self.reason)
            }
        }
    }
}

/// What the query of a template gives: each series with its value, or why there is nothing.
pub type QueryResult = Result<Vec<(Labels, f64)>, String>;

/// What a template of a rule can see.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// `$labels`: those of the sample, the metric name included.
    pub labels: &'a Labels,
    /// `$value`
    pub value: f64,
    /// `$externalLabels`
    pub external_labels: &'a BTreeMap<String, String>,
    /// `$externalURL`: where people reach this server.
    pub external_url: &'a str,
    /// `now`: the time of the evaluation.
    pub now: Timestamp,
    /// `query`: the result of an expression at that time.
    pub query: &'a dyn Fn(&str) -> QueryResult,
}

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Environment");
        debug.field("labels", self.labels).field("value", &self.value).field("now", &self.now).finish_non_exhaustive()
    }
}

/// A template that was read and can be expanded any number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    source: Arc<str>,
    /// `None` for text without actions, which most templates are.
    tree: Option<Arc<parse::Tree>>,
}

impl Template {
    /// The variables that are set in every template of a rule.
    const VARIABLES: [&'static str; 4] = ["labels", "externalLabels", "externalURL", "value"];

    /// Reads a template.
    ///
    /// # Errors
    /// When it breaks the language's grammar, or names a function or a variable that does not exist.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let tree = if source.contains("{{") {
            Some(Arc::new(parse::parse(source, &Self::VARIABLES, Dialect::Rule)?))
        } else {
            None
        };
        Ok(Self { source: Arc::from(source), tree })
    }

    /// A text that is taken as it is, whatever stands in it.
    pub fn plain(source: &str) -> Self {
        Self { source: Arc::from(source), tree: None }
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it may ask for the result of an expression; where it cannot, false.
    pub fn may_query(&self) -> bool {
        self.tree.is_some() && self.source.contains("query")
    }

    /// Fills in what the environment holds.
    ///
    /// # Errors
    /// When a function fails, a value has the wrong type, or a limit on output or steps is reached.
    pub fn expand(&self, environment: &Environment<'_>) -> Result<String, TemplateError> {
        let Some(tree) = &self.tree else { return Ok(self.source.to_string()) };
        let (dot, variables) = exec::rule_data(environment);
        exec::run(&self.source, tree, dot, variables, exec::World::Rule(environment), Markup::Text)
    }

    /// As [`Template::expand`], for the rule of that name; a failure becomes the text, in the words of Prometheus, so
    /// that no alert is ever lost to its template.
    pub fn expand_or_explain(&self, rule: &str, environment: &Environment<'_>) -> String {
        self.expand(environment).unwrap_or_else(|error| {
            let name = template_name(rule);
            format!("<error expanding template: error executing template {name}: {}>", error.in_go_words(&name))
        })
    }
}

/// What Prometheus calls the templates of an alert rule.
pub(crate) fn template_name(rule: &str) -> String {
    format!("__alert_{rule}")
}

#[cfg(test)]
mod tests;
