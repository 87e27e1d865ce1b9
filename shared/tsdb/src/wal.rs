//! The form in which a request lies in the write-ahead log: one blob a batch.
//!
//! Series that share their timestamps (those of one scrape) form a run and store them once; values lie in byte planes;
//! labels are told by their differences. Series may come back in another order, since unsorted ones are sorted first.

use model::{Batch, BatchSeries, Timestamp};

use crate::coding::{Reader, compress, decompress, finish_seal, open_seal, put_signed, put_varint};
use crate::error::{Result, TsdbError};
use crate::text::{TextReader, TextWriter, shared_bytes};

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
    let head = encode_head(batch, &order);
    let planes = encode_values(batch, &order);
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + head.len() / 2 + planes.len() / 2);
    out.resize(ENVELOPE_BYTES, 0);
    let mut packed = Vec::new();
    for (section, raw) in [&head, &planes].into_iter().enumerate() {
        packed.clear();
        compress(&mut packed, raw, ZSTD_LEVEL);
        put_varint(&mut out, raw.len() as u64);
        if section == 0 {
            put_varint(&mut out, packed.len() as u64);
        }
        out.extend_from_slice(&packed);
    }
    finish_seal(&mut out, VERSION);
    out
}

/// Decodes a blob. The batch holds the same samples of the same series; series may stand in another order.
///
/// # Errors
/// When the bytes are not what [`encode`] gave.
pub fn decode(blob: &[u8]) -> Result<Batch> {
    let mut reader = open_seal(blob, VERSION, WHAT)?;
    let head_len = raw_len(&mut reader)?;
    let mut head = Vec::new();
    decompress(&mut head, reader.bytes()?, head_len, WHAT)?;
    let planes_len = raw_len(&mut reader)?;
    let mut planes = Vec::new();
    decompress(&mut planes, reader.rest(), planes_len, WHAT)?;
    let values = decode_values(&planes)?;
    decode_series(&head, &values)
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

/// Runs and labels.
fn encode_head(batch: &Batch, order: &Order) -> Vec<u8> {
    let mut labels = TextWriter::default();
    let mut runs: Vec<(u64, &[Timestamp])> = Vec::new();
    for series in order.series(batch) {
        labels.push(series.labels);
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
    labels.finish(&mut out);
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

fn decode_series(head: &[u8], values: &[f64]) -> Result<Batch> {
    let mut reader = Reader::new(head, WHAT);
    let run_count = reader.count(2)?;
    let mut runs: Vec<(u64, Vec<Timestamp>)> = Vec::with_capacity(run_count);
    let mut before = 0;
    for _ in 0..run_count {
        let series_count = reader.varint()?;
        let timestamps = decode_timestamps(&mut reader, before)?;
        before = timestamps.first().map_or(before, |first| first.as_millis());
        runs.push((series_count, timestamps));
    }
    let mut labels = TextReader::new(&mut reader)?;
    reader.end()?;
    let mut batch = Batch::new();
    let mut rest = values;
    for (series_count, timestamps) in runs {
        for _ in 0..series_count {
            let (own, others) = rest
                .split_at_checked(timestamps.len())
                .ok_or(TsdbError::malformed(WHAT, "there are more timestamps than values"))?;
            rest = others;
            let samples = timestamps.iter().zip(own);
            batch.push(labels.read()?, samples.map(|(&timestamp, &value)| model::Sample { timestamp, value }));
        }
    }
    if rest.is_empty() { Ok(batch) } else { Err(TsdbError::malformed(WHAT, "there are more values than timestamps")) }
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
