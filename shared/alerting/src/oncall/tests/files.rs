//! What a file `oncall.yml` may say.

use std::time::Duration;

use model::{Labels, Language};

use super::super::{Contact, OnCall};
use super::{at, read};
use crate::notify;

const FILE: &str = "people:
  aiko:
    name: 佐藤 愛子
    language: ja
    slack_user: U024BE7LH
    contacts: [{ sms: '+819012345678' }, { email: aiko@example.com }, { webhook_url_file: /run/pager }]
  ben: {}
rotas:
  primary: { layers: [{ people: [aiko, ben], turn: weekly, start: 2026-11-02T09:00 }] }
teams:
  operations: { on-call: [{ rota: primary }, { person: ben }], administrator: [{ person: ben }] }
  development: { on-call: [{ person: aiko }] }
default_team: operations
escalation:
  critical:
    respond_within: 15m
    tiers: [{ after: 0s, duties: [on-call, administrator] }, { after: 15m, duties: [administrator], receivers: [all] }]
  info: { respond_within: 1d, digest_after: 24h }
digest: { at: '09:00', time_zone: Asia/Tokyo, receivers: [all] }
slack_signing_secret: 8f742231b10e8888abcd99yyyzzz85a5
";

#[test]
fn a_file_reads_as_it_says() {
    let on_call = read(FILE);
    let aiko = &on_call.people["aiko"];
    assert_eq!((aiko.name.as_str(), aiko.language), ("佐藤 愛子", Some(Language::Japanese)));
    assert_eq!(aiko.contacts.iter().map(Contact::kind).collect::<Vec<_>>(), ["sms", "email", "webhook"]);
    assert_eq!(on_call.people["ben"].name, "ben");
    assert_eq!(on_call.policies["critical"].tiers[1].after, Duration::from_secs(900));
    assert_eq!(on_call.policies["info"].digest_after, Some(Duration::from_secs(86_400)));
    assert_eq!(on_call.person_in_slack("U024BE7LH"), Some("aiko"));
    assert_eq!(on_call.person_in_slack("U1"), None);
    assert!(!format!("{on_call:?}").contains("8f742231"), "a secret is never shown");
    assert_eq!(OnCall::parse("oncall.yml", "").unwrap(), OnCall::default());
}

#[test]
fn severity_chooses_duties_and_team_chooses_people() {
    let on_call = read(FILE);
    let now = at("2026-11-03T00:00:00Z");
    let team = |team: &str| on_call.team_of(&Labels::from_pairs([("team", team)]).unwrap()).to_owned();
    assert_eq!([team("development"), team("finance")], ["development", "operations"]);
    let duties = &on_call.policies["critical"].tiers[0].duties;
    assert_eq!(on_call.people_of("operations", duties, now), ["aiko", "ben"], "each is called once");
    assert_eq!(on_call.people_of("development", duties, now), ["aiko"]);
    assert_eq!(on_call.people_of("finance", duties, now), Vec::<&str>::new());
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    let cases = [
        ("people: { aiko: { nmae: x } }", "1:19: unknown field `nmae`"),
        ("people: { aiko: {}, aiko: {} }", "1:21: duplicate mapping key: aiko"),
        ("people: { 'a b': {} }", "1:18: people: \"a b\" is no short name"),
        ("people: { a: { language: fr } }", "1:26: language: \"fr\" is not ja or en"),
        ("people: { a: { contacts: [{ email: a }] } }", "1:27: email: \"a\" is not a mail address"),
        ("people: { a: { contacts: [{ sms: '090' }] } }", "1:27: sms: \"090\" is not a number"),
        ("people: { a: { contacts: [{}] } }", "1:27: a contact is one of"),
        (
            "rotas: { a: { layers: [{ people: [x], turn: daily, start: 2026-01-01T00:00 }] } }",
            "there is no person \"x\"",
        ),
        ("rotas: { a: { time_zone: Mars/Base } }", "1:26: unknown time zone \"Mars/Base\""),
        ("rotas: { a: { layers: [] } }", "rota \"a\" needs 1 to 50 layers"),
        (
            "people: { x: {} }\nrotas: { a: { layers: [{ people: [x], turn: hourly, start: 2026-01-01T00:00 }] } }",
            "2:45: turn:",
        ),
        (
            "people: { x: {} }\nrotas: { a: { layers: [{ people: [x], turn: daily, start: tomorrow }] } }",
            "\"tomorrow\" is not a local time",
        ),
        ("teams: { a: { on-call: [{ rota: b }] } }", "1:25: there is no rota \"b\""),
        ("default_team: a", "1:15: default_team: there is no team \"a\""),
        ("escalation: { critical: { tiers: [{ after: 0s, duties: [on-call] }] } }", "no team has a duty \"on-call\""),
        (
            "escalation: { a: { tiers: [{ after: 5m, receivers: [b] }, { after: 5m, receivers: [b] }] } }",
            "tiers come one after",
        ),
        ("escalation: { a: { respond_within: soon } }", "1:36: "),
        ("digest: { at: '9:00', receivers: [a] }", "\"9:00\" is not a time of the day"),
        ("slack_signing_secret: a\nslack_signing_secret_file: b", "not both"),
        (
            "people: { x: {} }\nrotas: { a: { layers: [{ people: [x], turn: daily, start: 2026-01-01T00:00 }] } }\noverrides: [{ rota: a, person: x, from: 2026-01-02T00:00, until: 2026-01-02T00:00 }]",
            "3:13: an override ends after it starts",
        ),
    ];
    for (yaml, expected) in cases {
        let error = OnCall::parse("oncall.yml", yaml).unwrap_err().to_string();
        assert!(error.starts_with("oncall.yml:") && error.contains(expected), "{yaml}: {error}");
    }
}

#[test]
fn receivers_are_those_of_the_alertmanager_file() {
    let routes = |name: &str| {
        notify::parse("alertmanager.yml", &format!("route: {{ receiver: {name} }}\nreceivers: [{{ name: {name} }}]"))
    };
    let on_call = read(FILE);
    assert_eq!(on_call.check_receivers("oncall.yml", &routes("all").unwrap()), Ok(()));
    let errors = on_call.check_receivers("oncall.yml", &routes("other").unwrap()).unwrap_err();
    let places: Vec<_> = errors.iter().map(|error| (error.line, error.reason.as_str())).collect();
    let reason = "receiver \"all\" is none of the Alertmanager configuration";
    assert_eq!(places, [(17, reason), (19, reason)]);
}
