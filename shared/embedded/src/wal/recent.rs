//! Groups of the log that were written or read of late, kept in memory.
//!
//! Every tick and every query reads the last minutes of the log; they would read, check and copy the same bytes again
//! and again. A group never changes, so one that is here is as good as its bytes on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use app::ports::{Shard, WalEntry};
use xxhash_rust::xxh3::xxh3_128;

use super::segment::Entry;

/// Most bytes of blobs that are kept.
const BYTES_MAX: usize = 64 << 20;

/// Where a group lies: segment and offset.
type Place = (u64, u64);

/// A group as readers want it.
#[derive(Debug)]
pub(super) struct KnownGroup {
    /// Its entries with their shards, in the order they were written.
    pub(super) entries: Vec<(Shard, WalEntry)>,
    /// Where the next group starts.
    pub(super) end: u64,
}

impl KnownGroup {
    /// Hashes the entries, once.
    pub(super) fn new(entries: impl IntoIterator<Item = Entry>, end: u64) -> Self {
        let known = |Entry { shard, minute, tenant, blob }| {
            let hash = xxh3_128(&blob);
            (shard, WalEntry { minute, tenant, hash, blob })
        };
        Self { entries: entries.into_iter().map(known).collect(), end }
    }

    fn size_bytes(&self) -> usize {
        self.entries.iter().map(|(_, entry)| entry.blob.len()).sum()
    }
}

/// The groups at hand; what was written first goes first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    groups: BTreeMap<Place, Arc<KnownGroup>>,
    size_bytes: usize,
}

impl Recent {
    /// The group at a place, if it is at hand.
    pub(super) fn get(&self, place: Place) -> Option<Arc<KnownGroup>> {
        self.groups.get(&place).map(Arc::clone)
    }

    /// Keeps a group, and lets go of others where there is no room.
    pub(super) fn keep(&mut self, place: Place, group: Arc<KnownGroup>) {
        self.size_bytes += group.size_bytes();
        if let Some(same) = self.groups.insert(place, group) {
            self.size_bytes -= same.size_bytes();
        }
        while self.size_bytes > BYTES_MAX {
            let Some((_, oldest)) = self.groups.pop_first() else { break };
            self.size_bytes -= oldest.size_bytes();
        }
    }

    /// Lets go of a segment that is deleted.
    pub(super) fn forget(&mut self, segment: u64) {
        let gone: Vec<Place> = self.groups.range((segment, 0)..=(segment, u64::MAX)).map(|(place, _)| *place).collect();
        for place in gone {
            if let Some(group) = self.groups.remove(&place) {
                self.size_bytes -= group.size_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::TenantId;

    use super::*;

    fn group(size_bytes: usize) -> Arc<KnownGroup> {
        let blob = Bytes::from(vec![7; size_bytes]);
        let entry = Entry { shard: Shard(0), minute: 1, tenant: TenantId::default_tenant(), blob };
        Arc::new(KnownGroup::new([entry], 100))
    }

    #[test]
    fn what_was_written_first_goes_first_and_a_deleted_segment_at_once() {
        let mut recent = Recent::default();
        for segment in 0..3 {
            recent.keep((segment, 8), group(BYTES_MAX / 2));
        }
        assert!(recent.get((0, 8)).is_none());
        assert!(recent.get((1, 8)).is_some() && recent.get((2, 8)).is_some());
        recent.forget(1);
        assert!(recent.get((1, 8)).is_none());
        recent.keep((2, 8), group(10));
        assert_eq!(recent.size_bytes, 10);
        recent.keep((3, 8), group(BYTES_MAX + 1));
        assert_eq!((recent.size_bytes, recent.groups.len()), (0, 0), "one that has no room is not kept");
    }
}
