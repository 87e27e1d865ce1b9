//! How a group is stored.
//!
//! ```text
//! ┌─────────┬──────────────┬─────────────┬──────────────────────────────────────────────┐
//! │ version │ header bytes │ header      │ one record for each alert of the group or of │
//! │ 1 byte  │ u32 LE       │ JSON, UTF-8 │ a notification, in order of fingerprint      │
//! └─────────┴──────────────┴─────────────┴──────────────────────────────────────────────┘
//! record:   fingerprint u64 LE │ last change i64 LE, ms; i64::MIN when no member │ sets: 4 bits an integration
//! sets:     bit 4i: fired in the log entry of integration i   bit 4i+1: had ended in the log entry
//!           bit 4i+2: fires in the intent                     bit 4i+3: has ended in the intent
//! ```
//! Integrations are in the order of their keys in the header. A group of thousands of alerts stays far below the limit
//! of a row, since every set costs a bit an alert.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Attempt, Group, GroupKey, IntegrationState, Intent, LogEntry};
use crate::Fingerprint;
use crate::notify::plan::Reason;

const VERSION: u8 = 1;
const NO_MEMBER: i64 = i64::MIN;

/// What can be wrong with a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Too many alerts at once.
    #[error("group {group} is full: it has {limit} alerts")]
    Full {
        /// The group's key.
        group: String,
        /// The most a group may have.
        limit: usize,
    },
    /// Stored bytes that are no group.
    #[error("stored group cannot be read: {reason}")]
    Unreadable {
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    route: String,
    labels: BTreeMap<String, String>,
    receiver: String,
    born_at: i64,
    has_flushed: bool,
    flush_at: i64,
    sequence: u64,
    integrations: BTreeMap<String, (Option<StoredEntry>, Option<StoredIntent>)>,
    /// The integrations from which a calendar kept something back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    out_of_hours: BTreeSet<String>,
    /// What destinations call their messages, by integration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    references: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    sequence: u64,
    reason: Reason,
    sent_at: i64,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredIntent {
    sequence: u64,
    reason: Reason,
    decided_at: i64,
    deadline: i64,
    log_kept_ms: u64,
    tries: u32,
    under_way_until: Option<i64>,
    waiting_until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked_until: Option<i64>,
    may_have_arrived: bool,
}

impl Group {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header()).expect("texts and numbers become JSON");
        let mut bytes = vec![VERSION];
        bytes.extend(u32::try_from(header.len()).expect("a header is far below 4 GB").to_le_bytes());
        bytes.extend(header);
        let sets = self.sets();
        let alerts = sets.iter().flat_map(|set| set.iter()).chain(self.members.keys());
        let alerts: BTreeSet<Fingerprint> = alerts.copied().collect();
        for fingerprint in alerts {
            bytes.extend(fingerprint.0.to_le_bytes());
            let changed_at = self.members.get(&fingerprint).map_or(NO_MEMBER, |time| time.as_millis());
            bytes.extend(changed_at.to_le_bytes());
            for eight in sets.chunks(8) {
                let bit =
                    |(place, set): (usize, &&BTreeSet<Fingerprint>)| u8::from(set.contains(&fingerprint)) << place;
                bytes.push(eight.iter().enumerate().map(bit).fold(0, |byte, bit| byte | bit));
            }
        }
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`GroupError::Unreadable`] when the bytes are of another version or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, GroupError> {
        let unreadable = |reason: &str| GroupError::Unreadable { reason: reason.to_owned() };
        let Some((&VERSION, rest)) = bytes.split_first() else {
            return Err(unreadable("unknown format version"));
        };
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| unreadable("it ends early"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (header, records) = rest.split_at_checked(length).ok_or_else(|| unreadable("it ends early"))?;
        let header: Header = serde_json::from_slice(header).map_err(|error| unreadable(&error.to_string()))?;
        let mut group = Self::from_header(header).ok_or_else(|| unreadable("its labels are none"))?;
        group.read_records(records).ok_or_else(|| unreadable("a record is cut"))?;
        Ok(group)
    }

    fn header(&self) -> Header {
        let stored = |state: &IntegrationState| {
            (state.log.as_ref().map(StoredEntry::of), state.intent.as_ref().map(StoredIntent::of))
        };
        let kept_back = self.integrations.iter().filter(|(_, state)| state.out_of_hours);
        let references = self.integrations.iter();
        let references = references.filter_map(|(key, state)| Some((key.clone(), state.reference.clone()?)));
        Header {
            route: self.key.route.clone(),
            labels: self.key.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            receiver: self.key.receiver.clone(),
            born_at: self.born_at.as_millis(),
            has_flushed: self.has_flushed,
            flush_at: self.flush_at.as_millis(),
            sequence: self.sequence,
            integrations: self.integrations.iter().map(|(key, state)| (key.clone(), stored(state))).collect(),
            out_of_hours: kept_back.map(|(key, _)| key.clone()).collect(),
            references: references.collect(),
        }
    }

    fn from_header(header: Header) -> Option<Self> {
        let labels = header.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (out_of_hours, mut references) = (header.out_of_hours, header.references);
        let mut read = |key: &str, (log, intent): (Option<StoredEntry>, Option<StoredIntent>)| IntegrationState {
            log: log.map(StoredEntry::read),
            intent: intent.map(StoredIntent::read),
            out_of_hours: out_of_hours.contains(key),
            reference: references.remove(key),
        };
        let integrations = header.integrations.into_iter().map(|(key, stored)| {
            let state = read(&key, stored);
            (key, state)
        });
        let integrations = integrations.collect();
        Some(Self {
            key: GroupKey { labels: Labels::from_pairs(labels).ok()?, route: header.route, receiver: header.receiver },
            born_at: Timestamp::from_millis(header.born_at),
            members: BTreeMap::new(),
            has_flushed: header.has_flushed,
            flush_at: Timestamp::from_millis(header.flush_at),
            sequence: header.sequence,
            integrations,
        })
    }

    /// The four sets of each integration, in the order of their bits.
    fn sets(&self) -> Vec<&BTreeSet<Fingerprint>> {
        static NONE: BTreeSet<Fingerprint> = BTreeSet::new();
        let mut sets = Vec::with_capacity(self.integrations.len() * 4);
        for state in self.integrations.values() {
            let (log, intent) = (state.log.as_ref(), state.intent.as_ref());
            sets.push(log.map_or(&NONE, |entry| &entry.firing));
            sets.push(log.map_or(&NONE, |entry| &entry.resolved));
            sets.push(intent.map_or(&NONE, |intent| &intent.firing));
            sets.push(intent.map_or(&NONE, |intent| &intent.resolved));
        }
        sets
    }

    fn read_records(&mut self, records: &[u8]) -> Option<()> {
        let set_bytes = (self.integrations.len() * 4).div_ceil(8);
        let mut rest = records;
        while !rest.is_empty() {
            let (fingerprint, after) = rest.split_first_chunk::<8>()?;
            let (changed_at, after) = after.split_first_chunk::<8>()?;
            let (sets, after) = after.split_at_checked(set_bytes)?;
            let fingerprint = Fingerprint(u64::from_le_bytes(*fingerprint));
            let changed_at = i64::from_le_bytes(*changed_at);
            if changed_at != NO_MEMBER {
                self.members.insert(fingerprint, Timestamp::from_millis(changed_at));
            }
            for (index, state) in self.integrations.values_mut().enumerate() {
                let nibble = sets[index / 2] >> (index % 2 * 4);
                state.insert(fingerprint, nibble);
            }
            rest = after;
        }
        Some(())
    }
}

impl IntegrationState {
    /// Puts an alert into the sets whose bits are set.
    fn insert(&mut self, fingerprint: Fingerprint, bits: u8) {
        let (log, intent) = (self.log.as_mut(), self.intent.as_mut());
        let (logged_firing, logged_resolved) = log.map(|entry| (&mut entry.firing, &mut entry.resolved)).unzip();
        let (firing, resolved) = intent.map(|intent| (&mut intent.firing, &mut intent.resolved)).unzip();
        for (place, set) in [logged_firing, logged_resolved, firing, resolved].into_iter().enumerate() {
            if let Some(set) = set.filter(|_| bits >> place & 1 == 1) {
                set.insert(fingerprint);
            }
        }
    }
}

impl StoredEntry {
    fn of(entry: &LogEntry) -> Self {
        Self {
            sequence: entry.sequence,
            reason: entry.reason,
            sent_at: entry.sent_at.as_millis(),
            expires_at: entry.expires_at.as_millis(),
        }
    }

    const fn read(self) -> LogEntry {
        LogEntry {
            sequence: self.sequence,
            reason: self.reason,
            sent_at: Timestamp::from_millis(self.sent_at),
            expires_at: Timestamp::from_millis(self.expires_at),
            firing: BTreeSet::new(),
            resolved: BTreeSet::new(),
        }
    }
}

impl StoredIntent {
    fn of(intent: &Intent) -> Self {
        let (under_way_until, waiting_until, asked_until) = match intent.attempt {
            Attempt::UnderWay { until } => (Some(until.as_millis()), None, None),
            Attempt::Waiting { until } => (None, Some(until.as_millis()), None),
            Attempt::AskedToWait { until } => (None, None, Some(until.as_millis())),
            Attempt::GivenUp => (None, None, None),
        };
        Self {
            sequence: intent.sequence,
            reason: intent.reason,
            decided_at: intent.decided_at.as_millis(),
            deadline: intent.deadline.as_millis(),
            log_kept_ms: u64::try_from(intent.log_kept.as_millis()).unwrap_or(u64::MAX),
            tries: intent.tries,
            under_way_until,
            waiting_until,
            asked_until,
            may_have_arrived: intent.may_have_arrived,
        }
    }

    fn read(self) -> Intent {
        let attempt = match (self.under_way_until, self.waiting_until, self.asked_until) {
            (Some(until), ..) => Attempt::UnderWay { until: Timestamp::from_millis(until) },
            (None, Some(until), _) => Attempt::Waiting { until: Timestamp::from_millis(until) },
            (None, None, Some(until)) => Attempt::AskedToWait { until: Timestamp::from_millis(until) },
            (None, None, None) => Attempt::GivenUp,
        };
        Intent {
            sequence: self.sequence,
            reason: self.reason,
            decided_at: Timestamp::from_millis(self.decided_at),
            deadline: Timestamp::from_millis(self.deadline),
            log_kept: Duration::from_millis(self.log_kept_ms),
            tries: self.tries,
            attempt,
            may_have_arrived: self.may_have_arrived,
            firing: BTreeSet::new(),
            resolved: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Sets = [BTreeSet<u64>; 5];

    fn group(alerts: &Sets, integrations: usize, attempt: Attempt) -> Group {
        let set = |index: usize| alerts[index].iter().map(|&one| Fingerprint(one)).collect::<BTreeSet<_>>();
        let labels = Labels::from_pairs([("alertname", "使用率")]).unwrap();
        let key = GroupKey { route: "{}".to_owned(), labels, receiver: "r".to_owned() };
        let mut group = Group::new(key, Timestamp::from_millis(1_234_567));
        group.sequence = 7;
        group.members =
            set(0).into_iter().map(|one| (one, Timestamp::from_millis(one.0.cast_signed() >> 20))).collect();
        for index in 0..integrations {
            let time = Timestamp::from_millis(99);
            let entry = LogEntry {
                sequence: 3,
                reason: Reason::FirstNotification,
                sent_at: time,
                expires_at: time,
                firing: set(1),
                resolved: set(2),
            };
            let intent = Intent {
                sequence: 4,
                reason: Reason::SomeAlertsResolved,
                decided_at: time,
                deadline: time,
                log_kept: Duration::from_millis(5),
                tries: 2,
                attempt,
                may_have_arrived: true,
                firing: set(3),
                resolved: set(4),
            };
            let out_of_hours = index % 3 == 1;
            let state = IntegrationState {
                log: Some(entry),
                intent: (index % 2 == 0).then_some(intent),
                out_of_hours,
                reference: out_of_hours.then(|| "C1/2.3".to_owned()),
            };
            group.integrations.insert(format!("slack/{index}"), state);
        }
        group
    }

    proptest! {
        #[test]
        fn a_group_reads_back(alerts in prop::array::uniform5(prop::collection::btree_set(any::<u64>(), 0..20)), integrations in 0_usize..6) {
            let until = Timestamp::from_millis(3);
            for attempt in [Attempt::UnderWay { until }, Attempt::Waiting { until }, Attempt::GivenUp] {
                let group = group(&alerts, integrations, attempt);
                prop_assert_eq!(Group::decode(&group.encode()).unwrap(), group);
            }
        }

        #[test]
        fn damaged_bytes_are_refused_or_read(cut in 0_usize..400, flip in 0_usize..400) {
            let alerts: Sets = std::array::from_fn(|index| BTreeSet::from([1, index as u64]));
            let mut bytes = group(&alerts, 3, Attempt::GivenUp).encode();
            bytes.truncate(cut);
            if let Some(byte) = bytes.get_mut(flip) {
                *byte ^= 0x55;
            }
            let _read_or_not = Group::decode(&bytes);
        }
    }

    #[test]
    fn a_full_group_fits_in_a_row() {
        let many: BTreeSet<u64> =
            (0..super::super::GROUP_ALERTS_MAX as u64).map(|one| one.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let alerts: Sets = std::array::from_fn(|_| many.clone());
        assert!(group(&alerts, 20, Attempt::GivenUp).encode().len() < 400 << 10);
    }
}
