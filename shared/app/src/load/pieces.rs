//! Opening blocks and fetching their frames, each at most once.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use model::{Series, TimeRange};
use tsdb::TsdbError;
use tsdb::block::{Frame, Frames, Index, LabelTables, Selected, TRAILER_BYTES};
use tsdb::rollup::{Column, RollupSeries};

use super::cache::Cache;
use crate::AppError;
use crate::catalogue::{Entry, Place};
use crate::ports::{ByteRange, ObjectStore};

/// How much of an object's end is fetched before its index is known: small objects come whole.
const TAIL_BYTES: u64 = 64 << 10;

/// Blocks by hash.
#[derive(Debug)]
pub(super) struct Pieces {
    objects: Arc<dyn ObjectStore>,
    opened: Mutex<Cache<u128, Piece>>,
    /// Chunks of one tenant mostly have the same labels.
    labels: LabelTables,
    frames: Mutex<Cache<FrameKey, Bytes>>,
    unpacked: Arc<UnpackedFrames>,
}

/// The block of a frame, and where it starts there.
type FrameKey = (u128, u64);

/// Frames as columns are decoded from them.
type UnpackedFrames = Mutex<Cache<FrameKey, Arc<Frame>>>;

/// A block whose index is known.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    hash: u128,
    index: Arc<Index>,
    /// The object; none when `tail` is the whole block.
    object: Option<String>,
    /// The last bytes of the block.
    tail: Bytes,
    tail_start: u64,
}

/// The frames of the selected series of a block.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    hash: u128,
    unpacked: Arc<UnpackedFrames>,
    index: Arc<Index>,
    selected: Selected,
    /// In the order of the block.
    frames: Vec<(Range<u64>, Bytes)>,
}

impl Pieces {
    /// No blocks yet; so many bytes are kept of indexes and tails, as many of frames, and as many of unpacked ones.
    pub(super) fn new(objects: Arc<dyn ObjectStore>, cache_bytes: usize) -> Self {
        let (opened, frames) = (Cache::new(cache_bytes), Cache::new(cache_bytes));
        let unpacked = Arc::new(Mutex::new(Cache::new(cache_bytes)));
        Self {
            objects,
            opened: Mutex::new(opened),
            labels: LabelTables::default(),
            frames: Mutex::new(frames),
            unpacked,
        }
    }

    pub(super) async fn open(&self, entry: &Entry) -> Result<Piece, AppError> {
        let known = self.opened.lock().expect("nothing panics while it holds the lock").get(&entry.hash);
        if let Some(piece) = known {
            return Ok(piece);
        }
        let (tail, object) = match &entry.place {
            Place::Inline(bytes) => (bytes.clone(), None),
            Place::Object(key) => (self.tail(key).await?, Some(key.clone())),
        };
        let index = Arc::new(Index::open(&tail, entry.size_bytes, &self.labels)?);
        let tail_start = entry.size_bytes - tail.len() as u64;
        let object = object.filter(|_| tail_start > 0);
        let bytes = index.memory_bytes() + tail.len();
        let piece = Piece { hash: entry.hash, index, object, tail, tail_start };
        let mut opened = self.opened.lock().expect("nothing panics while it holds the lock");
        opened.insert(entry.hash, piece.clone(), bytes);
        Ok(piece)
    }

    /// The end of an object, with the whole index in it.
    async fn tail(&self, key: &str) -> Result<Bytes, AppError> {
        let tail = self.objects.get(key, ByteRange::Suffix(TAIL_BYTES)).await?;
        let needed = Index::tail_bytes(&tail[tail.len().saturating_sub(TRAILER_BYTES)..])?;
        if needed <= tail.len() {
            return Ok(tail);
        }
        Ok(self.objects.get(key, ByteRange::Suffix(needed as u64)).await?)
    }

    pub(super) async fn fetch(&self, piece: Piece, selected: Selected, columns: &[usize]) -> Result<Fetched, AppError> {
        let mut frames = Vec::new();
        for range in piece.index.frames(&selected, columns) {
            let bytes = self.frame(&piece, &range).await?;
            frames.push((range, bytes));
        }
        frames.sort_by_key(|(range, _)| range.start);
        Ok(Fetched { hash: piece.hash, unpacked: Arc::clone(&self.unpacked), index: piece.index, selected, frames })
    }

    async fn frame(&self, piece: &Piece, range: &Range<u64>) -> Result<Bytes, AppError> {
        if let Some(bytes) = piece.in_tail(range) {
            return Ok(bytes);
        }
        let key = (piece.hash, range.start);
        let known = self.frames.lock().expect("nothing panics while it holds the lock").get(&key);
        if let Some(bytes) = known {
            return Ok(bytes);
        }
        let object = piece.object.as_deref().ok_or(TsdbError::Truncated { what: "block" })?;
        let slice = ByteRange::Slice { offset: range.start, len: range.end - range.start };
        let bytes = self.objects.get(object, slice).await?;
        let mut frames = self.frames.lock().expect("nothing panics while it holds the lock");
        frames.insert(key, bytes.clone(), bytes.len());
        Ok(bytes)
    }
}

impl Piece {
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    fn in_tail(&self, range: &Range<u64>) -> Option<Bytes> {
        let start = usize::try_from(range.start.checked_sub(self.tail_start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.tail_start)?).ok()?;
        (start <= end && end <= self.tail.len()).then(|| self.tail.slice(start..end))
    }
}

impl Fetched {
    /// How many series are selected.
    pub(super) fn series_count(&self) -> usize {
        self.selected.series_count()
    }

    /// Decodes the samples within `range` of the selected series.
    pub(super) fn raw(&self, range: TimeRange) -> tsdb::Result<Vec<Series>> {
        self.index.decode(&self.selected, range, &mut FramesOf(self))
    }

    /// Decodes the spans that end within `range` of the selected series.
    pub(super) fn rollups(&self, range: TimeRange, columns: &[Column]) -> tsdb::Result<Vec<RollupSeries>> {
        self.index.decode_rollups(&self.selected, range, columns, &mut FramesOf(self))
    }
}

/// What was fetched, to be decoded; frames that queries have unpacked lately are not unpacked again.
struct FramesOf<'a>(&'a Fetched);

impl Frames for FramesOf<'_> {
    fn bytes(&mut self, wanted: Range<u64>) -> tsdb::Result<Bytes> {
        let place = self.0.frames.binary_search_by_key(&wanted.start, |(range, _)| range.start);
        let found = place.ok().map(|place| &self.0.frames[place]).filter(|(range, _)| *range == wanted);
        found.map(|(_, bytes)| bytes.clone()).ok_or(TsdbError::Truncated { what: "block" })
    }

    fn unpacked(&mut self, start: u64) -> Option<Arc<Frame>> {
        self.0.unpacked.lock().expect("nothing panics while it holds the lock").get(&(self.0.hash, start))
    }

    fn keep(&mut self, start: u64, frame: &Arc<Frame>) {
        let mut kept = self.0.unpacked.lock().expect("nothing panics while it holds the lock");
        kept.insert((self.0.hash, start), Arc::clone(frame), frame.memory_bytes());
    }
}
