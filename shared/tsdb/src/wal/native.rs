//! The native histograms of a request, before all the rest of its blob.

use model::{BatchSeries, TimedHistogram, Timestamp};

use super::{WHAT, ZSTD_LEVEL, raw_len};
use crate::coding::{Reader, compress, decompress, put_bytes, put_signed, put_varint};
use crate::error::{Result, TsdbError};
use crate::histogram::{put_all, read_all};

/// The histograms of one series.
pub(super) struct NativeSeries {
    /// Which one of the blob.
    pub(super) series: usize,
    pub(super) samples: Vec<TimedHistogram>,
}

/// Appends the histograms of the series, in the order they are written.
pub(super) fn put<'a>(series: impl Iterator<Item = BatchSeries<'a>>, out: &mut Vec<u8>) {
    let mut rows = Vec::new();
    let (mut count, mut next, mut before) = (0u64, 0, 0);
    for (index, one) in series.enumerate().filter(|(_, one)| !one.histograms.is_empty()) {
        count += 1;
        put_varint(&mut rows, (index - next) as u64);
        next = index + 1;
        put_varint(&mut rows, one.histograms.len() as u64);
        let mut previous = before;
        for sample in one.histograms {
            let time = sample.timestamp.as_millis();
            put_signed(&mut rows, time.wrapping_sub(previous));
            previous = time;
        }
        before = one.histograms[0].timestamp.as_millis();
        put_all(&mut rows, one.histograms.iter().map(|sample| sample.histogram.as_ref()));
    }
    let mut raw = Vec::with_capacity(rows.len() + 10);
    put_varint(&mut raw, count);
    raw.extend_from_slice(&rows);
    put_varint(out, raw.len() as u64);
    let mut packed = Vec::new();
    compress(&mut packed, &raw, ZSTD_LEVEL);
    put_bytes(out, &packed);
}

/// The histograms of a blob as they lie there; nothing when there are none.
#[derive(Default)]
pub(super) struct Packed<'a> {
    raw_len: usize,
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self> {
        Ok(Self { raw_len: raw_len(reader)?, bytes: reader.bytes()? })
    }

    /// The histograms of all series that have any, in order.
    pub(super) fn unpack(&self) -> Result<Vec<NativeSeries>> {
        if self.bytes.is_empty() {
            return Ok(Vec::new());
        }
        let mut raw = Vec::new();
        decompress(&mut raw, self.bytes, self.raw_len, WHAT)?;
        let mut reader = Reader::new(&raw, WHAT);
        let count = reader.count(3)?;
        let mut all = Vec::with_capacity(count);
        let (mut next, mut before) = (0usize, 0i64);
        for _ in 0..count {
            let series = next.checked_add(reader.count(0)?);
            let series = series.ok_or(TsdbError::malformed(WHAT, "too many series"))?;
            next = series.saturating_add(1);
            let samples = read_series(&mut reader, before)?;
            before = samples.first().map_or(before, |first| first.timestamp.as_millis());
            all.push(NativeSeries { series, samples });
        }
        reader.end()?;
        Ok(all)
    }
}

fn read_series(reader: &mut Reader<'_>, before: i64) -> Result<Vec<TimedHistogram>> {
    let count = reader.count(2)?;
    let mut times = Vec::with_capacity(count);
    let mut previous = before;
    for _ in 0..count {
        previous = previous.wrapping_add(reader.signed()?);
        times.push(Timestamp::from_millis(previous));
    }
    let histograms = read_all(reader, count)?;
    let samples = times.into_iter().zip(histograms);
    Ok(samples.map(|(timestamp, histogram)| TimedHistogram { timestamp, histogram }).collect())
}
