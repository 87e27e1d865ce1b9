//! The form in which a request lies in the write-ahead log: one blob a batch.
//!
//! Series that share their timestamps (those of one scrape) form a run and store them once; values become small integers
//! in byte planes; labels are told by their differences, or by the [`Layout`] they stand in. Series may come back in
//! another order, since unsorted ones are sorted first.
//!
//! Most of a blob is labels, and they are the same in every scrape. [`encode`] gives a blob that stands alone;
//! [`encode_with`] names layouts that the caller has stored **before**, and [`decode_with`] needs those that
//! [`layouts`] tells.

mod layout;
mod memo;
mod native;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Batch, BatchSeries, LabelsRef, Sample, Timestamp};

use crate::coding::{Reader, compress, decompress, finish_seal, open_seal, put_bytes, put_signed, put_varint};
use crate::error::{Result, TsdbError};
use crate::text::shared_bytes;
use layout::Part;
pub use layout::{Dictionary, Layout};
use native::{NativeSeries, Packed};
use values::{ValueReader, ValueWriter};

/// Format version of the blob.
const VERSION: u8 = 3;
/// The version of a blob without native histograms, which lacks the part about them.
const VERSION_PLAIN: u8 = 2;
/// Bytes of the envelope before the content: version and checksum.
const ENVELOPE_BYTES: usize = 9;
/// Speed matters more than size: the blob lives for hours.
const ZSTD_LEVEL: i32 = 1;
const WHAT: &str = "wal blob";

/// Layouts by their hash.
pub type Layouts = BTreeMap<u128, Arc<Layout>>;

/// Encodes a batch so that it can be read without anything else; see `FORMAT.md`.
pub fn encode(batch: &Batch) -> Vec<u8> {
    encode_parts(batch, &Order::of(batch), &Dictionary::default(), &[Part::Own { count: batch.series_count() }])
}

/// Encodes a batch; the labels of series in the dictionary are told by the layouts they stand in.
pub fn encode_with(batch: &Batch, dictionary: &Dictionary) -> Vec<u8> {
    let order = Order::of(batch);
    // A reader takes no more series from layouts than there are samples.
    if batch.iter().any(|series| series.values.is_empty() && series.histograms.is_empty()) {
        return encode(batch);
    }
    let parts = dictionary.parts(order.series(batch).map(|series| series.labels));
    encode_parts(batch, &order, dictionary, &parts)
}

fn encode_parts(batch: &Batch, order: &Order, dictionary: &Dictionary, parts: &[Part]) -> Vec<u8> {
    let runs = encode_runs(batch, order);
    let mut values = ValueWriter::default();
    order.series(batch).for_each(|series| values.push(series.values));
    let values = values.finish();
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + runs.len() + values.len());
    out.resize(ENVELOPE_BYTES, 0);
    let has_native = batch.histogram_count() > 0;
    if has_native {
        native::put(order.series(batch), &mut out);
    }
    put_bytes(&mut out, &runs);
    put_parts(parts, dictionary, &mut out);
    memo::labels(&own_labels(batch, order, parts), &mut out);
    put_varint(&mut out, values.len() as u64);
    compress(&mut out, &values, ZSTD_LEVEL);
    finish_seal(&mut out, if has_native { VERSION } else { VERSION_PLAIN });
    out
}

/// Opens a blob: what it holds but native histograms, and those.
fn open(blob: &[u8]) -> Result<(Reader<'_>, Packed<'_>)> {
    if blob.first() == Some(&VERSION_PLAIN) {
        return Ok((open_seal(blob, VERSION_PLAIN, WHAT)?, Packed::default()));
    }
    let mut reader = open_seal(blob, VERSION, WHAT)?;
    let packed = Packed::read(&mut reader)?;
    Ok((reader, packed))
}

/// The hashes of the layouts that a blob names.
///
/// # Errors
/// When the bytes are not what [`encode`] or [`encode_with`] gave.
pub fn layouts(blob: &[u8]) -> Result<Vec<u128>> {
    let (mut reader, _) = open(blob)?;
    reader.bytes()?;
    read_layouts(&mut reader)
}

/// Decodes a blob that names no layouts. The batch holds the same samples of the same series; series may stand in
/// another order.
///
/// # Errors
/// As [`decode_with`].
pub fn decode(blob: &[u8]) -> Result<Batch> {
    decode_with(blob, &Layouts::new())
}

/// Decodes a blob, given the layouts it names.
///
/// # Errors
/// When the bytes are not what [`encode`] or [`encode_with`] gave; [`TsdbError::UnknownLayout`] when a layout is missing.
pub fn decode_with(blob: &[u8], layouts: &Layouts) -> Result<Batch> {
    let (mut reader, native) = open(blob)?;
    let native = native.unpack()?;
    let runs = reader.bytes()?;
    let named = read_layouts(&mut reader)?;
    let parts = read_parts(&mut reader, named.len())?;
    let labels_len = raw_len(&mut reader)?;
    let packed_labels = reader.bytes()?;
    let values_len = raw_len(&mut reader)?;
    let mut values = Vec::new();
    decompress(&mut values, reader.rest(), values_len, WHAT)?;
    let sample_count = count_samples(runs)?;
    let mut values = ValueReader::new(&values, sample_count)?;
    let own_counts = parts.iter().map(|part| if let Part::Own { count } = part { *count } else { 0 });
    let own_count = own_counts.fold(0, usize::saturating_add);
    let own = memo::label_sets(packed_labels, labels_len, own_count)?;
    let find = |hash: &u128| layouts.get(hash).map(AsRef::as_ref).ok_or(TsdbError::UnknownLayout { hash: *hash });
    let named = named.iter().map(find).collect::<Result<Vec<&Layout>>>()?;
    let known_max = sample_count.saturating_add(native.iter().map(|series| series.samples.len()).sum());
    let mut labels = label_sets(&parts, &own, &named, known_max)?.into_iter();
    let batch = decode_series(runs, &mut labels, &mut values, native)?;
    if labels.next().is_some() {
        return Err(TsdbError::malformed(WHAT, "there are more label sets than series"));
    }
    Ok(batch)
}

fn raw_len(reader: &mut Reader<'_>) -> Result<usize> {
    usize::try_from(reader.varint()?).map_err(|_| TsdbError::malformed(WHAT, "too long"))
}

/// The label sets that stand in the blob itself.
fn own_labels<'a>(batch: &'a Batch, order: &'a Order, parts: &[Part]) -> Vec<LabelsRef<'a>> {
    let mut series = order.series(batch);
    let mut own = Vec::new();
    for part in parts {
        match part {
            Part::Own { count } => own.extend(series.by_ref().take(*count).map(|series| series.labels)),
            Part::Known { count, .. } => series.by_ref().take(*count).for_each(drop),
        }
    }
    own
}

/// The layouts that are named, and which part of which one comes when.
fn put_parts(parts: &[Part], dictionary: &Dictionary, out: &mut Vec<u8>) {
    let mut named: Vec<usize> = Vec::new();
    let mut places = BTreeMap::new();
    for part in parts {
        if let Part::Known { layout, .. } = part {
            places.entry(*layout).or_insert_with(|| {
                named.push(*layout);
                named.len() as u64
            });
        }
    }
    put_varint(out, named.len() as u64);
    named.iter().for_each(|layout| out.extend_from_slice(&dictionary.hash(*layout).to_le_bytes()));
    put_varint(out, parts.len() as u64);
    for part in parts {
        match *part {
            Part::Own { count } => {
                put_varint(out, 0);
                put_varint(out, count as u64);
            }
            Part::Known { layout, start, count } => {
                put_varint(out, places[&layout]);
                put_varint(out, start as u64);
                put_varint(out, count as u64);
            }
        }
    }
}

fn read_layouts(reader: &mut Reader<'_>) -> Result<Vec<u128>> {
    let count = reader.count(16)?;
    (0..count).map(|_| reader.array().map(u128::from_le_bytes)).collect()
}

fn read_parts(reader: &mut Reader<'_>, layout_count: usize) -> Result<Vec<Part>> {
    let count = reader.count(2)?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let place = raw_len(reader)?;
        parts.push(match place.checked_sub(1) {
            None => Part::Own { count: raw_len(reader)? },
            Some(layout) if layout < layout_count => {
                Part::Known { layout, start: raw_len(reader)?, count: raw_len(reader)? }
            }
            Some(_) => return Err(TsdbError::malformed(WHAT, "a part of a layout that it does not name")),
        });
    }
    Ok(parts)
}

/// The label sets of all parts, in their order; at most so many of them from layouts.
fn label_sets<'a>(
    parts: &[Part],
    own: &'a Batch,
    layouts: &[&'a Layout],
    mut known_max: usize,
) -> Result<Vec<LabelsRef<'a>>> {
    let mut own = own.iter();
    let mut sets = Vec::new();
    for part in parts {
        match *part {
            Part::Own { count } => sets.extend(own.by_ref().take(count).map(|series| series.labels)),
            Part::Known { layout, start, count } => {
                let labels = layouts[layout].labels();
                let end = start.checked_add(count).filter(|end| *end <= labels.series_count());
                let end = end.ok_or(TsdbError::malformed(WHAT, "a part is longer than its layout"))?;
                let left = known_max.checked_sub(count);
                known_max = left.ok_or(TsdbError::malformed(WHAT, "there are more label sets than samples"))?;
                sets.extend((start..end).map(|index| labels.series(index).labels));
            }
        }
    }
    Ok(sets)
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

/// How many samples the runs hold. Each of them takes at least a byte among the values.
fn count_samples(runs: &[u8]) -> Result<usize> {
    let mut total = 0usize;
    read_runs(runs, |series_count, timestamps| {
        let samples = usize::try_from(series_count).ok().and_then(|series| series.checked_mul(timestamps.len()));
        let sum = samples.and_then(|samples| total.checked_add(samples));
        total = sum.ok_or(TsdbError::malformed(WHAT, "too many samples"))?;
        Ok(())
    })?;
    Ok(total)
}

fn decode_series<'a>(
    runs: &[u8],
    labels: &mut impl Iterator<Item = LabelsRef<'a>>,
    values: &mut ValueReader<'_>,
    native: Vec<NativeSeries>,
) -> Result<Batch> {
    let mut batch = Batch::new();
    let mut samples = Vec::new();
    let mut native = native.into_iter().peekable();
    read_runs(runs, |series_count, timestamps| {
        for _ in 0..series_count {
            let set = labels.next().ok_or(TsdbError::malformed(WHAT, "there are more series than label sets"))?;
            samples.clear();
            let mut times = timestamps.iter();
            values.series(timestamps.len(), |value| {
                samples.extend(times.next().map(|&timestamp| Sample { timestamp, value }));
            });
            match native.next_if(|native| native.series == batch.series_count()) {
                None => batch.push(set, samples.iter().copied()),
                Some(native) => batch.push_native(set, samples.iter().copied(), native.samples),
            }
        }
        Ok(())
    })?;
    if native.next().is_some() {
        return Err(TsdbError::malformed(WHAT, "there are histograms of series that it does not have"));
    }
    Ok(batch)
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
