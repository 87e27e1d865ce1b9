//! What a request becomes.

use std::ops::Range;
use std::sync::Arc;

use crate::histogram::Histogram;
use crate::labels::{LabelError, LabelsRef, length_scalar};
use crate::sample::{Sample, TimeRange, Timestamp};

/// Samples of many series in columns, as one request brought them: nothing is merged, sorted or lost.
///
/// The labels of all series lie in one text and all samples in two columns, so that a batch of thousands of series
/// takes a handful of allocations. Native histograms have columns of their own, which are empty in most batches. The
/// staleness marker of a histogram is the one of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    text: String,
    spans: Vec<Span>,
    timestamps: Vec<Timestamp>,
    values: Vec<f64>,
    histograms: HistogramColumn,
}

/// The native histograms of a batch, in the order of its series.
#[derive(Clone, Debug, Default, PartialEq)]
struct HistogramColumn {
    /// Which series of the batch each belongs to, counted from 0: ascending.
    series: Vec<usize>,
    samples: Vec<TimedHistogram>,
}

/// A native histogram and when it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedHistogram {
    /// When.
    pub timestamp: Timestamp,
    /// The histogram.
    pub histogram: Arc<Histogram>,
}

impl HistogramColumn {
    fn push(&mut self, series: usize, sample: TimedHistogram) {
        self.series.push(series);
        self.samples.push(sample);
    }

    /// Forgets those of a series and all behind it.
    fn truncate(&mut self, series: usize) {
        let kept = self.series.partition_point(|of| *of < series);
        self.series.truncate(kept);
        self.samples.truncate(kept);
    }

    #[inline]
    fn of(&self, series: usize) -> &[TimedHistogram] {
        if self.series.is_empty() {
            return &[];
        }
        let start = self.series.partition_point(|of| *of < series);
        let end = start + self.series[start..].partition_point(|of| *of == series);
        &self.samples[start..end]
    }
}

/// Where one series ends in the columns; it starts where the one before ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    text_end: usize,
    samples_end: usize,
}

/// One series of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct BatchSeries<'a> {
    /// Which series.
    pub labels: LabelsRef<'a>,
    /// When its samples were measured, in the order they came.
    pub timestamps: &'a [Timestamp],
    /// Their values.
    pub values: &'a [f64],
    /// Its samples that are native histograms, in the order they came.
    pub histograms: &'a [TimedHistogram],
}

impl BatchSeries<'_> {
    /// The samples that are numbers, in the order they came.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.timestamps.iter().zip(self.values).map(|(&timestamp, &value)| Sample { timestamp, value })
    }
}

impl Batch {
    /// A batch without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one series with samples that are native histograms beside those that are numbers.
    pub fn push_native(
        &mut self,
        labels: LabelsRef<'_>,
        samples: impl IntoIterator<Item = Sample>,
        histograms: impl IntoIterator<Item = TimedHistogram>,
    ) {
        let series = self.spans.len();
        histograms.into_iter().for_each(|sample| self.histograms.push(series, sample));
        self.push(labels, samples);
    }

    /// Appends one series with its samples.
    pub fn push(&mut self, labels: LabelsRef<'_>, samples: impl IntoIterator<Item = Sample>) {
        self.text.push_str(labels.as_text());
        for sample in samples {
            self.timestamps.push(sample.timestamp);
            self.values.push(sample.value);
        }
        self.spans.push(Span { text_end: self.text.len(), samples_end: self.values.len() });
    }

    /// The series in the order they came; the same one may come more than once.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BatchSeries<'_>> {
        (0..self.spans.len()).map(|index| self.series(index))
    }

    /// The series at `index`.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn series(&self, index: usize) -> BatchSeries<'_> {
        let start = if index == 0 { Span::default() } else { self.spans[index - 1] };
        let end = self.spans[index];
        BatchSeries {
            labels: LabelsRef::from_valid_text(&self.text[start.text_end..end.text_end]),
            timestamps: &self.timestamps[start.samples_end..end.samples_end],
            values: &self.values[start.samples_end..end.samples_end],
            histograms: self.histograms.of(index),
        }
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.spans.len()
    }

    /// How many samples there are, numbers and histograms.
    pub fn sample_count(&self) -> usize {
        self.values.len() + self.histograms.samples.len()
    }

    /// How many of the samples are native histograms.
    pub fn histogram_count(&self) -> usize {
        self.histograms.samples.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// From the oldest to the newest sample; `None` without samples.
    pub fn time_range(&self) -> Option<TimeRange> {
        let of_histograms = self.histograms.samples.iter().map(|sample| sample.timestamp);
        let mut times = self.timestamps.iter().copied().chain(of_histograms);
        let first = times.next()?;
        Some(times.fold(TimeRange::new(first, first), |range, time| range.union(&TimeRange::new(time, time))))
    }
}

/// Builds a [`Batch`] from bytes that nobody has checked yet.
///
/// Labels are checked as they come (names sorted, unique, not empty); UTF-8 is checked once for the whole batch when
/// it is finished, which finds exactly the pieces that are not UTF-8, since a length stands between any two.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    text: Vec<u8>,
    spans: Vec<Span>,
    timestamps: Vec<Timestamp>,
    values: Vec<f64>,
    histograms: HistogramColumn,
    /// Where the name of the series' last label lies in `text`.
    last_name: Range<usize>,
    /// How that name starts, see [`head`].
    last_head: u64,
}

/// How many bytes are copied for a piece that has, with its length, at most as many.
const SHORT_COPY: usize = 64;

/// A piece from its length on, when that stands before it and so many bytes follow.
#[inline]
fn framed<'a>(bytes: &'a [u8], piece: &Range<usize>) -> Option<&'a [u8; SHORT_COPY]> {
    let chunk = bytes.get(piece.start.checked_sub(1)?..)?.first_chunk::<SHORT_COPY>()?;
    (usize::from(chunk[0]) == piece.len() && piece.len() < SHORT_COPY).then_some(chunk)
}

/// The first eight bytes of a name as a number, filled up with zeros: a greater head means a greater name, an equal
/// one means nothing.
#[inline]
fn head(bytes: &[u8], name: &Range<usize>) -> u64 {
    match bytes.get(name.start..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(chunk) if name.len() >= 8 => u64::from_be_bytes(*chunk),
        Some(chunk) if !name.is_empty() => u64::from_be_bytes(*chunk) & (u64::MAX << (64 - 8 * name.len())),
        _ => bytes[name.clone()]
            .iter()
            .take(8)
            .zip(0..)
            .fold(0, |head, (&byte, place)| head | u64::from(byte) << (56 - 8 * place)),
    }
}

/// Text that is not UTF-8, found when a batch was finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("series {series_index}: label text is not valid UTF-8")]
pub struct InvalidUtf8 {
    /// Which series of the batch, counted from 0.
    pub series_index: usize,
}

impl BatchBuilder {
    /// A builder with room for so many series.
    pub fn with_capacity(series: usize) -> Self {
        Self::with_capacities(series * 128, series)
    }

    /// A builder with room for what a message of so many bytes can hold, when the message needs more bytes for a label
    /// than we do (as protobuf does), so that label text is never moved while it grows.
    pub fn with_room(message_bytes: usize) -> Self {
        Self::with_capacities(message_bytes + SHORT_COPY, message_bytes / 96)
    }

    fn with_capacities(text_bytes: usize, series: usize) -> Self {
        Self {
            text: Vec::with_capacity(text_bytes),
            spans: Vec::with_capacity(series),
            timestamps: Vec::with_capacity(series),
            values: Vec::with_capacity(series),
            histograms: HistogramColumn::default(),
            last_name: 0..0,
            last_head: 0,
        }
    }

    /// Appends a label to the series that is being built. The value must not be empty: an empty one means absent, and
    /// the caller decides what to do about it.
    ///
    /// # Errors
    /// When the name is empty, repeated or out of order, or a text is too long.
    pub fn push_label(&mut self, name: &[u8], value: &[u8]) -> Result<(), LabelError> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if name.is_empty() {
            return Err(LabelError::EmptyName { value: lossy(value) });
        }
        let previous = &self.text[self.last_name.clone()];
        if name <= previous {
            return Err(if name == previous {
                LabelError::Duplicate { name: lossy(name) }
            } else {
                LabelError::Unsorted { name: lossy(name), previous: lossy(previous) }
            });
        }
        self.last_head = head(name, &(0..name.len()));
        self.push_piece(name)?;
        self.last_name = self.text.len() - name.len()..self.text.len();
        self.push_piece(value)
    }

    /// Appends a label as [`BatchBuilder::push_label`] does, from a slice that holds its name and value and goes on
    /// before and behind them. Where each stands behind its length in one byte, as protobuf writes short texts, and
    /// bytes are to spare, it is copied in one move of fixed size, length and all.
    ///
    /// # Errors
    /// As [`BatchBuilder::push_label`].
    ///
    /// # Panics
    /// If `bytes` does not hold both.
    #[inline]
    pub fn push_label_within(
        &mut self,
        bytes: &[u8],
        name: Range<usize>,
        value: Range<usize>,
    ) -> Result<(), LabelError> {
        let head = head(bytes, &name);
        let (Some(name_chunk), Some(value_chunk)) = (framed(bytes, &name), framed(bytes, &value)) else {
            return self.push_label(&bytes[name], &bytes[value]);
        };
        if head <= self.last_head {
            return self.push_label(&bytes[name], &bytes[value]);
        }
        self.last_head = head;
        let start = self.text.len();
        let (middle, end) = (start + 1 + name.len(), start + 2 + name.len() + value.len());
        self.text.reserve(2 * SHORT_COPY);
        self.text.extend_from_slice(name_chunk);
        self.text.truncate(middle);
        self.text.extend_from_slice(value_chunk);
        self.text.truncate(end);
        self.last_name = start + 1..middle;
        Ok(())
    }

    /// Appends a sample to the series that is being built.
    #[inline]
    pub fn push_sample(&mut self, sample: Sample) {
        self.timestamps.push(sample.timestamp);
        self.values.push(sample.value);
    }

    /// Appends a native histogram to the series that is being built.
    pub fn push_histogram(&mut self, sample: TimedHistogram) {
        self.histograms.push(self.spans.len(), sample);
    }

    /// Ends the series; the next label or sample starts another one.
    #[inline]
    pub fn end_series(&mut self) {
        self.spans.push(Span { text_end: self.text.len(), samples_end: self.values.len() });
        (self.last_name, self.last_head) = (0..0, 0);
    }

    /// Forgets labels and samples of the series that is being built; the next label or sample starts another one.
    pub fn discard_series(&mut self) {
        self.text.truncate(self.text.len() - self.series_text_bytes());
        let samples = self.spans.last().map_or(0, |span| span.samples_end);
        self.timestamps.truncate(samples);
        self.values.truncate(samples);
        self.histograms.truncate(self.spans.len());
        (self.last_name, self.last_head) = (0..0, 0);
    }

    /// Bytes of label text of the series that is being built.
    pub fn series_text_bytes(&self) -> usize {
        self.text.len() - self.spans.last().map_or(0, |span| span.text_end)
    }

    /// The finished batch.
    ///
    /// # Errors
    /// When a name or value is not UTF-8; says in which series.
    pub fn finish(self) -> Result<Batch, InvalidUtf8> {
        let text = String::from_utf8(self.text).map_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            InvalidUtf8 { series_index: self.spans.partition_point(|span| span.text_end <= offset) }
        })?;
        let Self { spans, timestamps, values, histograms, .. } = self;
        Ok(Batch { text, spans, timestamps, values, histograms })
    }

    fn push_piece(&mut self, piece: &[u8]) -> Result<(), LabelError> {
        let length = length_scalar(piece.len())?;
        self.text.extend_from_slice(length.encode_utf8(&mut [0; 4]).as_bytes());
        self.text.extend_from_slice(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    fn sample(seconds: i64, value: f64) -> Sample {
        Sample { timestamp: Timestamp::from_secs(seconds), value }
    }

    #[test]
    fn built_from_bytes_or_from_labels_it_is_the_same() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "見張り")]).unwrap();
        let mut plain = Batch::new();
        plain.push(labels.as_ref(), [sample(1, 1.0), sample(2, 0.0)]);
        let mut builder = BatchBuilder::with_capacity(1);
        builder.push_label(b"__name__", b"up").unwrap();
        builder.push_label(b"job", "見張り".as_bytes()).unwrap();
        builder.push_sample(sample(1, 1.0));
        builder.push_sample(sample(2, 0.0));
        builder.end_series();
        assert_eq!(builder.finish().unwrap(), plain);
        assert_eq!(plain.series(0).labels.to_labels(), labels);
        assert_eq!(plain.time_range(), Some(TimeRange::new(Timestamp::from_secs(1), Timestamp::from_secs(2))));
    }

    #[test]
    fn histograms_stay_with_their_series() {
        let parts = |count| crate::HistogramParts { count, ..crate::HistogramParts::default() };
        let at = |seconds, count| TimedHistogram {
            timestamp: Timestamp::from_secs(seconds),
            histogram: Arc::new(Histogram::new(parts(count)).unwrap()),
        };
        let labels = |job| Labels::from_pairs([("__name__", "h"), ("job", job)]).unwrap();
        let mut plain = Batch::new();
        plain.push_native(labels("a").as_ref(), [], [at(5, 1.0), at(6, 2.0)]);
        plain.push(labels("b").as_ref(), [sample(1, 1.0)]);
        plain.push_native(labels("c").as_ref(), [sample(2, 1.0)], [at(9, 3.0)]);
        let mut builder = BatchBuilder::default();
        for (job, number, histograms) in [
            ("a", None, vec![at(5, 1.0), at(6, 2.0)]),
            ("discarded", Some(sample(7, 7.0)), vec![at(7, 7.0)]),
            ("b", Some(sample(1, 1.0)), vec![]),
            ("c", Some(sample(2, 1.0)), vec![at(9, 3.0)]),
        ] {
            builder.push_label(b"__name__", b"h").unwrap();
            builder.push_label(b"job", job.as_bytes()).unwrap();
            number.into_iter().for_each(|sample| builder.push_sample(sample));
            histograms.into_iter().for_each(|sample| builder.push_histogram(sample));
            if job == "discarded" { builder.discard_series() } else { builder.end_series() }
        }
        assert_eq!(builder.finish().unwrap(), plain);
        assert_eq!((plain.sample_count(), plain.histogram_count()), (5, 3));
        let counts =
            |index: usize| plain.series(index).histograms.iter().map(|s| s.histogram.count()).collect::<Vec<_>>();
        assert_eq!([counts(0), counts(1), counts(2)], [vec![1.0, 2.0], vec![], vec![3.0]]);
        assert_eq!(plain.time_range(), Some(TimeRange::new(Timestamp::from_secs(1), Timestamp::from_secs(9))));
    }

    #[test]
    fn order_is_checked_within_a_series_only() {
        let mut builder = BatchBuilder::default();
        builder.push_label(b"b", b"1").unwrap();
        builder.end_series();
        builder.push_label(b"a", b"1").unwrap();
        assert!(matches!(builder.push_label(b"a", b"2"), Err(LabelError::Duplicate { .. })));
        builder.push_label(b"b", b"1").unwrap();
        assert!(matches!(builder.push_label(b"a", b"2"), Err(LabelError::Unsorted { .. })));
        assert!(matches!(builder.push_label(b"", b"2"), Err(LabelError::EmptyName { .. })));
    }

    #[test]
    fn labels_read_from_a_longer_slice_are_the_same() {
        let (long, longer) = ("n".repeat(100), "v".repeat(200));
        let pairs =
            [("a", "1"), ("a234567", "x"), ("a2345678", "y"), ("a23456789", &longer), (&long, "z"), ("z", &long)];
        for spare in [0, 7, 40, 200] {
            let (mut exact, mut framed, mut bare) =
                (BatchBuilder::default(), BatchBuilder::default(), BatchBuilder::default());
            for (name, value) in pairs {
                let (name_length, value_length) =
                    (length_scalar(name.len()).unwrap(), length_scalar(value.len()).unwrap());
                for frame in [true, false] {
                    let (before, between) = if frame { (name_length, value_length) } else { ('-', '-') };
                    let bytes = format!("{before}{name}{between}{value}{}", "-".repeat(spare));
                    let (start, middle) = (before.len_utf8(), before.len_utf8() + name.len());
                    let value_start = middle + between.len_utf8();
                    let builder = if frame { &mut framed } else { &mut bare };
                    let value_range = value_start..value_start + value.len();
                    builder.push_label_within(bytes.as_bytes(), start..middle, value_range).unwrap();
                }
                exact.push_label(name.as_bytes(), value.as_bytes()).unwrap();
            }
            for unsorted in ["a", "a2345678", "z", "\0"] {
                let length = unsorted.len();
                let bytes = format!("{}{unsorted}\u{1}1{}", length_scalar(length).unwrap(), "-".repeat(spare));
                let pushed = framed.push_label_within(bytes.as_bytes(), 1..length + 1, length + 2..length + 3);
                assert_eq!(pushed, exact.push_label(unsorted.as_bytes(), b"1"));
            }
            for builder in [&mut exact, &mut framed, &mut bare] {
                builder.end_series();
            }
            let expected = exact.finish();
            assert_eq!(framed.finish(), expected);
            assert_eq!(bare.finish(), expected);
        }
    }

    #[test]
    fn pieces_that_are_utf8_only_together_are_refused() {
        let mut builder = BatchBuilder::default();
        builder.push_label(b"fine", b"1").unwrap();
        builder.end_series();
        builder.push_label(b"a", &"é".as_bytes()[..1]).unwrap();
        builder.push_label(b"b", &"é".as_bytes()[1..]).unwrap();
        builder.end_series();
        assert_eq!(builder.finish().unwrap_err(), InvalidUtf8 { series_index: 1 });
    }
}
