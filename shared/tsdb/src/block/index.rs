//! The index at the end of a block.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{Labels, LabelsRef, METRIC_NAME, MatchOp, Matcher, TimeRange, Timestamp, matches_all};
use xxhash_rust::xxh3::xxh3_64;

use super::labels::{LabelTable, LabelTables};
use super::{BlockKind, Frames};
use crate::coding::{Reader, compress, decompress, finish_seal, open_seal, put_signed, put_varint};
use crate::error::{Result, TsdbError};
use crate::histogram::weight_of;
use crate::rollup::Resolution;
use crate::text::TextWriter;

/// Format version of block and index.
const VERSION: u8 = 2;
/// The version of those without native histograms, which lack the rows about them.
const VERSION_PLAIN: u8 = 1;
const MAGIC: &[u8; 3] = b"MHB";
/// Bytes at the very end of a block: index length, magic, version.
pub const TRAILER_BYTES: usize = 8;
const ENVELOPE_BYTES: usize = 9;
const ZSTD_LEVEL: i32 = 3;
const WHAT: &str = "block index";

/// All that an index is written from.
pub(super) struct IndexRows<'a> {
    pub(super) kind: BlockKind,
    pub(super) samples: u64,
    pub(super) timelines: Vec<&'a [Timestamp]>,
    pub(super) groups: Vec<GroupRow>,
    pub(super) timeline_of: Vec<usize>,
    pub(super) labels: Vec<LabelsRef<'a>>,
    /// The series that have native histograms, in order.
    pub(super) native: Vec<NativeRow>,
}

/// Where the native histograms of a series are.
#[derive(Clone, Copy, Debug)]
pub(super) struct NativeRow {
    pub(super) series: usize,
    pub(super) timeline: usize,
    /// How many buckets they have together.
    pub(super) buckets: usize,
}

/// Neighbouring series whose columns were compressed together.
pub(super) struct GroupRow {
    pub(super) series: usize,
    pub(super) frames: Vec<FrameRow>,
}

/// Length and checksum of a frame; it starts where the one before ended.
pub(super) struct FrameRow {
    len: u64,
    checksum: u64,
}

impl FrameRow {
    pub(super) fn of(frame: &[u8]) -> Self {
        Self { len: frame.len() as u64, checksum: xxh3_64(frame) }
    }
}

/// Appends index and trailer to the frames.
pub(super) fn finish(rows: &IndexRows<'_>, out: &mut Vec<u8>) {
    let version = if rows.native.is_empty() { VERSION_PLAIN } else { VERSION };
    let content = encode_rows(rows);
    let mut sealed = vec![0; ENVELOPE_BYTES];
    put_varint(&mut sealed, content.len() as u64);
    compress(&mut sealed, &content, ZSTD_LEVEL);
    finish_seal(&mut sealed, version);
    let len = u32::try_from(sealed.len()).expect("an index has less than 4 GB");
    out.extend_from_slice(&sealed);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(MAGIC);
    out.push(version);
}

fn encode_rows(rows: &IndexRows<'_>) -> Vec<u8> {
    let mut out = vec![kind_code(rows.kind)];
    put_varint(&mut out, rows.samples);
    put_varint(&mut out, rows.timelines.len() as u64);
    for timeline in &rows.timelines {
        put_varint(&mut out, timeline.len() as u64);
        let (mut previous, mut step) = (0i64, 0i64);
        for timestamp in *timeline {
            let next_step = timestamp.as_millis().wrapping_sub(previous);
            put_signed(&mut out, next_step.wrapping_sub(step));
            (previous, step) = (timestamp.as_millis(), next_step);
        }
    }
    put_varint(&mut out, rows.groups.len() as u64);
    for group in &rows.groups {
        put_varint(&mut out, group.series as u64);
        for frame in &group.frames {
            put_varint(&mut out, frame.len);
            out.extend_from_slice(&frame.checksum.to_le_bytes());
        }
    }
    for timeline in &rows.timeline_of {
        put_varint(&mut out, *timeline as u64);
    }
    let mut labels = TextWriter::default();
    rows.labels.iter().for_each(|set| labels.push(*set));
    labels.finish(&mut out);
    if !rows.native.is_empty() {
        put_native(&rows.native, &mut out);
    }
    out
}

fn put_native(rows: &[NativeRow], out: &mut Vec<u8>) {
    put_varint(out, rows.len() as u64);
    let mut next = 0;
    for row in rows {
        for number in [row.series - next, row.timeline, row.buckets] {
            put_varint(out, number as u64);
        }
        next = row.series + 1;
    }
}

const fn kind_code(kind: BlockKind) -> u8 {
    match kind {
        BlockKind::Raw => 0,
        BlockKind::Rollup(resolution) => 1 + resolution as u8,
    }
}

/// All of a block but its values.
#[derive(Debug)]
pub struct Index {
    kind: BlockKind,
    samples: u64,
    size_bytes: u64,
    timelines: Vec<Arc<[Timestamp]>>,
    groups: Vec<Group>,
    timeline_of: Vec<u32>,
    labels: Arc<LabelTable>,
    /// The series that have native histograms, in order.
    native: Vec<NativeRow>,
}

#[derive(Debug)]
struct Group {
    series: Range<usize>,
    frames: Vec<(Range<u64>, u64)>,
}

/// What the index of a block says of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overview {
    /// How many series there are.
    pub series: usize,
    /// How many samples there are: for rollups, spans.
    pub samples: u64,
    /// From the oldest to the newest sample; `None` without samples.
    pub range: Option<TimeRange>,
}

/// Which series of a block a query needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// Their places, ascending.
    pub(crate) series: Vec<usize>,
    /// How many samples they have in the range at most: gaps count.
    pub samples_max: usize,
}

impl Selected {
    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }
}

impl Index {
    /// Reads the index from the last bytes of a block that has `block_len` bytes; shares its labels with other blocks that
    /// are open and have the same.
    ///
    /// # Errors
    /// When these bytes are no end of a block, or were changed. When there are fewer than [`Index::tail_bytes`] asks
    /// for, [`TsdbError::Truncated`].
    pub fn open(tail: &[u8], block_len: u64, tables: &LabelTables) -> Result<Self> {
        let (content, version) = Self::content(tail)?;
        let mut reader = Reader::new(&content, WHAT);
        let rows = decode_rows(&mut reader, block_len, Self::tail_bytes(tail)?, version)?;
        let series_count = rows.timeline_of.len();
        let labels = tables.read(&mut reader, series_count)?;
        let has_native = version != VERSION_PLAIN;
        let timelines = rows.timelines.len();
        let native = if has_native { decode_native(&mut reader, series_count, timelines)? } else { Vec::new() };
        reader.end()?;
        let Rows { kind, samples, timelines, groups, timeline_of } = rows;
        Ok(Self { kind, samples, size_bytes: block_len, timelines, groups, timeline_of, labels, native })
    }

    /// What the index of a whole block says, without a look at its labels.
    ///
    /// # Errors
    /// When the bytes are not a block, or were changed.
    pub fn overview(block: &[u8]) -> Result<Overview> {
        let (content, version) = Self::content(block)?;
        let rows =
            decode_rows(&mut Reader::new(&content, WHAT), block.len() as u64, Self::tail_bytes(block)?, version)?;
        Ok(Overview { series: rows.timeline_of.len(), samples: rows.samples, range: range_of(&rows.timelines) })
    }

    /// The unpacked index at the end of a block, and its version.
    fn content(tail: &[u8]) -> Result<(Vec<u8>, u8)> {
        let needed = Self::tail_bytes(tail)?;
        let index = tail.len().checked_sub(needed).map(|start| &tail[start..tail.len() - TRAILER_BYTES]);
        let version = tail[tail.len() - 1];
        let mut reader = open_seal(index.ok_or(TsdbError::Truncated { what: WHAT })?, version, WHAT)?;
        let raw_len = usize::try_from(reader.varint()?).map_err(|_| TsdbError::malformed(WHAT, "too long"))?;
        let mut content = Vec::new();
        decompress(&mut content, reader.rest(), raw_len, WHAT)?;
        Ok((content, version))
    }

    /// How many of the last bytes of a block hold its index, told from at least the [`TRAILER_BYTES`] last ones.
    ///
    /// # Errors
    /// When these bytes are no end of a block.
    pub fn tail_bytes(tail: &[u8]) -> Result<usize> {
        let trailer: &[u8; TRAILER_BYTES] = tail.last_chunk().ok_or(TsdbError::Truncated { what: WHAT })?;
        let [a, b, c, d, magic @ .., version] = *trailer;
        if magic != *MAGIC {
            return Err(TsdbError::malformed(WHAT, "it does not end as a block does"));
        }
        if version != VERSION && version != VERSION_PLAIN {
            return Err(TsdbError::Version { what: "block", found: version, known: VERSION });
        }
        Ok(u32::from_le_bytes([a, b, c, d]) as usize + TRAILER_BYTES)
    }

    /// What the columns are.
    pub const fn kind(&self) -> BlockKind {
        self.kind
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.timeline_of.len()
    }

    /// How many samples there are: for rollups, spans.
    pub const fn sample_count(&self) -> u64 {
        self.samples
    }

    /// How many bytes the whole block has.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// About how much memory the index takes.
    pub fn memory_bytes(&self) -> usize {
        let times: usize = self.timelines.iter().map(|line| line.len() * 8).sum();
        times
            + self.labels.memory_bytes()
            + self.timeline_of.len() * 4
            + self.groups.len() * 256
            + self.native.len() * 24
    }

    /// From the oldest to the newest sample; `None` without samples.
    pub fn time_range(&self) -> Option<TimeRange> {
        range_of(&self.timelines)
    }

    /// The label sets of selected series, in order.
    pub fn selected_labels<'a>(&'a self, selected: &'a Selected) -> impl Iterator<Item = LabelsRef<'a>> {
        selected.series.iter().map(|&index| self.labels.set(index))
    }

    /// Finds the series that fulfil all matchers and may have a sample in `range`.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Selected {
        let inside: Vec<usize> = self.timelines.iter().map(|line| super::within(line, range).len()).collect();
        let mut selected = Selected::default();
        let candidates = self.candidates(matchers);
        let mut native = self.native_from(candidates.start).iter().peekable();
        for index in candidates {
            let mut samples = inside[self.timeline_of[index] as usize];
            if let Some(row) = native.next_if(|row| row.series == index) {
                samples += row.samples(inside[row.timeline], self.timelines[row.timeline].len());
            }
            if samples > 0 && matches_all(matchers, self.labels.set(index)) {
                selected.series.push(index);
                selected.samples_max += samples;
            }
        }
        selected
    }

    /// The frames that hold the given columns of the selected series, for readers that fetch parts of a block.
    pub fn frames(&self, selected: &Selected, columns: &[usize]) -> Vec<Range<u64>> {
        let of_group = |(group, _): (usize, &[usize])| {
            let frames = &self.groups[group].frames;
            let native = columns.iter().filter(|_| !self.native.is_empty()).map(|column| column + self.kind.columns());
            let wanted = columns.iter().copied().chain(native);
            wanted.filter_map(|column| frames.get(column)).map(|(range, _)| range.clone()).collect::<Vec<_>>()
        };
        self.by_group(selected).flat_map(of_group).collect()
    }

    /// The series that may match: those of one metric, when a matcher names it.
    fn candidates(&self, matchers: &[Matcher]) -> Range<usize> {
        let named = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        let Some(metric) = matchers.iter().find(named).map(Matcher::value) else {
            return 0..self.series_count();
        };
        self.labels.of_metric(metric)
    }

    pub(super) fn by_group<'a>(&'a self, selected: &'a Selected) -> impl Iterator<Item = (usize, &'a [usize])> {
        self.groups.iter().enumerate().filter_map(|(group, row)| {
            let start = selected.series.partition_point(|&index| index < row.series.start);
            let end = selected.series.partition_point(|&index| index < row.series.end);
            (start < end).then(|| (group, &selected.series[start..end]))
        })
    }

    pub(super) fn checked_frame(&self, group: usize, column: usize, frames: &mut dyn Frames) -> Result<Bytes> {
        let (range, checksum) = &self.groups[group].frames[column];
        let bytes = frames.bytes(range.clone())?;
        if xxh3_64(&bytes) == *checksum { Ok(bytes) } else { Err(TsdbError::Checksum { what: "frame" }) }
    }

    /// Where a frame starts in the block.
    pub(super) fn frame_start(&self, group: usize, column: usize) -> u64 {
        self.groups[group].frames[column].0.start
    }

    /// The series that have native histograms, from one on.
    pub(super) fn native_from(&self, series: usize) -> &[NativeRow] {
        &self.native[self.native.partition_point(|row| row.series < series)..]
    }

    pub(super) fn timeline_at(&self, timeline: usize) -> &Arc<[Timestamp]> {
        &self.timelines[timeline]
    }

    #[cfg(test)]
    pub(super) fn shares_labels_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.labels, &other.labels)
    }

    #[cfg(test)]
    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn group_start(&self, group: usize) -> usize {
        self.groups[group].series.start
    }

    pub(super) fn group_len(&self, group: usize) -> usize {
        self.groups[group].series.len()
    }

    pub(super) fn timeline_of(&self, series: usize) -> u32 {
        self.timeline_of[series]
    }

    pub(super) fn timeline(&self, series: usize) -> &Arc<[Timestamp]> {
        &self.timelines[self.timeline_of[series] as usize]
    }

    pub(super) fn labels(&self, series: usize) -> Labels {
        self.labels.set(series).to_labels()
    }
}

impl NativeRow {
    /// As how many samples so many of all its histograms count.
    fn samples(&self, inside: usize, all: usize) -> usize {
        inside * weight_of(self.buckets / all.max(1))
    }
}

/// From the oldest to the newest time of any timeline.
fn range_of(timelines: &[Arc<[Timestamp]>]) -> Option<TimeRange> {
    let ranges = timelines.iter().filter_map(|line| Some(TimeRange::new(*line.first()?, *line.last()?)));
    ranges.reduce(|one, two| one.union(&two))
}

/// What stands before the labels.
struct Rows {
    kind: BlockKind,
    samples: u64,
    timelines: Vec<Arc<[Timestamp]>>,
    groups: Vec<Group>,
    timeline_of: Vec<u32>,
}

/// Reads what stands before the labels; the last `tail_bytes` of the block are its index.
fn decode_rows(reader: &mut Reader<'_>, size_bytes: u64, tail_bytes: usize, version: u8) -> Result<Rows> {
    let kind = match reader.byte()? {
        0 => BlockKind::Raw,
        code => BlockKind::Rollup(
            Resolution::ALL.get(usize::from(code) - 1).copied().ok_or(TsdbError::malformed(WHAT, "unknown kind"))?,
        ),
    };
    let samples = reader.varint()?;
    let timeline_count = reader.count(1)?;
    let mut timelines = Vec::with_capacity(timeline_count);
    for _ in 0..timeline_count {
        timelines.push(decode_timeline(reader)?);
    }
    let groups = decode_groups(reader, kind.columns() * if version == VERSION_PLAIN { 1 } else { 2 })?;
    let frames_end = groups.last().map_or(0, |group| group.frames.last().map_or(0, |(range, _)| range.end));
    if frames_end.checked_add(tail_bytes as u64) != Some(size_bytes) {
        return Err(TsdbError::malformed(WHAT, "frames do not fill the block"));
    }
    let series_count = groups.last().map_or(0, |group| group.series.end);
    if series_count > reader.rest().len() {
        return Err(TsdbError::malformed(WHAT, "there are more series than follow"));
    }
    let mut timeline_of = Vec::with_capacity(series_count);
    for _ in 0..series_count {
        let timeline = u32::try_from(reader.varint()?).ok().filter(|index| (*index as usize) < timelines.len());
        timeline_of.push(timeline.ok_or(TsdbError::malformed(WHAT, "a series has no timeline"))?);
    }
    Ok(Rows { kind, samples, timelines, groups, timeline_of })
}

fn decode_native(reader: &mut Reader<'_>, series_count: usize, timelines: usize) -> Result<Vec<NativeRow>> {
    let count = reader.count(3)?;
    let mut rows = Vec::with_capacity(count);
    let mut next = 0usize;
    for _ in 0..count {
        let series = next.checked_add(reader.count(0)?).filter(|series| *series < series_count);
        let series = series.ok_or(TsdbError::malformed(WHAT, "histograms have no series"))?;
        let timeline = Some(reader.count(0)?).filter(|timeline| *timeline < timelines);
        let timeline = timeline.ok_or(TsdbError::malformed(WHAT, "histograms have no timeline"))?;
        rows.push(NativeRow { series, timeline, buckets: reader.count(0)? });
        next = series + 1;
    }
    Ok(rows)
}

fn decode_timeline(reader: &mut Reader<'_>) -> Result<Arc<[Timestamp]>> {
    let len = reader.count(1)?;
    let mut timeline = Vec::with_capacity(len);
    let (mut previous, mut step) = (0i64, 0i64);
    for _ in 0..len {
        step = step.wrapping_add(reader.signed()?);
        previous = previous.wrapping_add(step);
        timeline.push(Timestamp::from_millis(previous));
    }
    let ascends = timeline.windows(2).all(|pair| pair[0] < pair[1]);
    if ascends { Ok(Arc::from(timeline)) } else { Err(TsdbError::malformed(WHAT, "times do not ascend")) }
}

fn decode_groups(reader: &mut Reader<'_>, columns: usize) -> Result<Vec<Group>> {
    let mut groups = Vec::with_capacity(reader.clone().count(1 + 9 * columns)?);
    let (mut first, mut offset) = (0usize, 0u64);
    for _ in 0..reader.count(1 + 9 * columns)? {
        let end = first.checked_add(reader.count(0)?).ok_or(TsdbError::malformed(WHAT, "too many series"))?;
        let mut frames = Vec::with_capacity(columns);
        for _ in 0..columns {
            let len = reader.varint()?;
            let frame_end = offset.checked_add(len).ok_or(TsdbError::malformed(WHAT, "frames are too long"))?;
            frames.push((offset..frame_end, u64::from_le_bytes(reader.array()?)));
            offset = frame_end;
        }
        groups.push(Group { series: first..end, frames });
        first = end;
    }
    Ok(groups)
}
