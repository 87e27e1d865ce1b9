//! Random histories against a tiny reference: messages come twice, late and shuffled, deliveries fail, processes crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// The rule of a host starts or stops to hold.
    Flip(usize),
    /// The rules tell all they know, as they do every minute.
    Publish,
    /// One of the messages under way arrives, chosen by number; it may arrive again later.
    Arrive { index: usize, keep: bool },
    /// Somebody silences a host for so many seconds.
    Silence(usize, u16),
    /// Time passes.
    Pass(u16),
    /// A due group is worked on; some deliveries fail; the process may crash before or after delivering.
    Work { webhook_fails: bool, slack_fails: bool, crash: Crash },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    No,
    BeforeDelivery,
    AfterDelivery,
}

fn step() -> impl Strategy<Value = Step> {
    let crash = prop_oneof![6 => Just(Crash::No), 1 => Just(Crash::BeforeDelivery), 1 => Just(Crash::AfterDelivery)];
    prop_oneof![
        2 => (0..HOSTS.len()).prop_map(Step::Flip),
        3 => Just(Step::Publish),
        6 => (any::<usize>(), prop::bool::weighted(0.3)).prop_map(|(index, keep)| Step::Arrive { index, keep }),
        1 => (0..HOSTS.len(), 1_u16..900).prop_map(|(host, seconds)| Step::Silence(host, seconds)),
        4 => (1_u16..400).prop_map(Step::Pass),
        6 => (prop::bool::weighted(0.2), prop::bool::weighted(0.2), crash)
            .prop_map(|(webhook_fails, slack_fails, crash)| Step::Work { webhook_fails, slack_fails, crash }),
    ]
}

/// A host, and since when its rule held.
type Occurrence = (String, Timestamp);

/// What really holds, and what each integration knows.
struct World {
    bench: Bench,
    now: i64,
    /// Since when each host's rule holds, or since when it does not, with the start of that occurrence.
    rules: BTreeMap<usize, (i64, Option<i64>)>,
    messages: VecDeque<(usize, i64, Option<i64>, i64)>,
    /// The reference: which hosts each integration believes to fire, from the messages it got alone.
    believed: BTreeMap<String, BTreeSet<String>>,
    /// The last message that each integration got: what fires and what has ended, and since when it fired. One that
    /// fires anew is news, even where the end before was never heard of.
    heard: BTreeMap<String, (BTreeSet<Occurrence>, BTreeSet<Occurrence>)>,
    /// Keys of notifications that were recorded as delivered.
    recorded: BTreeSet<String>,
    delivered: BTreeMap<String, String>,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            now: 1000,
            rules: BTreeMap::new(),
            messages: VecDeque::new(),
            believed: BTreeMap::new(),
            heard: BTreeMap::new(),
            recorded: BTreeSet::new(),
            delivered: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Flip(host) => self.flip(*host),
            Step::Publish => self.publish(),
            Step::Arrive { index, keep } => self.arrive(*index, *keep),
            Step::Silence(host, seconds) => self.silence(*host, i64::from(*seconds)),
            Step::Pass(seconds) => self.now += i64::from(*seconds),
            Step::Work { webhook_fails, slack_fails, crash } => self.work(*webhook_fails, *slack_fails, *crash),
        }
    }

    fn flip(&mut self, host: usize) {
        self.now += 1;
        let next = match self.rules.get(&host) {
            Some((start, None)) => (*start, Some(self.now)),
            Some((_, Some(_))) | None => (self.now, None),
        };
        self.rules.insert(host, next);
        self.publish();
    }

    fn silence(&mut self, host: usize, seconds: i64) {
        self.bench.silences.push(Silence {
            id: self.bench.silences.len().to_string(),
            matchers: vec![model::Matcher::equal("host", HOSTS[host])],
            starts_at: secs(self.now),
            ends_at: secs(self.now + seconds),
            updated_at: secs(self.now),
            created_by: "ops".to_owned(),
            comment: String::new(),
            annotations: BTreeMap::new(),
        });
    }

    /// What is decided now tells nothing that is silenced now; what was decided before may still be under way.
    fn check_silences(&self, plan: &Plan) {
        for one in plan.notifications.iter().filter(|one| one.decided_at == secs(self.now)) {
            for held in one.firing.iter().chain(&one.resolved) {
                let by = silenced_by(&self.bench.silences, &held.alert.labels, secs(self.now));
                assert!(by.is_empty(), "{} tells of what {by:?} silence", said(one));
            }
        }
    }

    fn publish(&mut self) {
        self.now += 1;
        for (host, (start, end)) in &self.rules {
            self.messages.push_back((*host, *start, *end, self.now));
        }
    }

    fn arrive(&mut self, index: usize, keep: bool) {
        if self.messages.is_empty() {
            return;
        }
        let index = index % self.messages.len();
        let (host, start, end, sent) = self.messages[index];
        if !keep {
            self.messages.remove(index);
        }
        self.tell(host, start, end, sent);
    }

    /// A message arrives now that was sent earlier.
    fn tell(&mut self, host: usize, start: i64, end: Option<i64>, sent: i64) {
        let labels = Labels::from_pairs([("alertname", "cpu"), ("host", HOSTS[host])]).unwrap();
        let alert = Alert {
            labels,
            annotations: BTreeMap::new(),
            starts_at: secs(start),
            ends_at: end.map(secs),
            valid_until: None,
            generator_url: String::new(),
            updated_at: secs(sent),
        };
        let bench = &mut self.bench;
        let fingerprint = alert.fingerprint();
        let arrival = Arrival::of(bench.alerts.get(&fingerprint), Held::of_rule(alert), secs(self.now));
        bench.alerts.insert(fingerprint, arrival.held.clone());
        let first = secs(self.now) + bench.config.route.group_wait;
        bench.group.join(&arrival.held, arrival.turned, first, secs(self.now)).unwrap();
        bench.group = Group::decode(&bench.group.encode()).unwrap();
    }

    fn work(&mut self, webhook_fails: bool, slack_fails: bool, crash: Crash) {
        let plan = self.bench.plan(self.now);
        self.check_silences(&plan);
        self.bench.group = plan.group.clone();
        if crash == Crash::BeforeDelivery && !plan.notifications.is_empty() {
            return;
        }
        let mut outcomes = Vec::new();
        for one in &plan.notifications {
            let fails = if one.integration.key == "webhook/0" { webhook_fails } else { slack_fails };
            if !fails {
                self.deliver(one);
            }
            let result = if fails { Err(Failure::Temporary { retry_after: None }) } else { Ok(()) };
            outcomes.push(Outcome {
                integration: one.integration.key.clone(),
                sequence: one.sequence,
                result,
                reference: None,
            });
        }
        if crash == Crash::AfterDelivery && !plan.notifications.is_empty() {
            return;
        }
        self.bench.group.record(&outcomes, &plan.leaving, secs(self.now));
        let done = plan.notifications.iter().zip(&outcomes).filter(|(_, outcome)| outcome.result.is_ok());
        self.recorded.extend(done.map(|(one, _)| one.idempotency_key.clone()));
    }

    fn deliver(&mut self, one: &Notification) {
        let key = &one.idempotency_key;
        assert!(!self.recorded.contains(key), "{} was delivered and recorded before", said(one));
        let text = said(one);
        let before = self.delivered.insert(key.clone(), text.clone());
        assert!(before.as_ref().is_none_or(|before| *before == text), "one key, two messages: {before:?} and {text}");
        if before.is_some() {
            return; // The destination drops what carries a key that it saw.
        }
        let occurrences = |alerts: &[Held]| -> BTreeSet<Occurrence> {
            let of = |held: &Held| (held.alert.labels.get("host").unwrap().to_owned(), held.alert.starts_at);
            alerts.iter().map(of).collect()
        };
        let message = (occurrences(&one.firing), occurrences(&one.resolved));
        let firing = message.0.iter().map(|(host, _)| host.clone()).collect();
        self.believed.insert(one.integration.key.clone(), firing);
        let before = self.heard.insert(one.integration.key.clone(), message.clone());
        // An end under a silence is told to nobody; a message from before it may then bring the alert back.
        let ends_are_told = one.integration.send_resolved && self.bench.silences.is_empty();
        if one.reason != Reason::RepeatIntervalElapsed && ends_are_told {
            assert_ne!(before, Some(message), "{text}: it tells nothing new");
        }
    }

    /// Everything arrives, nothing fails any more: after its clocks everybody knows what holds.
    fn settle(&mut self) {
        self.publish();
        while !self.messages.is_empty() {
            self.arrive(0, false);
        }
        for _ in 0..80 {
            self.now += 25;
            self.work(false, false, Crash::No);
        }
        let holds: BTreeSet<String> =
            self.rules.iter().filter(|(_, (_, end))| end.is_none()).map(|(host, _)| HOSTS[*host].to_owned()).collect();
        let believed = |key: &str| self.believed.get(key).cloned().unwrap_or_default();
        assert!(believed("webhook/0").is_superset(&holds), "the webhook knows all that fires");
        if self.bench.silences.is_empty() {
            // What ended under a silence is told to nobody.
            assert_eq!(believed("webhook/0"), holds, "the webhook knows what fires");
        }
        assert!(believed("slack/0").is_superset(&holds), "slack knows all that fires");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_firing_stays_unannounced_and_nothing_is_announced_twice(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}
