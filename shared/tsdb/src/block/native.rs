//! The native histograms of a block: frames of their own, one for each column of numbers.
//!
//! A frame holds the histograms of all series of a group that have any. See `FORMAT.md`, "Frame of histograms".

use std::sync::Arc;

use model::{Histogram, HistogramSamples, Timestamp};

use crate::coding::{Reader, compress, decompress, put_bytes, put_varint};
use crate::error::{Result, TsdbError};
use crate::histogram::{buckets_of, put_all, read_all, weight};
use crate::rollup::{Column, RollupHistograms};

const ZSTD_LEVEL: i32 = 3;
const WHAT: &str = "frame of histograms";

/// The histograms of one series to write.
pub(super) struct NativeView<'a> {
    pub(super) timestamps: &'a [Timestamp],
    /// By column of numbers.
    columns: Vec<NativeColumn<'a>>,
}

/// What is kept of histograms in place of a column of numbers.
enum NativeColumn<'a> {
    /// Nothing: histograms have no least and no greatest.
    None,
    Histograms(&'a [Arc<Histogram>]),
    /// How many histograms there were.
    Counts(&'a [f64]),
}

impl<'a> NativeView<'a> {
    pub(super) fn of_raw(samples: &'a HistogramSamples) -> Self {
        Self { timestamps: &samples.timestamps, columns: vec![NativeColumn::Histograms(&samples.values)] }
    }

    pub(super) fn of_rollups(rollups: &'a RollupHistograms) -> Self {
        let column = |column| match column {
            Column::Count => NativeColumn::Counts(&rollups.counts),
            Column::Min | Column::Max => NativeColumn::None,
            Column::Sum => NativeColumn::Histograms(&rollups.sums),
            Column::Last => NativeColumn::Histograms(&rollups.lasts),
            Column::Increase => NativeColumn::Histograms(&rollups.increases),
        };
        Self { timestamps: &rollups.timestamps, columns: Column::ALL.into_iter().map(column).collect() }
    }

    fn histograms(&self) -> impl Iterator<Item = &Arc<Histogram>> {
        self.columns.iter().flat_map(|column| match column {
            NativeColumn::Histograms(histograms) => histograms.iter(),
            NativeColumn::None | NativeColumn::Counts(_) => [].iter(),
        })
    }

    /// How many buckets the histograms of a column have together: of that which has the most.
    pub(super) fn buckets(&self) -> usize {
        let buckets = |column: &NativeColumn<'_>| match column {
            NativeColumn::Histograms(histograms) => histograms.iter().map(|histogram| buckets_of(histogram)).sum(),
            NativeColumn::None | NativeColumn::Counts(_) => 0,
        };
        self.columns.iter().map(buckets).max().unwrap_or(0)
    }

    /// As how many samples it counts towards the size of a group.
    pub(super) fn weight(&self) -> usize {
        self.histograms().map(|histogram| weight(histogram)).sum()
    }
}

/// Appends the frame of a column; nothing when histograms have no such column.
pub(super) fn put_frame(views: &[&NativeView<'_>], column: usize, out: &mut Vec<u8>) {
    let mut raw = Vec::new();
    for view in views {
        let mut one = Vec::new();
        match &view.columns[column] {
            NativeColumn::None => {}
            NativeColumn::Histograms(histograms) => put_all(&mut one, histograms.iter().map(AsRef::as_ref)),
            NativeColumn::Counts(counts) => counts.iter().for_each(|count| put_varint(&mut one, whole(*count))),
        }
        put_bytes(&mut raw, &one);
    }
    put_varint(out, raw.len() as u64);
    compress(out, &raw, ZSTD_LEVEL);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of samples")]
const fn whole(count: f64) -> u64 {
    count as u64
}

/// A frame that was unpacked: the columns of its series one after the other.
pub(super) struct NativeFrame {
    raw: Vec<u8>,
}

impl NativeFrame {
    pub(super) fn open(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        let len = usize::try_from(reader.varint()?).map_err(|_| TsdbError::malformed(WHAT, "too long"))?;
        let mut raw = Vec::new();
        decompress(&mut raw, reader.rest(), len, WHAT)?;
        Ok(Self { raw })
    }

    /// The bytes of each series, in order.
    pub(super) fn columns(&self) -> impl Iterator<Item = Result<Reader<'_>>> {
        let mut reader = Reader::new(&self.raw, WHAT);
        std::iter::from_fn(move || {
            (!reader.rest().is_empty()).then(|| reader.bytes().map(|bytes| Reader::new(bytes, WHAT)))
        })
    }
}

/// As many histograms as a timeline has times.
pub(super) fn histograms(mut reader: Reader<'_>, count: usize) -> Result<Vec<Arc<Histogram>>> {
    let read = read_all(&mut reader, count)?;
    reader.end()?;
    Ok(read)
}

/// As many counts as a timeline has times.
#[expect(clippy::cast_precision_loss, reason = "a number of samples")]
pub(super) fn counts(mut reader: Reader<'_>, count: usize) -> Result<Vec<f64>> {
    if count > reader.rest().len() {
        return Err(TsdbError::malformed(WHAT, "there are fewer counts than spans"));
    }
    let read: Result<Vec<f64>> = (0..count).map(|_| reader.varint().map(|count| count as f64)).collect();
    reader.end()?;
    read
}
