//! Text to a batch.

use std::collections::BTreeMap;

use model::{Batch, LabelError, Labels, Limits, METRIC_NAME, Sample, Timestamp};

use super::{FamilyType, is_name_byte};
use crate::error::{BodyError, SeriesError, TextError, WireError, excerpt};
use crate::series::{Checks, SeriesSoFar};

/// The NaN that the text `NaN` stands for.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Reads a page; samples without a timestamp were measured `now`.
///
/// # Errors
/// When the page is too large or not in the format, or a series breaks a rule or a limit; names the line.
pub fn parse(page: &[u8], now: Timestamp, limits: &Limits) -> Result<Batch, WireError> {
    if page.len() > limits.decoded_bytes_max {
        let (declared_bytes, limit_bytes) = (page.len() as u64, limits.decoded_bytes_max);
        return Err(BodyError::DecodedTooLarge { declared_bytes, limit_bytes }.into());
    }
    let checks = Checks::new(limits, now);
    let mut families = Families::default();
    let mut batch = Batch::new();
    for (index, line) in page.split_inclusive(|&byte| byte == b'\n').enumerate() {
        read_line(line, now, &checks, &mut families, &mut batch)
            .map_err(|cause| WireError::Text { line: index + 1, cause })?;
    }
    Ok(batch)
}

fn read_line(
    line: &[u8],
    now: Timestamp,
    checks: &Checks<'_>,
    families: &mut Families,
    batch: &mut Batch,
) -> Result<(), TextError> {
    let text = str::from_utf8(line).map_err(|_| TextError::NotUtf8)?;
    let mut cursor = Cursor { rest: text };
    cursor.skip_blanks();
    if cursor.rest.is_empty() || cursor.take('\n') {
        return Ok(());
    }
    if cursor.take('#') {
        return read_comment(cursor, families);
    }
    let point = read_point(cursor)?;
    families.check(&point)?;
    let timestamp = point.timestamp.unwrap_or(now);
    let mut so_far = SeriesSoFar::default();
    for (name, value) in &point.labels {
        checks.label(&mut so_far, name.as_bytes(), value.as_bytes())?;
    }
    so_far.finish()?;
    checks.sample(&mut so_far, timestamp)?;
    let labels = Labels::from_pairs(point.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map_err(SeriesError::Label)?;
    batch.push(labels.as_ref(), [Sample { timestamp, value: point.value }]);
    Ok(())
}

/// A HELP or TYPE line; any other comment says nothing.
fn read_comment(mut cursor: Cursor<'_>, families: &mut Families) -> Result<(), TextError> {
    cursor.skip_blanks();
    let keyword = match cursor.word() {
        "HELP" => "HELP",
        "TYPE" => "TYPE",
        _ => return Ok(()),
    };
    cursor.skip_blanks();
    if cursor.at_end() {
        return Ok(());
    }
    let metric = if cursor.rest.starts_with('"') { cursor.quoted()? } else { cursor.metric_name()?.to_owned() };
    let blank = cursor.skip_blanks();
    if !blank && !cursor.at_end() {
        return Err(TextError::MetricName { found: cursor.found() });
    }
    if cursor.at_end() {
        return Ok(());
    }
    let text = cursor.rest.strip_suffix('\n').ok_or(TextError::NoLineFeed)?;
    let family = families.entry(&metric);
    if keyword == "HELP" {
        return family.set_help(&metric);
    }
    family.set_type(&metric, type_named(text.trim_end())?)
}

fn type_named(text: &str) -> Result<FamilyType, TextError> {
    match text.to_ascii_lowercase().as_str() {
        "counter" => Ok(FamilyType::Counter),
        "gauge" => Ok(FamilyType::Gauge),
        "histogram" | "gaugehistogram" | "gauge_histogram" => Ok(FamilyType::Histogram),
        "summary" => Ok(FamilyType::Summary),
        "untyped" | "unknown" | "info" | "stateset" => Ok(FamilyType::Untyped),
        _ => Err(TextError::UnknownType { found: excerpt(text.as_bytes()) }),
    }
}

/// One line with a value.
struct Point {
    labels: Vec<(String, String)>,
    value: f64,
    timestamp: Option<Timestamp>,
}

impl Point {
    fn label(&self, wanted: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

fn read_point(mut cursor: Cursor<'_>) -> Result<Point, TextError> {
    let mut labels = Vec::new();
    if !cursor.rest.starts_with('{') {
        let name = cursor.metric_name()?;
        labels.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    cursor.skip_blanks();
    if cursor.take('{') {
        read_labels(&mut cursor, &mut labels)?;
        cursor.skip_blanks();
    }
    if labels.iter().all(|(name, _)| name != METRIC_NAME) {
        return Err(TextError::MetricName { found: "none between the braces".to_owned() });
    }
    let value = read_value(cursor.word())?;
    cursor.skip_blanks();
    let timestamp = match cursor.word() {
        "" => None,
        word => Some(
            word.parse()
                .map(Timestamp::from_millis)
                .map_err(|_| TextError::Timestamp { found: excerpt(word.as_bytes()) })?,
        ),
    };
    cursor.skip_blanks();
    if cursor.rest.is_empty() {
        return Err(TextError::NoLineFeed);
    }
    if !cursor.take('\n') {
        return Err(TextError::Expected { expected: "a line feed after the value", found: cursor.found() });
    }
    Ok(Point { labels, value, timestamp })
}

/// What stands between braces, and the closing one: labels, and the metric name when it is quoted.
fn read_labels(cursor: &mut Cursor<'_>, labels: &mut Vec<(String, String)>) -> Result<(), TextError> {
    loop {
        cursor.skip_blanks();
        if cursor.take('}') {
            return Ok(());
        }
        let is_quoted = cursor.rest.starts_with('"');
        let name = if is_quoted { cursor.quoted()? } else { cursor.label_name()?.to_owned() };
        cursor.skip_blanks();
        if cursor.take('=') {
            read_label_value(cursor, name, labels)?;
        } else if is_quoted {
            push_metric_name(name, labels)?;
        } else {
            return Err(TextError::Expected { expected: "\"=\" after a label name", found: cursor.found() });
        }
        cursor.skip_blanks();
        if !cursor.take(',') && !cursor.rest.starts_with('}') {
            return Err(TextError::Expected { expected: "\",\" or \"}\" after a label", found: cursor.found() });
        }
    }
}

fn read_label_value(
    cursor: &mut Cursor<'_>,
    name: String,
    labels: &mut Vec<(String, String)>,
) -> Result<(), TextError> {
    cursor.skip_blanks();
    if !cursor.rest.starts_with('"') {
        return Err(TextError::Expected { expected: "a label value in quotes", found: cursor.found() });
    }
    let value = cursor.quoted()?;
    if name == METRIC_NAME {
        return Err(TextError::ReservedLabel);
    }
    if labels.iter().any(|(known, _)| *known == name) {
        return Err(SeriesError::Label(LabelError::Duplicate { name }).into());
    }
    labels.push((name, value));
    Ok(())
}

fn push_metric_name(name: String, labels: &mut Vec<(String, String)>) -> Result<(), TextError> {
    if labels.iter().any(|(known, _)| known == METRIC_NAME) {
        return Err(TextError::SecondMetricName { name: excerpt(name.as_bytes()) });
    }
    labels.push((METRIC_NAME.to_owned(), name));
    Ok(())
}

/// A decimal number, `NaN` or an infinity, in any case; digits in groups or another base are none.
fn read_value(word: &str) -> Result<f64, TextError> {
    number(word).ok_or_else(|| TextError::Value { found: excerpt(word.as_bytes()) })
}

fn number(word: &str) -> Option<f64> {
    let value: f64 = word.parse().ok()?;
    if value.is_nan() {
        return word.eq_ignore_ascii_case("nan").then_some(NAN);
    }
    let says_infinite = word.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'i'));
    (value.is_finite() || says_infinite).then_some(value)
}

/// What was said about each metric of the page so far.
#[derive(Default)]
struct Families {
    by_name: BTreeMap<String, FamilySoFar>,
}

#[derive(Default)]
struct FamilySoFar {
    has_help: bool,
    has_samples: bool,
    family_type: Option<FamilyType>,
}

impl Families {
    fn entry(&mut self, metric: &str) -> &mut FamilySoFar {
        self.by_name.entry(metric.to_owned()).or_default()
    }

    /// Remembers that the metric has samples, and checks what histograms and summaries promise.
    fn check(&mut self, point: &Point) -> Result<(), TextError> {
        let name = point.label(METRIC_NAME).unwrap_or_default();
        let (family, suffix) = self.family_of(name);
        let family_type = self.by_name.get(family).and_then(|known| known.family_type);
        self.entry(family).has_samples = true;
        let bound = match family_type {
            Some(FamilyType::Histogram) if suffix == "_bucket" => "le",
            Some(FamilyType::Summary) if suffix.is_empty() => "quantile",
            _ => "",
        };
        if let Some(found) = point.label(bound).filter(|text| number(text).is_none()) {
            let label = if bound == "le" { "le" } else { "quantile" };
            return Err(TextError::Bound { label, found: excerpt(found.as_bytes()) });
        }
        let counts = matches!(suffix, "_bucket" | "_count") && family_type == Some(FamilyType::Histogram);
        if counts && point.value < 0.0 {
            return Err(TextError::NegativeCount { metric: excerpt(family.as_bytes()) });
        }
        Ok(())
    }

    /// The family that a series belongs to, and the rest of its name.
    fn family_of<'a>(&self, name: &'a str) -> (&'a str, &'a str) {
        for suffix in ["_bucket", "_sum", "_count"] {
            let Some(stem) = name.strip_suffix(suffix) else { continue };
            let family_type = self.by_name.get(stem).and_then(|family| family.family_type);
            let belongs = match family_type {
                Some(FamilyType::Histogram) => true,
                Some(FamilyType::Summary) => suffix != "_bucket",
                Some(FamilyType::Counter | FamilyType::Gauge | FamilyType::Untyped) | None => false,
            };
            if belongs {
                return (stem, &name[stem.len()..]);
            }
        }
        (name, "")
    }
}

impl FamilySoFar {
    fn set_help(&mut self, metric: &str) -> Result<(), TextError> {
        if self.has_help {
            return Err(TextError::RepeatedComment { keyword: "HELP", metric: excerpt(metric.as_bytes()) });
        }
        self.has_help = true;
        Ok(())
    }

    fn set_type(&mut self, metric: &str, family_type: FamilyType) -> Result<(), TextError> {
        if self.family_type.is_some() || self.has_samples {
            return Err(TextError::RepeatedComment { keyword: "TYPE", metric: excerpt(metric.as_bytes()) });
        }
        self.family_type = Some(family_type);
        Ok(())
    }
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// Passes over blanks and tabs; says whether there were any.
    fn skip_blanks(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches([' ', '\t']);
        let skipped = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        skipped
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn at_end(&self) -> bool {
        self.rest.is_empty() || self.rest == "\n"
    }

    /// Everything up to the next blank.
    fn word(&mut self) -> &'a str {
        self.split_at(self.rest.find([' ', '\t', '\n']).unwrap_or(self.rest.len()))
    }

    fn metric_name(&mut self) -> Result<&'a str, TextError> {
        match self.name(true) {
            "" => Err(TextError::MetricName { found: self.found() }),
            name => Ok(name),
        }
    }

    fn label_name(&mut self) -> Result<&'a str, TextError> {
        match self.name(false) {
            "" => Err(TextError::LabelName { found: self.found() }),
            name => Ok(name),
        }
    }

    fn name(&mut self, colons: bool) -> &'a str {
        let belongs = |(index, byte): &(usize, u8)| is_name_byte(*byte, *index) || (colons && *byte == b':');
        self.split_at(self.rest.bytes().enumerate().take_while(belongs).count())
    }

    /// Text in quotes, without them; a backslash stands before a backslash, a quote and the `n` of a line feed.
    fn quoted(&mut self) -> Result<String, TextError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((index, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &self.rest[index + 1..];
                    return Ok(text);
                }
                '\n' => break,
                '\\' => match chars.next().map(|(_, escaped)| escaped) {
                    Some('n') => text.push('\n'),
                    Some(same @ ('\\' | '"')) => text.push(same),
                    Some('\n') | None => break,
                    Some(found) => return Err(TextError::Escape { found }),
                },
                plain => text.push(plain),
            }
        }
        Err(TextError::Unterminated)
    }

    /// What stands here, for a message.
    fn found(&self) -> String {
        match self.rest.chars().next() {
            None | Some('\n') => "the end of the line".to_owned(),
            Some(char) => format!("{char:?}"),
        }
    }

    fn split_at(&mut self, middle: usize) -> &'a str {
        let (start, rest) = self.rest.split_at(middle);
        self.rest = rest;
        start
    }
}
