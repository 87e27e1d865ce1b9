//! Who answers the alerts that fire, what was told and done about alerts, and what the rules were worth.

use std::time::Duration;

use maud::{Markup, html};
use model::Timestamp;

use super::{Frame, label_tokens, moment, scrolling, section};
use crate::state::State;
use crate::{Reader, Text};

/// What the page of alerts says of people.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The alerts that somebody must answer.
    pub watched: Vec<WatchedAlert>,
    /// Whom alerts can be given to: short name and name.
    pub people: Vec<(String, String)>,
    /// Whether the reader may answer.
    pub may_answer: bool,
    /// What was told and done, the newest first.
    pub events: Vec<EventRow>,
    /// What was searched for: a label matcher, a rule, a kind.
    pub search: [String; 3],
    /// What each rule was worth.
    pub records: Vec<RuleRow>,
}

/// An alert that somebody must answer.
#[derive(Clone, Debug)]
pub struct WatchedAlert {
    /// The label `alertname`.
    pub name: String,
    /// Its identity, in hexadecimal.
    pub fingerprint: String,
    /// The label `severity`.
    pub severity: String,
    /// The other labels.
    pub labels: Vec<(String, String)>,
    /// Since when it fires.
    pub since: Timestamp,
    /// Who answered.
    pub answered_by: Option<String>,
    /// Whose it is.
    pub assigned_to: Option<String>,
    /// Whether nobody answered in the time that is promised.
    pub is_breached: bool,
}

/// Something that was told or done.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// When.
    pub time: Timestamp,
    /// What kind: `notification`, `acknowledged`.
    pub kind: String,
    /// The rules it is about.
    pub rules: String,
    /// Who did it; empty where a clock did.
    pub author: String,
    /// In one line.
    pub text: String,
}

/// What a rule was worth.
#[derive(Clone, Debug)]
pub struct RuleRow {
    /// Its name.
    pub name: String,
    /// How often it fired, its flaps, its broken promises.
    pub counts: [usize; 3],
    /// The share that somebody did something about.
    pub actionable_share: f64,
    /// The mean time to an answer.
    pub acknowledge: Option<Duration>,
    /// The mean time to the end.
    pub resolve: Option<Duration>,
}

/// The part of the page; forms post to `path`.
pub fn content(answers: &Answers, path: &str, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    html! {
        @if !answers.watched.is_empty() {
            (section("answers", reader.text(Text::AnswerTitle), &html! {
                ul.firing { @for alert in &answers.watched { li { (watched(alert, answers, path, frame)) } } }
            }))
        }
        (section("events", reader.text(Text::HistoryEvents), &events(answers, frame)))
        @if !answers.records.is_empty() {
            (section("records", reader.text(Text::RuleRecords), &records(&answers.records, reader)))
        }
    }
}

fn watched(alert: &WatchedAlert, answers: &Answers, path: &str, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let severity = State::of_severity(&alert.severity);
    html! {
        div.alert.(severity.class()) {
            p.alert-title {
                (severity.badge(reader.language)) b { (alert.name) }
                span.soft { (reader.fill(Text::Since, &[&reader.zone.date_time(alert.since)])) }
            }
            p.alert-text {
                @match &alert.answered_by {
                    Some(by) => { (State::Ok.icon()) (reader.fill(Text::AnsweredBy, &[by])) },
                    None => { (reader.text(Text::NobodyAnswered)) },
                }
                @if let Some(to) = &alert.assigned_to { " · " (reader.fill(Text::AssignedTo, &[to])) }
                @if alert.is_breached { " · " (reader.text(Text::PromiseBroken)) }
            }
            (label_tokens(&alert.labels))
            @if answers.may_answer { (form(alert, answers, path, frame)) }
        }
    }
}

fn form(alert: &WatchedAlert, answers: &Answers, path: &str, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let actions = [("ack", Text::AnswerAck), ("silence", Text::AnswerSilence), ("escalate", Text::AnswerEscalate)];
    html! {
        form method="post" action=(path) {
            input type="hidden" name="fingerprint" value=(alert.fingerprint);
            @if let Some(csrf) = &frame.csrf { input type="hidden" name="csrf" value=(csrf); }
            @for (action, label) in actions {
                button type="submit" name="action" value=(action) { (reader.text(label)) } " "
            }
            @if !answers.people.is_empty() {
                label for={ "to-" (alert.fingerprint) } { (reader.text(Text::AnswerWhom)) } " "
                select id={ "to-" (alert.fingerprint) } name="to" {
                    @for (short, name) in &answers.people { option value=(short) { (name) } }
                }
                " " button type="submit" name="action" value="assign" { (reader.text(Text::AnswerAssign)) }
            }
        }
    }
}

fn events(answers: &Answers, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let name = reader.text(Text::HistoryEvents);
    let fields = [("matcher", Text::HistoryMatcher), ("rule", Text::HistoryRule), ("kind", Text::HistoryKind)];
    html! {
        form method="get" action="/alerts" {
            @if let Some(span) = &frame.span { input type="hidden" name="range" value=(span.parameter()); }
            @for ((field, label), value) in fields.into_iter().zip(&answers.search) {
                label for={ "search-" (field) } { (reader.text(label)) }
                input id={ "search-" (field) } type="text" name=(field) value=(value);
                " "
            }
            button type="submit" { (reader.text(Text::HistorySearch)) }
        }
        @if answers.events.is_empty() {
            p.empty-note { (reader.text(Text::NoHistory)) }
        } @else {
            (scrolling(name, &html! {
                table.history {
                    caption.unseen { (name) }
                    thead { tr {
                        @for head in [Text::Time, Text::HistoryKind, Text::HistoryRule, Text::HistoryAuthor, Text::HistoryWhat] {
                            th scope="col" { (reader.text(head)) }
                        }
                    } }
                    tbody { @for event in &answers.events { tr {
                        td.when { (moment(reader, event.time)) }
                        td { (event.kind) }
                        th scope="row" { (event.rules) }
                        td { (event.author) }
                        td { (event.text) }
                    } } }
                }
            }))
        }
    }
}

fn records(records: &[RuleRow], reader: &Reader) -> Markup {
    let name = reader.text(Text::RuleRecords);
    let heads = [
        Text::RuleFired,
        Text::RuleActionable,
        Text::RuleFlaps,
        Text::RuleBreaches,
        Text::RuleAcknowledge,
        Text::RuleResolve,
    ];
    let span = |duration: Option<Duration>| duration.map_or_else(|| "–".to_owned(), |duration| reader.span(duration));
    html! {
        (scrolling(name, &html! {
            table {
                caption.unseen { (name) }
                thead { tr {
                    th scope="col" { (reader.text(Text::HistoryRule)) }
                    @for head in heads { th.amount scope="col" { (reader.text(head)) } }
                } }
                tbody { @for row in records { tr {
                    th scope="row" { (row.name) }
                    td.amount { (row.counts[0]) }
                    td.amount { (format!("{:.0} %", row.actionable_share * 100.0)) }
                    td.amount { (row.counts[1]) }
                    td.amount { (row.counts[2]) }
                    td.amount { (span(row.acknowledge)) }
                    td.amount { (span(row.resolve)) }
                } } }
            }
        }))
    }
}
