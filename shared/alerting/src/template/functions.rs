//! The functions a template may call: those of the language, and Prometheus's.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use model::duration;
use model::pattern::{self, PATTERN_BYTES_MAX};
use regex::Regex;

use super::exec::World;
use super::value::Value;
use super::{Dialect, Environment, humanize, print};

mod notification;

/// What a call gives: a value, or why there is none.
type Outcome = Result<Value, String>;

/// The functions of the language by name, sorted. `and` and `or` are not called: they decide which operands are looked
/// at.
const LANGUAGE: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

/// Those of rules, sorted.
const OF_RULES: [&str; 29] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "tmpl",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "value",
];

/// The name as it is kept in the parse tree, if there is such a function.
pub(super) fn find(name: &str, dialect: Dialect) -> Option<&'static str> {
    let own: &[&'static str] = match dialect {
        Dialect::Rule => &OF_RULES,
        Dialect::Notification => &notification::NAMES,
    };
    let among = |names: &[&'static str]| names.binary_search(&name).ok().map(|index| names[index]);
    among(&LANGUAGE).or_else(|| among(own))
}

/// Why a function cannot be called with so many arguments, in the words of Go.
pub(super) fn wrong_count(name: &str, count: usize) -> Option<String> {
    let (least, most) = match name {
        "print" | "println" | "html" | "js" | "urlquery" | "args" | "dict" | "list" | "stringSlice" => (0, usize::MAX),
        "call" | "printf" | "index" | "slice" | "eq" | "append" => (1, usize::MAX),
        "now" | "externalURL" | "pathPrefix" => (0, 0),
        "ne" | "lt" | "gt" | "le" | "ge" | "label" | "match" | "sortByLabel" | "tmpl" | "join" | "date" | "tz"
        | "toDate" | "mustToDate" => (2, 2),
        "reReplaceAll" => (3, 3),
        _ => (1, 1),
    };
    if (least..=most).contains(&count) {
        return None;
    }
    let at_least = if most == usize::MAX { "at least " } else { "" };
    Some(format!("wrong number of args for {name}: want {at_least}{least} got {count}"))
}

/// Calls a function with all its arguments.
pub(super) fn call(name: &str, arguments: &[Value], world: World<'_>) -> Outcome {
    if let World::Notification { data, .. } = world
        && let Some(outcome) = notification::call(name, arguments, data)
    {
        return outcome;
    }
    match name {
        "eq" => equal(arguments).map(Value::Bool),
        "print" => Ok(Value::text(print::joined(arguments))),
        "println" => Ok(Value::text(print::line(arguments))),
        "html" => Ok(Value::text(escape_html(&print::joined(arguments)))),
        "js" => Ok(Value::text(escape_script(&print::joined(arguments)))),
        "urlquery" => Ok(Value::text(query_escape(&print::joined(arguments)))),
        "args" => Ok(numbered(arguments)),
        // No value of a template is a function.
        "call" => {
            let one = arguments.first().unwrap_or(&Value::Nil);
            Err(format!("non-function {} of type {}", print::plain(one), one.type_name()))
        }
        "index" => index(arguments),
        "slice" => slice(arguments),
        "printf" => match arguments.split_first() {
            Some((Value::Text(format), rest)) => Ok(Value::text(print::formatted(format, rest))),
            _ => Err("printf wants a format".to_owned()),
        },
        name => match arguments {
            [] => call_0(name, world),
            [one] => call_1(name, one, world),
            [one, two] => call_2(name, one, two),
            [Value::Text(pattern), Value::Text(replacement), Value::Text(text)] if name == "reReplaceAll" => {
                Ok(Value::text(regex(pattern)?.replace_all(text, replacement.as_ref())))
            }
            _ => Err(wrong_arguments(name, arguments)),
        },
    }
}

fn wrong_arguments(name: &str, arguments: &[Value]) -> String {
    let types: Vec<&str> = arguments.iter().map(Value::type_name).collect();
    format!("wrong number or type of arguments for {name}: ({})", types.join(", "))
}

fn call_0(name: &str, world: World<'_>) -> Outcome {
    let World::Rule(environment) = world else { return Err(wrong_arguments(name, &[])) };
    match name {
        "now" => Ok(Value::Float(environment.now.as_secs_f64())),
        "externalURL" => Ok(Value::text(environment.external_url)),
        "pathPrefix" => Ok(Value::text(path_of(environment.external_url))),
        name => Err(wrong_arguments(name, &[])),
    }
}

fn call_1(name: &str, one: &Value, world: World<'_>) -> Outcome {
    let unknown = || Err(wrong_arguments(name, std::slice::from_ref(one)));
    match name {
        "not" => return Ok(Value::Bool(!one.is_true())),
        "len" => return length(one),
        "humanize" => return Ok(Value::text(humanize::humanize(number(one)?))),
        "humanize1024" => return Ok(Value::text(humanize::humanize_1024(number(one)?))),
        "humanizeDuration" => return Ok(Value::text(humanize::duration(number(one)?))),
        "humanizePercentage" => return Ok(Value::text(humanize::percentage(number(one)?))),
        "humanizeTimestamp" => return humanize::timestamp(number(one)?).map(Value::text),
        "toTime" => return Ok(Value::time(number(one)?)),
        "toDuration" => return Ok(Value::Duration(number(one)?)),
        "value" => return one.field("Value"),
        "strvalue" => return one.field("Labels")?.field("__value__"),
        "first" => return first(one),
        _ => {}
    }
    let Value::Text(text) = one else { return unknown() };
    match name {
        "query" => match world {
            World::Rule(environment) => query(text, environment),
            World::Notification { .. } => unknown(),
        },
        "toUpper" => Ok(Value::text(text.to_uppercase())),
        "toLower" => Ok(Value::text(text.to_lowercase())),
        "title" => Ok(Value::text(title(text))),
        "safeHtml" => Ok(one.clone()),
        "stripPort" => Ok(Value::text(split_port(text).map_or(text.as_ref(), |(host, _)| host))),
        "stripDomain" => Ok(Value::text(strip_domain(text))),
        "graphLink" => Ok(Value::text(graph_path(text, GraphTab::Graph))),
        "tableLink" => Ok(Value::text(graph_path(text, GraphTab::Table))),
        "parseDuration" => parse_duration(text),
        _ => unknown(),
    }
}

fn call_2(name: &str, one: &Value, two: &Value) -> Outcome {
    match (name, one, two) {
        ("ne", ..) => Ok(Value::Bool(!same(one, two)?)),
        ("lt", ..) => Ok(Value::Bool(order(one, two)? == Some(Ordering::Less))),
        ("gt", ..) => Ok(Value::Bool(order(one, two)? == Some(Ordering::Greater))),
        ("le", ..) => Ok(Value::Bool(order(one, two)?.is_some_and(Ordering::is_le))),
        ("ge", ..) => Ok(Value::Bool(order(one, two)?.is_some_and(Ordering::is_ge))),
        ("label", Value::Text(name), sample) => sample.field("Labels")?.field(name),
        ("match", Value::Text(pattern), Value::Text(text)) => Ok(Value::Bool(regex(pattern)?.is_match(text))),
        ("sortByLabel", Value::Text(name), Value::List(_, samples)) => sort_by_label(name, samples),
        _ => Err(wrong_arguments(name, &[one.clone(), two.clone()])),
    }
}

/// A number in any of the forms that Prometheus's functions take.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(number) | Value::Duration(number) => Ok(*number),
        #[expect(clippy::cast_precision_loss, reason = "numbers for people have four digits")]
        Value::Int(number) => Ok(*number as f64),
        Value::Text(text) => text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        Value::Nil
        | Value::Bool(_)
        | Value::Texts(_)
        | Value::Map(_)
        | Value::Record(..)
        | Value::List(..)
        | Value::Pairs(_)
        | Value::Safe(..)
        | Value::Time(..) => Err(format!("can't convert {} to float", value.type_name())),
    }
}

fn equal(arguments: &[Value]) -> Result<bool, String> {
    let Some((first, rest @ [_, ..])) = arguments.split_first() else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in rest {
        if same(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Equality of basic values; a whole number and a float are different things, as in Go.
#[expect(clippy::float_cmp, reason = "equality is what the template asks for")]
fn same(one: &Value, two: &Value) -> Result<bool, String> {
    match (one, two) {
        (Value::Bool(one), Value::Bool(two)) => Ok(one == two),
        (Value::Int(one), Value::Int(two)) => Ok(one == two),
        (Value::Float(one), Value::Float(two)) => Ok(one == two),
        (Value::Text(one), Value::Text(two)) => Ok(one == two),
        (Value::Time(one, _), Value::Time(two, _)) => Ok(one == two),
        (Value::Nil, other) | (other, Value::Nil) => Ok(*other == Value::Nil),
        _ => Err(incomparable(one, two)),
    }
}

fn order(one: &Value, two: &Value) -> Result<Option<Ordering>, String> {
    match (one, two) {
        (Value::Int(one), Value::Int(two)) => Ok(Some(one.cmp(two))),
        (Value::Float(one), Value::Float(two)) => Ok(one.partial_cmp(two)),
        (Value::Text(one), Value::Text(two)) => Ok(Some(one.cmp(two))),
        _ => Err(incomparable(one, two)),
    }
}

fn incomparable(one: &Value, two: &Value) -> String {
    let is_basic = |value: &Value| matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_));
    let reason = if is_basic(one) && is_basic(two) { "incompatible types" } else { "invalid type" };
    format!("{reason} for comparison")
}

fn length(value: &Value) -> Outcome {
    let length = match value {
        Value::Text(text) | Value::Safe(_, text) => text.len(),
        Value::Texts(map) | Value::Pairs(map) => map.len(),
        Value::Map(map) => map.len(),
        Value::List(_, items) => items.len(),
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Record(..)
        | Value::Time(..)
        | Value::Duration(_) => return Err(format!("len of type {}", value.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(arguments: &[Value]) -> Outcome {
    let (first, keys) = arguments.split_first().ok_or("index of nothing")?;
    keys.iter().try_fold(first.clone(), |value, key| match (&value, key) {
        (Value::Pairs(map), Value::Text(key)) => Ok(Value::text(map.get(&**key).map_or("", String::as_str))),
        (Value::Texts(_) | Value::Map(_), Value::Text(key)) => value.field(key),
        (Value::List(_, items), Value::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
            found.cloned().ok_or_else(|| format!("index out of range: {at}"))
        }
        (value, key) => Err(format!("can't index {} with {}", value.type_name(), key.type_name())),
    })
}

fn slice(arguments: &[Value]) -> Outcome {
    let (first, bounds) = arguments.split_first().ok_or("slice of nothing")?;
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Int(value)) => usize::try_from(*value).map_err(|_| format!("index out of range: {value}")),
        Some(other) => Err(format!("can't slice with {}", other.type_name())),
    };
    let part = if let Value::Text(text) = first {
        text.get(bound(0, 0)?..bound(1, text.len())?).map(Value::text)
    } else if let Value::List(kind, items) = first {
        items.get(bound(0, 0)?..bound(1, items.len())?).map(|part| Value::List(*kind, Rc::new(part.to_vec())))
    } else {
        return Err(format!("can't slice {}", first.type_name()));
    };
    part.ok_or_else(|| "slice bounds out of range".to_owned())
}

fn numbered(arguments: &[Value]) -> Value {
    let named = arguments.iter().enumerate().map(|(index, value)| (format!("arg{index}"), value.clone()));
    Value::Map(Rc::new(named.collect()))
}

fn query(expr: &str, environment: &Environment<'_>) -> Outcome {
    let samples = (environment.query)(expr)?;
    let records = samples.into_iter().map(|(labels, value)| {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let fields = [("Labels", Value::Texts(Rc::new(labels))), ("Value", Value::Float(value))];
        Value::Record("template.sample", Rc::new(BTreeMap::from(fields)))
    });
    Ok(Value::list(records.collect()))
}

fn first(value: &Value) -> Outcome {
    let Value::List(_, items) = value else { return Err(format!("first of type {}", value.type_name())) };
    items.first().cloned().ok_or_else(|| "first() called on vector with no elements".to_owned())
}

fn sort_by_label(name: &str, samples: &[Value]) -> Outcome {
    let key = |sample: &Value| Ok(print::plain(&sample.field("Labels")?.field(name)?));
    let keyed: Result<Vec<(String, &Value)>, String> = samples.iter().map(|s| key(s).map(|key| (key, s))).collect();
    let mut keyed = keyed?;
    keyed.sort_by(|one, two| one.0.cmp(&two.0));
    Ok(Value::list(keyed.into_iter().map(|(_, sample)| sample.clone()).collect()))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    pattern::anywhere(pattern, PATTERN_BYTES_MAX).map_err(|_| format!("invalid regular expression {pattern:?}"))
}

/// Each word with a capital letter.
fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut titled = String::with_capacity(text.len());
    for c in text.chars() {
        let starts = !(previous.is_alphanumeric() || previous == '_' || previous == '\'');
        if starts {
            titled.extend(c.to_uppercase())
        } else {
            titled.push(c)
        }
        previous = c;
    }
    titled
}

/// Host and port of `host:port` or `[host]:port`; nothing when the text is neither.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').filter(|inner| !inner.contains(['[', ']'])).map(|inner| (inner, port));
    }
    (!host.contains([':', '[', ']'])).then_some((host, port))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_port(text).map_or((text, None), |(host, port)| (host, Some(port)));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or(host);
    match port {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

fn parse_duration(text: &str) -> Outcome {
    let (sign, positive) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let parsed = duration::parse(positive).map_err(|error| error.to_string())?;
    Ok(Value::Float(sign * parsed.as_secs_f64()))
}

/// Which view of an expression a link opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphTab {
    /// A chart.
    Graph,
    /// A table of the newest values.
    Table,
}

/// The path of the page that shows an expression.
pub(crate) fn graph_path(expr: &str, tab: GraphTab) -> String {
    let tab = match tab {
        GraphTab::Graph => 0,
        GraphTab::Table => 1,
    };
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expr))
}

/// Text as it stands in the query part of a URL.
fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Text as it stands in quotes in a script.
fn escape_script(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '"' => escaped.push_str("\\\""),
            '<' | '>' | '&' | '=' => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The path of a URL without the slash at its end.
fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme.find('/').map_or("", |at| after_scheme[at..].trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_they_are_found() {
        assert!(LANGUAGE.is_sorted() && OF_RULES.is_sorted() && notification::NAMES.is_sorted());
        assert_eq!(find("humanize", Dialect::Rule), Some("humanize"));
        assert_eq!(find("human", Dialect::Rule), None);
        let only_there = ["join", "query"].map(|name| find(name, Dialect::Notification).is_some());
        assert_eq!(only_there, [true, false]);
    }

    #[test]
    fn links_escape_the_expression() {
        assert_eq!(
            graph_path("a > 1 and b{c=\"d\"}", GraphTab::Table),
            "/graph?g0.expr=a+%3E+1+and+b%7Bc%3D%22d%22%7D&g0.tab=1"
        );
    }

    #[test]
    fn a_url_has_a_path_or_none() {
        assert_eq!(path_of("http://testhost:9090/path/prefix"), "/path/prefix");
        assert_eq!(path_of("http://localhost:9090/"), "");
        assert_eq!(path_of("http://localhost:9090"), "");
    }
}
