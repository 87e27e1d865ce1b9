//! What can be wrong with bytes from outside.

use std::time::Duration;

use model::{ErrorKind, HistogramError, LabelError, Timestamp};

/// Why a request was refused; nothing of it was taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WireError {
    /// The body itself: its size or its compression.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The decompressed bytes are no protobuf message of the expected kind.
    #[error("bad protobuf {0}")]
    Protobuf(#[from] ProtobufError),
    /// One series of a request.
    #[error("series {series_index}{}: {cause}", named(metric.as_deref()))]
    Series {
        /// Which series of the request, counted from 0.
        series_index: usize,
        /// Its metric name, when it has one that can be read.
        metric: Option<String>,
        /// What is wrong with it.
        cause: SeriesError,
    },
    /// The table of texts of a request of remote write 2.0.
    #[error("bad symbols: {reason}")]
    Symbols {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The body is no request of Firehose.
    #[error("not a request of Firehose: {reason}")]
    Firehose {
        /// What is wrong, and where.
        reason: String,
    },
    /// An event about an alarm of CloudWatch.
    #[error("not a change of a CloudWatch alarm: {reason}")]
    Alarm {
        /// What is wrong, and where.
        reason: String,
    },
    /// One line of a text.
    #[error("line {line}: {cause}")]
    Text {
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        cause: TextError,
    },
}

impl WireError {
    /// What the sender can do about it: nothing but sending something else.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// What is wrong with a body before its content is looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than a request may have.
    #[error("body of {size_bytes} bytes is over the limit of {limit_bytes} bytes (body_bytes_max)")]
    TooLarge {
        /// Its size as received.
        size_bytes: usize,
        /// The most it may have.
        limit_bytes: usize,
    },
    /// More bytes after decompression than a request may have.
    #[error(
        "body declares {declared_bytes} bytes after decompression, over the limit of {limit_bytes} bytes \
         (decoded_bytes_max)"
    )]
    DecodedTooLarge {
        /// What the body says it unpacks to.
        declared_bytes: u64,
        /// The most it may unpack to.
        limit_bytes: usize,
    },
    /// Not even the length at the start of a snappy block can be read.
    #[error("not a snappy block: {}", if *empty { "the body is empty" } else { "it does not start with a length" })]
    NotSnappy {
        /// Whether there was nothing at all.
        empty: bool,
    },
    /// A gzip body that unpacks to more bytes than a request may have.
    #[error("body unpacks to more than the limit of {limit_bytes} bytes (decoded_bytes_max)")]
    UnpackedTooLarge {
        /// The most it may unpack to.
        limit_bytes: usize,
    },
    /// Bytes that are no gzip stream, or not a whole one.
    #[error("corrupt gzip body: {reason}")]
    CorruptGzip {
        /// What is wrong.
        reason: String,
    },
    /// A content encoding that is not read.
    #[error("unknown content encoding {found:?}: send gzip, or none")]
    UnknownEncoding {
        /// The encoding.
        found: String,
    },
    /// A framed snappy stream, where a block is wanted.
    #[error("snappy stream format, but remote write wants the snappy block format")]
    SnappyStream,
    /// A snappy block that ends before it gives what it declares.
    #[error("truncated snappy block: {declared_bytes} bytes declared, {got_bytes} bytes found")]
    TruncatedSnappy {
        /// What the block says it unpacks to.
        declared_bytes: u64,
        /// What it can give at most.
        got_bytes: u64,
    },
    /// A snappy block with contradictory content.
    #[error("corrupt snappy block: {reason}")]
    CorruptSnappy {
        /// What is wrong.
        reason: String,
    },
}

/// Where reading a protobuf message stopped, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of the decompressed message: {problem}")]
pub struct ProtobufError {
    /// Bytes from the start of the decompressed message.
    pub offset: usize,
    /// What is wrong there.
    pub problem: ProtobufProblem,
}

/// What is wrong with a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufProblem {
    /// The message ends inside a number.
    #[error("the message ends inside a number")]
    Truncated,
    /// A variable-length number of more than 64 bits.
    #[error("a number of more than 64 bits")]
    NumberTooLong,
    /// A length that points behind the end of the message it stands in.
    #[error("a field of {length} bytes where only {left} bytes are left")]
    LengthPastEnd {
        /// The declared length.
        length: u64,
        /// What is left of the enclosing message.
        left: usize,
    },
    /// A known field in a form that it does not have.
    #[error("field {field} ({name}) has wire type {found}, expected {expected}")]
    WrongWireType {
        /// The field's number.
        field: u64,
        /// Its name.
        name: &'static str,
        /// The form that was found.
        found: u8,
        /// The form it has.
        expected: u8,
    },
    /// A wire type that protobuf does not have, or the number of a field that cannot be.
    #[error("tag {tag} has no valid field number and wire type")]
    InvalidTag {
        /// The tag as it was read.
        tag: u64,
    },
    /// Groups that do not open and close in pairs, or are too deep.
    #[error("unbalanced or too deeply nested groups")]
    Groups,
}

/// What is wrong with one series.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SeriesError {
    /// Names empty, unsorted or repeated.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// No label says what is measured.
    #[error("no metric name: the label \"__name__\" is missing")]
    MissingMetricName,
    /// The metric name is there and empty.
    #[error("the metric name (label \"__name__\") is empty")]
    EmptyMetricName,
    /// A name that is not UTF-8.
    #[error("the label name {label:?} is not valid UTF-8")]
    NameNotUtf8 {
        /// The name, with what cannot be read replaced.
        label: String,
    },
    /// A value that is not UTF-8.
    #[error("the value of label {label:?} is not valid UTF-8")]
    ValueNotUtf8 {
        /// The label's name.
        label: String,
    },
    /// More labels than a series may have.
    #[error("more than {limit} labels (labels_per_series_max)")]
    TooManyLabels {
        /// The most there may be.
        limit: usize,
    },
    /// A name that is too long.
    #[error(
        "label name {label:?}… of {size_bytes} bytes is over the limit of {limit_bytes} bytes (label_name_bytes_max)"
    )]
    NameTooLong {
        /// How it starts.
        label: String,
        /// Its length.
        size_bytes: usize,
        /// The most it may have.
        limit_bytes: usize,
    },
    /// A value that is too long.
    #[error(
        "the value of label {label:?} has {size_bytes} bytes, over the limit of {limit_bytes} bytes \
         (label_value_bytes_max)"
    )]
    ValueTooLong {
        /// The label's name.
        label: String,
        /// The value's length.
        size_bytes: usize,
        /// The most it may have.
        limit_bytes: usize,
    },
    /// Names and values that are too long together.
    #[error("the label set is over the limit of {limit_bytes} bytes (label_set_bytes_max), at label {label:?}")]
    LabelSetTooLarge {
        /// The label that was one too many.
        label: String,
        /// The most all names and values may have together.
        limit_bytes: usize,
    },
    /// A native histogram that cannot be.
    #[error("sample {sample_index} at {timestamp}: {cause}")]
    Histogram {
        /// Which sample of the series, counted from 0.
        sample_index: usize,
        /// Its time.
        timestamp: Timestamp,
        /// What is wrong with it.
        cause: HistogramError,
    },
    /// Names and values of labels come in pairs.
    #[error("{references} references to symbols, which make no pairs of names and values")]
    UnpairedReferences {
        /// How many there are.
        references: usize,
    },
    /// A text that the request does not have.
    #[error("a label refers to symbol {reference} of {symbols}")]
    UnknownSymbol {
        /// Which one.
        reference: u64,
        /// How many there are.
        symbols: usize,
    },
    /// The labels of all series so far, written out, are more than a request may have.
    #[error("the labels of all series take more than {limit_bytes} bytes (decoded_bytes_max)")]
    TooMuchText {
        /// The most they may take together.
        limit_bytes: usize,
    },
    /// A sample from too long ago.
    #[error(
        "sample {sample_index} at {timestamp} is older than the limit of {} (sample_age_max)",
        model::duration::format(*limit)
    )]
    TooOld {
        /// Which sample of the series, counted from 0.
        sample_index: usize,
        /// Its time.
        timestamp: Timestamp,
        /// The greatest age on arrival.
        limit: Duration,
    },
    /// A sample from the future.
    #[error(
        "sample {sample_index} at {timestamp} is further ahead of our clock than the limit of {} (sample_ahead_max)",
        model::duration::format(*limit)
    )]
    TooFarAhead {
        /// Which sample of the series, counted from 0.
        sample_index: usize,
        /// Its time.
        timestamp: Timestamp,
        /// How far ahead a sample may be.
        limit: Duration,
    },
}

/// What is wrong with one line of text.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TextError {
    /// Bytes that are not UTF-8.
    #[error("invalid UTF-8")]
    NotUtf8,
    /// The text ends in the middle of a line.
    #[error("the text ends without a line feed")]
    NoLineFeed,
    /// No name where one must stand.
    #[error("expected a metric name, found {found}")]
    MetricName {
        /// What stands there.
        found: String,
    },
    /// No label name where one must stand.
    #[error("expected a label name, found {found}")]
    LabelName {
        /// What stands there.
        found: String,
    },
    /// A name that may not be used as a label.
    #[error("the label name \"__name__\" is reserved")]
    ReservedLabel,
    /// A metric name within the braces after another one.
    #[error("second metric name {name:?}")]
    SecondMetricName {
        /// The second name.
        name: String,
    },
    /// Something other than what the format has at this place.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What the format has here.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A backslash before something that needs none.
    #[error("invalid escape sequence \\{found}")]
    Escape {
        /// What follows the backslash.
        found: char,
    },
    /// A line feed inside quotes.
    #[error("unescaped line feed or end of text inside quotes")]
    Unterminated,
    /// The value is no number.
    #[error("expected a number as value, found {found:?}")]
    Value {
        /// What stands there.
        found: String,
    },
    /// The bound of a bucket or the rank of a quantile is no number.
    #[error("expected a number as value of label {label:?}, found {found:?}")]
    Bound {
        /// `le` or `quantile`.
        label: &'static str,
        /// What stands there.
        found: String,
    },
    /// The count of a histogram or of one of its buckets is negative.
    #[error("negative count of histogram {metric:?}")]
    NegativeCount {
        /// The histogram.
        metric: String,
    },
    /// The timestamp is no whole number of milliseconds.
    #[error("expected a timestamp in whole milliseconds, found {found:?}")]
    Timestamp {
        /// What stands there.
        found: String,
    },
    /// A type that the format does not have.
    #[error("unknown metric type {found:?}")]
    UnknownType {
        /// What stands there.
        found: String,
    },
    /// A second HELP or TYPE line, or a TYPE line behind samples.
    #[error("{keyword} line for {metric:?} comes a second time or after its samples")]
    RepeatedComment {
        /// `HELP` or `TYPE`.
        keyword: &'static str,
        /// The metric.
        metric: String,
    },
    /// The series itself.
    #[error(transparent)]
    Series(#[from] SeriesError),
}

/// What is wrong with one line of a metric stream.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DatumError {
    /// The record that the line stands in is not base64.
    #[error("the record is not base64")]
    NotBase64,
    /// Not even an object: perhaps the stream's other output format.
    #[error("expected a JSON object, found {found:?}; is the output format of the metric stream JSON?")]
    NotJson {
        /// How the line starts.
        found: String,
    },
    /// JSON of another kind.
    #[error("not a datum of a metric stream: {reason}")]
    NotADatum {
        /// What is wrong, and where in the line.
        reason: String,
    },
    /// More statistics than a metric stream sends.
    #[error("more than {limit} statistics of one metric")]
    TooManyStatistics {
        /// The most there may be.
        limit: usize,
    },
    /// The label text of all lines so far is more than a request may have.
    #[error("the labels of all series take more than {limit_bytes} bytes (twice decoded_bytes_max)")]
    TooMuchText {
        /// The most they may take together.
        limit_bytes: usize,
    },
    /// The series that it belongs to.
    #[error(transparent)]
    Series(#[from] SeriesError),
}

fn named(metric: Option<&str>) -> String {
    metric.map(|metric| format!(" ({metric})")).unwrap_or_default()
}

/// The start of bytes as text for a message: at most `EXCERPT_CHARS` characters, what is not UTF-8 replaced.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const EXCERPT_CHARS: usize = 80;
    let start = &bytes[..bytes.len().min(EXCERPT_CHARS * 4)];
    String::from_utf8_lossy(start).chars().take(EXCERPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_place_and_limit() {
        let cases = [
            (
                WireError::Series {
                    series_index: 3,
                    metric: Some("up".to_owned()),
                    cause: SeriesError::TooManyLabels { limit: 40 },
                },
                "series 3 (up): more than 40 labels (labels_per_series_max)",
            ),
            (
                WireError::Series { series_index: 0, metric: None, cause: SeriesError::MissingMetricName },
                "series 0: no metric name: the label \"__name__\" is missing",
            ),
            (
                ProtobufError { offset: 9, problem: ProtobufProblem::LengthPastEnd { length: 7, left: 2 } }.into(),
                "bad protobuf at byte 9 of the decompressed message: a field of 7 bytes where only 2 bytes are left",
            ),
            (WireError::Body(BodyError::NotSnappy { empty: true }), "not a snappy block: the body is empty"),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}
