//! Go's `fmt`: how values are printed, and `printf`.

use super::value::{Items, Value};
use super::{dates, methods, notice};

/// A value as `%v` prints it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => general(*value, None, 'e'),
        Value::Text(text) | Value::Safe(_, text) => text.to_string(),
        Value::Pairs(map) => equations(&methods::sorted_pairs(map)),
        Value::List(Items::Pairs, pairs) => {
            let pair = |pair: &Value| Some((plain(&pair.field("Name").ok()?), plain(&pair.field("Value").ok()?)));
            equations(&pairs.iter().filter_map(pair).collect::<Vec<_>>())
        }
        Value::Texts(map) => mapping(map.iter().map(|(key, text)| (key.as_str(), text.clone()))),
        Value::Map(map) => mapping(map.iter().map(|(key, value)| (key.as_str(), plain(value)))),
        Value::Record(name, fields) => {
            let parts: Vec<String> = notice::in_order(name, fields).map(|(_, value)| plain(value)).collect();
            format!("{{{}}}", parts.join(" "))
        }
        Value::List(_, items) => {
            let parts: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", parts.join(" "))
        }
        Value::Time(seconds, zone) => dates::shown(*seconds, zone).unwrap_or_else(|reason| reason),
        Value::Duration(seconds) => go_duration(*seconds),
    }
}

/// A duration as Go prints it: `30m0s`, `1.5s`, `250ms`.
fn go_duration(seconds: f64) -> String {
    let magnitude = seconds.abs();
    let sign = if seconds < 0.0 { "-" } else { "" };
    if magnitude < 1.0 {
        let units = [(1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
        let unit = units.into_iter().find(|(size, _)| magnitude >= *size);
        return unit.map_or_else(|| "0s".to_owned(), |(size, name)| format!("{sign}{}{name}", magnitude / size));
    }
    let hours = (magnitude / 3600.0).floor();
    let minutes = ((magnitude - hours * 3600.0) / 60.0).floor();
    let rest = magnitude - hours * 3600.0 - minutes * 60.0;
    match (hours > 0.0, minutes > 0.0) {
        (true, _) => format!("{sign}{hours}h{minutes}m{rest}s"),
        (false, true) => format!("{sign}{minutes}m{rest}s"),
        (false, false) => format!("{sign}{rest}s"),
    }
}

/// Labels as Alertmanager prints them: `a=b, c=d`.
fn equations(pairs: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let parts: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", name.as_ref(), value.as_ref())).collect();
    parts.join(", ")
}

fn mapping<'a>(entries: impl Iterator<Item = (&'a str, String)>) -> String {
    let parts: Vec<String> = entries.map(|(key, value)| format!("{key}:{value}")).collect();
    format!("map[{}]", parts.join(" "))
}

/// `print`: the values one after the other, with a space between two that are both no texts.
pub(super) fn joined(values: &[Value]) -> String {
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if index > 0 && !is_text(value) && !is_text(&values[index - 1]) {
            text.push(' ');
        }
        text.push_str(&plain(value));
    }
    text
}

/// `println`: the values with spaces between them and a line end.
pub(super) fn line(values: &[Value]) -> String {
    let parts: Vec<String> = values.iter().map(plain).collect();
    format!("{}\n", parts.join(" "))
}

/// Widest field and longest fraction that a verb may ask for.
const WIDTH_MAX: usize = 1000;

/// One verb of a format.
#[derive(Clone, Copy, Debug, Default)]
struct Verb {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `printf`: Go's verbs, flags, widths and precisions; mistakes show in the text, as they do in Go.
pub(super) fn formatted(format: &str, arguments: &[Value]) -> String {
    let mut text = String::new();
    let mut rest = arguments.iter();
    let mut characters = format.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = characters.next_if(|c| "+-# 0".contains(*c)) {
            match flag {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
        }
        verb.width = size(&mut characters, &mut rest);
        if characters.next_if_eq(&'.').is_some() {
            verb.precision = Some(size(&mut characters, &mut rest).unwrap_or(0));
        }
        match characters.next() {
            None => text.push_str("%!(NOVERB)"),
            Some('%') => text.push('%'),
            Some(letter) => match rest.next() {
                Some(value) => text.push_str(&verb.print(letter, value)),
                None => text.push_str(&format!("%!{letter}(MISSING)")),
            },
        }
    }
    let extra: Vec<String> = rest.map(|value| format!("{}={}", value.type_name(), plain(value))).collect();
    if !extra.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

/// A width or precision: digits, or `*` for the next argument.
fn size<'a>(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    rest: &mut impl Iterator<Item = &'a Value>,
) -> Option<usize> {
    if characters.next_if_eq(&'*').is_some() {
        return match rest.next() {
            Some(Value::Int(value)) => usize::try_from(*value).ok().map(|value| value.min(WIDTH_MAX)),
            _ => None,
        };
    }
    let mut digits = None;
    while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
        characters.next();
        digits = Some((digits.unwrap_or(0) * 10 + digit as usize).min(WIDTH_MAX));
    }
    digits
}

impl Verb {
    fn print(self, letter: char, value: &Value) -> String {
        let body = match (letter, value) {
            ('v', Value::Float(number)) => self.signed(*number, general(number.abs(), self.precision, 'e')),
            ('v' | 's', Value::Text(text) | Value::Safe(_, text)) => self.cut(text),
            ('v', Value::Int(number)) => self.whole(*number, 10, false),
            ('v', value) => plain(value),
            ('T', value) => value.type_name().to_owned(),
            ('t', Value::Bool(value)) => value.to_string(),
            ('d', Value::Int(number)) => self.whole(*number, 10, false),
            ('b', Value::Int(number)) => self.whole(*number, 2, false),
            ('o', Value::Int(number)) => self.whole(*number, 8, false),
            ('x' | 'X', Value::Int(number)) => self.whole(*number, 16, letter == 'X'),
            ('c', Value::Int(number)) => {
                u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').into()
            }
            ('q', Value::Text(text)) => quoted(&self.cut(text)),
            ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            ('f' | 'F', Value::Float(number)) => self.signed(*number, fixed(number.abs(), self.precision.unwrap_or(6))),
            ('e' | 'E', Value::Float(number)) => {
                self.signed(*number, exponential(number.abs(), Some(self.precision.unwrap_or(6)), letter))
            }
            ('g' | 'G', Value::Float(number)) => {
                let exponent = if letter == 'g' { 'e' } else { 'E' };
                self.signed(*number, general(number.abs(), self.precision, exponent))
            }
            ('s' | 'd', Value::List(..) | Value::Texts(_) | Value::Pairs(_) | Value::Map(_)) => plain(value),
            ('s', Value::Time(..) | Value::Duration(_)) => plain(value),
            (letter, value) => format!("%!{letter}({}={})", value.type_name(), plain(value)),
        };
        self.pad(body, matches!(value, Value::Int(_) | Value::Float(_)))
    }

    fn cut(self, text: &str) -> String {
        self.precision.map_or_else(|| text.to_owned(), |most| text.chars().take(most).collect())
    }

    fn sign(self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }

    fn signed(self, number: f64, magnitude: String) -> String {
        if number.is_infinite() {
            // Go always prints the sign of an infinity with %v and %f.
            return if number < 0.0 { "-Inf".to_owned() } else { "+Inf".to_owned() };
        }
        format!("{}{magnitude}", self.sign(number.is_sign_negative() && !number.is_nan()))
    }

    fn whole(self, number: i64, radix: u64, upper: bool) -> String {
        let digits = match (radix, upper) {
            (2, _) => format!("{:b}", number.unsigned_abs()),
            (8, _) => format!("{:o}", number.unsigned_abs()),
            (16, false) => format!("{:x}", number.unsigned_abs()),
            (16, true) => format!("{:X}", number.unsigned_abs()),
            _ => number.unsigned_abs().to_string(),
        };
        let prefix = match (self.sharp, radix) {
            (true, 16) => "0x",
            (true, 8) => "0",
            (true, 2) => "0b",
            _ => "",
        };
        let zeros = "0".repeat(self.precision.unwrap_or(0).saturating_sub(digits.len()));
        format!("{}{prefix}{zeros}{digits}", self.sign(number < 0))
    }

    /// Fills up to the width, with zeros behind the sign when a number asks for them.
    fn pad(self, body: String, is_number: bool) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(body.chars().count());
        if missing == 0 {
            return body;
        }
        let finite = body.bytes().any(|byte| byte.is_ascii_digit());
        if self.minus {
            return format!("{body}{}", " ".repeat(missing));
        }
        if self.zero && is_number && finite {
            let sign_length = usize::from(body.starts_with(['-', '+', ' ']));
            let (sign, digits) = body.split_at(sign_length);
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        format!("{}{body}", " ".repeat(missing))
    }
}

/// A text in quotes, as `%q` of Go prints it: what cannot be seen is escaped, all else stays.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\0'..' ' | '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(letter))),
            // After another letter the standard library escapes only what cannot be seen, no accent.
            _ if format!("a{letter}").escape_debug().nth(1) != Some('\\') || letter == '\'' => quoted.push(letter),
            '\u{80}'..='\u{ffff}' => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(letter))),
        }
    }
    quoted.push('"');
    quoted
}

fn not_finite(number: f64) -> Option<String> {
    match number {
        number if number.is_nan() => Some("NaN".to_owned()),
        f64::INFINITY => Some("+Inf".to_owned()),
        f64::NEG_INFINITY => Some("-Inf".to_owned()),
        _ => None,
    }
}

/// `%.Nf`
pub(super) fn fixed(number: f64, precision: usize) -> String {
    not_finite(number).unwrap_or_else(|| format!("{number:.precision$}"))
}

/// `%.Ne`: one digit before the point, an exponent of at least two digits; the fewest exact digits without precision.
pub(crate) fn exponential(number: f64, precision: Option<usize>, letter: char) -> String {
    if let Some(text) = not_finite(number) {
        return text;
    }
    let text = match precision {
        Some(precision) => format!("{number:.precision$e}"),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').expect("Rust prints an exponent with e");
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}{letter}{sign}{digits:0>2}")
}

/// The exponent from which on `%g` without a precision prints one.
const SHORTEST_EXPONENT: i64 = 6;

/// `%.Ng`: the shorter of the two forms above, without trailing zeros; the fewest exact digits without precision.
pub(super) fn general(number: f64, precision: Option<usize>, letter: char) -> String {
    if let Some(text) = not_finite(number) {
        return text;
    }
    let digits = precision.map(|precision| precision.max(1));
    let scientific = exponential(number, digits.map(|digits| digits - 1), 'e');
    let (mantissa, exponent) = scientific.split_once('e').expect("the form has an exponent");
    let exponent: i64 = exponent.parse().expect("an exponent is a number");
    let limit = digits.map_or(SHORTEST_EXPONENT, |digits| i64::try_from(digits).unwrap_or(i64::MAX));
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}{letter}{sign}{:02}", without_trailing_zeros(mantissa), exponent.unsigned_abs());
    }
    match digits {
        None => format!("{number}"),
        Some(_) => {
            let fraction = usize::try_from(limit - 1 - exponent).unwrap_or(0);
            without_trailing_zeros(&format!("{number:.fraction$}")).to_owned()
        }
    }
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (93.456_789, "93.456789"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (number, expected) in cases {
            assert_eq!(plain(&Value::Float(number)), expected);
        }
    }

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let cases = [
            ("", r#""""#),
            (r#"a"b\c'd"#, r#""a\"b\\c'd""#),
            ("\u{0}\u{7}\u{8}\t\n\u{b}\u{c}\r\u{1b}\u{7f}", r#""\x00\a\b\t\n\v\f\r\x1b\x7f""#),
            ("高い カ\u{3099}", "\"高い カ\u{3099}\""),
            ("\u{a0}\u{200b}\u{feff}\u{e0001}🔥", r#""\u00a0\u200b\ufeff\U000e0001🔥""#),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }

    #[test]
    fn verbs_flags_widths_and_mistakes() {
        let float = Value::Float;
        let cases: [(&str, Vec<Value>, &str); 18] = [
            ("%.2f%%", vec![float(93.456)], "93.46%"),
            ("%8.3f|", vec![float(-1.5)], "  -1.500|"),
            ("%-8.1f|", vec![float(1.5)], "1.5     |"),
            ("%08.3f", vec![float(-1.5)], "-001.500"),
            ("%+d % d", vec![Value::Int(3), Value::Int(4)], "+3  4"),
            ("%.4g", vec![float(1_234_567.0)], "1.235e+06"),
            ("%e", vec![float(1_234.5)], "1.234500e+03"),
            ("%x %X %#x %o %b", (0..5).map(|_| Value::Int(255)).collect(), "ff FF 0xff 377 11111111"),
            ("%s|%5s|%-5s|%.2s", (0..4).map(|_| Value::text("abc")).collect(), "abc|  abc|abc  |ab"),
            ("%q", vec![Value::text("a\"b")], "\"a\\\"b\""),
            ("%v %v", vec![Value::Bool(true), float(0.5)], "true 0.5"),
            ("%c", vec![Value::Int(0x898b)], "見"),
            ("%*d", vec![Value::Int(4), Value::Int(7)], "   7"),
            ("%d", vec![float(1.5)], "%!d(float64=1.5)"),
            ("%s", vec![], "%!s(MISSING)"),
            ("x", vec![Value::Int(1)], "x%!(EXTRA int=1)"),
            ("%", vec![], "%!(NOVERB)"),
            ("%5.1f", vec![float(f64::INFINITY)], " +Inf"),
        ];
        for (format, arguments, expected) in cases {
            assert_eq!(formatted(format, &arguments), expected, "{format}");
        }
    }
}
