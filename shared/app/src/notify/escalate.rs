//! Escalations: due rows in, calls out: claim, deliver, record, as with groups.
//!
//! Partition `e#<tenant>`, sort key: the hash of team, severity and name. A timer says when an escalation has something to
//! do; one that comes at another time than the escalation needs is a look that finds nothing.

use std::collections::{BTreeMap, BTreeSet};

use alerting::Fingerprint;
use alerting::notify::{
    Email, Held, Http, Inhibitor, Integration, Notification, Reason, Sns, SnsTarget, Target, Webhook, silenced_by,
};
use alerting::oncall::{
    Cause, Contact, Escalation, EscalationKey, Event, OnCall, Page, PageTarget, Record, Step, step,
};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use model::{ErrorKind, Labels, TenantId, Timestamp};

use super::acts::Act;
use super::deliver::Delivered;
use super::due::{Loaded, RECORD_TRIES_MAX, Ran, is_worth_another_try};
use super::rows::{self, Timer};
use super::{Desk, digest, history, links};
use crate::ports::{Expect, PortError, PortResult, Row, RowKey, RowRange, RowWrite, WRITE_ROWS_MAX, range_all};

/// What the name in a timer of an escalation starts with; a group's is a hash.
pub(super) const TIMER: &str = "e/";
/// Rows that acts may take of one write; more are written after it.
const ACT_ROWS_MAX: usize = 40;
/// Who a mail to a person is from where the Alertmanager configuration names nobody.
const FROM: &str = "Mihari <mihari@mihari.invalid>";

/// What an alert escalates as; `None` when nothing is promised for its severity.
pub(super) fn key_of(on_call: &OnCall, labels: &Labels) -> Option<EscalationKey> {
    let severity = labels.get("severity").unwrap_or("");
    on_call.policies.contains_key(severity).then(|| any_key_of(on_call, labels))
}

/// What an alert is answered as, promised or not.
pub(super) fn any_key_of(on_call: &OnCall, labels: &Labels) -> EscalationKey {
    let label = |name: &str| labels.get(name).unwrap_or("").to_owned();
    let team = on_call.team_of(labels).to_owned();
    EscalationKey { team, severity: label("severity"), name: label("alertname") }
}

pub(super) fn partition(tenant: &TenantId) -> String {
    format!("e#{tenant}")
}

pub(super) fn row_key(tenant: &TenantId, id: &str) -> RowKey {
    RowKey::new(partition(tenant), id)
}

/// An escalation as it is stored, with what a later write needs to know.
#[derive(Clone, Debug)]
pub(super) struct StoredEscalation {
    pub(super) escalation: Escalation,
    version: Option<u64>,
    /// When its timer is set, as far as today's policy says.
    timer: Option<Timestamp>,
}

impl StoredEscalation {
    pub(super) const fn new(key: EscalationKey, now: Timestamp) -> Self {
        Self { escalation: Escalation::new(key, now), version: None, timer: None }
    }

    pub(super) fn read(row: &Row, on_call: &OnCall) -> PortResult<Self> {
        let escalation = Escalation::decode(&row.value).map_err(|error| rows::corrupt("escalation", error))?;
        Ok(Self { timer: due_at(&escalation, on_call), version: Some(row.version), escalation })
    }

    /// The rows that store the escalation and move its timer; the first one is its own. One that is done is deleted.
    pub(super) fn rows(&self, tenant: &TenantId, on_call: &OnCall) -> Vec<RowWrite> {
        let id = self.escalation.key.id();
        let key = row_key(tenant, &id);
        let due_at = due_at(&self.escalation, on_call);
        let row = match (due_at, self.version) {
            (Some(_), Some(version)) => RowWrite::put(key, Expect::Version(version), self.escalation.encode()),
            (Some(_), None) => RowWrite::put(key, Expect::Absent, self.escalation.encode()),
            (None, Some(version)) => RowWrite::delete(key, Expect::Version(version)),
            (None, None) => return Vec::new(),
        };
        let mut rows = vec![row];
        if due_at != self.timer {
            let timer = |due_at| Timer { due_at, tenant: tenant.clone(), group: format!("{TIMER}{id}") };
            rows.extend(self.timer.map(|due_at| RowWrite::delete(timer(due_at).key(), Expect::Any)));
            rows.extend(due_at.map(|due_at| timer(due_at).row()));
        }
        rows
    }

    /// After its rows were written at this version.
    pub(super) fn written(&mut self, version: u64, on_call: &OnCall) {
        self.version = Some(version).filter(|version| *version > 0);
        self.timer = due_at(&self.escalation, on_call);
    }
}

/// When it has something to do; where its policy is gone, when it lets go of what has ended.
fn due_at(escalation: &Escalation, on_call: &OnCall) -> Option<Timestamp> {
    let nothing = alerting::oncall::Policy { respond_within: None, tiers: Vec::new(), digest_after: None };
    escalation.due_at(on_call.policies.get(&escalation.key.severity).unwrap_or(&nothing))
}

impl Desk<'_> {
    /// The escalations that firing alerts belong to, as far as they exist.
    pub(super) async fn escalations(
        &self,
        tenant: &TenantId,
        alerts: &[Held],
    ) -> PortResult<BTreeMap<String, StoredEscalation>> {
        let on_call = self.on_call(tenant);
        let firing = alerts.iter().filter(|held| !held.alert.is_resolved(self.now));
        let ids: BTreeSet<String> =
            firing.filter_map(|held| key_of(on_call, &held.alert.labels)).map(|key| key.id()).collect();
        let mut found = BTreeMap::new();
        for id in ids {
            if let Some(row) = self.state.get(&row_key(tenant, &id), self.now).await? {
                found.insert(id, StoredEscalation::read(&row, on_call)?);
            }
        }
        Ok(found)
    }

    /// All escalations of a tenant.
    pub(super) async fn all_escalations(&self, tenant: &TenantId) -> PortResult<Vec<StoredEscalation>> {
        let rows = range_all(self.state, RowRange::all(partition(tenant)), self.now).await?;
        let rows = rows.iter().filter(|row| row.key.sort != digest::SORT);
        rows.map(|row| StoredEscalation::read(row, self.on_call(tenant))).collect()
    }

    /// Works on due escalations; what goes wrong is left to their timers.
    pub(super) async fn run_escalations(
        &self,
        tenant: &TenantId,
        timers: &[&Timer],
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> Ran {
        let mut works: FuturesUnordered<_> =
            timers.iter().map(|timer| self.run_escalation_or_leave(tenant, timer, loaded, inhibitor)).collect();
        let mut ran = Ran::default();
        while let Some(done) = works.next().await {
            ran.add(done);
        }
        ran
    }

    async fn run_escalation_or_leave(
        &self,
        tenant: &TenantId,
        timer: &Timer,
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> Ran {
        let id = timer.group.strip_prefix(TIMER).unwrap_or("");
        let done = match id {
            digest::SORT => self.run_digest(tenant, timer, loaded, inhibitor).await,
            _ => self.run_escalation(tenant, id, timer, loaded, inhibitor).await,
        };
        match done {
            Ok(ran) => ran,
            Err(error) if error.kind() == ErrorKind::Conflict => Ran { taken: 1, ..Ran::default() },
            Err(error) => {
                tracing::warn!(%tenant, escalation = id, %error, "an escalation waits for the next run");
                Ran { broken: 1, ..Ran::default() }
            }
        }
    }

    async fn run_escalation(
        &self,
        tenant: &TenantId,
        id: &str,
        timer: &Timer,
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> PortResult<Ran> {
        let on_call = self.on_call(tenant);
        let Some(row) = self.state.get(&row_key(tenant, id), self.now).await? else {
            return self.drop_timer(timer).await.map(|()| Ran::default());
        };
        let mut stored = StoredEscalation::read(&row, on_call)?;
        let (firing, muted) = self.firing_and_muted(&stored.escalation, loaded, inhibitor);
        let look = Event::Look { firing: &firing, muted: &muted };
        let step = self.step(tenant, &stored.escalation, look)?;
        stored.escalation = step.escalation.clone();
        let mut links = Vec::new();
        let calls: Vec<Call> =
            step.calls.iter().filter_map(|call| self.call(tenant, &step, call, &loaded.alerts, &mut links)).collect();
        let mut rows = stored.rows(tenant, on_call);
        let is_moved = due_at(&stored.escalation, on_call) != Some(timer.due_at);
        if is_moved && !rows.iter().any(|row| row.key == timer.key()) {
            rows.push(RowWrite::delete(timer.key(), Expect::Any));
        }
        rows.extend(digest::timer(tenant, on_call, &stored.escalation, self.now));
        rows.extend(links);
        let version = self.write_with_acts(tenant, rows, &step.records, &loaded.alerts).await?;
        stored.written(version, on_call);
        self.make_calls(tenant, stored, calls).await
    }

    /// Which alerts of an escalation fire, and which of them a person or another alert mutes.
    pub(super) fn firing_and_muted(
        &self,
        escalation: &Escalation,
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> (BTreeSet<Fingerprint>, BTreeSet<Fingerprint>) {
        let held = |alert: &Fingerprint| loaded.alerts.get(alert).filter(|held| !held.alert.is_resolved(self.now));
        let firing: BTreeSet<Fingerprint> =
            escalation.alerts.keys().copied().filter(|alert| held(alert).is_some()).collect();
        let is_muted = |alert: &Fingerprint| {
            let labels = held(alert).map(|held| &held.alert.labels);
            labels.is_some_and(|labels| {
                inhibitor.source_of(labels).is_some() || !silenced_by(&loaded.silences, labels, self.now).is_empty()
            })
        };
        let muted = firing.iter().copied().filter(is_muted).collect();
        (firing, muted)
    }

    pub(super) fn step(&self, tenant: &TenantId, escalation: &Escalation, event: Event<'_>) -> PortResult<Step> {
        step(escalation, event, self.on_call(tenant), self.routes(tenant), self.now)
            .map_err(|error| PortError::new(ErrorKind::Invalid, "escalation", error))
    }

    /// Writes rows with what is to be remembered of them; gives the version of the first row.
    pub(super) async fn write_with_acts(
        &self,
        tenant: &TenantId,
        mut rows: Vec<RowWrite>,
        records: &[Record],
        alerts: &BTreeMap<Fingerprint, Held>,
    ) -> PortResult<u64> {
        let mut acts = records.iter().map(|record| Act::of(record, alerts, self.now).row(tenant));
        let room = ACT_ROWS_MAX.min(WRITE_ROWS_MAX.saturating_sub(rows.len()));
        rows.extend(acts.by_ref().take(room));
        let versions = if rows.is_empty() { Vec::new() } else { self.state.write(rows, self.now).await? };
        loop {
            let more: Vec<RowWrite> = acts.by_ref().take(WRITE_ROWS_MAX).collect();
            if more.is_empty() {
                return Ok(versions.first().copied().unwrap_or(0));
            }
            self.state.write(more, self.now).await?;
        }
    }

    async fn make_calls(&self, tenant: &TenantId, stored: StoredEscalation, calls: Vec<Call>) -> PortResult<Ran> {
        if calls.is_empty() {
            return Ok(Ran { groups: 1, ..Ran::default() });
        }
        let deliveries = calls.iter().map(|call| {
            let answer_url = call.path.as_ref().map(|path| format!("{}{path}", self.settings.external_url));
            async move { self.deliver(tenant.as_str(), &call.notification, answer_url.as_deref()).await }
        });
        let delivered: Vec<Delivered> = join_all(deliveries).await;
        self.record_calls(tenant, stored, &calls, &delivered).await?;
        let succeeded = delivered.iter().filter(|one| one.outcome.result.is_ok()).count();
        Ok(Ran { groups: 1, delivered: succeeded, failed: delivered.len() - succeeded, ..Ran::default() })
    }

    /// Writes what came of calls, over whatever others wrote in the meantime.
    async fn record_calls(
        &self,
        tenant: &TenantId,
        claimed: StoredEscalation,
        calls: &[Call],
        delivered: &[Delivered],
    ) -> PortResult<()> {
        let on_call = self.on_call(tenant);
        let mut current = claimed;
        for try_number in 1.. {
            for (call, one) in calls.iter().zip(delivered) {
                let event =
                    Event::Called { sequence: call.sequence, target: &call.target, result: &one.outcome.result };
                current.escalation = self.step(tenant, &current.escalation, event)?.escalation;
            }
            let mut rows = current.rows(tenant, on_call);
            let is_settled = |call: &Call| {
                let page = current.escalation.page(call.sequence);
                !page.is_some_and(|page| page.tries.iter().any(|one| one.target == call.target))
            };
            let settled = calls.iter().zip(delivered).filter(|(call, _)| is_settled(call));
            let history = settled.map(|(call, one)| history::row(tenant, &call.notification, one, self.now));
            rows.extend(history.take(WRITE_ROWS_MAX - rows.len()));
            match self.state.write(rows, self.now).await {
                Ok(_) => return Ok(()),
                Err(error) if try_number < RECORD_TRIES_MAX && is_worth_another_try(error.kind()) => {}
                Err(error) => return Err(error),
            }
            match self.state.get(&row_key(tenant, &current.escalation.key.id()), self.now).await? {
                Some(row) => current = StoredEscalation::read(&row, on_call)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// A call of a step as something to deliver; with the row of its link, where a person is called.
    fn call(
        &self,
        tenant: &TenantId,
        step: &Step,
        (sequence, target): &(u64, PageTarget),
        alerts: &BTreeMap<Fingerprint, Held>,
        links: &mut Vec<RowWrite>,
    ) -> Option<Call> {
        let escalation = &step.escalation;
        let page = escalation.page(*sequence)?;
        let (receiver, integration) = self.integration(tenant, target)?;
        let mut path = None;
        if let PageTarget::Contact { person, .. } = target {
            let link = links::Link::new(tenant, escalation, page, person, self.now);
            let row = link.row(self.key);
            path = Some(link.path(self.key));
            if !links.iter().any(|other| other.key == row.key) {
                links.push(row);
            }
        }
        let tries = page.tries.iter().find(|call| call.target == *target).map_or(1, |call| call.count);
        let about = || page.alerts.iter().filter_map(|alert| alerts.get(alert)).cloned().collect();
        let has_ended = page.cause == Cause::Ended;
        let notification = Notification {
            reference: None,
            receiver,
            integration,
            sequence: *sequence,
            idempotency_key: escalation.idempotency_key(tenant.as_str(), *sequence, target),
            reason: reason(self.on_call(tenant), &escalation.key, page),
            decided_at: page.decided_at,
            tries,
            group_key: format!("on-call/{}:{}", escalation.key.team, labels_of(&escalation.key)),
            group_labels: labels_of(&escalation.key),
            firing: if has_ended { Vec::new() } else { about() },
            resolved: if has_ended { about() } else { Vec::new() },
            answered_by: match &page.cause {
                Cause::Acknowledged { by } => Some(by.clone()),
                Cause::Tier(_) | Cause::Escalated(_) | Cause::Assigned | Cause::Ended => None,
            },
        };
        Some(Call { sequence: *sequence, target: target.clone(), notification, path })
    }

    /// How a target is reached; `None` when it is gone from the configuration.
    fn integration(&self, tenant: &TenantId, target: &PageTarget) -> Option<(String, Integration)> {
        let routes = self.routes(tenant);
        let (person, index) = match target {
            PageTarget::Receiver { name, integration } => {
                let found = routes.receivers.get(name)?.integrations.iter().find(|one| one.key == *integration)?;
                return Some((name.clone(), found.clone()));
            }
            PageTarget::Contact { person, index } => (person, *index),
        };
        let known = self.on_call(tenant).people.get(person)?;
        let contact = known.contacts.get(index)?;
        let target = match contact {
            Contact::Email(to) => {
                let sender = routes.mail_sender.as_ref();
                Target::Email(Box::new(Email {
                    from: sender.map_or_else(|| FROM.to_owned(), |sender| sender.from.clone()),
                    to: vec![to.clone()],
                    smarthost: sender.and_then(|sender| sender.smarthost.clone()),
                    smtp: sender.map(|sender| sender.smtp.clone()).unwrap_or_default(),
                    headers: BTreeMap::new(),
                    html: None,
                    text: None,
                    thread: None,
                }))
            }
            Contact::Sms(number) => Target::Sns(Sns {
                to: SnsTarget::Phone(number.clone()),
                subject: None,
                message: None,
                attributes: BTreeMap::new(),
            }),
            Contact::Webhook(url) => {
                Target::Webhook(Webhook { url: url.clone(), max_alerts: 0, payload: None, http: Http::default() })
            }
        };
        let key = format!("{}/{index}", contact.kind());
        let integration = Integration { key, send_resolved: false, language: known.language, target };
        Some((person.clone(), integration))
    }
}

/// A call that is to be made.
struct Call {
    sequence: u64,
    target: PageTarget,
    notification: Notification,
    /// Where whoever is called answers, below the address of the deployment.
    path: Option<String>,
}

fn reason(on_call: &OnCall, key: &EscalationKey, page: &Page) -> Reason {
    let tiers = on_call.policies.get(&key.severity).map_or(&[][..], |policy| &policy.tiers);
    match page.cause {
        Cause::Assigned => Reason::Assigned,
        Cause::Acknowledged { .. } => Reason::Acknowledged,
        Cause::Ended => Reason::AllAlertsResolved,
        Cause::Tier(tier) if tiers.get(tier).is_some_and(|tier| tier.after.is_zero()) => Reason::OnCall,
        Cause::Tier(_) | Cause::Escalated(_) => Reason::Escalated,
    }
}

/// The labels that the alerts of an escalation share.
fn labels_of(key: &EscalationKey) -> Labels {
    let pairs = [("alertname", &key.name), ("severity", &key.severity), ("team", &key.team)];
    Labels::from_pairs(pairs.map(|(name, value)| (name, value.as_str()))).unwrap_or_default()
}
