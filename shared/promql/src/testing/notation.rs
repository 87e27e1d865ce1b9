//! How series are written down: `metric{label="value"} 0+10x5 _ stale`.

use std::time::Duration;

use model::{Labels, MatchOp};

use super::native::{self, Written};
use crate::ast::ExprKind;
use crate::parser::parse;
use crate::quote::unescape;

/// One sample of a series, or none.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Point {
    /// No sample.
    Absent,
    /// A number.
    Float(f64),
    /// A staleness marker.
    Stale,
    /// A native histogram.
    Histogram(Written),
}

/// The most points one item may stand for.
const REPEAT_MAX: usize = 1_000_000;

/// The labels of a series and the text of its points.
pub(super) fn read_series(line: &str) -> Result<(Labels, &str), String> {
    let end = end_of_labels(line)?;
    let (written, points) = line.split_at(end);
    let written = written.trim();
    if written == "{}" {
        return Ok((Labels::empty(), points));
    }
    let expr = parse(written).map_err(|error| format!("{written:?}: {error}"))?;
    let ExprKind::Selector(selector) = &expr.kind else { return Err(format!("{written:?} is no series")) };
    if let Some(matcher) = selector.matchers.iter().find(|matcher| matcher.op() != MatchOp::Equal) {
        return Err(format!("{matcher} is no label"));
    }
    let pairs = selector.matchers.iter().map(|matcher| (matcher.name(), matcher.value()));
    Ok((Labels::from_pairs(pairs).map_err(|error| error.to_string())?, points))
}

/// Where the points begin: after the closing brace, or after the name when there are no braces.
fn end_of_labels(line: &str) -> Result<usize, String> {
    let open = line.find('{');
    let blank = line.find(char::is_whitespace).unwrap_or(line.len());
    let Some(open) = open.filter(|open| *open <= blank) else { return Ok(blank) };
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (index, c) in line[open..].char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) if c == open => quote = None,
            Some(open) => escaped = c == '\\' && open != '`',
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' => return Ok(open + index + 1),
            None => {}
        }
    }
    Err(format!("braces are not closed in {line:?}"))
}

/// The points that a text stands for.
pub(super) fn expand(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    for item in items(text) {
        expand_item(item, &mut points)?;
    }
    Ok(points)
}

/// Cuts at blanks outside of double braces.
fn items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (index, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() && depth == 0 => {
                items.push(&text[start..index]);
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items.retain(|item| !item.is_empty());
    items
}

fn expand_item(item: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let bad = || format!("{item:?} is no point of a series");
    if let Some(rest) = item.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { repetitions(rest.strip_prefix('x').ok_or_else(bad)?)? };
        points.extend(std::iter::repeat_n(Point::Absent, count));
        return Ok(());
    }
    if item.starts_with("{{") {
        points.extend(histograms(item)?.into_iter().map(Point::Histogram));
        return Ok(());
    }
    if let Some(rest) = item.strip_prefix("stale") {
        let count = rest.strip_prefix('x').map_or(Ok(0), repetitions)?;
        points.extend(std::iter::repeat_n(Point::Stale, count + 1));
        return Ok(());
    }
    let (first, rest) = number(item).ok_or_else(bad)?;
    if rest.is_empty() {
        points.push(Point::Float(first));
        return Ok(());
    }
    let (increment, rest) = if rest.starts_with('x') { (0.0, rest) } else { number(rest).ok_or_else(bad)? };
    let count = repetitions(rest.strip_prefix('x').ok_or_else(bad)?)?;
    let mut value = first;
    for index in 0..=count {
        points.push(Point::Float(if increment == 0.0 { first } else { value }));
        // Adding up, as scripts of this kind always did; rounding is part of what they expect.
        value = if index < count { value + increment } else { value };
    }
    Ok(())
}

/// One histogram, `{{..}}x3` or `{{..}}+{{..}}x3`.
fn histograms(item: &str) -> Result<Vec<Written>, String> {
    let bad = || format!("{item:?} is no histogram");
    let braced = |text: &str| -> Option<(String, String)> {
        let (inside, behind) = text.strip_prefix("{{")?.split_once("}}")?;
        Some((inside.to_owned(), behind.to_owned()))
    };
    let (inside, behind) = braced(item).ok_or_else(bad)?;
    let first = native::read(&inside)?;
    let sign = behind.chars().next().filter(|sign| matches!(sign, '+' | '-'));
    let (step, behind) = match sign {
        None => (None, behind),
        Some(_) => {
            let (inside, behind) = braced(&behind[1..]).ok_or_else(bad)?;
            (Some(native::read(&inside)?), behind)
        }
    };
    let count = match (behind.strip_prefix('x'), &step) {
        (Some(count), _) => repetitions(count)?,
        (None, None) if behind.is_empty() => 0,
        (None, _) => return Err(bad()),
    };
    match step {
        None => Ok(vec![first; count + 1]),
        Some(step) => native::series(&first, &step, sign == Some('+'), count),
    }
}

fn repetitions(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|_| format!("{text:?} is no number of repetitions"))?;
    if count > REPEAT_MAX { Err(format!("{count} repetitions are more than {REPEAT_MAX}")) } else { Ok(count) }
}

/// The number at the start of a text, and the rest.
fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.len() - unsigned.len();
    let length = ["inf", "nan"]
        .iter()
        .find(|word| unsigned.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word)))
        .map_or_else(|| decimal_length(unsigned), |word| word.len());
    let (written, rest) = text.split_at(sign + length);
    Some((written.parse().ok()?, rest))
}

fn decimal_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') {
        length = digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let end = digits(length + 1 + sign);
        if end > length + 1 + sign {
            return end;
        }
    }
    length
}

/// A duration, or seconds.
pub(super) fn read_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text:?}: {error}"));
    }
    model::duration::parse(text).map_err(|error| error.to_string())
}

/// A text in quotes of any kind.
pub(super) fn read_text(text: &str) -> Result<String, String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\'' | '`'));
    let inside = quote.and_then(|quote| text[1..].strip_suffix(quote).map(|inside| (quote, inside)));
    let (quote, inside) = inside.ok_or_else(|| format!("{text:?} is not in quotes"))?;
    if quote == '`' {
        return Ok(inside.to_owned());
    }
    let bytes = unescape(inside, quote).map_err(|(_, message)| message)?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read() {
        let floats = |values: &[f64]| values.iter().map(|value| Point::Float(*value)).collect::<Vec<_>>();
        let cases = [
            ("m 1 2", "m", floats(&[1.0, 2.0])),
            ("m{a=\"b } c\"} 0+10x2", "m{a=\"b } c\"}", floats(&[0.0, 10.0, 20.0])),
            ("{} 5-2x1 3x1", "{}", floats(&[5.0, 3.0, 3.0, 3.0])),
            ("m _x2 stale _", "m", vec![Point::Absent, Point::Absent, Point::Stale, Point::Absent]),
            ("m {{sum:1 count:2}}+{{sum:2}}x1 1e2+1e-1x1", "m", {
                let histogram = |text| Point::Histogram(native::read(text).unwrap());
                vec![
                    histogram("count:2 sum:1"),
                    histogram("schema:0 sum:3  count:2 buckets:[]"),
                    Point::Float(100.0),
                    Point::Float(100.1),
                ]
            }),
            ("m{a=\"{\"} -Inf inf", "m{a=\"{\"}", floats(&[f64::NEG_INFINITY, f64::INFINITY])),
        ];
        for (line, labels, points) in cases {
            let (read, rest) = read_series(line).unwrap();
            assert_eq!((read.to_string().as_str(), expand(rest).unwrap()), (labels, points), "{line}");
        }
        for bad in [
            "m {{x:1}}",
            "m {{sum:y}}",
            "m {{buckets:[1}}",
            "m {{}}+{{}}",
            "m {{schema:9}}",
            "m 1y",
            "m 1+x2",
            "m _y",
            "m{a!=\"b\"} 1",
            "m{ 1",
            "m 1x99999999999",
        ] {
            assert!(read_series(bad).and_then(|(_, points)| expand(points)).is_err(), "{bad}");
        }
    }
}
