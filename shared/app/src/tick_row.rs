//! The one row a tick commits: how far the log is cut into chunks, and the state of all rule groups.
//!
//! Queries and ingest want the watermark alone, every time or every minute: the row stays so small that reading it costs
//! one unit of DynamoDB. A state that does not fit is an object that is stored before the row that names it; objects of
//! states that nobody can commit any more are deleted once an hour ([`sweep`]).
//!
//! ```text
//! row    | version u8 | XXH3-64 of what follows u64 | watermark signed | place u8 | state, or the key of its object |
//! state  | count varint | tenant bytes | group bytes | state bytes | ... |    sealed: version, checksum, zstd
//! ```
//!
//! `place` is 0 when the state follows, 1 when the key follows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};
use tsdb::coding::{Reader, put_bytes, put_signed, put_varint, seal, unseal};
use tsdb::{Result as TsdbResult, TsdbError};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::Ports;
use crate::ports::{
    ByteRange, Expect, Minute, ObjectStore, PortError, PortResult, RowKey, RowWrite, Shard, StateStore,
};

/// How long the log lives: a tick that never ran before starts so far back.
pub const WAL_RETENTION: Duration = Duration::from_secs(72 * 3600);

/// Format version of the row and of the state.
const VERSION: u8 = 2;
/// Most bytes of the row's value: with its key it is one read unit of 4 KB. Up to there an inline state also costs less
/// to write than an object.
const VALUE_BYTES_MAX: usize = 3900;
const WHAT: &str = "tick row";
const OPERATION: &str = "tick row read";

/// The state of each rule group, as `alerting::rule::GroupState` encodes it, by tenant and name of the group.
pub type GroupStates = BTreeMap<(TenantId, String), Vec<u8>>;

/// What the last tick of a shard left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickRow {
    /// The last arrival minute whose samples are in chunks; what arrived later is read from the log.
    pub watermark: Minute,
    /// The state of each rule group.
    pub groups: GroupStates,
}

/// The state that lay in the newest object, kept so that a warm process does not fetch what it stored itself.
#[derive(Debug, Default)]
pub struct StateCache(Mutex<Option<(String, Arc<GroupStates>)>>);

/// Reads the watermark of a shard; `None` when no tick ever committed.
///
/// # Errors
/// As [`StateStore::get`]; `Corrupt` when the row cannot be decoded.
pub async fn watermark(state: &dyn StateStore, shard: Shard, now: Timestamp) -> PortResult<Option<Minute>> {
    let Some(row) = state.get(&key(shard), now).await? else { return Ok(None) };
    let (watermark, _) = decode(&row.value).map_err(corrupt)?;
    Ok(Some(watermark))
}

/// The watermark of a shard that never had a tick: where the log starts.
pub fn first_watermark(now: Timestamp) -> Minute {
    (now - WAL_RETENTION).minute()
}

/// Reads the row of a shard with the state, and its version.
///
/// # Errors
/// `Conflict` when so many ticks committed while it was being read that its state is gone: read again. `Corrupt` when it
/// cannot be decoded.
pub async fn read(
    ports: &Ports,
    cache: &StateCache,
    shard: Shard,
    now: Timestamp,
) -> PortResult<(TickRow, Option<u64>)> {
    let Some(row) = ports.state.get(&key(shard), now).await? else {
        return Ok((TickRow { watermark: first_watermark(now), groups: BTreeMap::new() }, None));
    };
    let (watermark, place) = decode(&row.value).map_err(corrupt)?;
    let groups = match place {
        Place::Inline(state) => decode_groups(state).map_err(corrupt)?,
        Place::Object(object) => cache.fetch(ports.objects.as_ref(), object).await?,
    };
    Ok((TickRow { watermark, groups }, Some(row.version)))
}

/// Deletes the states of ticks that began before the one that has just committed, whose `version` is what it found.
/// None of them is named by the row, and none can be committed any more.
///
/// # Errors
/// As [`ObjectStore::list`] and [`ObjectStore::delete`].
pub async fn sweep(objects: &dyn ObjectStore, shard: Shard, version: Option<u64>) -> PortResult<()> {
    let end = object_key(shard, version, None);
    let mut cursor = None;
    loop {
        let page = objects.list(&folder(shard), cursor.as_deref()).await?;
        for entry in page.entries.iter().take_while(|entry| entry.key < end) {
            objects.delete(&entry.key).await?;
        }
        let is_done = page.entries.last().is_none_or(|last| last.key >= end);
        match page.cursor {
            Some(next) if !is_done => cursor = Some(next),
            _ => return Ok(()),
        }
    }
}

impl TickRow {
    /// The row to commit, given the version that [`read`] found; a state that does not fit into it is stored first.
    ///
    /// # Errors
    /// As [`ObjectStore::put_new`]: nothing may be committed then.
    pub async fn store(
        &self,
        objects: &dyn ObjectStore,
        cache: &StateCache,
        shard: Shard,
        version: Option<u64>,
    ) -> PortResult<RowWrite> {
        let state = encode_groups(&self.groups);
        let mut value = vec![0; HEAD_BYTES];
        put_signed(&mut value, self.watermark);
        if value.len() + 1 + state.len() <= VALUE_BYTES_MAX {
            value.push(0);
            value.extend_from_slice(&state);
        } else {
            let object = object_key(shard, version, Some(xxh3_128(&state)));
            objects.put_new(&object, Bytes::from(state)).await?;
            value.push(1);
            value.extend_from_slice(object.as_bytes());
            cache.keep(object, Arc::new(self.groups.clone()));
        }
        let checksum = xxh3_64(&value[HEAD_BYTES..]);
        value[0] = VERSION;
        value[1..HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
        Ok(RowWrite::put(key(shard), version.map_or(Expect::Absent, Expect::Version), value))
    }
}

impl StateCache {
    async fn fetch(&self, objects: &dyn ObjectStore, object: &str) -> PortResult<GroupStates> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, groups)) = known.filter(|(key, _)| key == object) {
            return Ok((*groups).clone());
        }
        let state = objects.get(object, ByteRange::All).await.map_err(|error| {
            // Only a state that another one has replaced is ever deleted.
            let replaced = || PortError::new(ErrorKind::Conflict, OPERATION, "its state was replaced meanwhile");
            if error.kind() == ErrorKind::NotFound { replaced() } else { error }
        })?;
        let groups = decode_groups(&state).map_err(corrupt)?;
        self.keep(object.to_owned(), Arc::new(groups.clone()));
        Ok(groups)
    }

    fn keep(&self, object: String, groups: Arc<GroupStates>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((object, groups));
    }
}

/// Bytes of version and checksum.
const HEAD_BYTES: usize = 9;

/// Where the state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Inline(&'a [u8]),
    Object(&'a str),
}

fn decode(value: &[u8]) -> TsdbResult<(Minute, Place<'_>)> {
    let malformed = |reason| TsdbError::Malformed { what: WHAT, reason };
    let mut reader = Reader::new(value, WHAT);
    let found = reader.byte()?;
    if found != VERSION {
        return Err(TsdbError::Version { what: WHAT, found, known: VERSION });
    }
    let checksum = u64::from_le_bytes(reader.array()?);
    if checksum != xxh3_64(reader.rest()) {
        return Err(TsdbError::Checksum { what: WHAT });
    }
    let watermark = reader.signed()?;
    let place = match reader.byte()? {
        0 => Place::Inline(reader.rest()),
        1 => Place::Object(std::str::from_utf8(reader.rest()).map_err(|_| malformed("a key is not UTF-8"))?),
        _ => return Err(malformed("unknown kind of place")),
    };
    Ok((watermark, place))
}

fn encode_groups(groups: &GroupStates) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, groups.len() as u64);
    for ((tenant, group), state) in groups {
        put_bytes(&mut out, tenant.as_str().as_bytes());
        put_bytes(&mut out, group.as_bytes());
        put_bytes(&mut out, state);
    }
    seal(VERSION, &out)
}

fn decode_groups(bytes: &[u8]) -> TsdbResult<GroupStates> {
    let content = unseal(bytes, VERSION, WHAT)?;
    let mut reader = Reader::new(&content, WHAT);
    let mut groups = BTreeMap::new();
    for _ in 0..reader.count(3)? {
        let tenant = TenantId::new(reader.text()?);
        let tenant = tenant.map_err(|_| TsdbError::Malformed { what: WHAT, reason: "bad tenant" })?;
        let group = reader.text()?.to_owned();
        groups.insert((tenant, group), reader.bytes()?.to_vec());
    }
    reader.end()?;
    Ok(groups)
}

fn corrupt(error: TsdbError) -> PortError {
    PortError::new(error.kind(), OPERATION, error)
}

fn key(shard: Shard) -> RowKey {
    RowKey::new(format!("t#{}", shard.0), "tick")
}

fn folder(shard: Shard) -> String {
    format!("tick/shard={}/", shard.0)
}

/// Where the state of a tick lies that found the row at a version; without a hash, where those of that version start.
/// Versions grow with each commit, so keys of older ones sort before.
fn object_key(shard: Shard, version: Option<u64>, hash: Option<u128>) -> String {
    let hash = hash.map_or_else(String::new, |hash| format!("{hash:032x}"));
    format!("{}{:020}-{hash}", folder(shard), version.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::testing::World;

    fn sample_row(state_bytes: usize) -> TickRow {
        // Noise, so that it does not compress.
        let noise = (0..state_bytes).map(|i| xxh3_64(&i.to_le_bytes()).to_le_bytes()[0]).collect();
        let group = |name: &str| (TenantId::default_tenant(), name.to_owned());
        TickRow { watermark: 29_000_000, groups: BTreeMap::from([(group("a"), vec![1, 2]), (group("b"), noise)]) }
    }

    async fn commit(world: &World, row: &TickRow, version: Option<u64>) {
        let cache = StateCache::default();
        let write = row.store(world.ports.objects.as_ref(), &cache, Shard(0), version).await.unwrap();
        world.ports.state.write(vec![write], world.now).await.unwrap();
    }

    async fn reread(world: &World) -> (TickRow, Option<u64>) {
        read(&world.ports, &StateCache::default(), Shard(0), world.now).await.unwrap()
    }

    #[tokio::test]
    async fn a_row_reads_back_with_a_state_of_any_size_and_stays_one_read_unit() {
        let world = World::new(crate::faults::FaultPlan::none());
        let mut version = None;
        for (state_bytes, objects) in [(100, 0), (3700, 0), (4000, 1), (600 << 10, 2)] {
            let row = sample_row(state_bytes);
            commit(&world, &row, version).await;
            let (found, new_version) = reread(&world).await;
            assert_eq!(found, row);
            version = new_version;
            let stored = world.ports.state.get(&key(Shard(0)), world.now).await.unwrap().unwrap();
            assert!(stored.value.len() <= VALUE_BYTES_MAX, "{} bytes", stored.value.len());
            let listed = world.ports.objects.list("tick/", None).await.unwrap();
            assert_eq!(listed.entries.len(), objects, "{state_bytes} bytes of state");
            let known = watermark(world.ports.state.as_ref(), Shard(0), world.now).await.unwrap();
            assert_eq!(known, Some(row.watermark));
        }
    }

    #[tokio::test]
    async fn changed_bytes_are_refused() {
        let world = World::new(crate::faults::FaultPlan::none());
        let row = sample_row(100);
        let write = row.store(world.ports.objects.as_ref(), &StateCache::default(), Shard(0), None).await.unwrap();
        let crate::ports::Change::Put { value, .. } = write.change else { panic!("{write:?}") };
        for at in 0..value.len() {
            let mut changed = value.to_vec();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "byte {at}");
        }
        let error = decode(&[1, 0, 0]).unwrap_err();
        assert_eq!(error.to_string(), "tick row has format version 1, this program reads version 2");
    }

    #[tokio::test]
    async fn a_sweep_leaves_the_named_state_and_those_that_may_still_be_committed() {
        let world = World::new(crate::faults::FaultPlan::none());
        let mut versions = vec![None];
        for tick in 0..4 {
            let row = TickRow { watermark: tick, ..sample_row(5000) };
            let before = *versions.last().unwrap();
            commit(&world, &row, before).await;
            versions.push(reread(&world).await.1);
        }
        // A tick that has begun after the newest commit has stored its state already.
        let next = TickRow { watermark: 9, ..sample_row(6000) };
        next.store(world.ports.objects.as_ref(), &StateCache::default(), Shard(0), versions[4]).await.unwrap();
        sweep(world.ports.objects.as_ref(), Shard(0), versions[3]).await.unwrap();
        let left = world.ports.objects.list("tick/", None).await.unwrap();
        assert_eq!(left.entries.len(), 2, "{left:?}");
        assert_eq!(reread(&world).await.0.watermark, 3);
    }

    #[tokio::test]
    async fn a_warm_process_does_not_fetch_the_state_that_it_stored() {
        let world = World::new(crate::faults::FaultPlan::none());
        let (row, cache) = (sample_row(5000), StateCache::default());
        let write = row.store(world.ports.objects.as_ref(), &cache, Shard(0), None).await.unwrap();
        world.ports.state.write(vec![write], world.now).await.unwrap();
        assert_eq!(read(&world.ports, &cache, Shard(0), world.now).await.unwrap().0, row);
        assert_eq!(world.plan.calls("object get"), 0);
        assert_eq!(reread(&world).await.0, row);
        assert_eq!(world.plan.calls("object get"), 1);
    }
}
