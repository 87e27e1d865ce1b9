//! Messages in, rows out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alerting::notify::{Arrival, Group, GroupKey, Held, Inhibitor, Input};
use alerting::oncall::{Event, step};
use alerting::rule::Transition;
use alerting::{Alert, Fingerprint};
use model::{ErrorKind, Labels, TenantId, Timestamp};

use super::dead_letters::is_redrive;
use super::escalate::{self, StoredEscalation};
use super::reply::is_reply;
use super::rows::{self, StoredGroup};
use super::wake::Noting;
use super::{AlertMessage, Desk, Origin, turns};
use crate::ports::{Message, PortResult, WRITE_ROWS_MAX};
use crate::{App, AppError};

/// How often a change that met another one is decided anew.
const TRIES_MAX: usize = 6;
/// Rows of a group in a write: the group, its timer before and after.
const GROUP_ROWS: usize = 3;
/// Rows of an escalation in a write: itself, its timer before and after.
const ESCALATION_ROWS: usize = 3;
/// Most bytes of one write, below what a store takes.
const WRITE_BYTES_TARGET: usize = 2 << 20;

/// What came of a batch of messages.
#[derive(Debug, Default)]
pub struct Received {
    /// How many alerts were taken in.
    pub alerts: usize,
    /// The messages that were not, by id: to be sent again where the kind of the error allows.
    pub failed: Vec<(String, AppError)>,
    /// What is known now of the alerts that were taken in: for [`forward()`](super::forward()).
    pub known: BTreeMap<TenantId, Vec<Alert>>,
}

impl Received {
    /// Nothing was taken in, for one reason that may pass.
    pub(super) fn none(messages: &[Message], reason: &AppError) -> Self {
        let failed = |message: &Message| (message.id.clone(), AppError::Overloaded(reason.to_string()));
        Self { failed: messages.iter().map(failed).collect(), ..Self::default() }
    }
}

/// An alert as an outside sender says it: a Prometheus, vmalert, amtool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentAlert {
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// Text for people.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires; when it ends, or now, where the sender does not say.
    pub starts_at: Option<Timestamp>,
    /// When it ended, or ends unless it is sent again; after the resolve timeout where the sender does not say.
    pub ends_at: Option<Timestamp>,
    /// Where a person can look at the expression.
    pub generator_url: String,
}

impl SentAlert {
    /// Checks it and fills its gaps.
    fn held(self, resolve_timeout: Duration, now: Timestamp) -> Result<Held, String> {
        let pairs = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = Labels::from_pairs(pairs).map_err(|error| format!("invalid label set: {error}"))?;
        if labels.is_empty() {
            return Err("at least one label pair required".to_owned());
        }
        if self.annotations.keys().any(String::is_empty) {
            return Err("invalid annotations: a name is empty".to_owned());
        }
        let times = (self.starts_at, self.ends_at);
        let held = Held::of_sender(labels, self.annotations, times, self.generator_url, resolve_timeout, now);
        if held.alert.ends_at.is_some_and(|end| end < held.alert.starts_at) {
            return Err("start time must be before end time".to_owned());
        }
        Ok(held)
    }
}

/// Takes in alerts of an outside sender. Those that are fine are stored with their groups and timers even if others are
/// not.
///
/// # Errors
/// `Invalid` with all that is wrong with any of them; otherwise when they cannot be stored.
pub async fn take_in(app: &App, tenant: &TenantId, alerts: Vec<SentAlert>, now: Timestamp) -> Result<(), AppError> {
    app.require_config()?;
    let config = app.config();
    let noting = Noting::over(app.ports.state.as_ref());
    let desk = Desk { state: &noting, ..Desk::of(app, &config, now) };
    let resolve_timeout = desk.routes(tenant).resolve_timeout;
    let (mut fine, mut wrong) = (BTreeMap::new(), Vec::new());
    for alert in alerts {
        match alert.held(resolve_timeout, now) {
            // Of two about the same, the later one counts.
            Ok(held) => drop(fine.insert(held.alert.fingerprint(), held)),
            Err(reason) => wrong.push(reason),
        }
    }
    let fine: Vec<Held> = fine.into_values().collect();
    if !fine.is_empty() {
        desk.take_in_surely(tenant, &fine, Origin::Elsewhere).await?;
        noting.wake(app.ports.topic.as_ref(), Timestamp::default(), now).await;
    }
    if wrong.is_empty() { Ok(()) } else { Err(AppError::Invalid(wrong.join("\n"))) }
}

impl Desk<'_> {
    pub(super) async fn receive(&self, messages: &[Message]) -> Received {
        let mut received = Received::default();
        // No alert waits until an answer is said, or an old message told.
        let is_errand = |one: &&Message| is_reply(one) || is_redrive(one);
        let (errands, alerts): (Vec<&Message>, Vec<&Message>) = messages.iter().partition(is_errand);
        for message in alerts.into_iter().chain(errands) {
            let taken = if is_reply(message) {
                self.say(message).await.map(|()| None)
            } else if is_redrive(message) {
                self.redrive_handed(message).await.map(|()| None)
            } else {
                self.receive_one(message).await.map(Some)
            };
            match taken {
                Ok(None) => {}
                Ok(Some((tenant, alerts))) => {
                    received.alerts += alerts.len();
                    received.known.entry(tenant).or_default().extend(alerts);
                }
                Err(error) => {
                    tracing::warn!(message.id = %message.id, %error, "a message was not taken in");
                    received.failed.push((message.id.clone(), error));
                }
            }
        }
        received
    }

    pub(super) async fn receive_one(&self, message: &Message) -> Result<(TenantId, Vec<Alert>), AppError> {
        let invalid = |error: &dyn std::fmt::Display| AppError::Invalid(format!("message of alerts: {error}"));
        let AlertMessage { tenant, alerts, origin } =
            serde_json::from_slice(&message.body).map_err(|error| invalid(&error))?;
        let tenant = TenantId::new(&tenant).map_err(|error| invalid(&error))?;
        let alerts: Vec<Held> = alerts.into_iter().map(Held::of_rule).collect();
        let known = self.take_in_surely(&tenant, &alerts, origin).await?;
        Ok((tenant, known.into_iter().map(|held| held.alert).collect()))
    }

    /// Takes in alerts, again where somebody else was at the same ones. Gives what is known of each then: a message that
    /// comes late changes nothing.
    async fn take_in_surely(&self, tenant: &TenantId, alerts: &[Held], origin: Origin) -> PortResult<Vec<Held>> {
        for _ in 1..TRIES_MAX {
            match self.take_in(tenant, alerts, origin).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                other => return other,
            }
        }
        self.take_in(tenant, alerts, origin).await
    }

    /// Adds alerts to what is known of a tenant, in as few writes as the limits of a write allow; taking in the same
    /// alerts again after a failure changes nothing twice.
    async fn take_in(&self, tenant: &TenantId, messages: &[Held], origin: Origin) -> PortResult<Vec<Held>> {
        let (mut alerts, versions) = self.alerts(tenant).await?;
        let groups = self.groups(tenant, messages).await?;
        let mut arrivals = Vec::with_capacity(messages.len());
        for message in messages {
            let fingerprint = message.alert.fingerprint();
            let known = alerts.get(&fingerprint);
            let arrival = Arrival::of(known, message.clone(), self.now);
            let turns = match origin {
                Origin::Rules => Vec::new(),
                Origin::Elsewhere => turns::of(known, &arrival, self.now),
            };
            alerts.insert(fingerprint, arrival.held.clone());
            arrivals.push((arrival, turns));
        }
        let config = self.routes(tenant);
        let inhibitor = Inhibitor::new(&config.inhibit_rules, &alerts, self.now);
        let input = Input {
            tenant: tenant.as_str(),
            config,
            alerts: &alerts,
            inhibitor: &inhibitor,
            silences: &[],
            now: self.now,
        };
        let escalations = self.escalations(tenant, messages).await?;
        let pending = Pending::default();
        let mut intake = Intake { desk: *self, tenant, input, versions, groups, escalations, pending };
        for (arrival, turns) in &arrivals {
            intake.take(arrival, turns).await?;
        }
        intake.commit().await?;
        Ok(arrivals.into_iter().map(|(arrival, _)| arrival.held).collect())
    }

    /// The groups that the alerts lead to, as far as they exist.
    async fn groups(&self, tenant: &TenantId, messages: &[Held]) -> PortResult<BTreeMap<String, StoredGroup>> {
        let config = self.routes(tenant);
        let ids = messages.iter().flat_map(|held| {
            let labels = &held.alert.labels;
            config.routes_of(labels).into_iter().map(|route| GroupKey::of(route, labels).id())
        });
        let mut groups = BTreeMap::new();
        for id in ids.collect::<BTreeSet<String>>() {
            if let Some(row) = self.state.get(&rows::group_key(tenant, &id), self.now).await? {
                groups.insert(id, StoredGroup::read(&row)?);
            }
        }
        Ok(groups)
    }
}

/// What is known while alerts are taken in.
struct Intake<'a> {
    desk: Desk<'a>,
    tenant: &'a TenantId,
    /// With all alerts as they are after the last message.
    input: Input<'a>,
    versions: BTreeMap<Fingerprint, u64>,
    groups: BTreeMap<String, StoredGroup>,
    escalations: BTreeMap<String, StoredEscalation>,
    pending: Pending,
}

/// What is not written yet.
#[derive(Default)]
struct Pending {
    alerts: BTreeSet<Fingerprint>,
    turns: BTreeMap<Fingerprint, Vec<Transition>>,
    groups: BTreeSet<String>,
    escalations: BTreeSet<String>,
    size_bytes: usize,
}

impl Intake<'_> {
    async fn take(&mut self, arrival: &Arrival, turns: &[Transition]) -> PortResult<()> {
        let joined = self.join(arrival);
        let escalated = self.escalate(arrival);
        let of_alert = usize::from(arrival.changed) * (1 + turns.len());
        self.make_room(of_alert, &joined, escalated.is_some()).await?;
        if arrival.changed {
            let fingerprint = arrival.held.alert.fingerprint();
            self.pending.alerts.insert(fingerprint);
            self.pending.turns.entry(fingerprint).or_default().extend_from_slice(turns);
            self.pending.size_bytes += 4096 * (1 + turns.len());
        }
        for (id, group) in joined {
            if self.pending.groups.insert(id.clone()) {
                self.pending.size_bytes += group.members.len() * 32 + 4096;
            }
            match self.groups.get_mut(&id) {
                Some(stored) => stored.group = group,
                None => drop(self.groups.insert(id, StoredGroup::new(group))),
            }
        }
        if let Some((id, stored)) = escalated {
            if self.pending.escalations.insert(id.clone()) {
                self.pending.size_bytes += stored.escalation.alerts.len() * 160 + 4096;
            }
            self.escalations.insert(id, stored);
        }
        Ok(())
    }

    /// The escalation of an alert that somebody must answer, where it does not know of it yet.
    fn escalate(&self, arrival: &Arrival) -> Option<(String, StoredEscalation)> {
        let (desk, alert) = (&self.desk, &arrival.held.alert);
        if alert.is_resolved(desk.now) {
            return None;
        }
        let on_call = desk.on_call(self.tenant);
        let key = escalate::key_of(on_call, &alert.labels)?;
        let id = key.id();
        let known = self.escalations.get(&id).cloned();
        let mut stored = known.unwrap_or_else(|| StoredEscalation::new(key, desk.now));
        let fingerprint = alert.fingerprint();
        if stored.escalation.watches(fingerprint, alert.starts_at) {
            return None;
        }
        let event = Event::Fires { alert: fingerprint, starts_at: alert.starts_at };
        match step(&stored.escalation, event, on_call, self.input.config, desk.now) {
            Ok(done) => stored.escalation = done.escalation,
            Err(error) => {
                tracing::error!(tenant = %self.tenant, %error, "nobody is called about an alert");
                return None;
            }
        }
        Some((id, stored))
    }

    /// The groups of the alert that it changes, by id.
    fn join(&self, arrival: &Arrival) -> Vec<(String, Group)> {
        let labels = &arrival.held.alert.labels;
        let mut joined = Vec::new();
        for route in self.input.config.routes_of(labels) {
            let key = GroupKey::of(route, labels);
            let id = key.id();
            let known = self.groups.get(&id).map(|stored| stored.group.clone());
            let mut group = known.unwrap_or_else(|| Group::new(key, self.desk.now));
            let first_flush = self.input.first_flush(route, &arrival.held);
            match group.join(&arrival.held, arrival.turned, first_flush, self.desk.now) {
                Ok(true) => joined.push((id, group)),
                Ok(false) => {}
                Err(error) => tracing::error!(tenant = %self.tenant, %error, "an alert is not announced"),
            }
        }
        joined
    }

    /// Writes what is pending when the next alert would make the write too large.
    async fn make_room(
        &mut self,
        of_alert: usize,
        joined: &[(String, Group)],
        with_escalation: bool,
    ) -> PortResult<()> {
        let new_groups = joined.iter().filter(|(id, _)| !self.pending.groups.contains(id)).count();
        let escalations = self.pending.escalations.len() * ESCALATION_ROWS;
        let turns: usize = self.pending.turns.values().map(Vec::len).sum();
        let rows = self.pending.alerts.len() + turns + self.pending.groups.len() * GROUP_ROWS + escalations;
        let more = of_alert + new_groups * GROUP_ROWS + usize::from(with_escalation) * ESCALATION_ROWS;
        if rows > 0 && (rows + more > WRITE_ROWS_MAX || self.pending.size_bytes > WRITE_BYTES_TARGET) {
            self.commit().await?;
        }
        Ok(())
    }

    /// Writes what is pending, in one write; an alert with very many groups of its own takes several.
    async fn commit(&mut self) -> PortResult<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut units = Vec::new();
        for fingerprint in &pending.alerts {
            let held = &self.input.alerts[fingerprint];
            let mut unit = vec![rows::alert_row(self.tenant, held, self.versions.get(fingerprint).copied())];
            unit.extend(turns::rows(self.tenant, *fingerprint, &pending.turns[fingerprint], self.desk.now));
            units.push(unit);
        }
        units.extend(pending.groups.iter().map(|id| self.groups[id].rows(self.tenant)));
        let on_call = self.desk.on_call(self.tenant);
        units.extend(pending.escalations.iter().map(|id| self.escalations[id].rows(self.tenant, on_call)));
        let mut versions = Vec::new();
        while !units.is_empty() {
            let mut count = 0;
            let mut fits = |unit: &Vec<_>| {
                count += unit.len();
                count <= WRITE_ROWS_MAX
            };
            let fitting = units.iter().take_while(|unit| fits(unit)).count();
            let now: Vec<Vec<_>> = units.drain(..fitting).collect();
            let sizes: Vec<usize> = now.iter().map(Vec::len).collect();
            let written = self.desk.state.write(now.into_iter().flatten().collect(), self.desk.now).await?;
            let mut rest = written.as_slice();
            for size in sizes {
                versions.push(rest.first().copied().unwrap_or(0));
                rest = &rest[size..];
            }
        }
        let (of_alerts, rest) = versions.split_at(pending.alerts.len());
        let (of_groups, of_escalations) = rest.split_at(pending.groups.len());
        for (id, version) in pending.escalations.iter().zip(of_escalations) {
            if let Some(stored) = self.escalations.get_mut(id) {
                stored.written(*version, on_call);
            }
        }
        self.versions.extend(pending.alerts.into_iter().zip(of_alerts.iter().copied()));
        for (id, version) in pending.groups.iter().zip(of_groups) {
            if let Some(stored) = self.groups.get_mut(id) {
                stored.written(*version);
            }
        }
        Ok(())
    }
}
