//! Alerts: what is active now, what changed, and the rules that watch.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};
use model::{TimeRange, Timestamp};

use super::{Frame, label_tokens, moment, scrolling, section};
use crate::chart::{part_of, short};
use crate::state::State;
use crate::{Reader, Text, Unit};

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// Alerts that fire or wait, the most severe first.
    pub active: Vec<ActiveAlert>,
    /// Changes of state within `range`, the newest first.
    pub history: Vec<Change>,
    /// The range of the history.
    pub range: TimeRange,
    /// All rules.
    pub groups: Vec<Group>,
}

/// An alert that fires or waits for its time.
#[derive(Clone, Debug)]
pub struct ActiveAlert {
    /// The label `alertname`.
    pub name: String,
    /// Firing or pending.
    pub state: State,
    /// The label `severity`.
    pub severity: String,
    /// The other labels.
    pub labels: Vec<(String, String)>,
    /// The annotation `summary`, else `description`; empty without.
    pub description: String,
    /// Since when its expression holds.
    pub since: Timestamp,
    /// The expression's value.
    pub value: Option<f64>,
}

/// One change of an alert's state.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub time: Timestamp,
    /// The label `alertname`.
    pub name: String,
    /// The label `severity`.
    pub severity: String,
    /// The other labels.
    pub labels: Vec<(String, String)>,
    /// What it was before.
    pub from: State,
    /// What it became.
    pub to: State,
    /// The expression's value.
    pub value: Option<f64>,
}

/// A rule group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// How often it is evaluated.
    pub interval: Duration,
    /// When it was last.
    pub last_evaluation: Option<Timestamp>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The alert's name or the recorded series' name.
    pub name: String,
    /// Whether it records rather than alerts.
    pub is_recording: bool,
    /// Inactive, pending, firing or failing.
    pub state: State,
    /// The label `severity`; empty without.
    pub severity: String,
    /// Its expression.
    pub expression: String,
    /// How long it must hold before it fires.
    pub hold: Duration,
    /// The annotation `description`; empty without.
    pub description: String,
    /// Why it could not be evaluated; empty when it could.
    pub error: String,
}

/// Most lanes of the timeline: the picture stays readable, the table has the rest.
const LANES_MAX: usize = 24;
/// Height of one lane in pixels.
const LANE_HEIGHT: u32 = 34;

/// The content of the page; `people` is what it says of those who are told and of those who answer.
pub fn content(alerts: &Alerts, people: &[Markup], frame: &Frame) -> Markup {
    let reader = &frame.reader;
    html! {
        (section("active", reader.text(Text::ActiveAlerts), &html! {
            @if alerts.active.is_empty() {
                p.empty-note.is-ok { (State::Ok.icon()) (reader.text(Text::NoActiveAlerts)) }
            } @else {
                ul.firing { @for alert in &alerts.active { li { (brief(alert, reader)) } } }
            }
        }))
        (section("history", reader.text(Text::History), &history(alerts, reader)))
        @for part in people { (part) }
        (section("rules", reader.text(Text::Rules), &rules(&alerts.groups, reader)))
    }
}

/// An alert in a few lines: how bad, which, since when, what is known.
pub(crate) fn brief(alert: &ActiveAlert, reader: &Reader) -> Markup {
    let severity = State::of_severity(&alert.severity);
    html! {
        div.alert.(severity.class()) {
            p.alert-title {
                (severity.badge(reader.language))
                b { (alert.name) }
                @if alert.state == State::Pending { (State::Pending.badge(reader.language)) }
                span.soft {
                    (reader.fill(Text::Since, &[&reader.zone.date_time(alert.since)])) " · " (reader.span(reader.now.since(alert.since)))
                }
            }
            @if !alert.description.is_empty() { p.alert-text { (alert.description) } }
            (label_tokens(&alert.labels))
        }
    }
}

fn history(alerts: &Alerts, reader: &Reader) -> Markup {
    let lanes = lanes(alerts, reader);
    if lanes.is_empty() && alerts.history.is_empty() {
        return html! { p.empty-note { (reader.text(Text::NoHistory)) } };
    }
    let name = reader.text(Text::History);
    html! {
        (timeline(&lanes, alerts.range, reader))
        @if !alerts.history.is_empty() {
            (scrolling(name, &html! {
                table.history {
                    caption.unseen { (name) }
                    thead { tr {
                        th scope="col" { (reader.text(Text::Time)) }
                        th scope="col" { (reader.text(Text::Change)) }
                        th scope="col" { (reader.text(Text::Alert)) }
                        th scope="col" { (reader.text(Text::Severity)) }
                        th scope="col" { (reader.text(Text::Labels)) }
                        th.amount scope="col" { (reader.text(Text::Value)) }
                    } }
                    tbody { @for change in &alerts.history { (change_row(change, reader)) } }
                }
            }))
        }
    }
}

fn change_row(change: &Change, reader: &Reader) -> Markup {
    html! {
        tr {
            td.when { (moment(reader, change.time)) }
            td.(change.to.class()) { (change.to.icon()) (change.to.text(reader.language)) }
            th scope="row" { (change.name) }
            td { (State::of_severity(&change.severity).text(reader.language)) }
            td.of-labels { (label_tokens(&change.labels)) }
            td.amount { (Unit::Count.format(change.value.unwrap_or(f64::NAN))) }
        }
    }
}

/// The course of one alert.
#[derive(Clone, Debug, PartialEq)]
struct Lane {
    name: String,
    detail: String,
    /// Pending or firing, in order of time.
    stretches: Vec<(TimeRange, State)>,
}

/// What identifies an alert: its name, its severity and its other labels.
type AlertKey<'a> = (&'a str, &'a str, &'a [(String, String)]);

/// The lanes of all alerts that changed or were active within the range, the most recently changed first.
fn lanes(alerts: &Alerts, reader: &Reader) -> Vec<Lane> {
    let end = alerts.range.end.min(reader.now);
    let mut courses: BTreeMap<AlertKey<'_>, Vec<&Change>> = BTreeMap::new();
    for change in &alerts.history {
        courses.entry((&change.name, &change.severity, &change.labels)).or_default().push(change);
    }
    let mut lanes = Vec::new();
    for (key, mut changes) in courses.clone() {
        changes.sort_by_key(|change| change.time);
        let newest = changes.last().map_or(end, |change| change.time);
        lanes.push((newest, lane(key, stretches(&changes, alerts.range.start, end), reader)));
    }
    for alert in &alerts.active {
        let key = (alert.name.as_str(), alert.severity.as_str(), &alert.labels[..]);
        let start = alert.since.max(alerts.range.start);
        if start < end && !courses.contains_key(&key) {
            let stretch = (TimeRange::new(start, end), alert.state);
            lanes.push((alert.since, lane(key, vec![stretch], reader)));
        }
    }
    lanes.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
    lanes.into_iter().map(|(_, lane)| lane).take(LANES_MAX).collect()
}

fn lane((name, severity, labels): AlertKey<'_>, stretches: Vec<(TimeRange, State)>, reader: &Reader) -> Lane {
    let severity = State::of_severity(severity).text(reader.language);
    let values = labels.iter().map(|(_, value)| value.as_str());
    let detail: Vec<&str> = [severity].into_iter().chain(values).collect();
    Lane { name: name.to_owned(), detail: detail.join(" · "), stretches }
}

fn stretches(changes: &[&Change], start: Timestamp, end: Timestamp) -> Vec<(TimeRange, State)> {
    let mut stretches = Vec::new();
    let mut since = start;
    let mut state = changes.first().map_or(State::Inactive, |change| change.from);
    let mut close = |since: Timestamp, until: Timestamp, state: State| {
        if matches!(state, State::Pending | State::Firing) && since < until {
            stretches.push((TimeRange::new(since, until), state));
        }
    };
    for change in changes {
        close(since, change.time, state);
        (since, state) = (change.time, change.to);
    }
    close(since, end, state);
    stretches
}

fn timeline(lanes: &[Lane], range: TimeRange, reader: &Reader) -> Markup {
    let height = LANE_HEIGHT * u32::try_from(lanes.len()).unwrap_or(0);
    let count = lanes.len().to_string();
    let (from, to) = (reader.zone.date_minute(range.start), reader.zone.date_minute(range.end));
    html! {
        figure.timeline {
            figcaption.unseen { (reader.text(Text::HistoryTimeline)) }
            svg.plot role="img" height=(height) aria-labelledby="timeline-title timeline-desc" {
                title #timeline-title { (reader.text(Text::HistoryTimeline)) }
                desc #timeline-desc { (reader.fill(Text::HistoryDescription, &[&from, &to, &count])) }
                g.times aria-hidden="true" {
                    @for tick in reader.zone.ticks(range, 6) {
                        @let x = 100.0 * part_of(range, tick.time);
                        line x1={ (short(x)) "%" } x2={ (short(x)) "%" } y1="0" y2=(height + 5) {}
                        @if x > 4.0 { text x={ (short(x)) "%" } y=(height + 18) { (tick.label) } }
                    }
                    text.offset x="0" y=(height + 18) { (reader.zone.offset(range.end)) }
                }
                @for (index, lane) in lanes.iter().enumerate() { (lane_row(lane, index, range)) }
            }
            ul.legend aria-hidden="true" {
                @for state in [State::Firing, State::Pending] {
                    li { svg.swatch width="22" height="10" { rect.stretch.(stretch_class(state)) width="22" height="10" rx="2" {} }
                        (state.text(reader.language)) }
                }
            }
        }
    }
}

/// Firing fills the lane, pending half of it: the shapes differ as well as the colours.
fn lane_row(lane: &Lane, index: usize, range: TimeRange) -> Markup {
    let top = LANE_HEIGHT * u32::try_from(index).unwrap_or(0);
    html! {
        g.lane {
            line.rail x1="0" x2="100%" y1=(top + 25) y2=(top + 25) {}
            text x="0" y=(top + 13) { tspan.lane-name { (lane.name) } " " tspan.soft { (lane.detail) } }
            @for (stretch, state) in &lane.stretches {
                @let start = part_of(range, stretch.start).clamp(0.0, 1.0);
                @let width = (part_of(range, stretch.end).clamp(0.0, 1.0) - start).max(0.004);
                @let (y, height) = if *state == State::Firing { (top + 18, 14) } else { (top + 22, 6) };
                rect.stretch.(stretch_class(*state)) x={ (short(100.0 * start)) "%" } width={ (short(100.0 * width)) "%" }
                    y=(y) height=(height) rx="2" {}
            }
        }
    }
}

const fn stretch_class(state: State) -> &'static str {
    match state {
        State::Firing => "stretch-firing",
        State::Pending
        | State::Critical
        | State::Warning
        | State::Info
        | State::Ok
        | State::Unknown
        | State::Inactive
        | State::Resolved
        | State::Failing => "stretch-pending",
    }
}

fn rules(groups: &[Group], reader: &Reader) -> Markup {
    if groups.is_empty() {
        return html! { p.empty-note { (reader.text(Text::NoRules)) } };
    }
    html! {
        @for (index, group) in groups.iter().enumerate() {
            @let failing = group.rules.iter().any(|rule| rule.state == State::Failing);
            @let firing = group.rules.iter().any(|rule| rule.state == State::Firing);
            details.group id={ "group-" (index) } open[failing || firing] {
                summary {
                    h3 { (group.name) }
                    span.soft { (group_facts(group, reader)) }
                    span.group-states { @for (state, count) in state_counts(group) {
                        span.(state.class()) { (state.icon()) (state.text(reader.language)) " " (count) }
                    } }
                }
                ul.rules { @for rule in &group.rules { (rule_item(rule, reader)) } }
            }
        }
    }
}

fn group_facts(group: &Group, reader: &Reader) -> String {
    let mut facts = vec![group.file.clone(), reader.fill(Text::EveryInterval, &[&reader.span(group.interval)])];
    facts.extend(group.last_evaluation.map(|time| reader.fill(Text::LastEvaluation, &[&reader.zone.time(time)])));
    facts.join(" · ")
}

fn state_counts(group: &Group) -> BTreeMap<State, usize> {
    let mut counts = BTreeMap::new();
    for rule in group.rules.iter().filter(|rule| !rule.is_recording || rule.state == State::Failing) {
        *counts.entry(rule.state).or_insert(0) += 1;
    }
    counts
}

fn rule_item(rule: &Rule, reader: &Reader) -> Markup {
    html! {
        li.rule {
            p.rule-title {
                @if !rule.is_recording || rule.state == State::Failing { (rule.state.badge(reader.language)) }
                b { (rule.name) }
                @if !rule.severity.is_empty() { span.soft { (State::of_severity(&rule.severity).text(reader.language)) } }
                @if rule.hold > Duration::ZERO { span.soft { (reader.text(Text::HoldFor)) " " (reader.span(rule.hold)) } }
            }
            @if !rule.description.is_empty() { p { (rule.description) } }
            @if !rule.error.is_empty() { p.is-critical { (State::Failing.icon()) (rule.error) } }
            code { (rule.expression) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(secs: i64, from: State, to: State) -> Change {
        Change {
            time: Timestamp::from_secs(secs),
            name: "High".to_owned(),
            severity: "critical".to_owned(),
            labels: vec![("instance".to_owned(), "a".to_owned())],
            from,
            to,
            value: None,
        }
    }

    fn reader() -> Reader {
        Reader { language: model::Language::English, zone: crate::Zone::utc(), now: Timestamp::from_secs(900) }
    }

    #[test]
    fn a_lane_follows_the_changes_from_before_the_range_to_now() {
        let range = TimeRange::new(Timestamp::from_secs(100), Timestamp::from_secs(1000));
        let history = vec![change(700, State::Inactive, State::Pending), change(300, State::Firing, State::Resolved)];
        let alerts = Alerts { active: Vec::new(), history, range, groups: Vec::new() };
        let lanes = lanes(&alerts, &reader());
        let at = |start, end| TimeRange::new(Timestamp::from_secs(start), Timestamp::from_secs(end));
        assert_eq!(lanes.len(), 1);
        assert_eq!((lanes[0].name.as_str(), lanes[0].detail.as_str()), ("High", "Critical · a"));
        assert_eq!(lanes[0].stretches, [(at(100, 300), State::Firing), (at(700, 900), State::Pending)]);
    }

    #[test]
    fn alerts_of_two_severities_have_a_lane_each() {
        let range = TimeRange::new(Timestamp::from_secs(100), Timestamp::from_secs(1000));
        let warning = Change { severity: "warning".to_owned(), ..change(500, State::Inactive, State::Pending) };
        let history = vec![change(600, State::Inactive, State::Pending), warning];
        let alerts = Alerts { active: Vec::new(), history, range, groups: Vec::new() };
        let details: Vec<String> = lanes(&alerts, &reader()).into_iter().map(|lane| lane.detail).collect();
        assert_eq!(details, ["Critical · a", "Warning · a"]);
    }
}
