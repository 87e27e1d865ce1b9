//! The part of a report about people: how fast alerts were answered, against what is promised, and what each rule was
//! worth.

use std::time::Duration;

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::Reader;
use crate::i18n::Text;
use crate::state::State;

/// How alerts were answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnCallStatistics {
    /// By severity, the most urgent promise first.
    pub responses: Vec<ResponseStatistics>,
    /// By rule, those that fired most first.
    pub rules: Vec<RuleWorth>,
}

/// The promise for a severity, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseStatistics {
    /// The label `severity`.
    pub severity: String,
    /// Within what time somebody answers; `None` where nothing is promised.
    pub promised_seconds: Option<u64>,
    /// After what times without an answer further people are called.
    pub escalates_after_seconds: Vec<u64>,
    /// How often an alert fired.
    pub fired: u64,
    /// How often somebody took one on.
    pub answered: u64,
    /// Of those, how many within the promise.
    pub in_time: u64,
    /// How often nobody had answered when the promised time was over.
    pub breaches: u64,
    /// How often further people were called.
    pub escalated: u64,
    /// The mean time to an answer.
    pub acknowledge_seconds_mean: Option<u64>,
    /// The longest time to an answer.
    pub acknowledge_seconds_max: Option<u64>,
    /// The mean time from firing to the end.
    pub resolve_seconds_mean: Option<u64>,
    /// The longest time from firing to the end.
    pub resolve_seconds_max: Option<u64>,
}

/// What a rule was worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleWorth {
    /// The label `alertname`.
    pub name: String,
    /// How often one of its alerts began to fire.
    pub fired: u64,
    /// The share of those that somebody did something about, from 0 to 1.
    pub actionable_share: f64,
    /// How often one fired again within an hour of its end.
    pub flaps: u64,
    /// How often nobody answered in the time that is promised.
    pub breaches: u64,
    /// The mean time to an answer.
    pub acknowledge_seconds_mean: Option<u64>,
    /// The mean time from firing to the end.
    pub resolve_seconds_mean: Option<u64>,
}

impl OnCallStatistics {
    /// Whether no alert asked anything of people.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.responses.iter().all(ResponseStatistics::is_empty)
    }
}

impl ResponseStatistics {
    const fn is_empty(&self) -> bool {
        self.fired == 0 && self.answered == 0 && self.breaches == 0
    }
}

/// Whether promises were kept, in a sentence; `None` where none was to be kept.
pub(super) fn verdict(on_call: &OnCallStatistics, reader: &Reader) -> Option<(State, String)> {
    let sum = |pick: fn(&ResponseStatistics) -> u64| on_call.responses.iter().map(pick).sum::<u64>();
    let (in_time, breaches) = (sum(|one| one.in_time), sum(|one| one.breaches));
    match (in_time, breaches) {
        (0, 0) => None,
        (_, 0) => Some((State::Ok, reader.text(Text::PromisesKept).to_owned())),
        _ => {
            let asked = (in_time + breaches).to_string();
            Some((State::Critical, reader.fill(Text::PromisesBroken, &[&breaches.to_string(), &asked])))
        }
    }
}

/// The section.
pub(super) fn section(on_call: &OnCallStatistics, reader: &Reader) -> Markup {
    html! {
        h2 { (reader.text(Text::OnCallResponse)) }
        @if on_call.is_empty() { p.is-ok { (State::Ok.icon()) (reader.text(Text::NothingToAnswer)) } }
        @else {
            @if let Some((state, text)) = verdict(on_call, reader) { p.(state.class()) { (state.icon()) (text) } }
            (responses(&on_call.responses, reader))
            @if !on_call.rules.is_empty() { h3 { (reader.text(Text::RuleRecords)) } (rules(&on_call.rules, reader)) }
        }
    }
}

fn responses(responses: &[ResponseStatistics], reader: &Reader) -> Markup {
    let heads = [
        Text::AlertsFired,
        Text::ResponsesAnswered,
        Text::ResponsesInTime,
        Text::RuleBreaches,
        Text::ResponsesEscalated,
        Text::ResponseAcknowledge,
        Text::ResponseResolve,
    ];
    html! {
        div.scroll role="group" tabindex="0" aria-label=(reader.text(Text::OnCallResponse)) {
            table {
                thead { tr {
                    th scope="col" { (reader.text(Text::Severity)) }
                    th scope="col" { (reader.text(Text::Promise)) }
                    @for key in heads { th.amount scope="col" { (reader.text(key)) } }
                } }
                tbody { @for one in responses { (response_row(one, reader)) } }
            }
        }
    }
}

fn response_row(one: &ResponseStatistics, reader: &Reader) -> Markup {
    html! {
        tr {
            th scope="row" {
                (State::of_severity(&one.severity).badge(reader.language))
                @if !matches!(one.severity.as_str(), "critical" | "warning" | "info") {
                    " " span.soft { (one.severity) }
                }
            }
            td { (promise(one, reader)) }
            td.amount { (one.fired) }
            td.amount { (one.answered) }
            td.amount { (if one.promised_seconds.is_some() { one.in_time.to_string() } else { "–".to_owned() }) }
            td.amount {
                @if one.breaches > 0 { span.is-critical { (State::Critical.icon()) (one.breaches) } } @else { "0" }
            }
            td.amount { (one.escalated) }
            td.amount { (mean_and_longest(one.acknowledge_seconds_mean, one.acknowledge_seconds_max, reader)) }
            td.amount { (mean_and_longest(one.resolve_seconds_mean, one.resolve_seconds_max, reader)) }
        }
    }
}

fn promise(one: &ResponseStatistics, reader: &Reader) -> Markup {
    let span = |seconds: u64| reader.span(Duration::from_secs(seconds));
    let later: Vec<String> = one.escalates_after_seconds.iter().map(|after| span(*after)).collect();
    html! {
        @match one.promised_seconds {
            Some(promised) => (reader.fill(Text::PromiseWithin, &[&span(promised)])),
            None => "–",
        }
        @if !later.is_empty() { div.soft { (reader.fill(Text::PromiseThen, &[&later.join(", ")])) } }
    }
}

fn mean_and_longest(mean: Option<u64>, longest: Option<u64>, reader: &Reader) -> Markup {
    html! {
        (span(mean, reader))
        @if longest.is_some() && longest != mean { div.soft { (reader.fill(Text::ResponseLongest, &[&span(longest, reader)])) } }
    }
}

fn rules(rules: &[RuleWorth], reader: &Reader) -> Markup {
    let heads = [
        Text::RuleFired,
        Text::RuleActionable,
        Text::RuleFlaps,
        Text::RuleBreaches,
        Text::RuleAcknowledge,
        Text::RuleResolve,
    ];
    html! {
        div.scroll role="group" tabindex="0" aria-label=(reader.text(Text::RuleRecords)) {
            table {
                thead { tr {
                    th scope="col" { (reader.text(Text::HistoryRule)) }
                    @for head in heads { th.amount scope="col" { (reader.text(head)) } }
                } }
                tbody { @for rule in rules { tr {
                    th scope="row" { (rule.name) }
                    td.amount { (rule.fired) }
                    td.amount { (format!("{:.0} %", rule.actionable_share * 100.0)) }
                    td.amount { (rule.flaps) }
                    td.amount { (rule.breaches) }
                    td.amount { (span(rule.acknowledge_seconds_mean, reader)) }
                    td.amount { (span(rule.resolve_seconds_mean, reader)) }
                } } }
            }
        }
    }
}

fn span(seconds: Option<u64>, reader: &Reader) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| reader.span(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use model::{Language, Timestamp};

    use super::*;
    use crate::Zone;

    fn reader(language: Language) -> Reader {
        Reader { language, zone: Zone::utc(), now: Timestamp::default() }
    }

    fn critical() -> ResponseStatistics {
        ResponseStatistics {
            severity: "critical".to_owned(),
            promised_seconds: Some(900),
            escalates_after_seconds: vec![900],
            fired: 4,
            answered: 3,
            in_time: 2,
            breaches: 1,
            escalated: 1,
            acknowledge_seconds_mean: Some(430),
            acknowledge_seconds_max: Some(1100),
            resolve_seconds_mean: Some(2400),
            resolve_seconds_max: Some(2400),
        }
    }

    fn statistics() -> OnCallStatistics {
        let page = ResponseStatistics { severity: "page".to_owned(), answered: 1, ..ResponseStatistics::default() };
        let rule = RuleWorth {
            name: "cpu_usage <b>".to_owned(),
            fired: 4,
            actionable_share: 0.75,
            flaps: 1,
            breaches: 1,
            acknowledge_seconds_mean: Some(430),
            resolve_seconds_mean: None,
        };
        OnCallStatistics { responses: vec![critical(), page], rules: vec![rule] }
    }

    /// The texts of a page, a line each.
    fn texts(html: &str) -> Vec<String> {
        let pieces =
            html.split(['<', '>']).enumerate().filter(|(place, _)| place % 2 == 0).map(|(_, text)| text.trim());
        pieces.filter(|text| !text.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn the_section_holds_answers_against_promises() {
        let shown = |language| texts(&section(&statistics(), &reader(language)).into_string()).join("\n");
        let both = [Language::Japanese, Language::English].map(shown).join("\n--------\n");
        insta::assert_snapshot!(both);
    }

    #[test]
    fn a_verdict_is_given_where_something_was_promised() {
        let reader = reader(Language::English);
        let of = |responses: Vec<ResponseStatistics>| {
            verdict(&OnCallStatistics { responses, rules: Vec::new() }, &reader).map(|(_, text)| text)
        };
        assert_eq!(of(vec![critical()]).as_deref(), Some("Promises broken: 1 of 3"));
        let kept = ResponseStatistics { breaches: 0, ..critical() };
        assert_eq!(of(vec![kept]).as_deref(), Some("Every answer came as promised."));
        assert_eq!(of(vec![ResponseStatistics { fired: 2, ..ResponseStatistics::default() }]), None);
        let quiet = OnCallStatistics { responses: vec![ResponseStatistics::default()], rules: Vec::new() };
        assert!(quiet.is_empty() && section(&quiet, &reader).into_string().contains("No alert asked"));
    }
}
