//! One step of an escalation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Timestamp;

use super::super::{OnCall, Policy};
use super::{
    AGAIN, ALERTS_MAX, Answer, Cause, Clock, Escalation, EscalationError, Event, Page, PageTarget, Record, Step, Try,
    Watched,
};
use crate::Fingerprint;
use crate::notify::{Config, Failure, Integration, Target};

/// How long alerts are collected before somebody is called, so that those of one moment are one call and what mutes them
/// can arrive.
const SETTLE: Duration = Duration::from_secs(10);
/// The pause after a call that failed for the first time; it doubles with each further one.
const BACK_OFF_FIRST: Duration = Duration::from_secs(5);
/// How often a call is tried: with the pauses between, for about an hour. Time in which it waits is none of it.
const TRIES_MAX: u32 = 64;
/// How often an escalation in which nothing is due lets go of what has ended; [`AGAIN`] where an incident is to be closed.
const TIDY: Duration = Duration::from_secs(3600);

/// Applies an event to an escalation. Only a look makes calls; every other event changes what the next look finds.
///
/// # Errors
/// When what somebody asks for cannot be done; then nothing changes.
pub fn step(
    escalation: &Escalation,
    event: Event<'_>,
    on_call: &OnCall,
    config: &Config,
    now: Timestamp,
) -> Result<Step, EscalationError> {
    let nothing = Policy { respond_within: None, tiers: Vec::new(), digest_after: None };
    let policy = on_call.policies.get(&escalation.key.severity).unwrap_or(&nothing);
    let step = Step { escalation: escalation.clone(), calls: Vec::new(), records: Vec::new() };
    let mut stepper = Stepper { step, policy, on_call, config, now };
    match event {
        Event::Fires { alert, starts_at } => stepper.fires(alert, starts_at)?,
        Event::Acknowledged { alerts, by } => stepper.acknowledged(alerts, by),
        Event::Assigned { alerts, to, by } => stepper.assigned(alerts, to, by)?,
        Event::Escalated { alerts, by } => stepper.escalated(alerts, by)?,
        Event::Look { firing, muted } => stepper.look(firing, muted),
        Event::Called { sequence, target, result } => stepper.called(sequence, target, result),
    }
    Ok(stepper.step)
}

struct Stepper<'a> {
    step: Step,
    policy: &'a Policy,
    on_call: &'a OnCall,
    config: &'a Config,
    now: Timestamp,
}

impl Stepper<'_> {
    fn fires(&mut self, alert: Fingerprint, starts_at: Timestamp) -> Result<(), EscalationError> {
        let now = self.now;
        let escalation = &mut self.step.escalation;
        if escalation.watches(alert, starts_at) {
            return Ok(());
        }
        if escalation.alerts.is_empty() && escalation.pages.is_empty() {
            escalation.tidy_at = now + TIDY;
        }
        if escalation.alerts.len() >= ALERTS_MAX && !escalation.alerts.contains_key(&alert) {
            return Err(EscalationError::Full);
        }
        // One that joins others which wait for their first look is looked at with them.
        let waiting = escalation.alerts.values().filter_map(|watched| match watched.clock {
            Clock::Paused { elapsed: Duration::ZERO, look_at } if look_at > now => Some(look_at),
            Clock::Paused { .. } | Clock::Running { .. } => None,
        });
        let look_at = waiting.min().unwrap_or(now + SETTLE);
        escalation.alerts.insert(alert, Watched::new(starts_at, look_at));
        // What is still to be said about an occurrence before is over; an incident that is not closed yet goes on.
        for page in &mut escalation.pages {
            page.alerts.remove(&alert);
            if page.cause == Cause::Ended {
                escalation.called.extend(page.tries.drain(..).map(|call| call.target));
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, alerts: &BTreeSet<Fingerprint>, by: &str) {
        let now = self.now;
        let mut answered = BTreeSet::new();
        for (alert, watched) in self.step.escalation.alerts.iter_mut().filter(|(alert, _)| alerts.contains(alert)) {
            if watched.answer.is_none() {
                let after = watched.clock.elapsed(now);
                watched.answer = Some(Answer { by: by.to_owned(), at: now });
                answered.insert(*alert);
                self.step.records.push(Record::Acknowledged { alert: *alert, by: by.to_owned(), after });
            }
        }
        // An incident is about all alerts together.
        let is_whole = self.step.escalation.alerts.values().all(|watched| watched.answer.is_some());
        let is_told = |target: &&PageTarget| match target {
            PageTarget::Contact { person, .. } => person != by,
            PageTarget::Receiver { .. } => is_whole,
        };
        let others = self.step.escalation.called.iter().filter(is_told).cloned().collect();
        self.page(Cause::Acknowledged { by: by.to_owned() }, answered, others);
    }

    fn assigned(&mut self, alerts: &BTreeSet<Fingerprint>, to: &str, by: &str) -> Result<(), EscalationError> {
        if !self.on_call.people.contains_key(to) {
            return Err(EscalationError::NobodyOfThatName(to.to_owned()));
        }
        let mut given = BTreeSet::new();
        for (alert, watched) in self.step.escalation.alerts.iter_mut().filter(|(alert, _)| alerts.contains(alert)) {
            if watched.assigned_to.as_deref() != Some(to) {
                watched.assigned_to = Some(to.to_owned());
                given.insert(*alert);
                let (to, by) = (to.to_owned(), by.to_owned());
                self.step.records.push(Record::Assigned { alert: *alert, to, by });
            }
        }
        let targets = self.contacts([to]);
        self.page(Cause::Assigned, given, targets);
        Ok(())
    }

    fn escalated(&mut self, alerts: &BTreeSet<Fingerprint>, by: &str) -> Result<(), EscalationError> {
        let now = self.now;
        let mut by_tier: BTreeMap<usize, BTreeSet<Fingerprint>> = BTreeMap::new();
        for (alert, watched) in self.step.escalation.alerts.iter_mut().filter(|(alert, _)| alerts.contains(alert)) {
            if watched.tiers_called >= self.policy.tiers.len() {
                continue;
            }
            by_tier.entry(watched.tiers_called).or_default().insert(*alert);
            watched.tiers_called += 1;
            // Whoever answered hands it on: the clocks of what follows run from here.
            if watched.answer.take().is_some() {
                watched.clock = Clock::Running { since: now };
            }
            self.step.records.push(Record::Escalated { alert: *alert, by: by.to_owned() });
        }
        if by_tier.is_empty() {
            return Err(EscalationError::NoFurtherTier);
        }
        for (tier, alerts) in by_tier {
            self.call_tier(tier, alerts, Cause::Escalated(tier));
        }
        Ok(())
    }

    fn look(&mut self, firing: &BTreeSet<Fingerprint>, muted: &BTreeSet<Fingerprint>) {
        let now = self.now;
        let is_watching = !self.step.escalation.alerts.is_empty();
        let ended = self.step.escalation.alerts.extract_if(.., |alert, _| !firing.contains(alert));
        let ended: BTreeSet<Fingerprint> = ended.map(|(alert, _)| alert).collect();
        if is_watching && self.step.escalation.alerts.is_empty() {
            self.end(ended);
        }
        let mut by_tier: BTreeMap<usize, BTreeSet<Fingerprint>> = BTreeMap::new();
        for (alert, watched) in &mut self.step.escalation.alerts {
            if watched.answer.is_some() {
                continue;
            }
            watched.clock = watched.clock.looked(muted.contains(alert), now);
            let Clock::Running { .. } = watched.clock else { continue };
            let elapsed = watched.clock.elapsed(now);
            if let Some(promised) = self.policy.respond_within.filter(|promised| elapsed >= *promised)
                && !watched.is_breached
            {
                watched.is_breached = true;
                self.step.records.push(Record::Breached { alert: *alert, promised });
            }
            while self.policy.tiers.get(watched.tiers_called).is_some_and(|tier| tier.after <= elapsed) {
                by_tier.entry(watched.tiers_called).or_default().insert(*alert);
                watched.tiers_called += 1;
            }
        }
        for (tier, alerts) in by_tier {
            self.call_tier(tier, alerts, Cause::Tier(tier));
        }
        self.drop_pages();
        self.claim(muted);
        let has_incident = self.step.escalation.called.iter().any(|target| self.incident(target).is_some());
        self.step.escalation.tidy_at = now + if has_incident { AGAIN } else { TIDY };
    }

    /// Nothing fires any more: incidents that may stand are closed.
    fn end(&mut self, ended: BTreeSet<Fingerprint>) {
        let called = std::mem::take(&mut self.step.escalation.called);
        let closed = called.into_iter().filter(|target| self.incident(target).is_some_and(|one| one.send_resolved));
        self.page(Cause::Ended, ended, closed.collect());
    }

    /// The integration of a target that keeps an incident open until it is told otherwise.
    fn incident(&self, target: &PageTarget) -> Option<&Integration> {
        let PageTarget::Receiver { name, integration } = target else { return None };
        let found = self.config.receivers.get(name)?.integrations.iter().find(|one| one.key == *integration)?;
        matches!(found.target, Target::PagerDuty(_) | Target::Opsgenie(_)).then_some(found)
    }

    /// Calls about what has ended, or was answered, are not made any more; nor is an answer told that was taken back.
    fn drop_pages(&mut self) {
        let Escalation { alerts, pages, .. } = &mut self.step.escalation;
        for page in pages.iter_mut() {
            let concerns = |alert: &Fingerprint| match (alerts.get(alert), &page.cause) {
                (known, Cause::Ended) => known.is_none(),
                (None, _) => false,
                (Some(watched), Cause::Tier(_) | Cause::Escalated(_)) => watched.answer.is_none(),
                (Some(watched), Cause::Acknowledged { .. }) => watched.answer.is_some(),
                (Some(_), Cause::Assigned) => true,
            };
            page.alerts = page.alerts.iter().copied().filter(concerns).collect();
        }
        pages.retain(|page| !page.alerts.is_empty() && !page.tries.is_empty());
    }

    /// Claims every call whose turn it is. One about nothing but muted alerts waits, unless a person wants it.
    fn claim(&mut self, muted: &BTreeSet<Fingerprint>) {
        let now = self.now;
        for page in &mut self.step.escalation.pages {
            let waits = matches!(page.cause, Cause::Tier(_)) && page.alerts.is_subset(muted);
            for call in page.tries.iter_mut().filter(|call| call.next_ms <= now.as_millis()) {
                call.next_ms = (now + AGAIN).as_millis();
                if waits {
                    continue;
                }
                call.count += 1;
                self.step.calls.push((page.sequence, call.target.clone()));
            }
        }
        // An incident may stand from the first try on, whatever becomes known of it.
        let page = |sequence: &u64| self.step.escalation.page(*sequence);
        let calls = self.step.calls.iter().filter(|(number, _)| page(number).is_some_and(|page| page.cause.is_call()));
        let incidents = calls.map(|(_, target)| target).filter(|target| self.incident(target).is_some());
        let incidents: Vec<PageTarget> = incidents.cloned().collect();
        self.step.escalation.called.extend(incidents);
    }

    fn called(&mut self, sequence: u64, target: &PageTarget, result: &Result<(), Failure>) {
        let now = self.now;
        let Some(page) = self.step.escalation.pages.iter_mut().find(|page| page.sequence == sequence) else { return };
        // Other receivers, such as a channel, have nothing to close.
        if page.cause.is_call() && result.is_ok() && matches!(target, PageTarget::Contact { .. }) {
            self.step.escalation.called.insert(target.clone());
        }
        let is_over = page.tries.iter().any(|call| call.target == *target && call.count >= TRIES_MAX);
        let is_settled = is_over || matches!(result, Ok(()) | Err(Failure::Permanent));
        if is_settled {
            page.tries.retain(|call| call.target != *target);
        }
        let retry_after = match result {
            Err(Failure::Temporary { retry_after }) => retry_after.unwrap_or_default(),
            Ok(()) | Err(Failure::Permanent) => Duration::ZERO,
        };
        for call in page.tries.iter_mut().filter(|call| call.target == *target) {
            call.next_ms = (now + back_off(call.count).max(retry_after)).as_millis();
        }
        self.step.escalation.pages.retain(|page| !page.tries.is_empty());
    }

    fn call_tier(&mut self, tier: usize, alerts: BTreeSet<Fingerprint>, cause: Cause) {
        let Some(wanted) = self.policy.tiers.get(tier) else { return };
        let people = self.on_call.people_of(&self.step.escalation.key.team, &wanted.duties, self.now);
        let mut targets = self.contacts(people);
        for name in &wanted.receivers {
            let integrations = self.config.receivers.get(name).map_or(&[][..], |receiver| &receiver.integrations);
            targets.extend(
                integrations.iter().map(|integration| PageTarget::Receiver {
                    name: name.clone(),
                    integration: integration.key.clone(),
                }),
            );
        }
        let count = targets.len();
        let records = alerts.iter().map(|alert| Record::Called { alert: *alert, tier, targets: count });
        self.step.records.extend(records);
        self.page(cause, alerts, targets);
    }

    fn contacts<'b>(&self, people: impl IntoIterator<Item = &'b str>) -> Vec<PageTarget> {
        let contacts = |person: &'b str| {
            let count = self.on_call.people.get(person).map_or(0, |known| known.contacts.len());
            (0..count).map(move |index| PageTarget::Contact { person: person.to_owned(), index })
        };
        people.into_iter().flat_map(contacts).collect()
    }

    fn page(&mut self, cause: Cause, alerts: BTreeSet<Fingerprint>, targets: Vec<PageTarget>) {
        if alerts.is_empty() || targets.is_empty() {
            return;
        }
        let now = self.now;
        let escalation = &mut self.step.escalation;
        escalation.sequence += 1;
        let tries = targets.into_iter().map(|target| Try { target, count: 0, next_ms: now.as_millis() }).collect();
        escalation.pages.push(Page { sequence: escalation.sequence, cause, decided_at: now, alerts, tries });
    }
}

/// The pause after so many tries.
fn back_off(count: u32) -> Duration {
    AGAIN.min(BACK_OFF_FIRST.saturating_mul(1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX)))
}
