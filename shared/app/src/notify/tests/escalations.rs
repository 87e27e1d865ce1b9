//! Alerts that nobody answers, with ports that fail: nobody is forgotten, nobody is called twice for one tier.

use std::collections::BTreeSet;

use alerting::oncall::Event;

use super::super::escalate::{StoredEscalation, row_key};
use super::*;

const ON_CALL: &str = "
people:
  aiko: { language: ja, contacts: [{ sms: '+819012345678' }, { email: aiko@example.com }] }
  ben: { language: en, contacts: [{ email: ben@example.com }] }
teams: { operations: { on-call: [{ person: aiko }], manager: [{ person: ben }] } }
default_team: operations
escalation:
  critical:
    respond_within: 15m
    tiers: [{ after: 0s, duties: [on-call] }, { after: 15m, duties: [manager] }]
  info: { respond_within: 24h, digest_after: 24h }
digest: { at: '09:00', receivers: [everyone] }
";

fn bench(plan: &Arc<FaultPlan>) -> Bench {
    let mut bench = Bench::new(plan);
    bench.config = Config::parse(&[("alertmanager.yml", ROUTES), ("oncall.yml", ON_CALL)]).unwrap();
    bench
}

/// Whom the people of the file were called by, with the idempotency keys.
fn calls(bench: &Bench) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = bench
        .messenger
        .drain()
        .into_iter()
        .filter_map(|delivery| match delivery.address {
            Address::Sms { numbers } => Some((numbers.join(","), delivery.idempotency_key)),
            Address::Email { to, .. } if to != ["ops@example.com"] => Some((to.join(","), delivery.idempotency_key)),
            Address::Webhook { .. } | Address::Email { .. } | Address::Topic { .. } | Address::SlackThread { .. } => {
                None
            }
        })
        .collect();
    calls.sort();
    calls
}

fn names(calls: &[(String, String)]) -> Vec<&str> {
    calls.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn who_is_on_call_is_called_at_once_and_the_next_one_when_nobody_answers() {
    let bench = bench(&FaultPlan::none());
    for now in [1001, 1061, 1121] {
        bench.receive(&[message(now, &[("a", 1000, None)])], now).await;
        bench.run(now).await;
    }
    bench.run(1130).await;
    let first = calls(&bench);
    assert_eq!(names(&first), ["+819012345678", "aiko@example.com"]);
    for now in (1130..1911).step_by(60) {
        bench.run(now).await;
    }
    assert_eq!(names(&calls(&bench)), Vec::<&str>::new(), "not before a quarter of an hour");
    bench.run(1961).await;
    assert_eq!(names(&calls(&bench)), ["ben@example.com"]);
    assert_eq!(history_of(&bench).await, ["called", "breached", "called"]);
}

async fn history_of(bench: &Bench) -> Vec<String> {
    let now = Timestamp::from_secs(1_000_000);
    let rows = RowRange::between("h#default#1970-01-01", "o#", "o$");
    let rows = range_all(bench.state.as_ref(), rows, now).await.unwrap();
    let mut kinds: Vec<(i64, String)> = rows
        .iter()
        .map(|row| serde_json::from_slice::<Act>(&row.value[1..]).unwrap())
        .map(|act| (act.at_ms, act.kind.as_str().to_owned()))
        .collect();
    kinds.sort();
    kinds.sort_by_key(|(at, kind)| (*at, kind != "breached"));
    kinds.into_iter().map(|(_, kind)| kind).collect()
}

#[tokio::test]
async fn a_mail_to_a_person_has_a_link_and_a_text_message_too() {
    let bench = bench(&FaultPlan::none());
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1001).await;
    bench.run(1011).await;
    let texts: Vec<String> = bench
        .messenger
        .drain()
        .into_iter()
        .filter_map(|delivery| match (delivery.address, delivery.content) {
            (Address::Sms { .. }, Content::Text { text, .. }) => Some(text),
            (Address::Email { to, .. }, Content::Email { text, .. }) if to == ["aiko@example.com"] => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(texts.len(), 2);
    let link = |text: &String| {
        let rest = text.split_once("http://127.0.0.1:9099/a/").expect("a link").1;
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect::<String>()
    };
    assert_eq!(link(&texts[0]), link(&texts[1]), "one person, one page, one link");
    assert_eq!(link(&texts[0]).len(), 22);
    let rows = range_all(bench.state.as_ref(), RowRange::all("j#"), Timestamp::from_secs(2000)).await.unwrap();
    assert_eq!(rows.len(), 1);
}

/// Somebody takes on all there is.
async fn answers(bench: &Bench, by: &str, now: i64) {
    let desk = bench.desk(now);
    let tenant = TenantId::default_tenant();
    let (alerts, _) = desk.alerts(&tenant).await.unwrap();
    let alert = *alerts.keys().next().unwrap();
    let key = escalate::any_key_of(desk.on_call(&tenant), &alerts[&alert].alert.labels);
    let row = bench.state.get(&row_key(&tenant, &key.id()), desk.now).await.unwrap().unwrap();
    let mut stored = StoredEscalation::read(&row, desk.on_call(&tenant)).unwrap();
    let event = Event::Acknowledged { alerts: &BTreeSet::from([alert]), by };
    stored.escalation = desk.step(&tenant, &stored.escalation, event).unwrap().escalation;
    bench.state.write(stored.rows(&tenant, desk.on_call(&tenant)), desk.now).await.unwrap();
}

/// The subjects of what people are told, and a line that matters.
fn subjects(bench: &Bench, line: &str) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = bench
        .messenger
        .drain()
        .into_iter()
        .filter_map(|delivery| match (delivery.address, delivery.content) {
            (Address::Email { to, .. }, Content::Email { subject, text, .. }) if to != ["ops@example.com"] => {
                let line = text.lines().find(|found| found.starts_with(line)).unwrap_or("").to_owned();
                Some((format!("{} {subject}", to.join(",")), line))
            }
            (Address::Sms { .. }, Content::Text { text, .. }) => {
                Some((format!("sms {}", text.lines().next().unwrap_or("")), String::new()))
            }
            _ => None,
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn a_second_call_says_so_and_who_was_called_first_learns_who_answered() {
    let bench = bench(&FaultPlan::none());
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1001).await;
    bench.run(1011).await;
    subjects(&bench, "");
    for now in (1071..=1971).step_by(60) {
        bench.run(now).await;
    }
    let told = |told: &[(&str, &str)]| {
        told.iter().map(|(one, two)| ((*one).to_owned(), (*two).to_owned())).collect::<Vec<_>>()
    };
    let line = "Severity: critical";
    assert_eq!(subjects(&bench, "Severity"), told(&[("ben@example.com [ESCALATED] cpu", line)]));
    answers(&bench, "ben", 2000).await;
    bench.run(2000).await;
    let expected = [("aiko@example.com [ACK] cpu", "対応者: ben"), ("sms [ACK] cpu", "")];
    assert_eq!(subjects(&bench, "対応者"), told(&expected));
    bench.run(2060).await;
    assert_eq!(subjects(&bench, ""), told(&[]));
}

#[tokio::test]
async fn an_answer_stops_the_calls() {
    let bench = bench(&FaultPlan::none());
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1001).await;
    bench.run(1011).await;
    calls(&bench);
    answers(&bench, "aiko", 1100).await;
    for now in (1100..9000).step_by(60) {
        bench.run(now).await;
    }
    assert_eq!(names(&calls(&bench)), Vec::<&str>::new());
    bench.receive(&[message(9000, &[("a", 1000, Some(9000))])], 9000).await;
    for now in (9000..20_000).step_by(60) {
        bench.run(now).await;
    }
    assert_eq!((bench.row_count("e#default").await, bench.row_count("d#0").await), (0, 0), "nothing is left");
}

#[tokio::test]
async fn an_information_stands_in_the_digest_of_the_day_after() {
    let bench = bench(&FaultPlan::none());
    let hour = 3600;
    let body = |now: i64| {
        let text = String::from_utf8(message(now, &[("a", 5 * hour, None)]).body.to_vec()).unwrap();
        Message { id: now.to_string(), body: text.replace("critical", "info").into() }
    };
    bench.receive(&[body(5 * hour)], 5 * hour).await;
    let mut digests = Vec::new();
    for now in (5 * hour..60 * hour).step_by(600) {
        bench.run(now).await;
        let told = bench.messenger.drain();
        let is_digest = |one: &&Delivery| one.idempotency_key.starts_with("digest/");
        digests.extend(told.iter().filter(is_digest).map(|one| (now / hour, said(one))));
    }
    let mut sorted: Vec<String> = digests.iter().map(|(hour, text)| format!("{hour} {text}")).collect();
    let day = |hour: i64| {
        ["hook unanswered: a firing", "mail [INFO] cpu", "slack [INFO] cpu: high"].map(|text| format!("{hour} {text}"))
    };
    sorted.sort();
    let expected: Vec<String> = [day(33), day(57)].into_iter().flatten().collect();
    assert_eq!(sorted, expected, "at nine, once a day, while nobody answers");
}

#[tokio::test]
async fn with_failing_ports_nobody_is_forgotten_and_nobody_called_twice() {
    for seed in 0..20 {
        let plan = FaultPlan::seeded(seed, FaultRates::each(60));
        let bench = bench(&plan);
        for now in (1000..3000).step_by(7) {
            bench.receive(&[message(now, &[("a", 1000, None), ("b", 1000, None)])], now).await;
            bench.run(now).await;
        }
        plan.stop();
        for now in (3000..4200).step_by(7) {
            bench.receive(&[message(now, &[("a", 1000, None), ("b", 1000, None)])], now).await;
            bench.run(now).await;
        }
        let found = calls(&bench);
        let who: BTreeSet<&str> = names(&found).into_iter().collect();
        assert_eq!(who.into_iter().collect::<Vec<_>>(), ["+819012345678", "aiko@example.com", "ben@example.com"]);
        assert_eq!(found.len(), 3, "seed {seed}: {found:?}");
    }
}
