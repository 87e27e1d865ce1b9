//! Random histories against a tiny reference: messages come twice, late, shuffled or never, deliveries fail in every way,
//! processes crash, people silence, alerts inhibit each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Histories that always run, however others are drawn.
const SEEDS: [u8; 4] = [1, 2, 3, 4];

/// What may fire: name, severity, host. By the rules of inhibition critical ones mute warnings of their host; the last
/// one belongs to another group.
const SUBJECTS: [(&str, &str, &str); 5] = [
    ("cpu", "critical", "a"),
    ("cpu", "warning", "a"),
    ("cpu", "warning", "b"),
    ("cpu", "info", "c"),
    ("down", "critical", "b"),
];
const HOSTS: [&str; 3] = ["a", "b", "c"];

/// The longest that an alert waits to be told while everything works: a group interval, the longest that a destination
/// asked for, and the claim of a process that crashed.
const CLOCKS: i64 = 300 + ASKED + 60;
const ASKED: i64 = 200;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// A rule starts or stops to hold.
    Flip(usize),
    /// The rules tell all they know, as they do every minute.
    Publish,
    /// One of the messages under way arrives, chosen by number; it may arrive again later.
    Arrive { index: usize, keep: bool },
    /// One of the messages under way is lost.
    Lose(usize),
    /// Somebody silences a host for so many seconds.
    Silence(usize, u16),
    /// Time passes, and nobody is at work.
    Pass(u16),
    /// Time passes, and the group is worked on whenever it is due.
    Run(u16),
    /// A due group is worked on; some deliveries fail; the process may crash before or after delivering.
    Work { webhook: Delivered, slack: Delivered, crash: Crash },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    No,
    BeforeDelivery,
    AfterDelivery,
}

/// What comes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Delivered {
    Yes,
    NotNow,
    AskedToWait,
    Refused,
}

fn step() -> impl Strategy<Value = Step> {
    let crash = prop_oneof![6 => Just(Crash::No), 1 => Just(Crash::BeforeDelivery), 1 => Just(Crash::AfterDelivery)];
    let delivered = || {
        let failures = [Delivered::NotNow, Delivered::AskedToWait, Delivered::Refused];
        prop_oneof![4 => Just(Delivered::Yes), 1 => prop::sample::select(failures.to_vec())]
    };
    prop_oneof![
        3 => (0..SUBJECTS.len()).prop_map(Step::Flip),
        3 => Just(Step::Publish),
        8 => (any::<usize>(), prop::bool::weighted(0.3)).prop_map(|(index, keep)| Step::Arrive { index, keep }),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => (0..HOSTS.len(), 1_u16..900).prop_map(|(host, seconds)| Step::Silence(host, seconds)),
        2 => (1_u16..400).prop_map(Step::Pass),
        4 => (1_u16..700).prop_map(Step::Run),
        5 => (delivered(), delivered(), crash)
            .prop_map(|(webhook, slack, crash)| Step::Work { webhook, slack, crash }),
    ]
}

/// An alert, and since when its rule held.
type Occurrence = (String, Timestamp);

/// What really holds, and what each integration knows.
struct World {
    bench: Bench,
    now: i64,
    /// Since when each rule holds, or since when it does not, with the start of that occurrence.
    rules: BTreeMap<usize, (i64, Option<i64>)>,
    messages: VecDeque<(usize, i64, Option<i64>, i64)>,
    /// Host, from, until.
    silences: Vec<(&'static str, i64, i64)>,
    /// The reference: which alerts each integration believes to fire, from the messages it got alone.
    believed: BTreeMap<String, BTreeSet<String>>,
    /// The last message that each integration got: what fires and what has ended, and since when it fired. One that
    /// fires anew is news, even where the end before was never heard of.
    heard: BTreeMap<String, (BTreeSet<Occurrence>, BTreeSet<Occurrence>)>,
    /// What left the group since an integration was told of it, and whether it was muted then: should it fire again, it
    /// is new; while it was muted, nobody was told of its end.
    left: BTreeMap<(String, String), bool>,
    /// Since when, with everything at work, an integration has not heard of an alert that fires and that nothing mutes.
    owed: BTreeMap<(String, Occurrence), i64>,
    /// Keys of notifications that were recorded as delivered.
    recorded: BTreeSet<String>,
    delivered: BTreeMap<String, String>,
}

impl World {
    fn new(repeat_interval: &str) -> Self {
        Self {
            bench: Bench::with(&YAML.replace("repeat_interval: 12m", &format!("repeat_interval: {repeat_interval}"))),
            now: 1000,
            rules: BTreeMap::new(),
            messages: VecDeque::new(),
            silences: Vec::new(),
            believed: BTreeMap::new(),
            heard: BTreeMap::new(),
            left: BTreeMap::new(),
            owed: BTreeMap::new(),
            recorded: BTreeSet::new(),
            delivered: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Flip(subject) => self.flip(*subject),
            Step::Publish => self.publish(),
            Step::Arrive { index, keep } => self.arrive(*index, *keep),
            Step::Lose(index) => {
                let index = index % self.messages.len().max(1);
                self.messages.remove(index);
            }
            Step::Silence(host, seconds) => self.silence(HOSTS[*host], i64::from(*seconds)),
            Step::Pass(seconds) => {
                self.now += i64::from(*seconds);
                self.owed.clear();
            }
            Step::Run(seconds) => self.run(i64::from(*seconds)),
            Step::Work { webhook, slack, crash } => {
                self.work(*webhook, *slack, *crash);
                if (*webhook, *slack, *crash) != (Delivered::Yes, Delivered::Yes, Crash::No) {
                    self.owed.clear();
                }
            }
        }
    }

    fn flip(&mut self, subject: usize) {
        self.now += 1;
        let next = match self.rules.get(&subject) {
            Some((start, None)) => (*start, Some(self.now)),
            Some((_, Some(_))) | None => (self.now, None),
        };
        self.rules.insert(subject, next);
        self.publish();
    }

    fn silence(&mut self, host: &'static str, seconds: i64) {
        self.silences.push((host, self.now, self.now + seconds));
        self.bench.silences.push(Silence {
            id: self.bench.silences.len().to_string(),
            matchers: vec![model::Matcher::equal("host", host)],
            starts_at: secs(self.now),
            ends_at: secs(self.now + seconds),
            updated_at: secs(self.now),
            created_by: "ops".to_owned(),
            comment: String::new(),
            annotations: BTreeMap::new(),
        });
    }

    /// Whether an alert is silenced or inhibited now, by the book.
    fn is_muted(&self, labels: &Labels) -> bool {
        let host = labels.get("host").unwrap();
        let is_silenced = self.silences.iter().any(|(of, from, to)| *of == host && (*from..*to).contains(&self.now));
        let mutes = |held: &Held| {
            let label = |name| held.alert.labels.get(name);
            label("severity") == Some("critical") && label("host") == Some(host) && self.fires(held)
        };
        is_silenced || labels.get("severity") == Some("warning") && self.bench.alerts.values().any(mutes)
    }

    fn fires(&self, held: &Held) -> bool {
        held.alert.ends_at.is_none_or(|end| end > secs(self.now))
    }

    /// What is decided now tells nothing that is muted now; what was decided before may still be under way.
    fn check_mutes(&self, plan: &Plan) {
        for one in plan.notifications.iter().filter(|one| one.decided_at == secs(self.now)) {
            for held in one.firing.iter().chain(&one.resolved) {
                assert!(!self.is_muted(&held.alert.labels), "{} tells of {}, which is muted", said(one), name(held));
            }
        }
    }

    fn publish(&mut self) {
        self.now += 1;
        for (subject, (start, end)) in &self.rules {
            self.messages.push_back((*subject, *start, *end, self.now));
        }
    }

    fn arrive(&mut self, index: usize, keep: bool) {
        if self.messages.is_empty() {
            return;
        }
        let index = index % self.messages.len();
        let (subject, start, end, sent) = self.messages[index];
        if !keep {
            self.messages.remove(index);
        }
        self.tell(subject, start, end, sent);
    }

    /// A message arrives now that was sent earlier.
    fn tell(&mut self, subject: usize, start: i64, end: Option<i64>, sent: i64) {
        let (alertname, severity, host) = SUBJECTS[subject];
        let labels = Labels::from_pairs([("alertname", alertname), ("host", host), ("severity", severity)]).unwrap();
        let alert = Alert {
            labels,
            annotations: BTreeMap::new(),
            starts_at: secs(start),
            ends_at: end.map(secs),
            valid_until: None,
            sampled_at: None,
            generator_url: String::new(),
            updated_at: secs(sent),
        };
        let fingerprint = alert.fingerprint();
        let arrival = Arrival::of(self.bench.alerts.get(&fingerprint), Held::of_rule(alert), secs(self.now));
        self.bench.alerts.insert(fingerprint, arrival.held.clone());
        if alertname != "cpu" {
            return;
        }
        let inhibitor = Inhibitor::new(&self.bench.config.inhibit_rules, &self.bench.alerts, secs(self.now));
        let input = self.bench.input(&inhibitor, self.now);
        let first = input.first_flush(&self.bench.config.route, &arrival.held);
        let mut group = self.bench.group.clone();
        group.join(&arrival.held, arrival.turned, first, secs(self.now)).unwrap();
        self.bench.group = Group::decode(&group.encode()).unwrap();
    }

    /// Everything works for a while.
    fn run(&mut self, seconds: i64) {
        let end = self.now + seconds;
        while let Some(due) = self.bench.group.due_at().filter(|due| *due <= secs(end)) {
            self.now = self.now.max(due.as_millis() / 1000);
            self.work(Delivered::Yes, Delivered::Yes, Crash::No);
            self.check_owed();
        }
        self.now = end;
        self.check_owed();
    }

    /// Nothing that fires stays untold beyond its clocks.
    fn check_owed(&mut self) {
        let mut owed = BTreeMap::new();
        for held in self.bench.group.members.keys().filter_map(|member| self.bench.alerts.get(member)) {
            for integration in ["webhook/0", "slack/0"] {
                let is_known = self.believed.get(integration).is_some_and(|known| known.contains(&name(held)));
                let is_news = self.left.contains_key(&(integration.to_owned(), name(held)));
                if is_known && !is_news || !self.fires(held) || self.is_muted(&held.alert.labels) {
                    continue;
                }
                let key = (integration.to_owned(), (name(held), held.alert.starts_at));
                let since = self.owed.get(&key).copied().unwrap_or(self.now);
                assert!(self.now - since <= CLOCKS, "{} waits since {since} at {}", name(held), self.now);
                owed.insert(key, since);
            }
        }
        self.owed = owed;
    }

    fn work(&mut self, webhook: Delivered, slack: Delivered, crash: Crash) {
        let plan = self.bench.plan(self.now);
        self.check_mutes(&plan);
        self.bench.group = plan.group.clone();
        if plan.notifications.is_empty() {
            self.leave(&plan);
        }
        if crash == Crash::BeforeDelivery && !plan.notifications.is_empty() {
            return;
        }
        let mut outcomes = Vec::new();
        for one in &plan.notifications {
            let delivered = if one.integration.key == "webhook/0" { webhook } else { slack };
            let asked = Duration::from_secs(u64::try_from(ASKED).unwrap());
            let result = match delivered {
                Delivered::Yes => Ok(()),
                Delivered::NotNow => Err(Failure::Temporary { retry_after: None }),
                Delivered::AskedToWait => Err(Failure::Temporary { retry_after: Some(asked) }),
                Delivered::Refused => Err(Failure::Permanent),
            };
            if result.is_ok() {
                self.deliver(one);
            }
            let (integration, sequence) = (one.integration.key.clone(), one.sequence);
            outcomes.push(Outcome { integration, sequence, result, reference: None });
        }
        if crash == Crash::AfterDelivery && !plan.notifications.is_empty() {
            return;
        }
        self.bench.group.record(&outcomes, &plan.leaving, secs(self.now));
        self.leave(&plan);
        let done = plan.notifications.iter().zip(&outcomes).filter(|(_, outcome)| outcome.result.is_ok());
        self.recorded.extend(done.map(|(one, _)| one.idempotency_key.clone()));
    }

    /// Notes which ended alerts the group let go of.
    fn leave(&mut self, plan: &Plan) {
        let gone = plan.leaving.keys().filter(|leaving| !self.bench.group.members.contains_key(leaving));
        for held in gone.map(|fingerprint| &self.bench.alerts[fingerprint]) {
            for integration in ["webhook/0", "slack/0"] {
                // What it was not told of before stays untold, whatever came and went since.
                let is_muted = self.is_muted(&held.alert.labels);
                *self.left.entry((integration.to_owned(), name(held))).or_default() |= is_muted;
            }
        }
    }

    fn deliver(&mut self, one: &Notification) {
        let key = &one.idempotency_key;
        assert!(!self.recorded.contains(key), "{} was delivered and recorded before", said(one));
        let occurrences = |alerts: &[Held]| -> BTreeSet<Occurrence> {
            alerts.iter().map(|held| (name(held), held.alert.starts_at)).collect()
        };
        let message = (occurrences(&one.firing), occurrences(&one.resolved));
        let names = |all: &BTreeSet<Occurrence>| all.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
        let text = format!("{} {:?} {:?}", said(one), names(&message.0), names(&message.1));
        let before = self.delivered.insert(key.clone(), text.clone());
        assert!(before.as_ref().is_none_or(|before| *before == text), "one key, two messages: {before:?} and {text}");
        if before.is_some() {
            return; // The destination drops what carries a key that it saw.
        }
        let is_told = |name: &String| message.0.iter().chain(&message.1).any(|(told, _)| told == name);
        self.left.retain(|(integration, name), _| *integration != one.integration.key || !is_told(name));
        self.believed.insert(one.integration.key.clone(), names(&message.0));
        let before = self.heard.insert(one.integration.key.clone(), message.clone());
        if one.reason != Reason::RepeatIntervalElapsed && one.integration.send_resolved {
            assert_ne!(before, Some(message), "{text}: it tells nothing new");
        }
    }

    /// Everything arrives, nothing fails any more: after its clocks everybody knows what holds.
    fn settle(&mut self) {
        self.publish();
        while !self.messages.is_empty() {
            self.arrive(0, false);
        }
        self.run(2000);
        let (mut holds, mut muted) = (BTreeSet::new(), BTreeSet::new());
        for (subject, _) in
            self.rules.iter().filter(|(subject, (_, end))| end.is_none() && SUBJECTS[**subject].0 == "cpu")
        {
            let (alertname, severity, host) = SUBJECTS[*subject];
            let labels =
                Labels::from_pairs([("alertname", alertname), ("host", host), ("severity", severity)]).unwrap();
            let set = if self.is_muted(&labels) { &mut muted } else { &mut holds };
            set.insert(format!("{severity} {host}"));
        }
        for integration in ["webhook/0", "slack/0"] {
            let believed = self.believed.get(integration).cloned().unwrap_or_default();
            assert!(believed.is_superset(&holds), "{integration} knows all that fires: {believed:?} of {holds:?}");
        }
        let believed = self.believed.get("webhook/0").cloned().unwrap_or_default();
        let ended_muted = |name: &String| self.left.get(&("webhook/0".to_owned(), name.clone())) == Some(&true);
        let wrong = believed.difference(&holds).filter(|name| !muted.contains(*name));
        let wrong: Vec<&String> = wrong.filter(|name| !ended_muted(name)).collect();
        assert!(wrong.is_empty(), "the webhook takes {wrong:?} for firing");
    }
}

/// What tells the alerts of the group apart.
fn name(held: &Held) -> String {
    let label = |name| held.alert.labels.get(name).unwrap();
    format!("{} {}", label("severity"), label("host"))
}

/// A repeat interval, and what happens: reminders hide what was forgotten, so there are histories without any.
fn history() -> impl Strategy<Value = (&'static str, Vec<Step>)> {
    (prop::sample::select(vec!["12m", "12h"]), prop::collection::vec(step(), 1..150))
}

fn check(repeat_interval: &str, steps: &[Step]) {
    let mut world = World::new(repeat_interval);
    for step in steps {
        world.step(step);
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_firing_stays_unannounced_and_nothing_is_announced_twice((repeat_interval, steps) in history()) {
        check(repeat_interval, &steps);
    }
}

#[test]
fn histories_that_always_run_leave_nothing_unannounced_and_announce_nothing_twice() {
    for seed in SEEDS {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let config = ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() };
        let run = |(repeat_interval, steps): (&str, Vec<Step>)| {
            check(repeat_interval, &steps);
            Ok(())
        };
        let result = TestRunner::new_with_rng(config, rng).run(&history(), run);
        result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
