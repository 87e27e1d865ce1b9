//! What a group does when it is due.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};

use super::config::{Config, Integration, Receiver, Route};
use super::group::{Attempt, CLAIM, Group, GroupKey, Intent, LogEntry, first_flush, hash, log_kept};
use super::held::Held;
use super::mute::{Heard, Inhibitor, Mute, Silence, mutes};
use super::order::order_of_alerts;
use crate::Fingerprint;

/// How far a muted group looks ahead for the end of its calendars.
const MINUTES_AHEAD_MAX: usize = 24 * 60;

/// Why a notification is sent, in Alertmanager's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing of the group is known to fire yet.
    FirstNotification,
    /// Further alerts of the group fire.
    NewAlertsAdded,
    /// The last alert of the group has ended.
    AllAlertsResolved,
    /// Alerts of the group have ended while others fire.
    SomeAlertsResolved,
    /// Nothing changed for so long that people are reminded.
    RepeatIntervalElapsed,
    /// A calendar muted the group and does no longer.
    MuteEnded,
    /// Somebody has a duty, and is called at once.
    OnCall,
    /// Nobody answered in time, or somebody handed it on.
    Escalated,
    /// Somebody else answered whoever was called.
    Acknowledged,
    /// The alerts were given to whom it is sent.
    Assigned,
    /// Nobody answered for so long that they stand in a list, once a day.
    Digest,
}

impl Reason {
    /// The words, as in the `notification_reason` of a webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstNotification => "first notification",
            Self::NewAlertsAdded => "new alerts added",
            Self::AllAlertsResolved => "all alerts resolved",
            Self::SomeAlertsResolved => "some alerts resolved",
            Self::RepeatIntervalElapsed => "repeat interval elapsed",
            Self::MuteEnded => "mute ended",
            Self::OnCall => "on call",
            Self::Escalated => "escalated",
            Self::Acknowledged => "acknowledged",
            Self::Assigned => "assigned",
            Self::Digest => "unanswered",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an integration is not notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Nothing fires, and it was never told that anything did.
    NothingFires,
    /// It was told all this already; it is reminded at the first look after `repeat_at`.
    NothingNew {
        /// When the repeat interval ends.
        repeat_at: Timestamp,
    },
    /// All alerts are muted; by what, for each.
    Muted(BTreeMap<Fingerprint, Mute>),
    /// It does not want to hear of resolved alerts.
    ResolvedUnwanted,
    /// The notification before this one is still under way.
    UnderWay,
    /// Its destination asked to be left alone.
    AskedToWait {
        /// Until when.
        until: Timestamp,
    },
    /// The configuration has no such route any more, or the receiver has no such integration.
    RouteGone,
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingFires => f.write_str("nothing fires and nothing was announced"),
            Self::NothingNew { .. } => f.write_str("nothing new since the last notification"),
            Self::Muted(all) => {
                let reasons: BTreeSet<String> = all.values().map(ToString::to_string).collect();
                f.write_str(&reasons.into_iter().collect::<Vec<_>>().join("; "))
            }
            Self::ResolvedUnwanted => f.write_str("send_resolved is off"),
            Self::UnderWay => f.write_str("the notification before is still under way"),
            Self::AskedToWait { .. } => f.write_str("the destination asked to be left alone for a while"),
            Self::RouteGone => f.write_str("the route is gone"),
        }
    }
}

/// What was decided about one integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is notified.
    Notify(Reason),
    /// It is notified again of what may not have arrived.
    Again(Reason),
    /// It is not.
    Quiet(Quiet),
}

/// One decision, for the log, the page and the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The integration.
    pub integration: String,
    /// What and why.
    pub verdict: Verdict,
}

/// All that a decision about a group rests on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Whose alerts they are.
    pub tenant: &'a str,
    /// The routes and receivers.
    pub config: &'a Config,
    /// All alerts of the tenant.
    pub alerts: &'a BTreeMap<Fingerprint, Held>,
    /// What mutes among them.
    pub inhibitor: &'a Inhibitor<'a>,
    /// The silences of the tenant.
    pub silences: &'a [Silence],
    /// The moment.
    pub now: Timestamp,
}

impl Input<'_> {
    /// When a group of this route that the alert founds looks at it first.
    pub fn first_flush(&self, route: &Route, held: &Held) -> Timestamp {
        let labels = held.alert.labels.as_ref();
        let is_target = self.config.inhibit_rules.iter().any(|rule| model::matches_all(&rule.target, labels));
        let may_be_muted = is_target && self.inhibitor.source_of(&held.alert.labels).is_none();
        first_flush(route, held, may_be_muted, self.now)
    }
}

/// One message to one integration.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The receiver's name.
    pub receiver: String,
    /// Where to and how.
    pub integration: Integration,
    /// Which notification of the group it is.
    pub sequence: u64,
    /// The same for every try of this notification and for no other.
    pub idempotency_key: String,
    /// Why.
    pub reason: Reason,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Which try it is since the group last looked at its alerts, counted from 1.
    pub tries: u32,
    /// What the destination calls the message of this occurrence that it got before.
    pub reference: Option<String>,
    /// The group's key as Alertmanager prints it.
    pub group_key: String,
    /// The labels that make the group.
    pub group_labels: Labels,
    /// The alerts that fire, in the order in which they are shown.
    pub firing: Vec<Held>,
    /// The alerts that have ended, in the order in which they are shown.
    pub resolved: Vec<Held>,
    /// Who answered, where that is what it tells.
    pub answered_by: Option<String>,
}

impl Notification {
    /// Its alerts in Alertmanager's order, in which those that have ended stand among those that fire; each with whether
    /// it has ended.
    pub fn in_order(&self) -> Vec<(&Held, bool)> {
        let firing = self.firing.iter().map(|held| (held, false));
        let mut alerts: Vec<(&Held, bool)> = firing.chain(self.resolved.iter().map(|held| (held, true))).collect();
        alerts.sort_by(|(one, _), (two, _)| order_of_alerts(&one.alert.labels, &two.alert.labels));
        alerts
    }
}

/// What a due group does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The group as it must be stored before anything is delivered: with the intents, which claim the deliveries.
    pub group: Group,
    /// What to deliver.
    pub notifications: Vec<Notification>,
    /// Why, and why not, for each integration that was looked at.
    pub decisions: Vec<Decision>,
    /// Ended alerts that leave when all is delivered: for [`Group::record`].
    pub leaving: BTreeMap<Fingerprint, Timestamp>,
}

/// The key that is the same for every try of one notification, and never again for another one.
pub fn idempotency_key(tenant: &str, group: &Group, integration: &str, sequence: u64) -> String {
    let born_at = group.born_at.as_millis().to_string();
    hash(&[tenant, &group.key.text(), &group.key.receiver, integration, &born_at, &sequence.to_string()])
}

/// Decides what a group does now: look at its alerts, if its time has come, and try again what failed or crashed.
///
/// A group that is not due comes back as it is. When nothing is to be delivered, the plan's group is final and only to
/// be stored; otherwise [`Group::record`] follows after the deliveries.
pub fn plan(group: &Group, input: &Input<'_>) -> Plan {
    let mut planner = Planner {
        input: *input,
        group: group.clone(),
        notifications: Vec::new(),
        decisions: Vec::new(),
        leaving: BTreeMap::new(),
    };
    let route = input.config.route(&group.key.route, &group.key.receiver);
    match route.and_then(|route| Some((route, input.config.receivers.get(&route.receiver)?))) {
        Some((route, receiver)) => planner.run(route, receiver),
        None => planner.dissolve(),
    }
    if planner.notifications.is_empty() {
        planner.group.record(&[], &planner.leaving, input.now);
    }
    let Planner { group, notifications, decisions, leaving, .. } = planner;
    Plan { group, notifications, decisions, leaving }
}

struct Planner<'a> {
    input: Input<'a>,
    group: Group,
    notifications: Vec<Notification>,
    decisions: Vec<Decision>,
    leaving: BTreeMap<Fingerprint, Timestamp>,
}

impl<'a> Planner<'a> {
    fn run(&mut self, route: &Route, receiver: &Receiver) {
        self.forget(receiver);
        let looks = !self.group.members.is_empty() && self.group.flush_at <= self.input.now;
        for integration in &receiver.integrations {
            self.try_again(receiver, integration, looks);
        }
        if looks {
            self.look(route, receiver);
        }
    }

    /// Forgets integrations that the receiver no longer has.
    ///
    /// Log entries are not forgotten here: a group keeps its own while it has alerts, however long it was not looked
    /// at, and is forgotten as a whole when the last of them expires.
    fn forget(&mut self, receiver: &Receiver) {
        let known = |key: &String| receiver.integrations.iter().any(|integration| integration.key == *key);
        self.group.integrations.retain(|key, _| known(key));
    }

    /// The route is gone: the alerts found their new groups when they were published again.
    fn dissolve(&mut self) {
        self.group.members.clear();
        for (key, state) in &mut self.group.integrations {
            state.intent = None;
            self.decisions.push(Decision { integration: key.clone(), verdict: Verdict::Quiet(Quiet::RouteGone) });
        }
    }

    /// Delivers again what crashed, and what failed and has waited. What failed is left alone when the group looks at
    /// its alerts anyway; what crashed may have arrived and must be told to its end first.
    fn try_again(&mut self, receiver: &Receiver, integration: &Integration, looks: bool) {
        let now = self.input.now;
        let Some(intent) = self.group.integrations.get_mut(&integration.key).and_then(|state| state.intent.as_mut())
        else {
            return;
        };
        let due = match intent.attempt {
            Attempt::UnderWay { until } => until <= now,
            Attempt::Waiting { until } | Attempt::AskedToWait { until } => until <= now && !looks,
            Attempt::GivenUp => false,
        };
        if due {
            // Whoever was at it crashed: before the delivery, or after it.
            intent.may_have_arrived |= matches!(intent.attempt, Attempt::UnderWay { .. });
            intent.attempt = Attempt::UnderWay { until: now + CLAIM };
            intent.tries = intent.tries.saturating_add(1);
            let intent = intent.clone();
            self.decide(integration, Verdict::Again(intent.reason));
            self.notify(receiver, integration, &intent);
        }
    }

    /// Looks at the alerts of the group: mutes, then decides for each integration.
    fn look(&mut self, route: &Route, receiver: &Receiver) {
        let now = self.input.now;
        self.group.has_flushed = true;
        let intervals = self.input.config.intervals_muting(route, now);
        self.group.flush_at = self.next_look(route, !intervals.is_empty());
        let alerts = self.members();
        let muted = mutes(alerts.iter().copied(), self.input.inhibitor, &intervals, self.input.silences, now);
        if !intervals.is_empty() && alerts.iter().any(|held| !held.alert.is_resolved(now)) {
            for integration in &receiver.integrations {
                self.group.integrations.entry(integration.key.clone()).or_default().out_of_hours = true;
            }
        }
        let mut heard = Heard::default();
        for held in &alerts {
            let fingerprint = held.alert.fingerprint();
            let set = if held.alert.is_resolved(now) { &mut heard.resolved } else { &mut heard.firing };
            if !muted.contains_key(&fingerprint) {
                set.insert(fingerprint);
            }
        }
        self.leaving = self.ended(&alerts);
        for integration in &receiver.integrations {
            self.look_for(route, receiver, integration, &heard, &muted);
        }
    }

    /// When the group looks again: after the group interval; earlier, when the calendars that mute it end before.
    fn next_look(&self, route: &Route, is_muted: bool) -> Timestamp {
        let Input { config, now, .. } = self.input;
        let latest = now + route.group_interval;
        if !is_muted {
            return latest;
        }
        // Calendars change at whole minutes.
        let minute = Duration::from_secs(60);
        let first = Timestamp::from_millis((now.as_millis().div_euclid(60_000) + 1) * 60_000);
        let minutes = std::iter::successors(Some(first), |time| Some(*time + minute)).take(MINUTES_AHEAD_MAX);
        let mut minutes = minutes.take_while(|time| *time < latest);
        minutes.find(|time| config.intervals_muting(route, *time).is_empty()).unwrap_or(latest)
    }

    fn look_for(
        &mut self,
        route: &Route,
        receiver: &Receiver,
        integration: &Integration,
        heard: &Heard,
        muted: &BTreeMap<Fingerprint, Mute>,
    ) {
        let now = self.input.now;
        let state = self.group.integrations.entry(integration.key.clone()).or_default();
        if let Some(Attempt::UnderWay { until }) = state.intent.as_ref().map(|intent| intent.attempt) {
            // It hears of what changed since, above all of ended alerts, right after.
            self.group.flush_at = self.group.flush_at.min(until);
            self.leaving.clear();
            return self.decide(integration, Verdict::Quiet(Quiet::UnderWay));
        }
        if let Some(Attempt::AskedToWait { until }) = state.intent.as_ref().map(|intent| intent.attempt)
            && until > now
        {
            // It gets its message then, and what changed since at the look after that.
            self.leaving.clear();
            return self.decide(integration, Verdict::Quiet(Quiet::AskedToWait { until }));
        }
        let failed = state.intent.take();
        if heard.firing.is_empty() && heard.resolved.is_empty() {
            let quiet = if muted.is_empty() { Quiet::NothingFires } else { Quiet::Muted(muted.clone()) };
            return self.decide(integration, Verdict::Quiet(quiet));
        }
        let update = |entry: Option<&LogEntry>| {
            needs_update(entry, heard, integration.send_resolved, route.repeat_interval, now)
        };
        // What may have arrived was perhaps believed: where the log has nothing to say, it decides.
        let believed = failed.clone().filter(|intent| intent.may_have_arrived).map(|intent| intent.into_entry(now));
        let known = after_hours(update(state.log.as_ref()), state.out_of_hours && !heard.firing.is_empty());
        let reason = match known.or_else(|quiet| believed.as_ref().map_or(Err(quiet), |entry| update(Some(entry)))) {
            Ok(reason) => reason,
            Err(quiet) => return self.decide(integration, Verdict::Quiet(quiet)),
        };
        let intent = self.intent(route, reason, heard, failed);
        let to_tell = !heard.firing.is_empty() || integration.send_resolved;
        let verdict = if to_tell { Verdict::Notify(intent.reason) } else { Verdict::Quiet(Quiet::ResolvedUnwanted) };
        self.decide(integration, verdict);
        if to_tell {
            self.notify(receiver, integration, &intent);
        }
        let state = self.group.integrations.entry(integration.key.clone()).or_default();
        if to_tell {
            state.intent = Some(intent);
        } else {
            // Nothing to deliver is delivered at once, so that the log knows that nothing fires.
            state.log = Some(intent.into_entry(now));
            state.out_of_hours = false;
        }
    }

    /// A notification to come; one that failed and says the same goes on under its number.
    fn intent(&mut self, route: &Route, reason: Reason, heard: &Heard, failed: Option<Intent>) -> Intent {
        let now = self.input.now;
        let may_have_arrived = failed.as_ref().is_some_and(|intent| intent.may_have_arrived);
        let same = failed.filter(|intent| intent.firing == heard.firing && intent.resolved == heard.resolved);
        let (sequence, decided_at) = match &same {
            Some(intent) => (intent.sequence, intent.decided_at),
            None => {
                self.group.sequence += 1;
                (self.group.sequence, now)
            }
        };
        Intent {
            sequence,
            reason: same.map_or(reason, |intent| intent.reason),
            decided_at,
            deadline: now + route.group_interval,
            log_kept: log_kept(route.repeat_interval),
            tries: 1,
            attempt: Attempt::UnderWay { until: now + CLAIM },
            may_have_arrived,
            firing: heard.firing.clone(),
            resolved: heard.resolved.clone(),
        }
    }

    /// The alerts of the group; those that are unknown or lead elsewhere by now leave it.
    fn members(&mut self) -> Vec<&'a Held> {
        let Input { config, alerts, .. } = self.input;
        let key = self.group.key.clone();
        let belongs = |held: &Held| {
            let routes = config.routes_of(&held.alert.labels);
            routes.iter().any(|route| GroupKey::of(route, &held.alert.labels) == key)
        };
        self.group.members.retain(|fingerprint, _| alerts.get(fingerprint).is_some_and(belongs));
        self.group.members.keys().filter_map(|fingerprint| alerts.get(fingerprint)).collect()
    }

    /// Those of the alerts that have ended, with the time of their last change.
    fn ended(&self, alerts: &[&Held]) -> BTreeMap<Fingerprint, Timestamp> {
        let ended = alerts.iter().filter(|held| held.alert.is_resolved(self.input.now));
        let fingerprints = ended.map(|held| held.alert.fingerprint());
        fingerprints.filter_map(|one| Some((one, *self.group.members.get(&one)?))).collect()
    }

    fn decide(&mut self, integration: &Integration, verdict: Verdict) {
        self.decisions.push(Decision { integration: integration.key.clone(), verdict });
    }

    fn notify(&mut self, receiver: &Receiver, integration: &Integration, intent: &Intent) {
        let shown = |set: &BTreeSet<Fingerprint>| {
            let mut alerts: Vec<Held> = set.iter().filter_map(|one| self.input.alerts.get(one).cloned()).collect();
            alerts.sort_by(|a, b| order_of_alerts(&a.alert.labels, &b.alert.labels));
            alerts
        };
        let resolved = if integration.send_resolved { shown(&intent.resolved) } else { Vec::new() };
        self.notifications.push(Notification {
            receiver: receiver.name.clone(),
            integration: integration.clone(),
            sequence: intent.sequence,
            idempotency_key: idempotency_key(self.input.tenant, &self.group, &integration.key, intent.sequence),
            reason: intent.reason,
            decided_at: intent.decided_at,
            tries: intent.tries,
            reference: self.group.integrations.get(&integration.key).and_then(|state| state.reference.clone()),
            group_key: self.group.key.text(),
            group_labels: self.group.key.labels.clone(),
            firing: shown(&intent.firing),
            resolved,
            answered_by: None,
        });
    }
}

/// Whether an integration must be told, and why: Alertmanager's table, in its order (`notify/dedup_stage.go`).
fn needs_update(
    entry: Option<&LogEntry>,
    heard: &Heard,
    send_resolved: bool,
    repeat_interval: Duration,
    now: Timestamp,
) -> Result<Reason, Quiet> {
    let Some(entry) = entry else {
        return if heard.firing.is_empty() { Err(Quiet::NothingFires) } else { Ok(Reason::FirstNotification) };
    };
    if !heard.firing.is_subset(&entry.firing) {
        return Ok(if entry.firing.is_empty() { Reason::FirstNotification } else { Reason::NewAlertsAdded });
    }
    if heard.firing.is_empty() {
        return if entry.firing.is_empty() { Err(Quiet::NothingFires) } else { Ok(Reason::AllAlertsResolved) };
    }
    if send_resolved && !heard.resolved.is_subset(&entry.resolved) {
        return Ok(Reason::SomeAlertsResolved);
    }
    let repeat_at = entry.sent_at + repeat_interval;
    if repeat_at < now { Ok(Reason::RepeatIntervalElapsed) } else { Err(Quiet::NothingNew { repeat_at }) }
}

/// What is told anew because a calendar kept it back: also what would be nothing new.
fn after_hours(known: Result<Reason, Quiet>, was_out_of_hours: bool) -> Result<Reason, Quiet> {
    match known {
        Ok(_) | Err(Quiet::NothingNew { .. }) if was_out_of_hours => Ok(Reason::MuteEnded),
        other => other,
    }
}
