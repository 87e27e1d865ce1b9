//! The methods of Go's `time.Time` and `time.Duration`, and those of what Alertmanager hands to its templates: labels
//! and alerts.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::tz::TimeZone;

use super::value::{Items, Value};
use super::{dates, print};

/// Calls a method; `None` when the value has none of that name.
pub(super) fn call(receiver: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    match receiver {
        Value::Time(seconds, zone) => of_time(*seconds, zone, name, arguments),
        Value::Pairs(map) => of_labels(map, name, arguments),
        Value::List(Items::Pairs, pairs) => of_pairs(pairs, name, arguments),
        Value::List(Items::Alerts, alerts) => of_alerts(alerts, name, arguments),
        Value::Duration(seconds) => of_duration(*seconds, name, arguments),
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Texts(_)
        | Value::Map(_)
        | Value::Record(..)
        | Value::Safe(..)
        | Value::List(Items::Any | Items::Texts, _) => None,
    }
}

/// The pairs in the order in which people read them: the name of the alert first.
pub(super) fn sorted_pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let mut pairs: Vec<(&str, &str)> = map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    pairs.sort_by_key(|(name, _)| *name != "alertname");
    pairs
}

fn of_labels(map: &BTreeMap<String, String>, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let value = match (name, arguments) {
        ("SortedPairs", []) => {
            let pair = |(name, value)| {
                let fields = [("Name", Value::text(name)), ("Value", Value::text(value))];
                Value::Record("template.Pair", Rc::new(BTreeMap::from(fields)))
            };
            Value::List(Items::Pairs, Rc::new(sorted_pairs(map).into_iter().map(pair).collect()))
        }
        ("Names", []) => Value::texts(sorted_pairs(map).into_iter().map(|(name, _)| name)),
        ("Values", []) => Value::texts(sorted_pairs(map).into_iter().map(|(_, value)| value)),
        ("Remove", [Value::List(Items::Texts, names)]) => {
            let left = map.iter().filter(|(name, _)| !names.contains(&Value::text(name)));
            Value::Pairs(Rc::new(left.map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
        ("String", []) => Value::text(print::plain(&Value::Pairs(Rc::new(map.clone())))),
        ("SortedPairs" | "Names" | "Values" | "Remove" | "String", _) => return Some(Err(wrong(name, arguments))),
        _ => return None,
    };
    Some(Ok(value))
}

fn of_pairs(pairs: &Rc<Vec<Value>>, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let column = |field: &str| pairs.iter().map(|pair| pair.field(field)).collect::<Result<Vec<_>, _>>();
    let texts = |column: Vec<Value>| Value::List(Items::Texts, Rc::new(column));
    match (name, arguments) {
        ("Names", []) => Some(column("Name").map(texts)),
        ("Values", []) => Some(column("Value").map(texts)),
        ("String", []) => Some(Ok(Value::text(print::plain(&Value::List(Items::Pairs, Rc::clone(pairs)))))),
        _ => None,
    }
}

fn of_alerts(alerts: &[Value], name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let status = match (name, arguments) {
        ("Firing", []) => "firing",
        ("Resolved", []) => "resolved",
        _ => return None,
    };
    let has_it = |alert: &&Value| alert.field("Status").is_ok_and(|found| found == Value::text(status));
    Some(Ok(Value::List(Items::Alerts, Rc::new(alerts.iter().filter(has_it).cloned().collect()))))
}

#[expect(clippy::cast_possible_truncation, reason = "numbers beyond 64 bits saturate")]
fn whole(number: f64) -> Value {
    Value::Int(number as i64)
}

#[expect(clippy::float_cmp, reason = "equality is what the template asks for")]
fn of_time(seconds: f64, zone: &TimeZone, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let date = match dates::zoned(seconds, zone) {
        Ok(date) => date,
        Err(reason) => return Some(Err(reason)),
    };
    let value = match (name, arguments) {
        ("Format", [Value::Text(layout)]) => Value::text(dates::format(&date, layout)),
        ("String", []) => Value::text(print::plain(&Value::Time(seconds, zone.clone()))),
        ("Unix", []) => whole(seconds.floor()),
        ("UnixMilli", []) => whole((seconds * 1e3).round()),
        ("UnixMicro", []) => whole((seconds * 1e6).round()),
        ("UnixNano", []) => whole((seconds * 1e9).round()),
        ("Year", []) => Value::Int(date.year().into()),
        ("Day", []) => Value::Int(date.day().into()),
        ("Hour", []) => Value::Int(date.hour().into()),
        ("Minute", []) => Value::Int(date.minute().into()),
        ("Second", []) => Value::Int(date.second().into()),
        ("Nanosecond", []) => Value::Int(date.subsec_nanosecond().into()),
        ("YearDay", []) => Value::Int(date.day_of_year().into()),
        ("Month", []) => Value::text(date.strftime("%B").to_string()),
        ("Weekday", []) => Value::text(date.strftime("%A").to_string()),
        ("UTC" | "Local", []) => Value::time(seconds),
        ("IsZero", []) => Value::Bool(date.year() == 1 && date.day_of_year() == 1),
        ("Add", [more]) if nanoseconds(more).is_some() => {
            Value::Time(seconds + nanoseconds(more).unwrap_or_default(), zone.clone())
        }
        ("AddDate", [Value::Int(years), Value::Int(months), Value::Int(days)]) => {
            match later(&date, *years, *months, *days) {
                Some(seconds) => Value::Time(seconds, zone.clone()),
                None => return Some(Err(wrong(name, arguments))),
            }
        }
        ("Sub", [Value::Time(other, _)]) => Value::Duration(seconds - other),
        ("Before", [Value::Time(other, _)]) => Value::Bool(seconds < *other),
        ("After", [Value::Time(other, _)]) => Value::Bool(seconds > *other),
        ("Equal", [Value::Time(other, _)]) => Value::Bool(seconds == *other),
        ("Format" | "Add" | "AddDate" | "Sub" | "Before" | "After" | "Equal", _) => {
            return Some(Err(wrong(name, arguments)));
        }
        _ => return None,
    };
    Some(Ok(value))
}

/// A duration in seconds; a whole number counts nanoseconds, as Go's constants do.
fn nanoseconds(value: &Value) -> Option<f64> {
    match value {
        Value::Duration(seconds) => Some(*seconds),
        #[expect(clippy::cast_precision_loss, reason = "durations for people have a few digits")]
        Value::Int(nanos) => Some(*nanos as f64 / 1e9),
        Value::Float(nanos) if nanos.fract() == 0.0 => Some(nanos / 1e9),
        Value::Nil
        | Value::Bool(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Texts(_)
        | Value::Map(_)
        | Value::Record(..)
        | Value::Pairs(_)
        | Value::List(..)
        | Value::Time(..)
        | Value::Safe(..) => None,
    }
}

fn later(date: &jiff::Zoned, years: i64, months: i64, days: i64) -> Option<f64> {
    let span = jiff::Span::new().try_years(years).ok()?.try_months(months).ok()?.try_days(days).ok()?;
    Some(date.checked_add(span).ok()?.timestamp().as_duration().as_secs_f64())
}

fn of_duration(seconds: f64, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let value = match (name, arguments) {
        ("String", []) => Value::text(print::plain(&Value::Duration(seconds))),
        ("Seconds", []) => Value::Float(seconds),
        ("Minutes", []) => Value::Float(seconds / 60.0),
        ("Hours", []) => Value::Float(seconds / 3600.0),
        ("Milliseconds", []) => whole((seconds * 1e3).trunc()),
        ("Microseconds", []) => whole((seconds * 1e6).trunc()),
        ("Nanoseconds", []) => whole((seconds * 1e9).trunc()),
        ("Abs", []) => Value::Duration(seconds.abs()),
        ("Round", [Value::Duration(step)]) if *step > 0.0 => Value::Duration((seconds / step).round() * step),
        ("Truncate", [Value::Duration(step)]) if *step > 0.0 => Value::Duration((seconds / step).trunc() * step),
        ("Round" | "Truncate", [Value::Duration(_)]) => Value::Duration(seconds),
        ("Round" | "Truncate", _) => return Some(Err(wrong(name, arguments))),
        _ => return None,
    };
    Some(Ok(value))
}

fn wrong(name: &str, arguments: &[Value]) -> String {
    let types: Vec<&str> = arguments.iter().map(Value::type_name).collect();
    format!("wrong number or type of arguments for {name}: ({})", types.join(", "))
}
