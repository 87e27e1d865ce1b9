//! Layouts: rows of label sets that many log blobs have in common, stored once and named by their hash.
//!
//! Senders repeat their series with every scrape, but rotate where one request ends and the next one starts. So a blob
//! names a *part* of a layout: the series from one place on, as many as follow in the same order.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Batch, LabelsRef, SeriesId};
use xxhash_rust::xxh3::xxh3_128;

use crate::coding::{compress, decompress, finish_seal, open_seal, put_varint};
use crate::error::{Result, TsdbError};
use crate::text::{TextReader, TextWriter};

/// Format version of a stored layout.
const VERSION: u8 = 1;
const WHAT: &str = "layout";
/// Bytes of the envelope before the content: version and checksum.
const ENVELOPE_BYTES: usize = 9;
/// A layout is stored for a day.
const ZSTD_LEVEL: i32 = 3;
/// A layout ends before a series that would make it longer than this.
const SERIES_MAX: usize = 2048;
/// A layout ends before a series that would make its text longer than this, so that it always fits into a row.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// A layout also ends after a series whose hash says so, one in so many: then senders that cut their requests at other
/// places, and other processes, come to the same layouts.
const CUT_ONE_IN: u128 = 512;

/// A row of label sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    hash: u128,
    /// The label sets, as series without samples.
    labels: Batch,
    ids: Arc<[SeriesId]>,
}

impl Layout {
    /// The layouts of some label sets, in their order.
    pub fn cut<'a>(sets: impl IntoIterator<Item = LabelsRef<'a>>) -> Vec<Self> {
        let mut layouts = Vec::new();
        let mut labels = Batch::new();
        let mut text_bytes = 0;
        for set in sets {
            let is_full = labels.series_count() == SERIES_MAX || text_bytes + set.as_text().len() > TEXT_BYTES_MAX;
            if is_full && !labels.is_empty() {
                layouts.push(Self::of(std::mem::take(&mut labels)));
                text_bytes = 0;
            }
            labels.push(set, []);
            text_bytes += set.as_text().len();
            if set.id().0 % CUT_ONE_IN == 0 {
                layouts.push(Self::of(std::mem::take(&mut labels)));
                text_bytes = 0;
            }
        }
        if !labels.is_empty() {
            layouts.push(Self::of(labels));
        }
        layouts
    }

    fn of(labels: Batch) -> Self {
        let ids: Arc<[SeriesId]> = labels.iter().map(|series| series.labels.id()).collect();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.0.to_le_bytes()).collect();
        Self { hash: xxh3_128(&bytes), labels, ids }
    }

    /// Names the layout: XXH3-128 of the ids of its series.
    pub const fn hash(&self) -> u128 {
        self.hash
    }

    /// How many series it has.
    pub fn series_count(&self) -> usize {
        self.ids.len()
    }

    /// About how much memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.labels.iter().map(|series| series.labels.as_text().len() + 48).sum()
    }

    pub(super) const fn labels(&self) -> &Batch {
        &self.labels
    }

    /// The stored form; see `FORMAT.md`.
    pub fn encode(&self) -> Vec<u8> {
        let mut table = TextWriter::default();
        self.labels.iter().for_each(|series| table.push(series.labels));
        let mut raw = Vec::new();
        put_varint(&mut raw, self.ids.len() as u64);
        table.finish(&mut raw);
        let mut out = vec![0; ENVELOPE_BYTES];
        put_varint(&mut out, raw.len() as u64);
        compress(&mut out, &raw, ZSTD_LEVEL);
        finish_seal(&mut out, VERSION);
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are not what [`Layout::encode`] gave.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = open_seal(bytes, VERSION, WHAT)?;
        let raw_len = usize::try_from(reader.varint()?).map_err(|_| TsdbError::malformed(WHAT, "too long"))?;
        let mut raw = Vec::new();
        decompress(&mut raw, reader.rest(), raw_len, WHAT)?;
        let mut reader = crate::coding::Reader::new(&raw, WHAT);
        let count = reader.count(1)?;
        let mut table = TextReader::new(&mut reader)?;
        reader.end()?;
        let mut labels = Batch::new();
        for _ in 0..count {
            labels.push(table.read()?, []);
        }
        Ok(Self::of(labels))
    }
}

/// The layouts that a writer knows to be stored, and where in them each series is.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    layouts: Vec<(u128, Arc<[SeriesId]>)>,
    places: HashMap<SeriesId, Place>,
}

/// A series in a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Of the layout.
    layout: u32,
    /// Of the series in it.
    index: u32,
}

/// Neighbouring series of a batch and where their labels stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// In the blob itself: so many.
    Own { count: usize },
    /// In a layout of the dictionary: so many from a place on.
    Known { layout: usize, start: usize, count: usize },
}

impl Dictionary {
    /// Adds a layout that is stored. A series that is in another one already stays there.
    pub fn insert(&mut self, layout: &Layout) {
        if self.layouts.iter().any(|(known, _)| *known == layout.hash) {
            return;
        }
        let place = u32::try_from(self.layouts.len()).expect("there are fewer than 2^32 layouts");
        for (index, id) in (0u32..).zip(layout.ids.iter()) {
            self.places.entry(*id).or_insert(Place { layout: place, index });
        }
        self.layouts.push((layout.hash, Arc::clone(&layout.ids)));
    }

    /// Whether a series is in one of the layouts.
    pub fn contains(&self, id: SeriesId) -> bool {
        self.places.contains_key(&id)
    }

    /// How many series there are in all layouts, each counted once.
    pub fn series_count(&self) -> usize {
        self.places.len()
    }

    pub(super) fn hash(&self, layout: usize) -> u128 {
        self.layouts[layout].0
    }

    /// Where the labels of some series stand, in their order.
    pub(super) fn parts<'a>(&self, sets: impl Iterator<Item = LabelsRef<'a>>) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for set in sets {
            let id = set.id();
            match parts.last_mut() {
                Some(Part::Known { layout, start, count })
                    if self.layouts[*layout].1.get(*start + *count) == Some(&id) =>
                {
                    *count += 1;
                    continue;
                }
                _ => {}
            }
            match (self.places.get(&id), parts.last_mut()) {
                (Some(place), _) => {
                    parts.push(Part::Known { layout: place.layout as usize, start: place.index as usize, count: 1 });
                }
                (None, Some(Part::Own { count })) => *count += 1,
                (None, _) => parts.push(Part::Own { count: 1 }),
            }
        }
        parts
    }
}
