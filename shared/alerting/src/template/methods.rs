//! The methods of Go's `time.Time` and `time.Duration`, and its layouts of dates: `2006-01-02 15:04:05`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::print;
use super::value::Value;

/// Calls a method; `None` when the value has none of that name.
pub(super) fn call(receiver: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    match receiver {
        Value::Time(seconds) => of_time(*seconds, name, arguments),
        Value::Duration(seconds) => of_duration(*seconds, name, arguments),
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Texts(_)
        | Value::Map(_)
        | Value::Record(..)
        | Value::List(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "numbers beyond 64 bits saturate")]
fn whole(number: f64) -> Value {
    Value::Int(number as i64)
}

#[expect(clippy::float_cmp, reason = "equality is what the template asks for")]
fn of_time(seconds: f64, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let date = match zoned(seconds) {
        Ok(date) => date,
        Err(reason) => return Some(Err(reason)),
    };
    let value = match (name, arguments) {
        ("Format", [Value::Text(layout)]) => Value::text(format(&date, layout)),
        ("String", []) => Value::text(print::plain(&Value::Time(seconds))),
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
        ("UTC" | "Local", []) => Value::Time(seconds),
        ("IsZero", []) => Value::Bool(date.year() == 1 && date.day_of_year() == 1),
        ("Add", [Value::Duration(more)]) => Value::Time(seconds + more),
        ("Sub", [Value::Time(other)]) => Value::Duration(seconds - other),
        ("Before", [Value::Time(other)]) => Value::Bool(seconds < *other),
        ("After", [Value::Time(other)]) => Value::Bool(seconds > *other),
        ("Equal", [Value::Time(other)]) => Value::Bool(seconds == *other),
        ("Format" | "Add" | "Sub" | "Before" | "After" | "Equal", _) => return Some(Err(wrong(name, arguments))),
        _ => return None,
    };
    Some(Ok(value))
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

fn zoned(seconds: f64) -> Result<jiff::Zoned, String> {
    let out_of_range = || format!("{} is out of the range of times", print::plain(&Value::Float(seconds)));
    if !seconds.is_finite() || seconds.abs() > 2e11 {
        return Err(out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the check above leaves microseconds that fit")]
    let time = Timestamp::from_microsecond((seconds * 1e6).round() as i64).map_err(|_| out_of_range())?;
    Ok(time.to_zoned(TimeZone::UTC))
}

/// The pieces of a layout and what each stands for, in the form of `strftime`; of two that begin alike the longer one
/// comes first.
const PIECES: [(&str, &str); 33] = [
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("2006", "%Y"),
    ("-07:00:00", "%::z"),
    ("-070000", "%z00"),
    ("-07:00", "%:z"),
    ("-0700", "%z"),
    ("-07", "%z"),
    ("Z07:00:00", "Z"),
    ("Z070000", "Z"),
    ("Z07:00", "Z"),
    ("Z0700", "Z"),
    ("Z07", "Z"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("__2", "%_3j"),
    ("_2", "%_d"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
];

/// A date in Go's form of a layout.
fn format(date: &jiff::Zoned, layout: &str) -> String {
    let mut text = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((digits, drops_zeros)) = fraction(rest) {
            let all = format!("{:09}", date.subsec_nanosecond());
            let shown = &all[..digits.min(9)];
            let shown = if drops_zeros { shown.trim_end_matches('0') } else { shown };
            if !shown.is_empty() {
                text.push(c);
                text.push_str(shown);
            }
            rest = &rest[1 + digits..];
            continue;
        }
        let piece = PIECES.iter().find(|(piece, _)| rest.starts_with(piece));
        match piece {
            Some((piece, form)) => {
                text.push_str(&date.strftime(form).to_string());
                rest = &rest[piece.len()..];
            }
            None => {
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    text
}

/// Digits of a fraction of a second at the start: `.000` keeps zeros, `.999` drops those at the end.
fn fraction(layout: &str) -> Option<(usize, bool)> {
    let digits = layout.strip_prefix(['.', ','])?;
    let kind = digits.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let count = digits.chars().take_while(|digit| *digit == kind).count();
    let ends = !digits[count..].starts_with(|c: char| c.is_ascii_digit());
    ends.then_some((count, kind == '9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_go() {
        let date = zoned(1_435_065_584.128).unwrap();
        let cases = [
            ("2006-01-02 15:04:05", "2015-06-23 13:19:44"),
            ("Mon, 02 Jan 2006 15:04:05 MST", "Tue, 23 Jun 2015 13:19:44 UTC"),
            ("Monday January 2 3:04PM", "Tuesday June 23 1:19PM"),
            ("2006-01-02T15:04:05.000Z07:00", "2015-06-23T13:19:44.128Z"),
            ("15:04:05.999999 -0700", "13:19:44.128 +0000"),
            ("06/1/_2 pm", "15/6/23 pm"),
            ("年2006 見張り", "年2015 見張り"),
        ];
        for (layout, expected) in cases {
            assert_eq!(format(&date, layout), expected, "{layout}");
        }
    }
}
