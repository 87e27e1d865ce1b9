//! The one row a tick commits: how far the log is cut into chunks, and the state of all rule groups.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};
use tsdb::coding::{Reader, put_bytes, put_signed, put_varint, seal, unseal};
use xxhash_rust::xxh3::xxh3_64;

use crate::ports::{Expect, Minute, PortError, PortResult, RowKey, RowWrite, Shard, StateStore};

/// How long the log lives: a tick that never ran before starts so far back.
pub const WAL_RETENTION: Duration = Duration::from_secs(72 * 3600);

/// Format version of the row.
const VERSION: u8 = 1;
/// Most bytes of state in one row; more goes into further rows of the same write.
const PART_BYTES: usize = 256 << 10;

/// What the last tick of a shard left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickRow {
    /// The last arrival minute whose samples are in chunks; what arrived later is read from the log.
    pub watermark: Minute,
    /// The state of each rule group, as `alerting::rule::GroupState` encodes it, by tenant and name of the group.
    pub groups: BTreeMap<(TenantId, String), Vec<u8>>,
}

/// Reads the row of a shard and its version; a shard that never had a tick starts where the log starts.
///
/// # Errors
/// `Conflict` when a tick committed while the row was being read: read again. `Corrupt` when it cannot be decoded.
pub async fn read(state: &dyn StateStore, shard: Shard, now: Timestamp) -> PortResult<(TickRow, Option<u64>)> {
    let Some(row) = state.get(&key(shard, None), now).await? else {
        return Ok((TickRow { watermark: (now - WAL_RETENTION).minute(), groups: BTreeMap::new() }, None));
    };
    let (checksum, part_count, inline) = decode_head(&row.value).map_err(corrupt)?;
    let mut body = inline.to_vec();
    for part in 0..part_count {
        let found = state.get(&key(shard, Some(part)), now).await?;
        body.extend_from_slice(found.as_ref().map_or(&[][..], |row| &row.value));
    }
    if xxh3_64(&body) != checksum {
        let kind = if part_count > 0 { ErrorKind::Conflict } else { ErrorKind::Corrupt };
        return Err(PortError::new(kind, OPERATION, "parts of the row do not belong together"));
    }
    Ok((TickRow::decode(&body).map_err(corrupt)?, Some(row.version)))
}

impl TickRow {
    /// The rows to commit in one write, given the version that [`read`] found; the first one carries the expectation.
    pub fn writes(&self, shard: Shard, version: Option<u64>) -> Vec<RowWrite> {
        let body = self.encode();
        let checksum = xxh3_64(&body);
        let parts: Vec<&[u8]> = if body.len() <= PART_BYTES { Vec::new() } else { body.chunks(PART_BYTES).collect() };
        let mut head = vec![VERSION];
        head.extend_from_slice(&checksum.to_le_bytes());
        put_varint(&mut head, parts.len() as u64);
        if parts.is_empty() {
            head.extend_from_slice(&body);
        }
        let expect = version.map_or(Expect::Absent, Expect::Version);
        let mut writes = vec![RowWrite::put(key(shard, None), expect, head)];
        for (index, part) in (0u64..).zip(parts) {
            writes.push(RowWrite::put(key(shard, Some(index)), Expect::Any, Bytes::copy_from_slice(part)));
        }
        writes
    }

    /// The content as bytes, compressed and with a checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_signed(&mut out, self.watermark);
        put_varint(&mut out, self.groups.len() as u64);
        for ((tenant, group), state) in &self.groups {
            put_bytes(&mut out, tenant.as_str().as_bytes());
            put_bytes(&mut out, group.as_bytes());
            put_bytes(&mut out, state);
        }
        seal(VERSION, &out)
    }

    /// Reads what [`TickRow::encode`] gave.
    ///
    /// # Errors
    /// When the bytes were changed or are of another version.
    pub fn decode(bytes: &[u8]) -> tsdb::Result<Self> {
        let malformed = |reason| tsdb::TsdbError::Malformed { what: "tick row", reason };
        let content = unseal(bytes, VERSION, "tick row")?;
        let mut reader = Reader::new(&content, "tick row");
        let watermark = reader.signed()?;
        let mut groups = BTreeMap::new();
        for _ in 0..reader.count(3)? {
            let tenant = TenantId::new(reader.text()?).map_err(|_| malformed("bad tenant"))?;
            let group = reader.text()?.to_owned();
            groups.insert((tenant, group), reader.bytes()?.to_vec());
        }
        reader.end()?;
        Ok(Self { watermark, groups })
    }
}

const OPERATION: &str = "tick row read";

fn corrupt(error: tsdb::TsdbError) -> PortError {
    PortError::new(error.kind(), OPERATION, error)
}

fn key(shard: Shard, part: Option<u64>) -> RowKey {
    RowKey::new(format!("t#{}", shard.0), part.map_or_else(|| "tick".to_owned(), |part| format!("tick#{part:04}")))
}

/// Checksum of the state, number of further rows, and the state itself when there are none.
fn decode_head(value: &[u8]) -> tsdb::Result<(u64, u64, &[u8])> {
    let mut reader = Reader::new(value, "tick row");
    let found = reader.byte()?;
    if found != VERSION {
        return Err(tsdb::TsdbError::Version { what: "tick row", found, known: VERSION });
    }
    let checksum = u64::from_le_bytes(reader.array()?);
    Ok((checksum, reader.varint()?, reader.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_row(state_bytes: usize) -> TickRow {
        // Noise, so that it does not compress.
        let noise = (0..state_bytes).map(|i| xxh3_64(&i.to_le_bytes()).to_le_bytes()[0]).collect();
        let group = |name: &str| (TenantId::default_tenant(), name.to_owned());
        TickRow { watermark: 29_000_000, groups: BTreeMap::from([(group("a"), vec![1, 2]), (group("b"), noise)]) }
    }

    #[test]
    fn reads_back_and_refuses_changed_bytes() {
        let row = sample_row(100);
        let bytes = row.encode();
        assert_eq!(TickRow::decode(&bytes), Ok(row));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(TickRow::decode(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_large_state_goes_into_further_rows_of_the_same_write() {
        for (state_bytes, rows) in [(100, 1), (600 << 10, 4)] {
            let writes = sample_row(state_bytes).writes(Shard(0), Some(7));
            assert_eq!(writes.len(), rows);
            assert_eq!(writes[0].expect, Expect::Version(7));
            assert!(writes.iter().all(|write| write.key.partition == "t#0"));
        }
    }
}
