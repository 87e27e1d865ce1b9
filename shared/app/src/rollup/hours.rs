//! Chunks become the block of their hour.

use bytes::Bytes;
use model::TimeRange;
use tsdb::hour::hour_range;
use tsdb::{Block, merge};

use super::{Flow, HOUR_SETTLES, REBUILT_AFTER, busy, corrupt};
use crate::catalogue::{CatalogueRow, Entry, Place, hour_folder, hour_key};
use crate::ports::{ByteRange, Expect, PortResult, RowWrite};
use crate::rollup::sweep::tombstone;

/// Most chunks that go into a block at once: their rows, the block's and the tombstone's are one write.
const CHUNKS_MAX: usize = 96;
/// Most hashes that a block remembers of the chunks in it: those that a reader or a repeated tick could still name.
const REPLACED_MAX: usize = 400;

/// What building an hour did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Built {
    pub(super) block_changed: bool,
    pub(super) chunks: usize,
    pub(super) more_wait: bool,
}

impl Flow<'_> {
    /// Merges the chunks of an hour, and the block that is there, into a new block. `None` when there is nothing to do
    /// yet.
    pub(super) async fn build_hour(&self, rows: &[CatalogueRow]) -> PortResult<Option<Built>> {
        let hour = rows[0].hour();
        let old = rows.iter().find(|row| row.is_hour());
        let chunks: Vec<&CatalogueRow> = rows.iter().filter(|row| !row.is_hour()).collect();
        let settled = hour_range(hour).end + HOUR_SETTLES <= self.now;
        let too_soon = old.is_some_and(|old| old.entry.written + REBUILT_AFTER > self.now);
        if chunks.is_empty() || !settled || too_soon {
            return Ok(None);
        }
        let taken = &chunks[..chunks.len().min(CHUNKS_MAX)];
        let known = |row: &CatalogueRow| old.is_some_and(|old| old.entry.replaced.contains(&row.entry.hash));
        let fresh: Vec<&CatalogueRow> = taken.iter().copied().filter(|row| !known(row)).collect();
        // An hour whose block is gone by retention is not begun again with its late samples alone.
        let expired = self.retention.raw_is_expired(hour_range(hour), self.now);
        let mut writes = Vec::new();
        let mut gone: Vec<&CatalogueRow> = taken.to_vec();
        if !fresh.is_empty() && !expired {
            let entry = self.merged(hour, old, &fresh).await?;
            // The same samples again give the same block: then it is not replaced.
            gone.extend(old.filter(|old| old.entry.object() != entry.object()));
            let expect = old.map_or(Expect::Absent, |old| Expect::Version(old.version));
            writes.push(RowWrite::put(hour_key(self.tenant, self.shard, hour), expect, entry.encode()));
        }
        writes.extend(tombstone(&gone, self.now));
        let delete = |row: &&CatalogueRow| RowWrite::delete(row.key.clone(), Expect::Version(row.version));
        writes.extend(taken.iter().map(delete));
        let block_changed = !fresh.is_empty() && !expired;
        self.ports.state.write(writes, self.now).await?;
        Ok(Some(Built { block_changed, chunks: taken.len(), more_wait: taken.len() < chunks.len() }))
    }

    /// Stores the block that holds all of the old one and of the chunks.
    async fn merged(&self, hour: i64, old: Option<&CatalogueRow>, chunks: &[&CatalogueRow]) -> PortResult<Entry> {
        let mut blocks = Vec::new();
        for row in old.into_iter().chain(chunks.iter().copied()) {
            blocks.push(self.block(&row.entry).await?);
        }
        let bytes = busy(move || {
            let mut sources = Vec::with_capacity(blocks.len());
            for block in blocks {
                sources.push(block.select(&[], TimeRange::ALL)?);
            }
            Ok(tsdb::block::encode(&merge(sources)))
        })
        .await?;
        let folder = hour_folder(self.tenant, hour);
        let mut entry = Entry::store(self.ports.objects.as_ref(), &folder, Bytes::from(bytes), self.now).await?;
        entry.replaced = chunks.iter().map(|row| row.entry.hash).collect();
        entry.replaced.extend(old.into_iter().flat_map(|old| &old.entry.replaced));
        entry.replaced.truncate(REPLACED_MAX);
        Ok(entry)
    }

    /// A whole block.
    pub(super) async fn block(&self, entry: &Entry) -> PortResult<Block> {
        let bytes = match &entry.place {
            Place::Inline(bytes) => bytes.clone(),
            Place::Object(key) => self.ports.objects.get(key, ByteRange::All).await?,
        };
        Block::open(bytes).map_err(corrupt)
    }
}
