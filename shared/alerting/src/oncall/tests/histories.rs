//! Random histories: crashes before and after a write, calls that fail, mutes, answers. Whatever happens, no tier is
//! called twice for an occurrence, none too early, none about what is answered, muted or over, and in the end none is
//! missing, and no incident of a service is left open.

use std::collections::{BTreeMap, BTreeSet};

use model::Timestamp;
use proptest::prelude::*;

use super::super::{Cause, Escalation, EscalationKey, Event, OnCall, PageTarget, step};
use super::read;
use super::steps::{FILE, routes};
use crate::Fingerprint;
use crate::notify::{Config, Failure};

/// What happens at a moment.
#[derive(Clone, Debug)]
enum Happening {
    Fires(u64),
    Ends(u64),
    Mutes(u64),
    Unmutes(u64),
    Answers(u64),
    Passes,
}

/// What goes wrong with a look.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Nothing.
    Fine,
    /// It dies before its write.
    LostBefore,
    /// It dies after its write, before any call.
    LostAfter,
    /// It dies when all calls were made.
    Unrecorded,
    /// The calls fail.
    Failing,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (1..4_u64).prop_map(Happening::Fires),
        1 => (1..4_u64).prop_map(Happening::Ends),
        1 => (1..4_u64).prop_map(Happening::Mutes),
        2 => (1..4_u64).prop_map(Happening::Unmutes),
        1 => (1..4_u64).prop_map(Happening::Answers),
        6 => Just(Happening::Passes),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Fine),
        1 => Just(Fate::LostBefore),
        1 => Just(Fate::LostAfter),
        1 => Just(Fate::Unrecorded),
        1 => Just(Fate::Failing),
    ]
}

/// An alert as the reference model sees it.
#[derive(Clone, Debug)]
struct Alert {
    starts_at: i64,
    is_muted: bool,
    is_answered: bool,
}

struct World {
    on_call: OnCall,
    config: Config,
    stored: Escalation,
    alerts: BTreeMap<u64, Alert>,
    now: i64,
    /// The keys under which a tier called somebody about an occurrence.
    keys: BTreeMap<(u64, i64, usize, PageTarget), BTreeSet<String>>,
    /// Which services have an incident open.
    incidents: BTreeSet<PageTarget>,
    /// What arrived.
    arrived: BTreeSet<(u64, i64, usize, PageTarget)>,
}

impl World {
    fn time(&self) -> Timestamp {
        Timestamp::from_secs(self.now)
    }

    fn apply(&mut self, event: Event<'_>) -> Vec<(u64, PageTarget)> {
        let done = step(&self.stored, event, &self.on_call, &self.config, self.time()).unwrap();
        self.stored = Escalation::decode(&done.escalation.encode()).unwrap();
        done.calls
    }

    fn happens(&mut self, what: &Happening) {
        match *what {
            Happening::Fires(id) => {
                if !self.alerts.contains_key(&id) {
                    let alert = Alert { starts_at: self.now, is_muted: false, is_answered: false };
                    self.alerts.insert(id, alert);
                }
            }
            Happening::Ends(id) => drop(self.alerts.remove(&id)),
            Happening::Mutes(id) => drop(self.alerts.get_mut(&id).map(|alert| alert.is_muted = true)),
            Happening::Unmutes(id) => drop(self.alerts.get_mut(&id).map(|alert| alert.is_muted = false)),
            Happening::Answers(id) => {
                let set = BTreeSet::from([Fingerprint(id)]);
                self.apply(Event::Acknowledged { alerts: &set, by: "aiko" });
                let known = self.stored.alerts.get(&Fingerprint(id));
                let is_answered = known.is_some_and(|watched| watched.answer.is_some());
                if let Some(alert) = self.alerts.get_mut(&id) {
                    alert.is_answered = is_answered;
                }
            }
            Happening::Passes => {}
        }
        // The rules say again and again what fires.
        for (id, alert) in self.alerts.clone() {
            let starts_at = Timestamp::from_secs(alert.starts_at);
            if self.stored.watches(Fingerprint(id), starts_at) {
                continue;
            }
            self.apply(Event::Fires { alert: Fingerprint(id), starts_at });
        }
    }

    fn look(&mut self, fate: Fate) {
        let policy = self.on_call.policies["critical"].clone();
        if self.stored.due_at(&policy).is_none_or(|due| due > self.time()) {
            return;
        }
        let before = self.stored.clone();
        let firing: BTreeSet<Fingerprint> = self.alerts.keys().copied().map(Fingerprint).collect();
        let muted = self.alerts.iter().filter(|(_, alert)| alert.is_muted).map(|(id, _)| Fingerprint(*id)).collect();
        let calls = self.apply(Event::Look { firing: &firing, muted: &muted });
        match fate {
            Fate::LostBefore => self.stored = before,
            Fate::LostAfter => {}
            Fate::Fine | Fate::Unrecorded | Fate::Failing => {
                for (sequence, target) in calls {
                    self.call(sequence, &target, fate);
                }
            }
        }
    }

    fn call(&mut self, sequence: u64, target: &PageTarget, fate: Fate) {
        let page = self.stored.page(sequence).expect("what is called is stored").clone();
        let key = self.stored.idempotency_key("t", sequence, target);
        let tier = match page.cause {
            Cause::Tier(tier) => tier,
            Cause::Acknowledged { ref by } => {
                assert!(by == "aiko" && page.alerts.iter().all(|alert| self.alerts[&alert.0].is_answered), "{page:?}");
                let is_told = |place: &(u64, i64, usize, PageTarget)| place.3 == *target;
                // A service is told as soon as its incident may stand, if only the call was about to be made.
                let was_called = matches!(target, PageTarget::Receiver { .. }) || self.arrived.iter().any(is_told);
                assert!(was_called, "{target:?} was never called");
                assert!(!matches!(target, PageTarget::Contact { person, .. } if person == "aiko"), "aiko knows");
                return self.record(sequence, target, fate);
            }
            Cause::Ended => {
                assert!(self.alerts.is_empty(), "{page:?} closes what fires");
                if !matches!(fate, Fate::Failing) {
                    self.incidents.remove(target);
                }
                return self.record(sequence, target, fate);
            }
            Cause::Escalated(_) | Cause::Assigned => panic!("nobody asked for {page:?}"),
        };
        if matches!(target, PageTarget::Receiver { .. }) && !matches!(fate, Fate::Failing) {
            self.incidents.insert(target.clone());
        }
        let mut is_worth_it = false;
        for id in &page.alerts {
            let alert = &self.alerts[&id.0];
            assert!(!alert.is_answered, "{id} is answered");
            is_worth_it |= !alert.is_muted;
            let after = [0, 900][tier];
            assert!(self.now >= alert.starts_at + after, "tier {tier} of {id} at {} is too early", self.now);
            let place = (id.0, alert.starts_at, tier, target.clone());
            let keys = self.keys.entry(place.clone()).or_default();
            keys.insert(key.clone());
            assert_eq!(keys.len(), 1, "tier {tier} calls twice about {id}");
            if !matches!(fate, Fate::Failing) {
                self.arrived.insert(place);
            }
        }
        assert!(is_worth_it, "all of it is muted");
        self.record(sequence, target, fate);
    }

    fn record(&mut self, sequence: u64, target: &PageTarget, fate: Fate) {
        match fate {
            Fate::Fine => drop(self.apply(Event::Called { sequence, target, result: &Ok(()) })),
            Fate::Failing => drop(self.apply(Event::Called {
                sequence,
                target,
                result: &Err(Failure::Temporary { retry_after: None }),
            })),
            Fate::Unrecorded | Fate::LostBefore | Fate::LostAfter => {}
        }
    }

    fn check_all_arrived(&self) {
        let contact = |person: &str, index| PageTarget::Contact { person: person.to_owned(), index };
        let tiers = [vec![contact("aiko", 0), contact("aiko", 1)], vec![contact("ben", 0)]];
        for (id, alert) in self.alerts.iter().filter(|(_, alert)| !alert.is_answered) {
            for (tier, targets) in tiers.iter().enumerate() {
                for target in targets {
                    let place = (*id, alert.starts_at, tier, target.clone());
                    assert!(self.arrived.contains(&place), "tier {tier} was lost for {id}: {:?}", self.stored);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_tier_is_lost_or_called_twice(history in prop::collection::vec((1..400_i64, happening(), fate()), 1..60)) {
        let key = EscalationKey { team: "operations".into(), severity: "critical".into(), name: "cpu".into() };
        let stored = Escalation::new(key, Timestamp::from_secs(0));
        let paging = FILE.replacen("duties: [on-call] }", "duties: [on-call], receivers: [pager] }", 1);
        let (on_call, config) = (read(&paging), routes());
        let (keys, incidents, arrived) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut world = World { on_call, config, stored, alerts: BTreeMap::new(), now: 0, keys, incidents, arrived };
        for (pause, what, fate) in history {
            world.now += pause;
            world.happens(&what);
            world.look(fate);
        }
        // Then all is well for an hour and a half.
        world.alerts.values_mut().for_each(|alert| alert.is_muted = false);
        for _ in 0..90 {
            world.now += 60;
            world.happens(&Happening::Passes);
            world.look(Fate::Fine);
        }
        world.check_all_arrived();
        // And when nothing fires any more, no incident stays open.
        world.alerts.clear();
        for _ in 0..90 {
            world.now += 60;
            world.look(Fate::Fine);
        }
        prop_assert_eq!(&world.incidents, &BTreeSet::new());
    }
}
