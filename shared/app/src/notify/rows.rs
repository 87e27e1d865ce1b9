//! The rows of the flow: alerts, groups, timers, silences.
//!
//! A timer is a row of one partition, sorted by when it is due, so that one read finds all that is due. It is written
//! together with its group, which alone says what is due: a timer without its group does nothing.

use std::time::Duration;

use alerting::Fingerprint;
use alerting::notify::{Group, Held};
use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};

use crate::ports::{Expect, PortError, PortResult, Row, RowKey, RowWrite, Shard};

/// How long an alert is kept after its end: as long as a receiver that does not answer may take to hear of it.
const ENDED_KEPT: Duration = Duration::from_secs(24 * 3600);
const ALERT_VERSION: u8 = 1;
const TIMER_VERSION: u8 = 1;

pub(super) fn corrupt(what: &'static str, error: impl std::fmt::Display) -> PortError {
    PortError::new(ErrorKind::Corrupt, "notify rows", format!("{what}: {error}"))
}

pub(super) fn alert_partition(tenant: &TenantId) -> String {
    format!("a#{tenant}")
}

pub(super) fn silence_partition(tenant: &TenantId) -> String {
    format!("z#{tenant}")
}

pub(super) fn timer_partition(shard: Shard) -> String {
    format!("d#{}", shard.0)
}

pub(super) fn silence_key(tenant: &TenantId, id: &str) -> RowKey {
    RowKey::new(silence_partition(tenant), id)
}

pub(super) fn group_key(tenant: &TenantId, id: &str) -> RowKey {
    RowKey::new(format!("g#{tenant}"), id)
}

fn alert_key(tenant: &TenantId, fingerprint: Fingerprint) -> RowKey {
    RowKey::new(alert_partition(tenant), fingerprint.to_string())
}

/// The row of an alert: a version byte and JSON.
pub(super) fn alert_row(tenant: &TenantId, held: &Held, version: Option<u64>) -> RowWrite {
    let mut value = vec![ALERT_VERSION];
    serde_json::to_writer(&mut value, held).expect("texts and numbers become JSON");
    let row = RowWrite::put(alert_key(tenant, held.alert.fingerprint()), expect(version), value);
    match held.alert.ends_at {
        Some(end) => row.expiring(end + ENDED_KEPT),
        None => row,
    }
}

pub(super) fn decode_alert(value: &[u8]) -> PortResult<Held> {
    match value.split_first() {
        Some((&ALERT_VERSION, json)) => serde_json::from_slice(json).map_err(|error| corrupt("alert", error)),
        Some(_) | None => Err(corrupt("alert", "unknown format version")),
    }
}

const fn expect(version: Option<u64>) -> Expect {
    match version {
        Some(version) => Expect::Version(version),
        None => Expect::Absent,
    }
}

/// A group as it is stored, with what a later write needs to know.
#[derive(Clone, Debug)]
pub(super) struct StoredGroup {
    pub(super) group: Group,
    /// The version of its row; `None` while it has none.
    pub(super) version: Option<u64>,
    /// When its timer is set.
    pub(super) timer: Option<Timestamp>,
}

impl StoredGroup {
    pub(super) fn read(row: &Row) -> PortResult<Self> {
        let group = Group::decode(&row.value).map_err(|error| corrupt("group", error))?;
        Ok(Self { timer: group.due_at(), version: Some(row.version), group })
    }

    pub(super) const fn new(group: Group) -> Self {
        Self { group, version: None, timer: None }
    }

    /// The rows that store the group and move its timer; the first one is the group's.
    pub(super) fn rows(&self, tenant: &TenantId) -> Vec<RowWrite> {
        let id = self.group.key.id();
        let mut row = RowWrite::put(group_key(tenant, &id), expect(self.version), self.group.encode());
        if let Some(at) = self.group.expires_at() {
            row = row.expiring(at);
        }
        let due_at = self.group.due_at();
        let mut rows = vec![row];
        if due_at != self.timer {
            let timer = |due_at| Timer { due_at, tenant: tenant.clone(), group: id.clone() };
            rows.extend(self.timer.map(|due_at| RowWrite::delete(timer(due_at).key(), Expect::Any)));
            rows.extend(due_at.map(|due_at| timer(due_at).row()));
        }
        rows
    }

    /// After its rows were written at this version.
    pub(super) fn written(&mut self, version: u64) {
        self.version = Some(version);
        self.timer = self.group.due_at();
    }
}

/// When a group has something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) due_at: Timestamp,
    pub(super) tenant: TenantId,
    /// [`alerting::notify::GroupKey::id`].
    pub(super) group: String,
}

impl Timer {
    pub(super) fn key(&self) -> RowKey {
        let sort = format!("{}#{}#{}", Self::place(self.due_at), self.tenant, self.group);
        RowKey::new(timer_partition(Shard::default()), sort)
    }

    pub(super) fn row(&self) -> RowWrite {
        RowWrite::put(self.key(), Expect::Any, Bytes::from_static(&[TIMER_VERSION]))
    }

    /// Where the timers of a moment stand: milliseconds, so many digits that they sort as numbers do.
    pub(super) fn place(due_at: Timestamp) -> String {
        format!("{:016}", due_at.as_millis().max(0))
    }

    pub(super) fn read(sort: &str) -> Option<Self> {
        let (due_at, rest) = sort.split_once('#')?;
        let (tenant, group) = rest.split_once('#')?;
        Some(Self {
            due_at: Timestamp::from_millis(due_at.parse().ok()?),
            tenant: TenantId::new(tenant).ok()?,
            group: group.to_owned(),
        })
    }
}
