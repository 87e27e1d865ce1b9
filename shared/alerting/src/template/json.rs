//! `toJson`: a value as Go writes it.

use super::value::Value;
use super::{dates, notice, print};

/// A value as JSON in one line.
pub(super) fn written(value: &Value) -> Result<String, String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Ok(text)
}

fn write(value: &Value, text: &mut String) -> Result<(), String> {
    match value {
        Value::Nil => text.push_str("null"),
        Value::Bool(value) => text.push_str(&value.to_string()),
        Value::Int(number) => text.push_str(&number.to_string()),
        Value::Float(number) => text.push_str(&self::number(*number)?),
        #[expect(clippy::cast_possible_truncation, reason = "numbers beyond 64 bits saturate")]
        Value::Duration(seconds) => text.push_str(&((seconds * 1e9) as i64).to_string()),
        Value::Text(plain) | Value::Safe(_, plain) => text.push_str(&quoted(plain)),
        Value::Time(seconds, zone) => text.push_str(&quoted(&dates::rfc3339(*seconds, zone)?)),
        Value::Texts(map) | Value::Pairs(map) => {
            object(map.iter().map(|(name, value)| (name.as_str(), Value::text(value))), text)?;
        }
        Value::Map(map) => object(map.iter().map(|(name, value)| (name.as_str(), value.clone())), text)?,
        Value::Record(name, fields) => {
            object(notice::in_json(name, fields).map(|(name, value)| (name, value.clone())), text)?;
        }
        Value::List(_, items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
    }
    Ok(())
}

fn object<'a>(entries: impl Iterator<Item = (&'a str, Value)>, text: &mut String) -> Result<(), String> {
    text.push('{');
    for (index, (name, value)) in entries.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        write(&value, text)?;
    }
    text.push('}');
    Ok(())
}

fn number(number: f64) -> Result<String, String> {
    if !number.is_finite() {
        return Err(format!("json: unsupported value: {}", print::plain(&Value::Float(number))));
    }
    let is_plain = number == 0.0 || (1e-6..1e21).contains(&number.abs());
    Ok(if is_plain { format!("{number}") } else { format!("{number:e}") })
}

/// A text in quotes; what a browser could take for markup is escaped.
fn quoted(text: &str) -> String {
    let plain = serde_json::to_string(text).expect("a text becomes JSON");
    let mut quoted = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted
}
