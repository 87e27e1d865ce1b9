//! A group of alerts with its clock and its notification log, and how it is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use model::{Labels, Timestamp};
use sha2::{Digest, Sha256};

use super::config::Route;
use super::held::Held;
use super::plan::Reason;
use crate::Fingerprint;
use crate::template::quoted;

mod codec;

pub use codec::GroupError;

/// Most alerts of one group, so that its row stays under the limit of a row.
const GROUP_ALERTS_MAX: usize = 12_000;
/// The longest that a log entry is kept.
const LOG_KEPT_MAX: Duration = Duration::from_secs(120 * 3600);
/// How long a delivery may be under way before somebody else tries it again.
pub(super) const CLAIM: Duration = Duration::from_secs(60);
/// The pause after a first failure; it doubles with each further one.
const BACK_OFF_FIRST: Duration = Duration::from_secs(5);
/// The longest that a destination is left alone because it asks for it.
const ASKED_MAX: Duration = Duration::from_secs(3600);
/// The longest pause between two tries.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// How long a target of inhibition waits that would be announced at once: one evaluation of the rules, in which the
/// alert that mutes it arrives.
const SETTLE: Duration = Duration::from_secs(60);

/// What makes a group: where it hangs in the routing tree, its labels, its receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// [`Route::key`].
    pub route: String,
    /// The labels that its alerts share.
    pub labels: Labels,
    /// Who is notified.
    pub receiver: String,
}

impl GroupKey {
    /// The group that an alert belongs to on a route.
    pub fn of(route: &Route, labels: &Labels) -> Self {
        Self { route: route.key.clone(), labels: route.group_labels(labels), receiver: route.receiver.clone() }
    }

    /// The key as Alertmanager prints it: `{}/{severity="critical"}:{alertname="X"}`.
    pub fn text(&self) -> String {
        let label = |(name, value): (&str, &str)| format!("{name}={}", quoted(value));
        format!("{}:{{{}}}", self.route, self.labels.iter().map(label).collect::<Vec<_>>().join(", "))
    }

    /// The key of the route in such a text about these labels.
    pub fn route_in<'a>(text: &'a str, labels: &Labels) -> Option<&'a str> {
        let key = Self { route: String::new(), labels: labels.clone(), receiver: String::new() };
        text.strip_suffix(&key.text())
    }

    /// A short name for rows: a hash of the key and the receiver.
    pub fn id(&self) -> String {
        hash(&[&format!("{}:{}", self.route, self.labels), &self.receiver])
    }
}

/// 128 bits of SHA-256 over texts, each ended by a zero byte, in hexadecimal.
pub(crate) fn hash(pieces: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for piece in pieces {
        hasher.update(piece.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a text cannot fail");
        text
    })
}

/// Alerts that are notified together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What makes it.
    pub key: GroupKey,
    /// When it was first made; with the sequence number it names a notification for good.
    pub born_at: Timestamp,
    /// Its alerts, each with the time of its last change between firing and resolved.
    pub members: BTreeMap<Fingerprint, Timestamp>,
    /// Whether it looked at its alerts since it was last without any.
    pub has_flushed: bool,
    /// When it looks at its alerts next.
    pub flush_at: Timestamp,
    /// The number of its last notification; never goes back.
    pub sequence: u64,
    /// What was and is being told to each integration of the receiver, by [`super::Integration::key`].
    pub integrations: BTreeMap<String, IntegrationState>,
}

/// What was and is being told to one integration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntegrationState {
    /// What it was told last.
    pub log: Option<LogEntry>,
    /// What it is about to be told.
    pub intent: Option<Intent>,
    /// Whether a calendar kept something back from it since it was told anything.
    pub out_of_hours: bool,
    /// What its destination calls the message of this occurrence, where it can be changed or answered; forgotten with
    /// the last alert that fires.
    pub reference: Option<String>,
}

/// What an integration was told last: the notification log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Which notification of the group it was.
    pub sequence: u64,
    /// Why it was sent.
    pub reason: Reason,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When the entry is forgotten, should the group have no alerts by then.
    pub expires_at: Timestamp,
    /// The alerts that fired.
    pub firing: BTreeSet<Fingerprint>,
    /// The alerts that had ended.
    pub resolved: BTreeSet<Fingerprint>,
}

/// A notification that was decided and is not known to be delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Which notification of the group it is.
    pub sequence: u64,
    /// Why it is sent.
    pub reason: Reason,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Until when it is tried again; then the group looks anew.
    pub deadline: Timestamp,
    /// How long its log entry is kept.
    pub log_kept: Duration,
    /// How often it was tried, the try that may be under way included.
    pub tries: u32,
    /// Where it stands.
    pub attempt: Attempt,
    /// Whether a try crashed that may have been delivered, of this one or of one that it took the place of.
    pub may_have_arrived: bool,
    /// The alerts that fire.
    pub firing: BTreeSet<Fingerprint>,
    /// The alerts that have ended.
    pub resolved: BTreeSet<Fingerprint>,
}

/// Where an [`Intent`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Somebody is delivering it, or crashed: nobody else tries before this time.
    UnderWay {
        /// When it counts as crashed.
        until: Timestamp,
    },
    /// It failed and is tried again at this time.
    Waiting {
        /// The next try.
        until: Timestamp,
    },
    /// The destination asked to be left alone until this time: nobody tries before, also no new message of the group.
    AskedToWait {
        /// The next try.
        until: Timestamp,
    },
    /// It failed, and is decided anew when the group looks at its alerts next.
    GivenUp,
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The integration.
    pub integration: String,
    /// Which notification of the group.
    pub sequence: u64,
    /// How it failed, if it did.
    pub result: Result<(), Failure>,
    /// What the destination calls the message, where it can be changed later.
    pub reference: Option<String>,
}

/// How a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may succeed later.
    Temporary {
        /// How long the destination asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The destination refused it for good.
    Permanent,
}

impl Group {
    /// A group without alerts.
    pub const fn new(key: GroupKey, now: Timestamp) -> Self {
        Self {
            key,
            born_at: now,
            members: BTreeMap::new(),
            has_flushed: false,
            flush_at: now,
            sequence: 0,
            integrations: BTreeMap::new(),
        }
    }

    /// Takes in an alert after a message about it; `changed` says whether it turned from resolved to firing or back.
    /// Gives whether the group is another one now.
    ///
    /// A firing alert becomes a member. A resolved one that was never a member has nothing to announce.
    ///
    /// # Errors
    /// [`GroupError::Full`] when there is no room for another alert.
    pub fn join(
        &mut self,
        held: &Held,
        changed: bool,
        first_flush: Timestamp,
        now: Timestamp,
    ) -> Result<bool, GroupError> {
        let fingerprint = held.alert.fingerprint();
        let is_member = self.members.contains_key(&fingerprint);
        if is_member && !changed || !is_member && held.alert.is_resolved(now) {
            return Ok(false);
        }
        if !is_member && self.members.len() >= GROUP_ALERTS_MAX {
            return Err(GroupError::Full { group: self.key.text(), limit: GROUP_ALERTS_MAX });
        }
        if self.members.is_empty() {
            self.has_flushed = false;
            self.flush_at = first_flush;
        } else if !is_member && !self.has_flushed {
            self.flush_at = self.flush_at.min(first_flush);
        }
        self.members.insert(fingerprint, held.alert.updated_at);
        Ok(true)
    }

    /// When the group has something to do; `None` while it has no alerts and nothing to deliver.
    pub fn due_at(&self) -> Option<Timestamp> {
        let flush = (!self.members.is_empty()).then_some(self.flush_at);
        let tries = self.intents().filter_map(|intent| match intent.attempt {
            Attempt::UnderWay { until } | Attempt::Waiting { until } | Attempt::AskedToWait { until } => Some(until),
            Attempt::GivenUp => None,
        });
        tries.chain(flush).min()
    }

    /// When a group with nothing left to do can be forgotten: when the last of its log entries is. `None` while it has
    /// something to do.
    pub fn expires_at(&self) -> Option<Timestamp> {
        if self.due_at().is_some() {
            return None;
        }
        let entries = self.integrations.values().filter_map(|state| state.log.as_ref());
        Some(entries.map(|entry| entry.expires_at).max().unwrap_or(self.flush_at))
    }

    /// Notes what came of deliveries, and lets go of alerts that have ended and of which there is nothing more to say.
    ///
    /// An outcome of a notification that is not under way any more changes nothing. `leaving` are the ended alerts with
    /// the time of their last change, as the plan saw them; one that changed since stays.
    pub fn record(&mut self, outcomes: &[Outcome], leaving: &BTreeMap<Fingerprint, Timestamp>, now: Timestamp) {
        for outcome in outcomes {
            if let Some(state) = self.integrations.get_mut(&outcome.integration) {
                state.record(outcome, now);
            }
        }
        if self.intents().next().is_none() {
            self.members.retain(|fingerprint, changed_at| leaving.get(fingerprint) != Some(changed_at));
            let gone = leaving.keys().filter(|fingerprint| !self.members.contains_key(fingerprint));
            for fingerprint in gone {
                // Nobody is told of its end (it is muted, or its receiver does not want to know): should it fire
                // again, it is new.
                for entry in self.integrations.values_mut().filter_map(|state| state.log.as_mut()) {
                    entry.firing.remove(fingerprint);
                }
            }
        }
    }

    pub(super) fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.integrations.values().filter_map(|state| state.intent.as_ref())
    }
}

/// When a group that this alert founds looks at it first: after the group wait; at once, when the alert has been firing
/// for longer than that.
///
/// At once is too early for an alert that others may mute and that nothing mutes yet: it waits for one evaluation of
/// the rules, so that the alert that mutes it can arrive.
pub(crate) fn first_flush(route: &Route, held: &Held, may_be_muted: bool, now: Timestamp) -> Timestamp {
    if held.alert.starts_at + route.group_wait >= now {
        return now + route.group_wait;
    }
    if may_be_muted { now + SETTLE } else { now }
}

impl IntegrationState {
    fn record(&mut self, outcome: &Outcome, now: Timestamp) {
        let Some(mut intent) = self.intent.take_if(|intent| intent.sequence == outcome.sequence) else { return };
        match outcome.result {
            Ok(()) => {
                let still_fires = !intent.firing.is_empty();
                self.reference = outcome.reference.clone().or_else(|| self.reference.take()).filter(|_| still_fires);
                self.log = Some(intent.into_entry(now));
                self.out_of_hours = false;
            }
            Err(Failure::Temporary { retry_after }) => {
                let pause = back_off(intent.tries);
                let asked = retry_after.map(|asked| asked.min(ASKED_MAX)).filter(|asked| *asked > pause);
                intent.attempt = match asked {
                    Some(asked) => Attempt::AskedToWait { until: now + asked },
                    None if now + pause < intent.deadline => Attempt::Waiting { until: now + pause },
                    None => Attempt::GivenUp,
                };
                self.intent = Some(intent);
            }
            Err(Failure::Permanent) => {
                intent.attempt = Attempt::GivenUp;
                self.intent = Some(intent);
            }
        }
    }
}

impl Intent {
    /// The log entry of a notification that was delivered.
    pub(super) fn into_entry(self, now: Timestamp) -> LogEntry {
        LogEntry {
            sequence: self.sequence,
            reason: self.reason,
            sent_at: now,
            expires_at: now + self.log_kept,
            firing: self.firing,
            resolved: self.resolved,
        }
    }
}

/// How long the log entry of a route's group is kept: long enough for the next repetition to see it.
pub(super) fn log_kept(repeat_interval: Duration) -> Duration {
    LOG_KEPT_MAX.min(repeat_interval.saturating_mul(2))
}

/// The pause after so many tries.
fn back_off(tries: u32) -> Duration {
    BACK_OFF_MAX.min(BACK_OFF_FIRST.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!([1, 2, 3, 4, 5, 99].map(|tries| back_off(tries).as_secs()), [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn a_group_is_named_by_its_route_its_labels_and_its_receiver() {
        let labels = Labels::from_pairs([("alertname", "X"), ("job", "a")]).unwrap();
        let key = GroupKey { route: r#"{}/{severity="critical"}"#.to_owned(), labels, receiver: "mail".to_owned() };
        assert_eq!(key.text(), r#"{}/{severity="critical"}:{alertname="X", job="a"}"#);
        let other = GroupKey { receiver: "chat".to_owned(), ..key.clone() };
        assert_ne!(key.id(), other.id());
        assert_eq!(key.id().len(), 32);
        // What PromQL would write in quotes, Alertmanager does not.
        let labels = Labels::from_pairs([("__name__", "up"), ("a.b", "ガ\u{1}\t"), ("room", "'東'")]).unwrap();
        let key = GroupKey { labels: labels.clone(), ..key };
        assert_eq!(key.text(), r#"{}/{severity="critical"}:{__name__="up", a.b="ガ\x01\t", room="'東'"}"#);
        assert_eq!(GroupKey::route_in(&key.text(), &labels), Some(key.route.as_str()));
        assert_eq!(GroupKey::route_in(&key.text(), &Labels::empty()), None);
    }
}
