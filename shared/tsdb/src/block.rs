//! Immutable bytes with the columns of many series: a tick's chunk, an hour block, or a piece of rollups.
//!
//! ```text
//! | frame | frame | ... | index | index length u32 | magic "MHB" | version u8 |
//! ```
//!
//! The index at the end tells everything but the values (labels, timestamps, where frames lie), so that a reader knows
//! what a query will cost before it fetches a frame. See `FORMAT.md`.

mod encode;
mod index;
mod labels;
mod native;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{HistogramSamples, Matcher, Series, TimeRange, Timestamp, stale_nan};

pub(crate) use encode::{View, encode_ascending, encode_views};
pub use encode::{encode, encode_rollups};
pub use index::{Index, Overview, Selected, TRAILER_BYTES};
pub use labels::LabelTables;

use crate::error::{Result, TsdbError};
pub use crate::frame::Frame;
use crate::frame::{Scratch, Slot, SlotRun};
use crate::rollup::{COLUMN_COUNT, Column, Resolution, RollupHistograms, RollupSeries};
use index::NativeRow;
use native::NativeFrame;

/// What the columns of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockKind {
    /// One column a series: its samples. Native histograms have columns of their own beside those of numbers.
    Raw,
    /// One column for each of [`Column`], one value a span.
    Rollup(Resolution),
}

impl BlockKind {
    pub(crate) const fn columns(self) -> usize {
        match self {
            Self::Raw => 1,
            Self::Rollup(_) => COLUMN_COUNT,
        }
    }
}

/// A whole block in memory.
#[derive(Clone, Debug)]
pub struct Block {
    index: Arc<Index>,
    bytes: Bytes,
}

impl Block {
    /// Reads the index of a block.
    ///
    /// # Errors
    /// When the bytes are not a block, or were changed.
    pub fn open(bytes: Bytes) -> Result<Self> {
        let index = Arc::new(Index::open(&bytes, bytes.len() as u64, &LabelTables::default())?);
        Ok(Self { index, bytes })
    }

    /// All but the values.
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// How many bytes it takes.
    pub const fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// From the oldest to the newest sample; `None` without samples.
    pub fn time_range(&self) -> Option<TimeRange> {
        self.index.time_range()
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.index.series_count()
    }

    /// How many samples there are, staleness markers included.
    pub fn sample_count(&self) -> u64 {
        self.index.sample_count()
    }

    /// The samples within `range` of the series that fulfil all matchers; series without any are left out.
    ///
    /// # Errors
    /// When a frame was changed, or the block holds rollups.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<Series>> {
        let selected = self.index.select(matchers, range);
        self.index.decode(&selected, range, &mut |frame: Range<u64>| self.slice(frame))
    }

    /// The spans whose ends lie within `range`, with only the columns asked for; the others stay empty.
    ///
    /// # Errors
    /// When a frame was changed, or the block holds raw samples.
    pub fn select_rollups(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        columns: &[Column],
    ) -> Result<Vec<RollupSeries>> {
        let selected = self.index.select(matchers, range);
        self.index.decode_rollups(&selected, range, columns, &mut |frame: Range<u64>| self.slice(frame))
    }

    fn slice(&self, range: Range<u64>) -> Result<Bytes> {
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let slice = place.filter(|(start, end)| start <= end && *end <= self.bytes.len());
        slice.map(|(start, end)| self.bytes.slice(start..end)).ok_or(TsdbError::Truncated { what: WHAT })
    }
}

const WHAT: &str = "block";

/// Where the frames of a block come from. A function that gives their bytes is one that keeps nothing.
pub trait Frames {
    /// The bytes of a frame.
    ///
    /// # Errors
    /// When the store of the bytes has none.
    fn bytes(&mut self, range: Range<u64>) -> Result<Bytes>;

    /// The frame that starts at an offset, if it was unpacked before: unpacking is most of what decoding takes.
    fn unpacked(&mut self, _start: u64) -> Option<Arc<Frame>> {
        None
    }

    /// Takes a frame that was unpacked, for the next time.
    fn keep(&mut self, _start: u64, _frame: &Arc<Frame>) {}
}

impl<F: FnMut(Range<u64>) -> Result<Bytes>> Frames for F {
    fn bytes(&mut self, range: Range<u64>) -> Result<Bytes> {
        self(range)
    }
}

impl Index {
    /// Decodes the samples within `range` of the selected series; `frames` gives each frame needed.
    ///
    /// # Errors
    /// When a frame was changed, `frames` fails, or the block holds rollups.
    pub fn decode(&self, selected: &Selected, range: TimeRange, frames: &mut dyn Frames) -> Result<Vec<Series>> {
        if self.kind() != BlockKind::Raw {
            return Err(TsdbError::malformed(WHAT, "rollups stand where raw samples are expected"));
        }
        let mut out = Vec::with_capacity(selected.series.len());
        let mut cuts = Cuts::new(self, range);
        let mut scratch = Scratch::default();
        for (group, series) in self.by_group(selected) {
            let frame = self.frame(group, 0, frames)?;
            let mut native = self.native_samples(group, series, &mut cuts, frames)?.into_iter().peekable();
            for &index in series {
                let mut values = Vec::with_capacity(self.timeline(index).len());
                let slots = frame.decode(index - self.group_start(group), &mut scratch, &mut values);
                let (timestamps, values) = cuts.cut(index, slots, values);
                let histograms = native.next_if(|(series, _)| *series == index).map(|(_, samples)| samples);
                if !values.is_empty() || histograms.is_some() {
                    let labels = self.labels(index);
                    out.push(Series { labels, timestamps, values, weights: None, resolution: None, histograms });
                }
            }
        }
        Ok(out)
    }

    /// Decodes spans whose ends lie within `range` of the selected series.
    ///
    /// # Errors
    /// When a frame was changed, `frames` fails, or the block holds raw samples.
    pub fn decode_rollups(
        &self,
        selected: &Selected,
        range: TimeRange,
        columns: &[Column],
        frames: &mut dyn Frames,
    ) -> Result<Vec<RollupSeries>> {
        if self.kind() == BlockKind::Raw {
            return Err(TsdbError::malformed(WHAT, "raw samples stand where rollups are expected"));
        }
        let mut out = Vec::with_capacity(selected.series.len());
        let mut cuts = Cuts::new(self, range);
        let mut scratch = Scratch::default();
        for (group, series) in self.by_group(selected) {
            let first = out.len();
            out.extend(series.iter().map(|&index| RollupSeries::empty(self.labels(index))));
            for &column in columns {
                let frame = self.frame(group, column as usize, frames)?;
                for (&index, rollups) in series.iter().zip(&mut out[first..]) {
                    let mut values = Vec::new();
                    let slots = frame.decode(index - self.group_start(group), &mut scratch, &mut values);
                    let (timestamps, values) = cuts.cut(index, slots, values);
                    rollups.timestamps = timestamps;
                    rollups.columns[column as usize] = values;
                }
                self.native_rollups(group, (series, &mut out[first..]), column, &mut cuts, frames)?;
            }
        }
        let whole = |rollups: &RollupSeries| {
            columns.iter().all(|&column| rollups.columns[column as usize].len() == rollups.timestamps.len())
        };
        if !out.iter().all(whole) {
            return Err(TsdbError::malformed(WHAT, "columns of one series differ in length"));
        }
        out.retain(|rollups| !rollups.is_empty());
        Ok(out)
    }

    /// The native histograms within range of the chosen series of a group: their places, and the samples.
    fn native_samples(
        &self,
        group: usize,
        series: &[usize],
        cuts: &mut Cuts<'_>,
        frames: &mut dyn Frames,
    ) -> Result<Vec<(usize, Box<HistogramSamples>)>> {
        let mut found = Vec::new();
        self.each_native(group, series, 0, frames, |_, row, reader| {
            let (place, timestamps) = cuts.times(row.timeline);
            if !place.is_empty() {
                let mut values = native::histograms(reader, self.timeline_at(row.timeline).len())?;
                values.truncate(place.end);
                values.drain(..place.start);
                found.push((row.series, Box::new(HistogramSamples::new(timestamps, values))));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Fills in a column of the native histograms of the chosen series of a group.
    fn native_rollups(
        &self,
        group: usize,
        (series, out): (&[usize], &mut [RollupSeries]),
        column: Column,
        cuts: &mut Cuts<'_>,
        frames: &mut dyn Frames,
    ) -> Result<()> {
        self.each_native(group, series, column as usize, frames, |at, row, reader| {
            let (place, timestamps) = cuts.times(row.timeline);
            if place.is_empty() {
                return Ok(());
            }
            let rollups = out[at].histograms.get_or_insert_with(|| Box::new(RollupHistograms::empty(timestamps)));
            let all = self.timeline_at(row.timeline).len();
            match column {
                Column::Min | Column::Max => {}
                Column::Count => rollups.counts = native::counts(reader, all)?[place].to_vec(),
                Column::Sum => rollups.sums = native::histograms(reader, all)?[place].to_vec(),
                Column::Last => rollups.lasts = native::histograms(reader, all)?[place].to_vec(),
                Column::Increase => rollups.increases = native::histograms(reader, all)?[place].to_vec(),
            }
            Ok(())
        })
    }

    /// Shows a column of native histograms of each chosen series of a group that has any: its place among the chosen
    /// ones, where it is, and its bytes.
    fn each_native(
        &self,
        group: usize,
        series: &[usize],
        column: usize,
        frames: &mut dyn Frames,
        mut show: impl FnMut(usize, NativeRow, crate::coding::Reader<'_>) -> Result<()>,
    ) -> Result<()> {
        let start = self.group_start(group);
        let rows = self.native_from(start);
        let rows = &rows[..rows.partition_point(|row| row.series < start + self.group_len(group))];
        if !rows.iter().any(|row| series.binary_search(&row.series).is_ok()) {
            return Ok(());
        }
        let bytes = self.checked_frame(group, self.kind().columns() + column, frames)?;
        let frame = NativeFrame::open(&bytes)?;
        let mut columns = frame.columns();
        for row in rows {
            let missing = TsdbError::malformed(WHAT, "there are fewer histograms than series that have some");
            let reader = columns.next().ok_or(missing)??;
            if let Ok(at) = series.binary_search(&row.series) {
                show(at, *row, reader)?;
            }
        }
        Ok(())
    }

    fn frame(&self, group: usize, column: usize, frames: &mut dyn Frames) -> Result<Arc<Frame>> {
        let at = self.frame_start(group, column);
        if let Some(frame) = frames.unpacked(at) {
            return Ok(frame);
        }
        let bytes = self.checked_frame(group, column, frames)?;
        let start = self.group_start(group);
        let lens = (start..start + self.group_len(group)).map(|index| self.timeline(index).len());
        let frame = Arc::new(Frame::open(&bytes, lens)?);
        frames.keep(at, &frame);
        Ok(frame)
    }
}

/// Cuts columns to a range of time; series that share a timeline share the cut one, too.
struct Cuts<'a> {
    index: &'a Index,
    range: TimeRange,
    shared: BTreeMap<u32, (Range<usize>, Arc<[Timestamp]>)>,
}

impl<'a> Cuts<'a> {
    const fn new(index: &'a Index, range: TimeRange) -> Self {
        Self { index, range, shared: BTreeMap::new() }
    }

    /// The part of a timeline that lies within the range: which, and its times.
    fn times(&mut self, timeline: usize) -> (Range<usize>, Arc<[Timestamp]>) {
        let key = u32::try_from(timeline).expect("an index has fewer than 2^32 timelines");
        let (place, timestamps) = self.shared.entry(key).or_insert_with(|| {
            let timeline = self.index.timeline_at(timeline);
            let place = within(timeline, self.range);
            let whole = place.len() == timeline.len();
            let cut = if whole { Arc::clone(timeline) } else { Arc::from(&timeline[place.clone()]) };
            (place, cut)
        });
        (place.clone(), Arc::clone(timestamps))
    }

    /// Times and values of a series: `values` of its present slots become those of all its samples in range.
    fn cut(&mut self, series: usize, slots: &[SlotRun], values: Vec<f64>) -> (Arc<[Timestamp]>, Vec<f64>) {
        if slots.is_empty() {
            let (place, timestamps) = self.times(self.index.timeline_of(series) as usize);
            let whole = place.len() == values.len();
            let values = if whole { values } else { values[place].to_vec() };
            return (timestamps, values);
        }
        cut_slots(self.index.timeline(series), slots, &values, self.range)
    }
}

/// The part of ascending times that lies in a range.
pub(crate) fn within(timestamps: &[Timestamp], range: TimeRange) -> Range<usize> {
    let start = timestamps.partition_point(|time| *time < range.start);
    let end = timestamps.partition_point(|time| *time <= range.end);
    start..end.max(start)
}

fn cut_slots(
    timeline: &[Timestamp],
    slots: &[SlotRun],
    present: &[f64],
    range: TimeRange,
) -> (Arc<[Timestamp]>, Vec<f64>) {
    let mut timestamps = Vec::new();
    let mut values = Vec::new();
    let mut times = timeline.iter();
    let mut present = present.iter();
    for &(len, slot) in slots {
        for &timestamp in times.by_ref().take(len) {
            let value = match slot {
                Slot::Present => present.next().copied(),
                Slot::Absent => None,
                Slot::Stale => Some(stale_nan()),
            };
            if let Some(value) = value.filter(|_| range.contains(timestamp)) {
                timestamps.push(timestamp);
                values.push(value);
            }
        }
    }
    (Arc::from(timestamps), values)
}

#[cfg(test)]
mod tests;
