//! Each sentence of the semantics as a row, then random histories.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Labels, Timestamp};

use super::*;
use crate::{Alert, Fingerprint};

mod histories;

const YAML: &str = "
route:
  receiver: r
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 12m
receivers:
  - name: r
    webhook_configs: [{url: 'http://a/'}]
    slack_configs: [{api_url: 'http://b/'}]
inhibit_rules:
  - {source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [host]}
";

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// A tenant's alerts and one group of them, driven by hand.
struct Bench {
    config: Config,
    alerts: BTreeMap<Fingerprint, Held>,
    silences: Vec<Silence>,
    group: Group,
}

impl Bench {
    fn new() -> Self {
        Self::with(YAML)
    }

    fn with(yaml: &str) -> Self {
        let config = parse("am.yml", yaml).unwrap();
        let labels = Labels::from_pairs([("alertname", "cpu")]).unwrap();
        let key = GroupKey { route: "{}".to_owned(), labels, receiver: "r".to_owned() };
        Self { group: Group::new(key, secs(0)), config, alerts: BTreeMap::new(), silences: Vec::new() }
    }

    /// A message about the alert of a host: firing since `start`, or ended at `end`.
    fn tell(&mut self, host: &str, severity: &str, start: i64, end: Option<i64>, now: i64) {
        let labels = Labels::from_pairs([("alertname", "cpu"), ("host", host), ("severity", severity)]).unwrap();
        let alert = Alert {
            labels,
            annotations: BTreeMap::new(),
            starts_at: secs(start),
            ends_at: end.map(secs),
            valid_until: None,
            sampled_at: None,
            generator_url: String::new(),
            updated_at: secs(now),
        };
        let fingerprint = alert.fingerprint();
        let arrival = Arrival::of(self.alerts.get(&fingerprint), Held::of_rule(alert), secs(now));
        self.alerts.insert(fingerprint, arrival.held.clone());
        let inhibitor = Inhibitor::new(&self.config.inhibit_rules, &self.alerts, secs(now));
        let input = self.input(&inhibitor, now);
        let first_flush = input.first_flush(&self.config.route, &arrival.held);
        let mut group = self.group.clone();
        group.join(&arrival.held, arrival.turned, first_flush, secs(now)).unwrap();
        self.group = group;
    }

    fn fire(&mut self, host: &str, now: i64) {
        self.tell(host, "critical", now, None, now);
    }

    fn resolve(&mut self, host: &str, start: i64, now: i64) {
        self.tell(host, "critical", start, Some(now), now);
    }

    fn input<'a>(&'a self, inhibitor: &'a Inhibitor<'a>, now: i64) -> Input<'a> {
        Input {
            tenant: "t",
            config: &self.config,
            alerts: &self.alerts,
            inhibitor,
            silences: &self.silences,
            now: secs(now),
        }
    }

    fn plan(&self, now: i64) -> Plan {
        let inhibitor = Inhibitor::new(&self.config.inhibit_rules, &self.alerts, secs(now));
        plan(&self.group, &self.input(&inhibitor, now))
    }

    /// Looks, delivers to all but the failing integrations, records; gives what was said.
    fn look(&mut self, now: i64, fails: &[&str]) -> Vec<String> {
        let plan = self.plan(now);
        self.group = plan.group;
        let outcome = |one: &Notification| Outcome {
            integration: one.integration.key.clone(),
            sequence: one.sequence,
            result: if fails.contains(&one.integration.key.as_str()) {
                Err(Failure::Temporary { retry_after: None })
            } else {
                Ok(())
            },
            reference: None,
        };
        let outcomes: Vec<Outcome> = plan.notifications.iter().map(outcome).collect();
        self.group.record(&outcomes, &plan.leaving, secs(now));
        plan.notifications.iter().map(said).collect()
    }
}

/// Quiet from 00:10 to 00:20, at work until 00:40.
const OFFICE: &str = "
route:
  receiver: r
  group_by: [alertname]
  group_interval: 5m
  repeat_interval: 12h
  routes:
    - {matchers: [alertname=cpu], mute_time_intervals: [quiet], active_time_intervals: [work, never]}
receivers:
  - name: r
    webhook_configs: [{url: 'http://a/'}]
inhibit_rules:
  - {source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [host]}
time_intervals:
  - {name: quiet, time_intervals: [{times: [{start_time: '00:10', end_time: '00:20'}]}]}
  - {name: work, time_intervals: [{times: [{start_time: '00:00', end_time: '00:40'}]}]}
  - {name: never, time_intervals: []}
";

impl Bench {
    fn office() -> Self {
        let mut bench = Self::with(OFFICE);
        bench.group.key.route = r#"{}/{alertname="cpu"}"#.to_owned();
        bench
    }

    /// Why nothing is said at a moment.
    fn silence_of(&self, now: i64) -> String {
        match &self.plan(now).decisions.first().unwrap().verdict {
            Verdict::Quiet(quiet) => quiet.to_string(),
            Verdict::Notify(reason) | Verdict::Again(reason) => format!("it is notified: {reason}"),
        }
    }
}

#[test]
fn what_a_calendar_kept_back_is_told_when_it_ends_with_that_reason() {
    let mut bench = Bench::office();
    bench.fire("a", 500);
    assert_eq!(bench.look(530, &[]), ["webhook/0 #1 first notification: a"]);
    // It is muted at its next look, which is not later than usual.
    assert_eq!(bench.group.flush_at, secs(830));
    assert_eq!(bench.silence_of(830), "muted by time interval quiet");
    assert_eq!(bench.look(830, &[]), Vec::<String>::new());
    bench.fire("b", 900);
    assert_eq!(bench.look(1130, &[]), Vec::<String>::new());
    assert_eq!(bench.group.flush_at, secs(1200), "it looks when the calendar ends, not at the next group interval");
    // A delivery that fails keeps the reason, and it is told once.
    assert_eq!(bench.look(1200, &["webhook/0"]), ["webhook/0 #2 mute ended: a b"]);
    assert_eq!(bench.look(1205, &[]), ["webhook/0 #2 mute ended: a b"]);
    assert_eq!(bench.look(1505, &[]), Vec::<String>::new());
    assert_eq!(bench.silence_of(1805), "nothing new since the last notification");
}

#[test]
fn outside_of_all_active_calendars_nothing_is_said() {
    let mut bench = Bench::office();
    bench.fire("a", 2400);
    assert_eq!(bench.silence_of(2430), "muted by time interval work, never");
    assert_eq!(bench.look(2430, &[]), Vec::<String>::new());
    assert_eq!(bench.group.flush_at, secs(2730));
    // It ends while nobody works: nobody is told that it was.
    bench.resolve("a", 2400, 2500);
    assert_eq!(bench.look(2730, &[]), Vec::<String>::new());
    assert_eq!(bench.group.due_at(), None);
}

#[test]
fn of_what_mutes_an_alert_inhibition_comes_first_then_the_calendar_then_silences() {
    let mut bench = Bench::office();
    bench.tell("a", "warning", 500, None, 500);
    bench.silences.push(Silence {
        id: "s1".to_owned(),
        matchers: parse_matchers("host=a").unwrap(),
        starts_at: secs(0),
        ends_at: secs(5000),
        updated_at: secs(0),
        created_by: String::new(),
        comment: String::new(),
        annotations: BTreeMap::new(),
    });
    assert_eq!(bench.silence_of(590), "silenced by s1");
    assert_eq!(bench.silence_of(600), "muted by time interval quiet");
    let warning = bench.group.clone();
    bench.tell("a", "critical", 500, None, 500);
    bench.group = warning;
    assert!(bench.silence_of(600).starts_with("inhibited by alert "), "{}", bench.silence_of(600));
}

/// A notification in a line: `webhook/0 #1 first notification: a b; c`.
fn said(one: &Notification) -> String {
    let hosts = |alerts: &[Held]| {
        alerts.iter().map(|held| held.alert.labels.get("host").unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let (firing, resolved) = (hosts(&one.firing), hosts(&one.resolved));
    let resolved = if resolved.is_empty() { String::new() } else { format!("; {resolved}") };
    format!("{} #{} {}: {firing}{resolved}", one.integration.key, one.sequence, one.reason)
}

#[test]
fn a_group_waits_collects_and_is_announced_once() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    assert_eq!(bench.group.due_at(), Some(secs(130)));
    bench.fire("b", 110);
    assert_eq!(bench.look(129, &[]), Vec::<String>::new(), "not due");
    assert_eq!(bench.look(130, &[]), ["slack/0 #1 first notification: a b", "webhook/0 #2 first notification: a b"]);
    assert_eq!(bench.group.due_at(), Some(secs(430)));
    assert!(bench.look(430, &[]).is_empty(), "nothing new");
}

#[test]
fn new_alerts_are_added_at_the_group_interval() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &[]);
    bench.fire("b", 140);
    assert!(bench.look(429, &[]).is_empty());
    assert_eq!(bench.look(430, &[]), ["slack/0 #3 new alerts added: a b", "webhook/0 #4 new alerts added: a b"]);
}

#[test]
fn resolved_alerts_are_told_to_who_wants_to_know() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.fire("b", 100);
    bench.look(130, &[]);
    bench.resolve("a", 100, 200);
    assert_eq!(bench.look(430, &[]), ["webhook/0 #3 some alerts resolved: b; a"]);
    assert_eq!(bench.group.members.len(), 1, "what has ended leaves");
    bench.resolve("b", 100, 500);
    assert_eq!(bench.look(730, &[]), ["webhook/0 #5 all alerts resolved: ; b"]);
    assert!(bench.group.members.is_empty());
    assert_eq!(bench.group.due_at(), None);
    // Slack was told nothing, but its log knows that nothing fires.
    assert!(bench.group.integrations["slack/0"].log.as_ref().unwrap().firing.is_empty());
}

#[test]
fn an_alert_that_comes_and_goes_within_the_group_wait_is_never_announced() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.resolve("a", 100, 120);
    assert!(bench.look(130, &[]).is_empty());
    assert!(bench.group.members.is_empty());
}

#[test]
fn an_unchanged_group_is_repeated_at_the_first_look_after_the_repeat_interval() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &[]);
    // 12 minutes are over at 850; looks are at 430, 730 and 1030.
    assert!(bench.look(430, &[]).is_empty());
    assert!(bench.look(730, &[]).is_empty());
    let repeated = ["slack/0 #3 repeat interval elapsed: a", "webhook/0 #4 repeat interval elapsed: a"];
    assert_eq!(bench.look(1030, &[]), repeated);
    let entry = bench.group.integrations["slack/0"].log.as_ref().unwrap();
    assert_eq!(entry.expires_at, secs(1030 + 2 * 720), "twice the repeat interval");
}

#[test]
fn an_alert_that_fires_again_after_its_end_was_told_is_new() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &[]);
    bench.resolve("a", 100, 200);
    bench.look(430, &[]);
    bench.fire("a", 500);
    assert_eq!(bench.group.due_at(), Some(secs(530)), "the group is born again");
    assert_eq!(bench.look(530, &[]), ["slack/0 #5 first notification: a", "webhook/0 #6 first notification: a"]);
}

#[test]
fn who_does_not_hear_of_ends_still_hears_of_the_next_occurrence() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.fire("b", 100);
    bench.look(130, &[]);
    bench.resolve("a", 100, 200);
    bench.look(430, &[]);
    bench.fire("a", 500);
    assert_eq!(bench.look(730, &[]), ["slack/0 #4 new alerts added: a b", "webhook/0 #5 new alerts added: a b"]);
}

#[test]
fn an_alert_born_late_is_announced_at_once_unless_another_may_mute_it() {
    let mut bench = Bench::new();
    bench.tell("a", "critical", 100, None, 200);
    assert_eq!(bench.group.due_at(), Some(secs(200)));
    let mut bench = Bench::new();
    bench.tell("a", "warning", 100, None, 200);
    assert_eq!(bench.group.due_at(), Some(secs(260)), "one evaluation later the alert that mutes it has arrived");
    let mut bench = Bench::new();
    bench.fire("a", 190);
    bench.tell("b", "critical", 100, None, 200);
    assert_eq!(bench.group.due_at(), Some(secs(200)), "a late one hurries its group");
}

#[test]
fn inhibition_is_that_of_the_moment_of_the_look() {
    let mut bench = Bench::new();
    bench.tell("a", "warning", 100, None, 100);
    bench.tell("a", "critical", 110, None, 110);
    let both = bench.look(130, &[]);
    assert_eq!(
        both,
        ["slack/0 #1 first notification: a", "webhook/0 #2 first notification: a"],
        "the critical one only"
    );
    bench.tell("a", "critical", 110, Some(200), 200);
    // The warning is heard for the first time now, and the end of the other with it.
    assert_eq!(bench.look(430, &[]), ["slack/0 #3 new alerts added: a", "webhook/0 #4 new alerts added: a; a"]);
}

#[test]
fn silences_mute_and_what_ends_under_one_is_new_when_it_fires_again() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &[]);
    bench.silences.push(Silence {
        id: "s".to_owned(),
        matchers: parse_matchers("host=a").unwrap(),
        starts_at: secs(150),
        ends_at: secs(900),
        updated_at: secs(150),
        created_by: "x".to_owned(),
        comment: String::new(),
        annotations: BTreeMap::new(),
    });
    bench.resolve("a", 100, 200);
    let quiet = bench.plan(430).decisions;
    let by = Mute::Silenced { by: "s".to_owned() };
    let muted = bench.group.members.keys().map(|one| (*one, by.clone())).collect();
    assert_eq!(quiet[0].verdict, Verdict::Quiet(Quiet::Muted(muted)));
    assert!(bench.look(430, &[]).is_empty());
    bench.fire("a", 910);
    assert_eq!(bench.look(940, &[]), ["slack/0 #3 first notification: a", "webhook/0 #4 first notification: a"]);
}

#[test]
fn one_failing_integration_is_tried_again_alone_under_the_same_key() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    let first = bench.plan(130).notifications;
    bench.look(130, &["webhook/0"]);
    assert_eq!(bench.group.due_at(), Some(secs(135)), "the first pause");
    let again = bench.plan(135).notifications;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].idempotency_key, first[1].idempotency_key);
    assert_ne!(first[0].idempotency_key, first[1].idempotency_key);
    assert_eq!(bench.look(135, &["webhook/0"]), ["webhook/0 #2 first notification: a"]);
    assert_eq!(bench.group.due_at(), Some(secs(145)), "twice as long");
    assert_eq!(bench.look(145, &[]), ["webhook/0 #2 first notification: a"]);
    assert_eq!(bench.group.due_at(), Some(secs(430)));
}

#[test]
fn a_destination_that_asks_to_be_left_alone_is_and_no_other_waits_for_it() {
    let mut bench = Bench::new();
    bench.fire("a", 1000);
    let plan = bench.plan(1030);
    bench.group = plan.group;
    let asks = |seconds| Err(Failure::Temporary { retry_after: Some(Duration::from_secs(seconds)) });
    let outcome = |one: &Notification| Outcome {
        integration: one.integration.key.clone(),
        sequence: one.sequence,
        result: if one.integration.key == "slack/0" { asks(900) } else { Ok(()) },
        reference: None,
    };
    let outcomes: Vec<Outcome> = plan.notifications.iter().map(outcome).collect();
    bench.group.record(&outcomes, &plan.leaving, secs(1030));
    bench.group = Group::decode(&bench.group.encode()).unwrap();
    bench.fire("b", 1100);
    assert_eq!(bench.look(1330, &[]), ["webhook/0 #3 new alerts added: a b"], "at the group interval");
    let quiet = bench.plan(1630).decisions.into_iter().find(|one| one.integration == "slack/0").unwrap();
    assert_eq!(quiet.verdict, Verdict::Quiet(Quiet::AskedToWait { until: secs(1930) }));
    bench.look(1630, &[]);
    assert_eq!(bench.look(1929, &[]), [""; 0]);
    assert_eq!(bench.look(1930, &[]).len(), 1, "at the time that it asked for");
    // A short pause is the usual one, and one of days is an hour.
    for (seconds, expected) in
        [(2, Attempt::Waiting { until: secs(5005) }), (86_400, Attempt::AskedToWait { until: secs(8600) })]
    {
        let mut bench = Bench::new();
        bench.fire("a", 4900);
        let plan = bench.plan(5000);
        bench.group = plan.group;
        let outcome = |one: &Notification| Outcome {
            integration: one.integration.key.clone(),
            sequence: one.sequence,
            result: asks(seconds),
            reference: None,
        };
        let outcomes: Vec<Outcome> = plan.notifications.iter().map(outcome).collect();
        bench.group.record(&outcomes, &plan.leaving, secs(5000));
        assert_eq!(bench.group.integrations["slack/0"].intent.as_ref().unwrap().attempt, expected);
    }
}

#[test]
fn what_a_destination_calls_its_message_is_known_until_all_has_ended() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    let deliver = |bench: &mut Bench, now: i64, reference: Option<&str>| {
        let plan = bench.plan(now);
        bench.group = plan.group;
        let known: Vec<Option<String>> = plan.notifications.iter().map(|one| one.reference.clone()).collect();
        let outcome = |one: &Notification| Outcome {
            integration: one.integration.key.clone(),
            sequence: one.sequence,
            result: Ok(()),
            reference: reference.map(str::to_owned),
        };
        let outcomes: Vec<Outcome> = plan.notifications.iter().map(outcome).collect();
        bench.group.record(&outcomes, &plan.leaving, secs(now));
        bench.group = Group::decode(&bench.group.encode()).unwrap();
        known
    };
    let known = Some("C1/1.0".to_owned());
    assert_eq!(deliver(&mut bench, 130, known.as_deref()), [None, None]);
    bench.fire("b", 200);
    assert_eq!(deliver(&mut bench, 430, None), [known.clone(), known.clone()], "one that names none keeps the first");
    for host in ["a", "b"] {
        bench.resolve(host, if host == "a" { 100 } else { 200 }, 500);
    }
    assert_eq!(deliver(&mut bench, 730, None), [known], "to who hears of ends");
    bench.fire("a", 800);
    assert_eq!(deliver(&mut bench, 830, None).last(), Some(&None), "the next occurrence has a message of its own");
}

#[test]
fn what_failed_is_decided_anew_at_the_next_look() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &["webhook/0", "slack/0"]);
    let same = bench.look(430, &["webhook/0", "slack/0"]);
    assert_eq!(same, ["slack/0 #1 first notification: a", "webhook/0 #2 first notification: a"]);
    bench.fire("b", 500);
    let grown = bench.look(730, &[]);
    assert_eq!(grown, ["slack/0 #3 first notification: a b", "webhook/0 #4 first notification: a b"]);
}

#[test]
fn ended_alerts_stay_until_everybody_was_told() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &[]);
    bench.resolve("a", 100, 200);
    bench.look(430, &["webhook/0"]);
    assert_eq!(bench.group.members.len(), 1);
    assert_eq!(bench.look(435, &[]), ["webhook/0 #4 all alerts resolved: ; a"]);
    assert!(bench.look(730, &[]).is_empty());
    assert!(bench.group.members.is_empty());
}

#[test]
fn after_a_crash_the_same_message_goes_out_and_then_what_changed() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    let claimed = bench.plan(130);
    bench.group = claimed.group; // Delivered or not: nobody knows.
    bench.fire("b", 140);
    assert!(bench.plan(189).notifications.is_empty(), "somebody may still be at it");
    let again = bench.plan(190).notifications;
    let keys = |list: &[Notification]| list.iter().map(|one| one.idempotency_key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&again), keys(&claimed.notifications));
    let same = ["slack/0 #1 first notification: a", "webhook/0 #2 first notification: a"];
    assert_eq!(bench.look(190, &[]), same);
    assert_eq!(bench.look(430, &[]), ["slack/0 #3 new alerts added: a b", "webhook/0 #4 new alerts added: a b"]);
}

#[test]
fn after_a_long_outage_the_crashed_message_comes_first_and_the_changes_within_a_minute() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.group = bench.plan(130).group;
    bench.resolve("a", 100, 200);
    bench.fire("b", 300);
    let same = ["slack/0 #1 first notification: a", "webhook/0 #2 first notification: a"];
    assert_eq!(bench.look(5000, &[]), same);
    assert_eq!(bench.group.due_at(), Some(secs(5060)));
    assert_eq!(bench.look(5060, &[]), ["slack/0 #3 new alerts added: b", "webhook/0 #4 new alerts added: b; a"]);
}

#[test]
fn an_alert_that_changes_during_a_delivery_is_not_lost() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &[]);
    bench.resolve("a", 100, 200);
    let claimed = bench.plan(430);
    bench.group = claimed.group;
    bench.fire("a", 431);
    let outcomes: Vec<Outcome> = claimed
        .notifications
        .iter()
        .map(|one| Outcome {
            integration: one.integration.key.clone(),
            sequence: one.sequence,
            result: Ok(()),
            reference: None,
        })
        .collect();
    bench.group.record(&outcomes, &claimed.leaving, secs(432));
    assert_eq!(bench.group.members.len(), 1);
    assert_eq!(bench.look(730, &[]), ["slack/0 #5 first notification: a", "webhook/0 #6 first notification: a"]);
}

#[test]
fn a_group_whose_route_is_gone_dissolves() {
    let mut bench = Bench::new();
    bench.fire("a", 100);
    bench.look(130, &["slack/0"]);
    bench.config = parse("am.yml", "route: {receiver: x}\nreceivers: [{name: x}]").unwrap();
    assert!(bench.look(430, &[]).is_empty());
    assert_eq!(bench.group.due_at(), None);
}

#[test]
fn alerts_are_shown_by_job_then_instance() {
    let yaml = "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url: 'http://a/'}]}]";
    let mut bench = Bench::with(yaml);
    bench.group.key.labels = Labels::empty();
    for host in ["b", "a", "c"] {
        bench.fire(host, 100);
    }
    assert_eq!(bench.look(130, &[]), ["webhook/0 #1 first notification: a b c"]);
}
