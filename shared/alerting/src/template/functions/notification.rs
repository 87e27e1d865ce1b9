//! Alertmanager's functions.

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::tz::TimeZone;

use super::Outcome;
use crate::template::value::{Items, Safe, Value};
use crate::template::{Data, dates, json};

/// Every function by name, sorted.
pub(super) const NAMES: [&str; 24] = [
    "append",
    "base64decode",
    "base64encode",
    "date",
    "dict",
    "humanizeDuration",
    "join",
    "list",
    "match",
    "mustToDate",
    "reReplaceAll",
    "routeLabels",
    "safeHtml",
    "safeUrl",
    "since",
    "stringSlice",
    "title",
    "toDate",
    "toJson",
    "toLower",
    "toUpper",
    "trimSpace",
    "tz",
    "urlUnescape",
];

/// The first second of the year 1, for what is no date.
const NO_TIME: f64 = -62_135_596_800.0;

/// Calls one of those that the templates of rules do not have, or have in another form.
pub(super) fn call(name: &str, arguments: &[Value], data: &Data) -> Option<Outcome> {
    Some(match (name, arguments) {
        ("list", items) => Ok(Value::list(items.to_vec())),
        ("dict", pairs) => dict(pairs),
        ("stringSlice", items) if items.iter().all(|item| matches!(item, Value::Text(_))) => {
            Ok(Value::List(Items::Texts, Rc::new(items.to_vec())))
        }
        ("append", [Value::List(kind, items), more @ ..]) => {
            let kind = if more.iter().all(|one| matches!(one, Value::Text(_))) { *kind } else { Items::Any };
            Ok(Value::List(kind, Rc::new(items.iter().chain(more).cloned().collect())))
        }
        ("append", [Value::Nil, more @ ..]) => Ok(Value::list(more.to_vec())),
        ("join", [Value::Text(separator), Value::List(_, items)]) => joined(separator, items),
        ("toJson", [value]) => json::written(value).map(Value::text),
        ("trimSpace", [Value::Text(text)]) => Ok(Value::text(text.trim())),
        ("safeHtml", [Value::Text(text)]) => Ok(Value::Safe(Safe::Html, Rc::clone(text))),
        ("safeUrl", [Value::Text(text)]) => Ok(Value::Safe(Safe::Url, Rc::clone(text))),
        ("urlUnescape", [Value::Text(text)]) => unescaped(text).map(Value::text),
        ("base64encode", [Value::Text(text)]) => Ok(Value::text(BASE64_STANDARD.encode(text.as_bytes()))),
        ("base64decode", [Value::Text(text)]) => decoded(text).map(Value::text),
        ("date", [Value::Text(layout), Value::Time(seconds, zone)]) => {
            dates::formatted(*seconds, zone, layout).map(Value::text)
        }
        ("tz", [Value::Text(name), Value::Time(seconds, _)]) => match TimeZone::get(name) {
            Ok(zone) => Ok(Value::Time(*seconds, zone)),
            Err(_) => Err(format!("unknown time zone {name}")),
        },
        ("since", [Value::Time(seconds, _)]) => Ok(Value::Duration(data.now.as_secs_f64() - seconds)),
        ("toDate", [Value::Text(layout), Value::Text(text)]) => {
            Ok(Value::time(dates::parsed(layout, text).unwrap_or(NO_TIME)))
        }
        ("mustToDate", [Value::Text(layout), Value::Text(text)]) => dates::parsed(layout, text).map(Value::time),
        _ => return None,
    })
}

fn dict(pairs: &[Value]) -> Outcome {
    let (pairs, rest) = pairs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("dict wants a value for every key".to_owned());
    }
    let mut map = BTreeMap::new();
    for [key, value] in pairs {
        let Value::Text(key) = key else { return Err("the keys of dict must be strings".to_owned()) };
        map.insert(key.to_string(), value.clone());
    }
    Ok(Value::Map(Rc::new(map)))
}

fn joined(separator: &str, items: &[Value]) -> Outcome {
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        let Value::Text(text) = item else { return Err(format!("cannot join a {}", item.type_name())) };
        texts.push(&**text);
    }
    Ok(Value::text(texts.join(separator)))
}

fn decoded(text: &str) -> Result<String, String> {
    let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(|_| "illegal base64 data".to_owned())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a query part of a URL stands for: `+` is a space.
fn unescaped(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err("invalid URL escape".to_owned());
                };
                bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
            }
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
