//! The form in which a request lies in the write-ahead log: one blob a batch.
//!
//! Series that share their timestamps (those of one scrape) form a run and store them once; values lie in byte planes;
//! labels are told by their differences. Series may come back in another order, since unsorted ones are sorted first.

mod memo;

use model::{Batch, BatchSeries, Sample, Timestamp};

use crate::coding::{Reader, compress, decompress, finish_seal, open_seal, put_bytes, put_signed, put_varint};
use crate::error::{Result, TsdbError};
use crate::text::shared_bytes;

/// Format version of the blob.
const VERSION: u8 = 1;
/// Bytes of the envelope before the content: version and checksum.
const ENVELOPE_BYTES: usize = 9;
/// Speed matters more than size: the blob lives for hours.
const ZSTD_LEVEL: i32 = 1;
const WHAT: &str = "wal blob";

/// Encodes a batch; see `FORMAT.md`.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let order = Order::of(batch);
    let runs = encode_runs(batch, &order);
    let planes = encode_values(batch, &order);
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + runs.len() + planes.len());
    out.resize(ENVELOPE_BYTES, 0);
    put_bytes(&mut out, &runs);
    memo::labels(batch, &order, &mut out);
    put_varint(&mut out, planes.len() as u64);
    compress(&mut out, &planes, ZSTD_LEVEL);
    finish_seal(&mut out, VERSION);
    out
}

/// Decodes a blob. The batch holds the same samples of the same series; series may stand in another order.
///
/// # Errors
/// When the bytes are not what [`encode`] gave.
pub fn decode(blob: &[u8]) -> Result<Batch> {
    let mut reader = open_seal(blob, VERSION, WHAT)?;
    let runs = reader.bytes()?;
    let labels_len = raw_len(&mut reader)?;
    let packed_labels = reader.bytes()?;
    let planes_len = raw_len(&mut reader)?;
    let mut planes = Vec::new();
    decompress(&mut planes, reader.rest(), planes_len, WHAT)?;
    let values = decode_values(&planes)?;
    let series_count = count_series(runs)?;
    let labels = memo::label_sets(packed_labels, labels_len, series_count)?;
    decode_series(runs, &labels, &values)
}

fn raw_len(reader: &mut Reader<'_>) -> Result<usize> {
    usize::try_from(reader.varint()?).map_err(|_| TsdbError::malformed(WHAT, "too long"))
}

/// The order in which series are written.
enum Order {
    /// As they came.
    AsIs,
    /// By timestamps, then labels.
    Sorted(Vec<u32>),
}

impl Order {
    /// Senders pass series on in the order of the scraped page, where neighbours are alike: sorting then costs more
    /// than it brings. Series that came shuffled are sorted.
    fn of(batch: &Batch) -> Self {
        let (mut shared, mut total) = (0, 0);
        let mut previous: &[u8] = &[];
        // A sample of neighbours tells: one in four.
        for index in (0..batch.series_count()).filter(|index| index % 4 < 2) {
            let text = batch.series(index).labels.as_text().as_bytes();
            if index % 4 == 1 {
                shared += shared_bytes(previous, text);
                total += text.len();
            }
            previous = text;
        }
        if shared * 5 >= total * 3 { Self::AsIs } else { Self::sorted(batch) }
    }

    fn sorted(batch: &Batch) -> Self {
        let mut order: Vec<u32> = (0u32..).take(batch.series_count()).collect();
        order.sort_by_key(|&index| {
            let series = batch.series(index as usize);
            (series.timestamps, series.labels.as_text())
        });
        Self::Sorted(order)
    }

    fn series<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = BatchSeries<'a>> {
        (0..batch.series_count()).map(move |index| match self {
            Self::AsIs => batch.series(index),
            Self::Sorted(order) => batch.series(order[index] as usize),
        })
    }
}

/// Which neighbouring series share which times.
fn encode_runs(batch: &Batch, order: &Order) -> Vec<u8> {
    let mut runs: Vec<(u64, &[Timestamp])> = Vec::new();
    for series in order.series(batch) {
        match runs.last_mut() {
            Some((count, timestamps)) if *timestamps == series.timestamps => *count += 1,
            _ => runs.push((1, series.timestamps)),
        }
    }
    let mut out = Vec::new();
    put_varint(&mut out, runs.len() as u64);
    let mut before = 0;
    for (count, timestamps) in runs {
        put_varint(&mut out, count);
        put_varint(&mut out, timestamps.len() as u64);
        let mut previous = before;
        for timestamp in timestamps {
            put_signed(&mut out, timestamp.as_millis().wrapping_sub(previous));
            previous = timestamp.as_millis();
        }
        before = timestamps.first().map_or(before, |first| first.as_millis());
    }
    out
}

/// All values, byte by byte: first the lowest byte of each, last the highest.
fn encode_values(batch: &Batch, order: &Order) -> Vec<u8> {
    let count = batch.sample_count();
    let mut planes = vec![0; count * 8];
    let mut columns: Vec<&mut [u8]> = planes.chunks_mut(count.max(1)).collect();
    let mut at = 0;
    for series in order.series(batch) {
        for value in series.values {
            for (column, byte) in columns.iter_mut().zip(value.to_bits().to_le_bytes()) {
                column[at] = byte;
            }
            at += 1;
        }
    }
    planes
}

fn decode_values(planes: &[u8]) -> Result<Vec<f64>> {
    let count = planes.len() / 8;
    if count * 8 != planes.len() {
        return Err(TsdbError::malformed(WHAT, "value planes are not of one length"));
    }
    let plane = |index: usize| &planes[index * count..(index + 1) * count];
    let columns: [&[u8]; 8] = std::array::from_fn(plane);
    let value = |at: usize| f64::from_bits(u64::from_le_bytes(columns.map(|column| column[at])));
    Ok((0..count).map(value).collect())
}

/// How many series the runs hold.
fn count_series(runs: &[u8]) -> Result<usize> {
    let mut total = 0u64;
    read_runs(runs, |series_count, _| {
        total = total.saturating_add(series_count);
        Ok(())
    })?;
    usize::try_from(total).map_err(|_| TsdbError::malformed(WHAT, "too many series"))
}

fn decode_series(runs: &[u8], labels: &Batch, values: &[f64]) -> Result<Batch> {
    let mut batch = Batch::new();
    let mut rest = values;
    let mut labels = labels.iter();
    read_runs(runs, |series_count, timestamps| {
        for _ in 0..series_count {
            let (own, others) = rest
                .split_at_checked(timestamps.len())
                .ok_or(TsdbError::malformed(WHAT, "there are more timestamps than values"))?;
            rest = others;
            let set = labels.next().ok_or(TsdbError::malformed(WHAT, "there are more series than label sets"))?;
            let samples = timestamps.iter().zip(own);
            batch.push(set.labels, samples.map(|(&timestamp, &value)| Sample { timestamp, value }));
        }
        Ok(())
    })?;
    if rest.is_empty() { Ok(batch) } else { Err(TsdbError::malformed(WHAT, "there are more values than timestamps")) }
}

/// Shows each run: how many series it has, and their times.
fn read_runs(runs: &[u8], mut show: impl FnMut(u64, &[Timestamp]) -> Result<()>) -> Result<()> {
    let mut reader = Reader::new(runs, WHAT);
    let mut before = 0;
    for _ in 0..reader.count(2)? {
        let series_count = reader.varint()?;
        let timestamps = decode_timestamps(&mut reader, before)?;
        before = timestamps.first().map_or(before, |first| first.as_millis());
        show(series_count, &timestamps)?;
    }
    reader.end()
}

fn decode_timestamps(reader: &mut Reader<'_>, before: i64) -> Result<Vec<Timestamp>> {
    let count = reader.count(1)?;
    let mut timestamps = Vec::with_capacity(count);
    let mut previous = before;
    for _ in 0..count {
        previous = previous.wrapping_add(reader.signed()?);
        timestamps.push(Timestamp::from_millis(previous));
    }
    Ok(timestamps)
}

#[cfg(test)]
mod tests;
