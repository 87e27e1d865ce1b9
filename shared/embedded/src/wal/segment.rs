//! The bytes of a segment. All numbers are little-endian.
//!
//! ```text
//! segment = header, group frame*, [index frame, trailer]
//!
//! header   0  "mihariWL"        8 bytes
//!          8  version = 1       1 byte
//!          9  zeros             7 bytes
//!
//! frame    0  magic             4 bytes   f5 'G' 'R' f6 a group, f5 'I' 'X' f6 an index
//!          4  body length       4 bytes
//!          8  checksum          8 bytes   XXH3-64 of the body, seeded by segment number, offset, magic and length
//!         16  body
//!
//! group    entry*               what one sync made durable
//! entry    0  shard             2 bytes
//!          2  minute            8 bytes   signed
//!         10  tenant length     1 byte
//!         11  blob length       4 bytes
//!         15  tenant, blob
//!
//! index    place*               which part of the segment may hold a shard's minute
//! place    shard 2, minute 8, start offset 8, end offset 8
//!
//! trailer  0  offset of the index frame   8 bytes
//!          8  "mihariSE"                  8 bytes
//! ```
//!
//! Because a group is written only when the one before is durable, a crash can tear only the last frame: a frame that
//! fails its checksum and has a good one behind it is damage, not a crash. The seed keeps a copied frame from passing
//! for one of another place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use app::ports::{Minute, Shard};
use bytes::{Buf as _, Bytes};
use model::TenantId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The header of every segment.
pub(super) const HEADER: [u8; 16] = *b"mihariWL\x01\0\0\0\0\0\0\0";
/// The size of [`HEADER`] as an offset.
pub(super) const HEADER_BYTES: u64 = 16;
pub(super) const GROUP: [u8; 4] = [0xf5, b'G', b'R', 0xf6];
pub(super) const INDEX: [u8; 4] = [0xf5, b'I', b'X', 0xf6];
/// Bytes of a frame before its body.
pub(super) const FRAME_BYTES: usize = 16;
const SEALED: [u8; 8] = *b"mihariSE";
/// Bytes of the trailer.
pub(super) const TRAILER_BYTES: u64 = 16;
const ENTRY_BYTES: usize = 15;
const PLACE_BYTES: usize = 26;

/// One blob as it stands in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) shard: Shard,
    pub(super) minute: Minute,
    pub(super) tenant: TenantId,
    pub(super) blob: Bytes,
}

impl Entry {
    /// Its size in a group.
    pub(super) fn size_bytes(&self) -> usize {
        ENTRY_BYTES + self.tenant.as_str().len() + self.blob.len()
    }

    fn encode(&self, body: &mut Vec<u8>) {
        let tenant = self.tenant.as_str().as_bytes();
        body.extend(self.shard.0.to_le_bytes());
        body.extend(self.minute.to_le_bytes());
        body.push(u8::try_from(tenant.len()).expect("a tenant's name has at most 128 bytes"));
        body.extend(u32::try_from(self.blob.len()).expect("a blob has at most 64 MB").to_le_bytes());
        body.extend(tenant);
        body.extend(&self.blob);
    }

    /// Takes one entry off a body; `None` when the body is none.
    fn decode(body: &mut Bytes) -> Option<Self> {
        if body.len() < ENTRY_BYTES {
            return None;
        }
        let shard = Shard(body.get_u16_le());
        let minute = body.get_i64_le();
        let tenant_bytes = usize::from(body.get_u8());
        let blob_bytes = usize::try_from(body.get_u32_le()).ok()?;
        if body.len() < tenant_bytes + blob_bytes {
            return None;
        }
        let tenant = TenantId::new(std::str::from_utf8(&body.split_to(tenant_bytes)).ok()?).ok()?;
        Some(Self { shard, minute, tenant, blob: body.split_to(blob_bytes) })
    }
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("damaged at byte {offset}: {reason}")]
    Damaged { offset: u64, reason: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A group that was read, and where it ended.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    pub(super) end: u64,
}

/// Where the shards' minutes lie in a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    /// From the start of the first to the end of the last frame that holds some.
    places: BTreeMap<(Shard, Minute), Range<u64>>,
}

impl SegmentIndex {
    /// Notes that a frame holds a minute.
    pub(super) fn add(&mut self, shard: Shard, minute: Minute, frame: &Range<u64>) {
        let place = self.places.entry((shard, minute)).or_insert_with(|| frame.clone());
        place.start = place.start.min(frame.start);
        place.end = place.end.max(frame.end);
    }

    /// The part of the segment that may hold some minutes of a shard.
    pub(super) fn part(&self, shard: Shard, minutes: &Range<Minute>) -> Option<Range<u64>> {
        let found = self.places.range((shard, minutes.start)..(shard, minutes.end)).map(|(_, place)| place.clone());
        found.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
    }

    /// The newest of some minutes of a shard that may have entries within a part of the segment.
    pub(super) fn newest_within(&self, shard: Shard, minutes: &Range<Minute>, part: &Range<u64>) -> Option<Minute> {
        let mut found = self.places.range((shard, minutes.start)..(shard, minutes.end)).rev();
        let overlaps = |place: &Range<u64>| place.start < part.end && part.start < place.end;
        found.find(|(_, place)| overlaps(place)).map(|((_, minute), _)| *minute)
    }

    /// The minutes of a shard within a range that have entries, in order.
    pub(super) fn minutes(&self, shard: Shard, range: &Range<Minute>) -> impl Iterator<Item = Minute> {
        // A backward range has none.
        let end = range.end.max(range.start);
        self.places.range((shard, range.start)..(shard, end)).map(|((_, minute), _)| *minute)
    }

    /// The newest minute of a shard.
    pub(super) fn newest(&self, shard: Shard) -> Option<Minute> {
        let of_shard = self.places.range((shard, Minute::MIN)..=(shard, Minute::MAX));
        of_shard.last().map(|((_, minute), _)| *minute)
    }

    /// Where the last frame ends.
    pub(super) fn end(&self) -> u64 {
        self.places.values().map(|place| place.end).max().unwrap_or(0)
    }

    /// The oldest and the newest minute of all shards.
    pub(super) fn span(&self) -> Option<(Minute, Minute)> {
        let minutes = || self.places.keys().map(|(_, minute)| *minute);
        Some((minutes().min()?, minutes().max()?))
    }

    /// The shards that have entries.
    pub(super) fn shards(&self) -> impl Iterator<Item = Shard> {
        let shards: std::collections::BTreeSet<Shard> = self.places.keys().map(|(shard, _)| *shard).collect();
        shards.into_iter()
    }

    /// Whether the segment holds no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.places.len() * PLACE_BYTES);
        for ((shard, minute), place) in &self.places {
            body.extend(shard.0.to_le_bytes());
            body.extend(minute.to_le_bytes());
            body.extend(place.start.to_le_bytes());
            body.extend(place.end.to_le_bytes());
        }
        body
    }

    fn decode(mut body: Bytes) -> Option<Self> {
        let mut index = Self::default();
        while body.len() >= PLACE_BYTES {
            let place = (Shard(body.get_u16_le()), body.get_i64_le());
            index.places.insert(place, body.get_u64_le()..body.get_u64_le());
        }
        body.is_empty().then_some(index)
    }
}

/// The path of a segment.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.wal"))
}

/// The number of a segment, by its file name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

/// The frame of a group that will stand at an offset.
pub(super) fn encode_group(entries: &[Entry], number: u64, offset: u64) -> Vec<u8> {
    let body_bytes: usize = entries.iter().map(Entry::size_bytes).sum();
    let mut frame = vec![0; FRAME_BYTES];
    frame.reserve_exact(body_bytes);
    entries.iter().for_each(|entry| entry.encode(&mut frame));
    finish_frame(&mut frame, GROUP, number, offset);
    frame
}

/// The index frame and the trailer that seal a segment at an offset.
pub(super) fn encode_seal(index: &SegmentIndex, number: u64, offset: u64) -> Vec<u8> {
    let mut seal = vec![0; FRAME_BYTES];
    seal.extend(index.encode());
    finish_frame(&mut seal, INDEX, number, offset);
    seal.extend(offset.to_le_bytes());
    seal.extend(SEALED);
    seal
}

fn finish_frame(frame: &mut [u8], magic: [u8; 4], number: u64, offset: u64) {
    let (head, body) = frame.split_at_mut(FRAME_BYTES);
    let body_bytes = u32::try_from(body.len()).expect("a group is cut off long before 4 GB");
    head[..4].copy_from_slice(&magic);
    head[4..8].copy_from_slice(&body_bytes.to_le_bytes());
    head[8..].copy_from_slice(&checksum(magic, number, offset, body).to_le_bytes());
}

fn checksum(magic: [u8; 4], number: u64, offset: u64, body: &[u8]) -> u64 {
    let mut place = [0; 28];
    place[..8].copy_from_slice(&number.to_le_bytes());
    place[8..16].copy_from_slice(&offset.to_le_bytes());
    place[16..20].copy_from_slice(&magic);
    place[20..].copy_from_slice(&(body.len() as u64).to_le_bytes());
    xxh3_64_with_seed(body, xxh3_64(&place))
}

/// Reads the frame at an offset, which must end at or before `limit`; gives its body.
pub(super) fn read_frame(
    file: &File,
    magic: [u8; 4],
    number: u64,
    offset: u64,
    limit: u64,
) -> Result<Bytes, FrameError> {
    let damaged = |reason| FrameError::Damaged { offset, reason };
    let room = limit.saturating_sub(offset);
    if room < FRAME_BYTES as u64 {
        return Err(damaged("it ends within a frame"));
    }
    let mut head = [0; FRAME_BYTES];
    file.read_exact_at(&mut head, offset)?;
    let mut head = &head[..];
    if head.copy_to_bytes(4) != magic[..] {
        return Err(damaged("no frame begins here"));
    }
    let body_bytes = head.get_u32_le();
    if u64::from(body_bytes) > room - FRAME_BYTES as u64 {
        return Err(damaged("the frame is longer than the rest of the file"));
    }
    let expected = head.get_u64_le();
    let mut body = vec![0; usize::try_from(body_bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut body, offset + FRAME_BYTES as u64)?;
    if checksum(magic, number, offset, &body) != expected {
        return Err(damaged("the checksum does not match"));
    }
    Ok(body.into())
}

/// Reads the group at an offset, which must end at or before `limit`.
pub(super) fn read_group(file: &File, number: u64, offset: u64, limit: u64) -> Result<Group, FrameError> {
    let mut body = read_frame(file, GROUP, number, offset, limit)?;
    let end = offset + (FRAME_BYTES + body.len()) as u64;
    let mut entries = Vec::new();
    while !body.is_empty() {
        let entry = Entry::decode(&mut body);
        entries.push(entry.ok_or(FrameError::Damaged { offset, reason: "a group that is none" })?);
    }
    Ok(Group { entries, end })
}

/// Where the first whole group behind a bad frame starts, if there is one before `limit`.
pub(super) fn next_good_group(file: &File, number: u64, bad: u64, limit: u64) -> io::Result<Option<u64>> {
    let limit = limit.min(file.metadata()?.len());
    let mut rest = vec![0; usize::try_from(limit.saturating_sub(bad)).map_err(io::Error::other)?];
    file.read_exact_at(&mut rest, bad)?;
    let starts = rest.windows(FRAME_BYTES).zip(bad..).skip(1).filter(|(window, _)| window.starts_with(&GROUP));
    for (_, start) in starts {
        match read_frame(file, GROUP, number, start, limit) {
            Ok(_) => return Ok(Some(start)),
            Err(FrameError::Damaged { .. }) => {}
            Err(FrameError::Io(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// The index of a sealed segment; `None` when it is not sealed, or its seal is damaged.
pub(super) fn read_seal(file: &File, number: u64, size: u64) -> io::Result<Option<SegmentIndex>> {
    if size < HEADER_BYTES + TRAILER_BYTES {
        return Ok(None);
    }
    let mut trailer = [0; 16];
    file.read_exact_at(&mut trailer, size - TRAILER_BYTES)?;
    let mut trailer = &trailer[..];
    let offset = trailer.get_u64_le();
    if trailer != SEALED || offset >= size {
        return Ok(None);
    }
    match read_frame(file, INDEX, number, offset, size - TRAILER_BYTES) {
        Ok(body) => Ok(SegmentIndex::decode(body)),
        Err(FrameError::Damaged { .. }) => Ok(None),
        Err(FrameError::Io(error)) => Err(error),
    }
}
