//! What becomes of an alert that nobody answers, minute by minute.

use std::collections::BTreeSet;

use model::Timestamp;

use super::super::{Escalation, EscalationError, EscalationKey, Event, OnCall, PageTarget, Record, step};
use super::read;
use crate::Fingerprint;
use crate::notify::{self, Config, Failure};

pub(super) const FILE: &str = "people:
  aiko: { contacts: [{ sms: '+819012345678' }, { email: aiko@example.com }] }
  ben: { contacts: [{ email: ben@example.com }] }
teams: { operations: { on-call: [{ person: aiko }], administrator: [{ person: ben }] } }
escalation:
  critical:
    respond_within: 15m
    tiers: [{ after: 0s, duties: [on-call] }, { after: 15m, duties: [administrator] }]
  warning:
    respond_within: 1h
    tiers: [{ after: 4h, duties: [on-call, administrator], receivers: [critical] }]
  info: { respond_within: 24h, digest_after: 24h }
  page: { tiers: [{ after: 0s, duties: [on-call], receivers: [critical, pager, quiet] }] }
";
const ROUTES: &str = "route: { receiver: critical }
receivers:
  - { name: critical, webhook_configs: [{ url: 'http://pager.example/' }] }
  - { name: pager, pagerduty_configs: [{ routing_key: k }], opsgenie_configs: [{ api_key: k }] }
  - { name: quiet, pagerduty_configs: [{ routing_key: k, send_resolved: false }] }
";

pub(super) fn routes() -> Config {
    notify::parse("alertmanager.yml", ROUTES).unwrap()
}

const A: Fingerprint = Fingerprint(1);
const B: Fingerprint = Fingerprint(2);

struct World {
    on_call: OnCall,
    config: Config,
    escalation: Escalation,
    records: Vec<String>,
}

const fn secs(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

impl World {
    fn new(severity: &str) -> Self {
        let key = EscalationKey { team: "operations".into(), severity: severity.into(), name: "cpu".into() };
        Self { on_call: read(FILE), config: routes(), escalation: Escalation::new(key, secs(0)), records: Vec::new() }
    }

    fn due(&self) -> Option<i64> {
        self.escalation.due_at(&self.on_call.policies[&self.escalation.key.severity]).map(|at| at.as_millis() / 1000)
    }

    fn apply(&mut self, event: Event<'_>, now: i64) -> Result<Vec<String>, EscalationError> {
        let done = step(&self.escalation, event, &self.on_call, &self.config, secs(now))?;
        assert_eq!(Escalation::decode(&done.escalation.encode()).unwrap(), done.escalation);
        self.escalation = done.escalation;
        let text = |record: &Record| match record {
            Record::Acknowledged { alert, by, after } => format!("{} acked by {by} after {}", alert.0, after.as_secs()),
            Record::Assigned { alert, to, by } => format!("{} to {to} by {by}", alert.0),
            Record::Escalated { alert, by } => format!("{} escalated by {by}", alert.0),
            Record::Breached { alert, promised } => format!("{} breached {}", alert.0, promised.as_secs()),
            Record::Called { alert, tier, targets } => format!("{} tier {tier} calls {targets}", alert.0),
        };
        self.records = done.records.iter().map(text).collect();
        Ok(done.calls.iter().map(|(page, target)| format!("{page}:{}", target.text())).collect())
    }

    fn fires(&mut self, alert: Fingerprint, now: i64) {
        self.apply(Event::Fires { alert, starts_at: secs(now) }, now).unwrap();
    }

    fn look(&mut self, firing: &[Fingerprint], muted: &[Fingerprint], now: i64) -> Vec<String> {
        let (firing, muted) = (firing.iter().copied().collect(), muted.iter().copied().collect());
        let calls = self.apply(Event::Look { firing: &firing, muted: &muted }, now).unwrap();
        self.escalation.pages.clone().iter().for_each(|page| {
            for call in &page.tries {
                if calls.contains(&format!("{}:{}", page.sequence, call.target.text())) {
                    self.called(page.sequence, &call.target, Ok(()), now);
                }
            }
        });
        calls
    }

    fn called(&mut self, sequence: u64, target: &PageTarget, result: Result<(), Failure>, now: i64) {
        let records = std::mem::take(&mut self.records);
        self.apply(Event::Called { sequence, target, result: &result }, now).unwrap();
        self.records = records;
    }
}

fn set(alerts: &[Fingerprint]) -> BTreeSet<Fingerprint> {
    alerts.iter().copied().collect()
}

#[test]
fn a_critical_alert_calls_at_once_and_again_after_a_quarter_of_an_hour() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    world.fires(B, 5);
    assert_eq!(world.due(), Some(10));
    assert_eq!(world.look(&[A, B], &[], 10), ["1:aiko/0", "1:aiko/1"], "both alerts are one call");
    assert_eq!(world.records, ["1 tier 0 calls 2", "2 tier 0 calls 2"]);
    assert_eq!(world.due(), Some(910));
    assert_eq!(world.look(&[A, B], &[], 910), ["2:ben/0"]);
    assert_eq!(world.records, ["1 breached 900", "2 breached 900", "1 tier 1 calls 1", "2 tier 1 calls 1"]);
    assert!(world.look(&[A, B], &[], 5000).is_empty(), "there is nobody else");
}

#[test]
fn an_answer_ends_it_and_says_how_long_it_took() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    world.look(&[A], &[], 10);
    world.apply(Event::Acknowledged { alerts: &set(&[A, B]), by: "aiko" }, 310).unwrap();
    assert_eq!(world.records, ["1 acked by aiko after 300"]);
    world.apply(Event::Acknowledged { alerts: &set(&[A]), by: "ben" }, 320).unwrap();
    assert!(world.records.is_empty(), "the first answer counts");
    assert!(world.look(&[A], &[], 910).is_empty());
    world.look(&[], &[], 1000);
    assert_eq!(world.due(), None, "nothing is left");
    world.fires(A, 2000);
    assert_eq!(world.look(&[A], &[], 2010), ["2:aiko/0", "2:aiko/1"], "another occurrence is another matter");
}

#[test]
fn whoever_else_was_called_is_told_of_an_answer_once() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    world.look(&[A], &[], 10);
    world.look(&[A], &[], 910);
    world.apply(Event::Acknowledged { alerts: &set(&[A]), by: "ben" }, 1000).unwrap();
    assert_eq!(world.due(), Some(1000));
    assert_eq!(world.look(&[A], &[], 1001), ["3:aiko/0", "3:aiko/1"], "but not who answered");
    assert!(world.look(&[A], &[], 1100).is_empty());
    world.apply(Event::Acknowledged { alerts: &set(&[A]), by: "aiko" }, 1200).unwrap();
    assert!(world.look(&[A], &[], 1201).is_empty(), "the first answer counts");
    // Of another occurrence those who were called before know nothing.
    world.look(&[], &[], 2000);
    world.fires(A, 3000);
    world.apply(Event::Acknowledged { alerts: &set(&[A]), by: "ben" }, 3005).unwrap();
    assert!(world.look(&[A], &[], 3010).is_empty());
}

#[test]
fn an_incident_is_acknowledged_when_all_is_answered_and_closed_when_all_is_over() {
    let mut world = World::new("page");
    let pager = |page: u64| {
        ["opsgenie/0", "pagerduty/0"].map(|integration| format!("{page}:receiver pager/{integration}")).to_vec()
    };
    let quiet = |page: u64| vec![format!("{page}:receiver quiet/pagerduty/0")];
    world.fires(A, 0);
    world.fires(B, 0);
    assert_eq!(world.look(&[A, B], &[], 10).len(), 2 + 1 + 2 + 1);
    world.apply(Event::Acknowledged { alerts: &set(&[A]), by: "aiko" }, 20).unwrap();
    assert!(world.look(&[A, B], &[], 21).is_empty(), "nobody has answered the other one");
    world.apply(Event::Acknowledged { alerts: &set(&[B]), by: "aiko" }, 30).unwrap();
    assert_eq!(world.look(&[A, B], &[], 31), [pager(2), quiet(2)].concat());
    assert_eq!(world.due(), Some(91), "the end is seen soon");
    assert!(world.look(&[B], &[], 3700).is_empty(), "one still fires");
    assert_eq!(world.look(&[], &[], 7400), pager(3));
    assert_eq!(world.due(), None);
    // Of a call whose end is unknown the incident may stand.
    world.fires(A, 8000);
    let firing = set(&[A]);
    world.apply(Event::Look { firing: &firing, muted: &set(&[]) }, 8010).unwrap();
    assert_eq!(world.look(&[], &[], 8100), pager(5));
}

#[test]
fn an_incident_stays_open_while_something_fires_again() {
    let mut world = World::new("page");
    world.fires(A, 0);
    world.look(&[A], &[], 10);
    let closing = world.apply(Event::Look { firing: &set(&[]), muted: &set(&[]) }, 20).unwrap();
    assert_eq!(closing.len(), 2, "the service does not answer");
    world.fires(B, 30);
    let called = world.look(&[B], &[], 40);
    assert!(called.iter().all(|call| call.starts_with("3:")), "it is not closed now: {called:?}");
    assert_eq!(world.look(&[], &[], 100).len(), 2);
    assert_eq!(world.due(), None);
}

#[test]
fn an_answer_that_is_taken_back_is_told_to_nobody() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    world.look(&[A], &[], 10);
    world.apply(Event::Acknowledged { alerts: &set(&[A]), by: "the page" }, 20).unwrap();
    world.apply(Event::Escalated { alerts: &set(&[A]), by: "the page" }, 21).unwrap();
    assert_eq!(world.look(&[A], &[], 22), ["3:ben/0"]);
}

#[test]
fn whom_a_call_did_not_reach_is_not_told_of_an_answer() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    let firing = set(&[A]);
    let calls = world.apply(Event::Look { firing: &firing, muted: &set(&[]) }, 10).unwrap();
    assert_eq!(calls, ["1:aiko/0", "1:aiko/1"]);
    let contact = |index| PageTarget::Contact { person: "aiko".to_owned(), index };
    world.called(1, &contact(0), Err(Failure::Permanent), 11);
    world.called(1, &contact(1), Ok(()), 11);
    world.apply(Event::Acknowledged { alerts: &firing, by: "ben" }, 20).unwrap();
    assert_eq!(world.look(&[A], &[], 21), ["2:aiko/1"]);
}

#[test]
fn a_call_that_waited_for_hours_is_tried_as_often_as_any_other() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    world.look(&[A], &[], 10);
    let firing = set(&[A]);
    // The tier's time comes, and the alert is muted before the call could be made.
    world.apply(Event::Look { firing: &firing, muted: &set(&[]) }, 910).unwrap();
    let ben = PageTarget::Contact { person: "ben".to_owned(), index: 0 };
    let failed = || Err(Failure::Temporary { retry_after: None });
    world.called(2, &ben, failed(), 911);
    assert!(world.look(&[A], &[A], 1000).is_empty());
    assert!(world.look(&[A], &[A], 9000).is_empty());
    assert_eq!(world.apply(Event::Look { firing: &firing, muted: &set(&[]) }, 9100).unwrap(), ["2:ben/0"]);
    world.called(2, &ben, failed(), 9101);
    assert_eq!(world.look(&[A], &[], 9200), ["2:ben/0"]);
}

#[test]
fn a_warning_breaks_its_promise_after_an_hour_and_rises_after_four() {
    let mut world = World::new("warning");
    world.fires(A, 0);
    assert!(world.look(&[A], &[], 10).is_empty());
    assert_eq!(world.due(), Some(3610));
    assert!(world.look(&[A], &[], 3610).is_empty());
    assert_eq!(world.records, ["1 breached 3600"]);
    let all = ["1:aiko/0", "1:aiko/1", "1:ben/0", "1:receiver critical/webhook/0"];
    assert_eq!(world.look(&[A], &[], 4 * 3600 + 10), all);
}

#[test]
fn an_information_calls_nobody_and_stands_in_the_digest_after_a_day() {
    let mut world = World::new("info");
    world.fires(A, 0);
    assert!(world.look(&[A], &[], 10).is_empty());
    let overdue = |world: &World, now| world.escalation.overdue(&world.on_call.policies["info"], secs(now));
    assert_eq!(overdue(&world, 86_000), set(&[]));
    assert!(world.look(&[A], &[], 86_410).is_empty());
    assert_eq!(overdue(&world, 86_410), set(&[A]));
    let escalated = world.apply(Event::Escalated { alerts: &set(&[A]), by: "ben" }, 86_500);
    assert_eq!(escalated, Err(EscalationError::NoFurtherTier));
    world.apply(Event::Acknowledged { alerts: &set(&[A]), by: "aiko" }, 90_000).unwrap();
    assert_eq!(overdue(&world, 90_001), set(&[]));
}

#[test]
fn a_clock_stands_still_while_its_alert_is_muted() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    assert!(world.look(&[A], &[A], 10).is_empty(), "nobody is called about it");
    assert_eq!(world.look(&[A], &[], 610).len(), 2, "until the mute ends");
    assert!(world.look(&[A], &[A], 910).is_empty());
    assert!(world.look(&[A], &[A], 3000).is_empty());
    assert!(world.look(&[A], &[], 4000).is_empty(), "five minutes are gone, ten are left");
    assert_eq!(world.due(), Some(4600));
    assert_eq!(world.look(&[A], &[], 4600), ["2:ben/0"]);
}

#[test]
fn a_call_that_fails_is_tried_again_and_one_that_crashed_too() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    let firing = set(&[A]);
    let look = Event::Look { firing: &firing, muted: &BTreeSet::new() };
    let sms = PageTarget::Contact { person: "aiko".into(), index: 0 };
    let mail = PageTarget::Contact { person: "aiko".into(), index: 1 };
    assert_eq!(world.apply(look, 10).unwrap().len(), 2);
    world.called(1, &sms, Err(Failure::Temporary { retry_after: None }), 11);
    assert_eq!(world.due(), Some(16));
    assert_eq!(world.apply(look, 16).unwrap(), ["1:aiko/0"]);
    world.called(1, &sms, Err(Failure::Permanent), 17);
    assert_eq!(world.due(), Some(70), "of the mail nothing was heard: it counts as crashed");
    assert_eq!(world.apply(look, 70).unwrap(), ["1:aiko/1"]);
    let key = world.escalation.idempotency_key("default", 1, &mail);
    world.called(1, &mail, Ok(()), 71);
    assert!(world.escalation.pages.is_empty());
    assert_eq!(key, world.escalation.idempotency_key("default", 1, &mail));
    assert_ne!(key, world.escalation.idempotency_key("default", 2, &mail));
    assert_ne!(key, world.escalation.idempotency_key("default", 1, &sms));
}

#[test]
fn alerts_are_given_to_people_and_handed_on() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    world.look(&[A], &[], 10);
    let a = set(&[A]);
    let unknown = world.apply(Event::Assigned { alerts: &a, to: "zoe", by: "aiko" }, 20);
    assert_eq!(unknown, Err(EscalationError::NobodyOfThatName("zoe".into())));
    world.apply(Event::Acknowledged { alerts: &a, by: "aiko" }, 20).unwrap();
    world.apply(Event::Assigned { alerts: &a, to: "ben", by: "aiko" }, 30).unwrap();
    assert_eq!(world.records, ["1 to ben by aiko"]);
    assert_eq!(world.look(&[A], &[], 30), ["2:ben/0"], "who gets it is told, answered or not");
    world.apply(Event::Assigned { alerts: &a, to: "ben", by: "aiko" }, 31).unwrap();
    assert!(world.look(&[A], &[], 32).is_empty(), "once");
    world.apply(Event::Escalated { alerts: &a, by: "ben" }, 40).unwrap();
    assert_eq!(world.records, ["1 escalated by ben", "1 tier 1 calls 1"]);
    assert_eq!(world.look(&[A], &[], 40), ["3:ben/0"]);
    let again = world.apply(Event::Escalated { alerts: &a, by: "ben" }, 50);
    assert_eq!(again, Err(EscalationError::NoFurtherTier));
}

#[test]
fn after_an_outage_every_tier_that_was_missed_is_called() {
    let mut world = World::new("critical");
    world.fires(A, 0);
    world.look(&[A], &[A], 10);
    world.fires(B, 20);
    world.look(&[A, B], &[], 70);
    assert_eq!(world.look(&[A, B], &[], 7200), ["2:ben/0"]);
    assert_eq!(Escalation::decode(&[2]), Err(EscalationError::Unreadable("unknown format version".into())));
}
