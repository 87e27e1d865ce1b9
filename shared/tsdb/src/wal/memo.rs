//! The label tables of log blobs, kept by each thread: senders repeat theirs with every scrape.
//!
//! Packing and unpacking labels takes most of the time of a request, and is a pure function of the labels. What is kept
//! is only told apart by 128-bit hashes of the whole input, and forgotten all at once when it becomes too much.

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;
use model::{Batch, LabelsRef};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::{WHAT, ZSTD_LEVEL};
use crate::coding::{Reader, compress, decompress, put_bytes, put_varint};
use crate::error::Result;
use crate::text::{TextReader, TextWriter};

/// Most bytes of packed tables, and of unpacked ones, that a thread keeps.
const PACKED_BYTES_MAX: usize = 1 << 20;
const UNPACKED_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static PACKED: RefCell<Memo<Rc<[u8]>>> = RefCell::default();
    static UNPACKED: RefCell<Memo<Rc<Batch>>> = RefCell::default();
}

#[derive(Debug)]
struct Memo<T> {
    known: HashMap<u128, T>,
    bytes: usize,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), bytes: 0 }
    }
}

impl<T: Clone> Memo<T> {
    fn get(&self, key: u128) -> Option<T> {
        self.known.get(&key).cloned()
    }

    fn insert(&mut self, key: u128, value: T, bytes: usize, bytes_max: usize) {
        if self.bytes + bytes > bytes_max {
            self.known.clear();
            self.bytes = 0;
        }
        if bytes <= bytes_max {
            self.known.insert(key, value);
            self.bytes += bytes;
        }
    }
}

/// Appends a label table: raw length, packed bytes.
pub(super) fn labels(sets: &[LabelsRef<'_>], out: &mut Vec<u8>) {
    let key = hash(sets);
    let known = PACKED.with_borrow(|memo| memo.get(key));
    let section = known.unwrap_or_else(|| {
        let section: Rc<[u8]> = Rc::from(pack(sets));
        PACKED.with_borrow_mut(|memo| memo.insert(key, Rc::clone(&section), section.len(), PACKED_BYTES_MAX));
        section
    });
    out.extend_from_slice(&section);
}

fn hash(sets: &[LabelsRef<'_>]) -> u128 {
    // One piece is hashed several times faster than many small ones.
    let mut all = Vec::with_capacity(sets.len() * 128);
    for set in sets {
        let text = set.as_text().as_bytes();
        // Canonical text delimits its labels; the length tells where a set ends.
        all.extend_from_slice(&(text.len() as u64).to_le_bytes());
        all.extend_from_slice(text);
    }
    xxh3_128(&all)
}

fn pack(sets: &[LabelsRef<'_>]) -> Vec<u8> {
    let mut table = TextWriter::default();
    sets.iter().for_each(|set| table.push(*set));
    let mut raw = Vec::new();
    if !sets.is_empty() {
        table.finish(&mut raw);
    }
    let mut packed = Vec::new();
    if !raw.is_empty() {
        compress(&mut packed, &raw, ZSTD_LEVEL);
    }
    let mut section = Vec::with_capacity(packed.len() + 8);
    put_varint(&mut section, raw.len() as u64);
    put_bytes(&mut section, &packed);
    section
}

/// The label sets of a packed table, as a batch without samples.
pub(super) fn label_sets(packed: &[u8], raw_len: usize, count: usize) -> Result<Rc<Batch>> {
    let key = xxh3_128_with_seed(packed, (raw_len as u64).rotate_left(32) ^ count as u64);
    if let Some(known) = UNPACKED.with_borrow(|memo| memo.get(key)) {
        return Ok(known);
    }
    let labels = Rc::new(unpack(packed, raw_len, count)?);
    let bytes = labels.iter().map(|series| series.labels.as_text().len() + 16).sum();
    UNPACKED.with_borrow_mut(|memo| memo.insert(key, Rc::clone(&labels), bytes, UNPACKED_BYTES_MAX));
    Ok(labels)
}

fn unpack(packed: &[u8], raw_len: usize, count: usize) -> Result<Batch> {
    let mut raw = Vec::new();
    if count == 0 && packed.is_empty() && raw_len == 0 {
        return Ok(Batch::new());
    }
    decompress(&mut raw, packed, raw_len, WHAT)?;
    let mut reader = Reader::new(&raw, WHAT);
    let mut table = TextReader::new(&mut reader)?;
    reader.end()?;
    let mut labels = Batch::new();
    for _ in 0..count {
        labels.push(table.read()?, []);
    }
    Ok(labels)
}
