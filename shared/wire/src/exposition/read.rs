//! Text to a batch, and what the text says about metrics.

use model::{Batch, LabelError, Labels, Limits, METRIC_NAME, Metadata, Sample, Timestamp};

use super::families::{Families, number};
use super::is_name_byte;
use crate::error::{BodyError, SeriesError, TextError, WireError, excerpt};
use crate::series::{Checks, SeriesSoFar};

/// What a page holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// One sample a line, in the order of the lines.
    pub batch: Batch,
    /// What HELP, TYPE and UNIT lines say, sorted by metric; a metric without a TYPE line is of type unknown.
    pub metadata: Vec<Metadata>,
    /// How many metrics say more than [`Limits::metadata_bytes_max`]: that is passed over.
    pub metadata_skipped: usize,
}

/// Reads a page; samples without a timestamp were measured `now`. Each series is given the labels of `extra`, by name
/// and value, in place of its own of that name.
///
/// # Errors
/// When the page is too large or not in the format, or a series breaks a rule or a limit; names the line.
pub fn parse(page: &[u8], extra: &[(&str, &str)], now: Timestamp, limits: &Limits) -> Result<Page, WireError> {
    if page.len() > limits.decoded_bytes_max {
        let (declared_bytes, limit_bytes) = (page.len() as u64, limits.decoded_bytes_max);
        return Err(BodyError::DecodedTooLarge { declared_bytes, limit_bytes }.into());
    }
    let checks = Checks::new(limits, now);
    let mut families = Families::default();
    let mut batch = Batch::new();
    for (index, line) in page.split_inclusive(|&byte| byte == b'\n').enumerate() {
        read_line(line, &mut families)
            .and_then(|point| point.map_or(Ok(()), |point| push(point, extra, (now, &checks), &mut batch)))
            .map_err(|cause| WireError::Text { line: index + 1, cause })?;
    }
    let (metadata, metadata_skipped) = families.metadata(limits.metadata_bytes_max);
    Ok(Page { batch, metadata, metadata_skipped })
}

/// Reads a line; gives back the sample, if it has one.
fn read_line(line: &[u8], families: &mut Families) -> Result<Option<Point>, TextError> {
    let text = str::from_utf8(line).map_err(|_| TextError::NotUtf8)?;
    let mut cursor = Cursor { rest: text };
    cursor.skip_blanks();
    if cursor.rest.is_empty() || cursor.take('\n') {
        return Ok(None);
    }
    if cursor.take('#') {
        return read_comment(cursor, families).map(|()| None);
    }
    let point = read_point(cursor)?;
    families.check(&point)?;
    Ok(Some(point))
}

fn push(
    mut point: Point,
    extra: &[(&str, &str)],
    (now, checks): (Timestamp, &Checks<'_>),
    batch: &mut Batch,
) -> Result<(), TextError> {
    for (name, value) in extra {
        point.labels.retain(|(own, _)| own != name);
        point.labels.push(((*name).to_owned(), (*value).to_owned()));
    }
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

/// A HELP, TYPE or UNIT line; any other comment says nothing.
fn read_comment(mut cursor: Cursor<'_>, families: &mut Families) -> Result<(), TextError> {
    cursor.skip_blanks();
    let keyword = match cursor.word() {
        "HELP" => "HELP",
        "TYPE" => "TYPE",
        "UNIT" => "UNIT",
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
    match keyword {
        "HELP" => families.set_help(&metric, unescape(text)),
        "TYPE" => families.set_type(&metric, text.trim_end()),
        _ => families.set_unit(&metric, text.trim_end()),
    }
}

/// What stands in a HELP line: a backslash stands before a backslash, a quote and the `n` of a line feed, and for itself
/// before anything else.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let (char, skipped) = match escaped.as_bytes().first() {
            Some(b'\\') => ('\\', 1),
            Some(b'"') => ('"', 1),
            Some(b'n') => ('\n', 1),
            _ => ('\\', 0),
        };
        out.push(char);
        rest = &escaped[skipped..];
    }
    out.push_str(rest);
    out
}

/// One line with a value.
pub(super) struct Point {
    labels: Vec<(String, String)>,
    pub(super) value: f64,
    timestamp: Option<Timestamp>,
}

impl Point {
    pub(super) fn label(&self, wanted: &str) -> Option<&str> {
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

fn read_value(word: &str) -> Result<f64, TextError> {
    number(word).ok_or_else(|| TextError::Value { found: excerpt(word.as_bytes()) })
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
