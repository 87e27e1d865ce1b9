//! Writing a block.

use hashbrown::HashMap;
use model::{Labels, Series, Timestamp, is_stale};

use super::BlockKind;
use super::index::{FrameRow, GroupRow, IndexRows, NativeRow, finish};
use super::native::{NativeView, put_frame};
use crate::frame::{FrameWriter, Slot, SlotRun};
use crate::rollup::{Resolution, RollupSeries};

/// A group of series ends after this many samples; its frame then has about 64 KB.
const GROUP_SAMPLES: usize = 1 << 17;
/// How many timelines are tried before a series with gaps gets one of its own.
const TIMELINES_TRIED: usize = 32;

/// Encodes raw series, in any order; each label set stands there once.
pub fn encode(series: &[Series]) -> Vec<u8> {
    encode_views(series.iter().map(View::of_raw).collect(), BlockKind::Raw)
}

/// Encodes rollups of one resolution, in any order; each label set stands there once.
pub fn encode_rollups(series: &[RollupSeries], resolution: Resolution) -> Vec<u8> {
    encode_views(series.iter().map(View::of_rollups).collect(), BlockKind::Rollup(resolution))
}

/// One series to write: times, and one value a time in each column.
pub(crate) struct View<'a> {
    /// The metric's name, looked up once: blocks are sorted by it.
    metric: &'a str,
    labels: &'a Labels,
    timestamps: &'a [Timestamp],
    columns: Columns<'a>,
    native: Option<NativeView<'a>>,
}

/// The columns of numbers of a series.
enum Columns<'a> {
    /// Its samples.
    One(&'a [f64]),
    /// What a rollup keeps of them.
    Many(&'a [Vec<f64>]),
}

impl<'a> View<'a> {
    /// Numbers, in order of time and each time once; `metric` is the metric's name in `labels`.
    pub(crate) const fn of_numbers(
        metric: &'a str,
        labels: &'a Labels,
        timestamps: &'a [Timestamp],
        values: &'a [f64],
    ) -> Self {
        Self { metric, labels, timestamps, columns: Columns::One(values), native: None }
    }

    /// Numbers and histograms.
    pub(crate) fn of_raw(series: &'a Series) -> Self {
        let native = series.histograms.as_deref().map(NativeView::of_raw);
        let numbers = Self::of_numbers(series.labels.metric_name(), &series.labels, &series.timestamps, &series.values);
        Self { native, ..numbers }
    }

    fn of_rollups(series: &'a RollupSeries) -> Self {
        let columns = Columns::Many(&series.columns);
        let native = series.histograms.as_deref().map(NativeView::of_rollups);
        let metric = series.labels.metric_name();
        Self { metric, labels: &series.labels, timestamps: &series.timestamps, columns, native }
    }

    fn column(&self, column: usize) -> &'a [f64] {
        match self.columns {
            Columns::One(values) => values,
            Columns::Many(columns) => &columns[column],
        }
    }

    /// How many samples there are, numbers and histograms.
    fn samples(&self) -> usize {
        self.timestamps.len() + self.native.as_ref().map_or(0, |native| native.timestamps.len())
    }

    /// What the samples count towards the size of a group.
    fn weight(&self) -> usize {
        self.timestamps.len() + self.native.as_ref().map_or(0, NativeView::weight)
    }
}

/// Encodes series in any order; each label set stands there once.
pub(crate) fn encode_views(mut views: Vec<View<'_>>, kind: BlockKind) -> Vec<u8> {
    views.retain(|view| view.samples() > 0);
    let order = |one: &View<'_>, two: &View<'_>| (one.metric, one.labels).cmp(&(two.metric, two.labels));
    if !views.is_sorted_by(|one, two| order(one, two).is_lt()) {
        views.sort_by(order);
        assert!(views.windows(2).all(|pair| pair[0].labels != pair[1].labels), "a label set stands once in a block");
    }
    encode_ascending(&views, kind)
}

/// Encodes series that have samples, in the order of a block: by metric name, then by labels.
pub(crate) fn encode_ascending(views: &[View<'_>], kind: BlockKind) -> Vec<u8> {
    let has_native = views.iter().any(|view| view.native.is_some());
    let (mut timelines, timeline_of) = share_timelines(views);
    let native = native_rows(views, &mut timelines);
    let mut out = Vec::new();
    let mut groups = Vec::new();
    let mut start = 0;
    while start < views.len() {
        let end = start + group_len(&views[start..]);
        let mut frames = Vec::with_capacity(kind.columns());
        for column in 0..kind.columns() {
            let before = out.len();
            let lines = timeline_of[start..end].iter().map(|&timeline| timelines[timeline]);
            write_frame(&views[start..end], lines, column, &mut out);
            frames.push(FrameRow::of(&out[before..]));
        }
        for column in (0..kind.columns()).filter(|_| has_native) {
            let before = out.len();
            let views: Vec<&NativeView<'_>> =
                views[start..end].iter().filter_map(|view| view.native.as_ref()).collect();
            put_frame(&views, column, &mut out);
            frames.push(FrameRow::of(&out[before..]));
        }
        groups.push(GroupRow { series: end - start, frames });
        start = end;
    }
    let labels = views.iter().map(|view| view.labels.as_ref()).collect();
    let samples = views.iter().map(|view| view.samples() as u64).sum();
    finish(&IndexRows { kind, samples, timelines, groups, timeline_of, labels, native }, &mut out);
    out
}

/// Where the histograms of series are: adds their times to the timelines.
fn native_rows<'a>(views: &[View<'a>], timelines: &mut Vec<&'a [Timestamp]>) -> Vec<NativeRow> {
    let mut rows: Vec<NativeRow> = Vec::new();
    let mut known: HashMap<&[Timestamp], usize> = HashMap::new();
    for (series, view) in views.iter().enumerate() {
        if let Some(native) = &view.native {
            let timeline = *known.entry(native.timestamps).or_insert_with(|| {
                let same = timelines.iter().position(|line| *line == native.timestamps);
                same.unwrap_or_else(|| {
                    timelines.push(native.timestamps);
                    timelines.len() - 1
                })
            });
            rows.push(NativeRow { series, timeline, buckets: native.buckets() });
        }
    }
    rows
}

fn group_len(views: &[View<'_>]) -> usize {
    let mut samples = 0;
    let fits = |view: &&View<'_>| {
        let before = samples;
        samples += view.weight();
        before < GROUP_SAMPLES
    };
    views.iter().take_while(fits).count()
}

fn write_frame<'a>(
    views: &[View<'_>],
    timelines: impl Iterator<Item = &'a [Timestamp]>,
    column: usize,
    out: &mut Vec<u8>,
) {
    let mut writer = FrameWriter::default();
    let mut present = Vec::new();
    for (view, timeline) in views.iter().zip(timelines) {
        let values = view.column(column);
        let whole = view.timestamps.len() == timeline.len() && !values.iter().any(|value| is_stale(*value));
        if whole {
            writer.push(values, &[]);
        } else {
            let slots = slot_runs(view.timestamps, values, timeline, &mut present);
            writer.push(&present, &slots);
        }
    }
    writer.finish(out);
}

/// How a series fills its timeline; leaves the values that are not staleness markers.
fn slot_runs(timestamps: &[Timestamp], values: &[f64], timeline: &[Timestamp], present: &mut Vec<f64>) -> Vec<SlotRun> {
    present.clear();
    let mut runs: Vec<SlotRun> = Vec::new();
    let mut samples = timestamps.iter().zip(values).peekable();
    for time in timeline {
        let slot = match samples.next_if(|(timestamp, _)| *timestamp == time) {
            None => Slot::Absent,
            Some((_, value)) if is_stale(*value) => Slot::Stale,
            Some((_, value)) => {
                present.push(*value);
                Slot::Present
            }
        };
        match runs.last_mut() {
            Some((len, last)) if *last == slot => *len += 1,
            _ => runs.push((1, slot)),
        }
    }
    assert!(samples.next().is_none(), "a timeline holds all times of its series");
    runs
}

/// The distinct timelines, and which one each series uses: its own times, or a longer line that holds them all.
fn share_timelines<'a>(views: &[View<'a>]) -> (Vec<&'a [Timestamp]>, Vec<usize>) {
    let mut known: HashMap<&[Timestamp], usize> = HashMap::new();
    let mut distinct: Vec<&[Timestamp]> = Vec::new();
    let mut distinct_of = Vec::with_capacity(views.len());
    for view in views {
        // Mostly the neighbour's.
        let last = distinct_of.last().copied().filter(|&last: &usize| distinct[last] == view.timestamps);
        let index = last.unwrap_or_else(|| {
            *known.entry(view.timestamps).or_insert_with(|| {
                distinct.push(view.timestamps);
                distinct.len() - 1
            })
        });
        distinct_of.push(index);
    }
    let mut by_len: Vec<usize> = (0..distinct.len()).collect();
    by_len.sort_by_key(|&index| (std::cmp::Reverse(distinct[index].len()), index));
    let mut kept: Vec<&[Timestamp]> = Vec::new();
    let mut kept_of = vec![0; distinct.len()];
    for index in by_len {
        let line = distinct[index];
        // A series of histograms alone must not look as if it had numbers.
        let tried = if line.is_empty() { 0 } else { TIMELINES_TRIED };
        let wider = kept.iter().take(tried).position(|wide| holds_all(wide, line));
        kept_of[index] = wider.unwrap_or_else(|| {
            kept.push(line);
            kept.len() - 1
        });
    }
    (kept, distinct_of.into_iter().map(|index| kept_of[index]).collect())
}

/// Whether ascending `wide` holds all of ascending `line`.
fn holds_all(wide: &[Timestamp], line: &[Timestamp]) -> bool {
    let mut rest = wide.iter();
    line.iter().all(|time| rest.by_ref().find(|other| *other >= time).is_some_and(|other| other == time))
}
