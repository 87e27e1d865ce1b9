//! The alerts page, and what the overview says of alerts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use alerting::notify::{MatchersError, parse_matchers};
use alerting::rule::{Transition, TransitionState};
use model::{Labels, Language, Matcher, TimeRange, Timestamp};
use render::page::alerts::{ActiveAlert, Alerts, Change, Group, Rule, content as render};
use render::page::answers::{Answers, EventRow, RuleRow, WatchedAlert, content as render_answers};
use render::page::deliveries::{Deliveries, content as render_deliveries};
use render::page::{Frame, Span};
use render::state::State;
use render::{Markup, Reader};

use super::ANSWER_PATH;
use super::deliveries::deliveries;
use crate::access::Viewer;
use crate::alerts::{AlertState, AlertView, GroupView, Health, RuleFilter, RuleKindView, RuleView};
use crate::history::{self, Filter};
use crate::http::Params;
use crate::{App, AppError, alerts, notify};

/// Most changes that the page lists.
const CHANGES_MAX: usize = 200;
/// Most notifications and answers that the page lists.
const EVENTS_MAX: usize = 500;

/// What the overview says of alerts.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) firing: Vec<ActiveAlert>,
    pub(super) pending_count: usize,
    pub(super) rule_count: usize,
    pub(super) failing_count: usize,
}

pub(super) async fn content(app: &App, viewer: &Viewer, frame: &Frame, params: &Params) -> Result<Markup, AppError> {
    let reader = &frame.reader;
    let range = frame.span.unwrap_or(Span::Last1h).range(reader.now);
    let groups = alerts::rule_groups(app, &viewer.tenant, &RuleFilter::default(), reader.now).await?;
    let history = alerts::history(app, &viewer.tenant, range, reader.now).await?;
    let page = Alerts {
        active: active(&groups, reader.language),
        history: history.iter().rev().take(CHANGES_MAX).map(change).collect(),
        range,
        groups: groups.into_iter().map(|view| group(view, reader.language)).collect(),
    };
    let answers = answers(app, viewer, frame, params, range).await?;
    let deliveries = match searched(&answers.search[0]) {
        Ok(matchers) => deliveries(app, viewer, &matchers, reader).await?,
        Err(_) => Deliveries::default(),
    };
    let people = [render_deliveries(&deliveries, reader), render_answers(&answers, ANSWER_PATH, frame)];
    Ok(render(&page, &people, frame))
}

/// What the page says of people: who answers, what was told and done.
async fn answers(
    app: &App,
    viewer: &Viewer,
    frame: &Frame,
    params: &Params,
    range: TimeRange,
) -> Result<Answers, AppError> {
    let (reader, tenant) = (&frame.reader, &viewer.tenant);
    let [matcher, rule, kind] = ["matcher", "rule", "kind"].map(|name| params.get(name).unwrap_or("").to_owned());
    let texts = |text: &String| Some(text.clone()).filter(|text| !text.is_empty()).into_iter().collect();
    let read = searched(&matcher);
    let is_readable = read.is_ok();
    let filter = Filter { matchers: read.unwrap_or_default(), rules: texts(&rule), kinds: texts(&kind) };
    let limit = if is_readable { EVENTS_MAX } else { 0 };
    let (events, rules) = history::events_and_rules(app, tenant, range, &filter, limit, reader.now).await?;
    let config = app.config();
    let people = &notify::on_call(&config, tenant).people;
    let watched = notify::answered(app, tenant, reader.now).await?;
    Ok(Answers {
        watched: watched.iter().map(|(alert, answered)| watched_alert(&alert.to_string(), answered)).collect(),
        people: people.iter().map(|(short, person)| (short.clone(), person.name.clone())).collect(),
        may_answer: viewer.may_answer,
        events: events.into_iter().filter(|event| event.kind != "transition").map(event_row).collect(),
        search: [matcher, rule, kind],
        records: rules.into_iter().map(rule_row).collect(),
    })
}

/// The matchers that were searched for. What is no matcher finds nothing, and stands in its field to be mended.
fn searched(matcher: &str) -> Result<Vec<Matcher>, MatchersError> {
    if matcher.is_empty() { Ok(Vec::new()) } else { parse_matchers(matcher) }
}

fn watched_alert(fingerprint: &str, answered: &notify::Answered) -> WatchedAlert {
    let (name, severity, labels) = named(&answered.labels);
    WatchedAlert {
        name,
        fingerprint: fingerprint.to_owned(),
        severity,
        labels,
        since: answered.watched.starts_at,
        answered_by: answered.watched.answer.as_ref().map(|answer| answer.by.clone()),
        assigned_to: answered.watched.assigned_to.clone(),
        is_breached: answered.watched.is_breached,
    }
}

fn event_row(event: history::Event) -> EventRow {
    EventRow {
        time: Timestamp::from_millis(event.at_ms),
        kind: event.kind.to_owned(),
        rules: event.rules.into_iter().collect::<Vec<_>>().join(", "),
        author: event.author,
        text: event.text,
    }
}

fn rule_row((name, record): (String, history::RuleRecord)) -> RuleRow {
    let span = |seconds: Option<f64>| seconds.map(Duration::from_secs_f64);
    RuleRow {
        name,
        counts: [record.fired, record.flaps, record.breaches],
        actionable_share: record.actionable_share,
        acknowledge: span(record.acknowledge_seconds_mean),
        resolve: span(record.resolve_seconds_mean),
    }
}

/// Loads what the overview says of alerts.
pub(super) async fn summary(app: &App, viewer: &Viewer, reader: &Reader) -> Result<Summary, AppError> {
    let groups = alerts::rule_groups(app, &viewer.tenant, &RuleFilter::default(), reader.now).await?;
    // An alert that always fires, by which others see that monitoring works, is no news.
    let news = active(&groups, reader.language).into_iter().filter(|alert| alert.severity != "none");
    let (firing, pending): (Vec<_>, Vec<_>) = news.partition(|alert| alert.state == State::Firing);
    let rules = || groups.iter().flat_map(|group| &group.rules);
    Ok(Summary {
        firing,
        pending_count: pending.len(),
        rule_count: rules().filter(|rule| rule.kind != RuleKindView::Recording).count(),
        failing_count: rules().filter(|rule| rule.health == Health::Err).count(),
    })
}

/// The alerts that fire or wait: firing before pending, the most severe first, the newest first.
fn active(groups: &[GroupView], language: Language) -> Vec<ActiveAlert> {
    let rules = groups.iter().flat_map(|group| &group.rules);
    let views = rules.flat_map(|rule| match &rule.kind {
        RuleKindView::Recording => &[][..],
        RuleKindView::Alerting { alerts, .. } => alerts,
    });
    let mut active: Vec<ActiveAlert> = views.map(|view| active_alert(view, language)).collect();
    let rank =
        |alert: &ActiveAlert| (alert.state != State::Firing, State::of_severity(&alert.severity), Reverse(alert.since));
    active.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| (&a.name, &a.labels).cmp(&(&b.name, &b.labels))));
    active
}

fn active_alert(view: &AlertView, language: Language) -> ActiveAlert {
    let (name, severity, labels) = named(&view.labels);
    ActiveAlert {
        name,
        state: alert_state(view.state),
        severity,
        labels,
        description: text(&view.annotations, ["summary", "description"], language),
        since: view.active_at,
        value: view.value.is_finite().then_some(view.value),
    }
}

fn group(view: GroupView, language: Language) -> Group {
    Group {
        name: view.name,
        file: view.file,
        interval: view.interval,
        last_evaluation: view.last_evaluation,
        rules: view.rules.into_iter().map(|view| rule(view, language)).collect(),
    }
}

fn rule(view: RuleView, language: Language) -> Rule {
    let (hold, description, state) = match &view.kind {
        RuleKindView::Recording => (Duration::ZERO, String::new(), State::Inactive),
        RuleKindView::Alerting { hold, annotations, state, .. } => {
            (*hold, text(annotations, ["description", "summary"], language), alert_state(*state))
        }
    };
    Rule {
        name: view.name,
        is_recording: view.kind == RuleKindView::Recording,
        state: if view.health == Health::Err { State::Failing } else { state },
        severity: view.labels.get("severity").cloned().unwrap_or_default(),
        expression: view.query,
        hold,
        description,
        error: view.last_error.unwrap_or_default(),
    }
}

const fn alert_state(state: AlertState) -> State {
    match state {
        AlertState::Unknown => State::Unknown,
        AlertState::Inactive => State::Inactive,
        AlertState::Pending => State::Pending,
        AlertState::Firing => State::Firing,
    }
}

fn change(change: &Transition) -> Change {
    let (name, severity, labels) = named(&change.labels);
    Change {
        time: change.at,
        name,
        severity,
        labels,
        from: state(change.from),
        to: state(change.to),
        value: change.value.is_finite().then_some(change.value),
    }
}

const fn state(state: TransitionState) -> State {
    match state {
        TransitionState::Inactive => State::Inactive,
        TransitionState::Pending => State::Pending,
        TransitionState::Firing => State::Firing,
        TransitionState::Resolved => State::Resolved,
    }
}

/// An alert's name and severity, and what else tells it apart.
fn named(labels: &Labels) -> (String, String, Vec<(String, String)>) {
    let label = |name: &str| labels.get(name).unwrap_or("").to_owned();
    let others = labels.iter().filter(|(name, _)| !matches!(*name, "alertname" | "severity"));
    (label("alertname"), label("severity"), others.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The first annotation that is there in the reader's language, else in the other one. English ones end in `_en`.
fn text(annotations: &BTreeMap<String, String>, names: [&str; 2], language: Language) -> String {
    let suffixes = match language {
        Language::Japanese => ["", "_en"],
        Language::English => ["_en", ""],
    };
    let keys = suffixes.into_iter().flat_map(|suffix| names.map(|name| format!("{name}{suffix}")));
    keys.into_iter().find_map(|key| annotations.get(&key)).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_shown_in_the_language_of_the_reader() {
        let annotations = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), (*key).to_owned())).collect();
        let cases: [(&[&str], Language, &str); 6] = [
            (&["summary", "summary_en", "description"], Language::Japanese, "summary"),
            (&["summary", "summary_en", "description"], Language::English, "summary_en"),
            (&["summary", "description", "description_en"], Language::English, "description_en"),
            (&["summary"], Language::English, "summary"),
            (&["description_en"], Language::Japanese, "description_en"),
            (&["action"], Language::Japanese, ""),
        ];
        for (keys, language, expected) in cases {
            assert_eq!(text(&annotations(keys), ["summary", "description"], language), expected, "{keys:?}");
        }
    }
}
