//! The history of alerts, told as one: every change of state, every notification, every answer, every silence and its
//! author, for a year; and what the rules are worth by it, and how fast people answered.

mod responses;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alerting::Fingerprint;
use alerting::rule::{Transition, TransitionState};
use model::{Labels, Matcher, TenantId, TimeRange, Timestamp, matches_all};
use serde::Serialize;

use crate::notify::{Act, ActKind, Sent};
use crate::{App, AppError, alerts, notify};
pub use responses::ResponseRecord;

/// Most events of an answer.
pub const EVENTS_MAX: usize = 5000;
/// An alert that fires again so soon after its end has flapped.
const FLAP: Duration = Duration::from_secs(3600);

/// Which events to tell.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What an alert's labels must fulfil. A silence has none: it is told where nothing is asked of labels.
    pub matchers: Vec<Matcher>,
    /// Names of rules; all when there is none.
    pub rules: Vec<String>,
    /// Kinds of events, as [`Event::kind`] has them; all when there is none.
    pub kinds: Vec<String>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What: `transition`, `notification`, or the name of an act such as `acknowledged`.
    pub kind: &'static str,
    /// The rules it is about.
    pub rules: BTreeSet<String>,
    /// The fingerprints of the alerts it is about.
    pub alerts: Vec<String>,
    /// The labels of the alert, where it is about one.
    pub labels: BTreeMap<String, String>,
    /// Who did it; empty where rules and clocks did.
    pub author: String,
    /// What happened, in one line.
    pub text: String,
}

/// What a rule was worth within a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleRecord {
    /// How often an alert of it fired.
    pub fired: usize,
    /// Of those, how many somebody did something about: took on, handed on or gave to somebody.
    pub acted_on: usize,
    /// The share of them.
    pub actionable_share: f64,
    /// How often an alert fired again within an hour of its end.
    pub flaps: usize,
    /// How often nobody answered in the time that is promised.
    pub breaches: usize,
    /// The mean time to an answer, in seconds, without times in which the alert was muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge_seconds_mean: Option<f64>,
    /// The mean time from firing to the end, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_seconds_mean: Option<f64>,
}

/// What alerts of a range asked of people, and what people did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Worth {
    /// By the name of the rule.
    pub rules: BTreeMap<String, RuleRecord>,
    /// By severity.
    pub responses: BTreeMap<String, ResponseRecord>,
}

/// All that is known of a range.
struct Loaded {
    transitions: Vec<Transition>,
    sent: Vec<Sent>,
    acts: Vec<Act>,
    /// The labels of alerts by fingerprint.
    labels: BTreeMap<String, Labels>,
}

/// The events of a tenant within a range, the newest first, and how many there are in all; at most `limit` of them.
///
/// # Errors
/// When they cannot be read.
pub async fn events(
    app: &App,
    tenant: &TenantId,
    range: TimeRange,
    filter: &Filter,
    limit: usize,
    now: Timestamp,
) -> Result<(Vec<Event>, usize), AppError> {
    let loaded = Loaded::of(app, tenant, range, now).await?;
    Ok(newest(loaded.events(filter), limit))
}

/// The newest events first, at most so many, and how many there are in all.
fn newest(mut events: Vec<Event>, limit: usize) -> (Vec<Event>, usize) {
    events.sort_by_key(|event| std::cmp::Reverse(event.at_ms));
    let count = events.len();
    events.truncate(limit.min(EVENTS_MAX));
    (events, count)
}

/// The newest events of a range, and what each rule was worth within it, read once.
///
/// # Errors
/// When the history cannot be read.
pub async fn events_and_rules(
    app: &App,
    tenant: &TenantId,
    range: TimeRange,
    filter: &Filter,
    limit: usize,
    now: Timestamp,
) -> Result<(Vec<Event>, BTreeMap<String, RuleRecord>), AppError> {
    let loaded = Loaded::of(app, tenant, range, now).await?;
    Ok((newest(loaded.events(filter), limit).0, records(&loaded.transitions, &loaded.acts)))
}

/// What each rule was worth within a range, and how fast people answered.
///
/// # Errors
/// When the history cannot be read.
pub async fn worth(app: &App, tenant: &TenantId, range: TimeRange, now: Timestamp) -> Result<Worth, AppError> {
    let loaded = Loaded::of(app, tenant, range, now).await?;
    let config = app.config();
    let responses = responses::records(&loaded.transitions, &loaded.acts, notify::on_call(&config, tenant));
    Ok(Worth { rules: records(&loaded.transitions, &loaded.acts), responses })
}

impl Loaded {
    async fn of(app: &App, tenant: &TenantId, range: TimeRange, now: Timestamp) -> Result<Self, AppError> {
        let in_range = |at_ms: i64| range.contains(Timestamp::from_millis(at_ms));
        let transitions = alerts::history(app, tenant, range, now).await?;
        let mut sent = notify::sent(app, tenant, range, now).await?;
        sent.retain(|one| in_range(one.at_ms));
        let mut acts = notify::acts(app, tenant, range, now).await?;
        acts.retain(|act| in_range(act.at_ms));
        let mut labels = notify::labels_of_alerts(app, tenant, now).await?;
        for act in acts.iter().filter(|act| !act.fingerprint.is_empty()) {
            let pairs = act.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            labels.insert(act.fingerprint.clone(), Labels::from_pairs(pairs).unwrap_or_default());
        }
        for change in &transitions {
            labels.insert(Fingerprint::of(&change.labels).to_string(), change.labels.clone());
        }
        Ok(Self { transitions, sent, acts, labels })
    }

    fn events(&self, filter: &Filter) -> Vec<Event> {
        let transitions = self.transitions.iter().map(|change| {
            let text = format!("{} → {}: {}", change.from.as_str(), change.to.as_str(), change.reason.as_str());
            let alerts = vec![Fingerprint::of(&change.labels).to_string()];
            self.event(change.at.as_millis(), "transition", alerts, "", text)
        });
        let sent = self.sent.iter().map(|sent| {
            let alerts: Vec<String> = sent.firing.iter().chain(&sent.resolved).cloned().collect();
            let done = if sent.delivered { "told" } else { "could not tell" };
            let text = format!("{done} {} by {}: {} ({})", sent.receiver, sent.integration, sent.reason, sent.note);
            self.event(sent.at_ms, "notification", alerts, "", text)
        });
        let acts = self.acts.iter().map(|act| {
            let alerts = Some(act.fingerprint.clone()).filter(|alert| !alert.is_empty());
            self.event(act.at_ms, act.kind.as_str(), alerts.into_iter().collect(), &act.by, act.note.clone())
        });
        transitions.chain(sent).chain(acts).filter(|event| self.takes(filter, event)).collect()
    }

    fn event(&self, at_ms: i64, kind: &'static str, alerts: Vec<String>, author: &str, text: String) -> Event {
        let known: Vec<&Labels> = alerts.iter().filter_map(|alert| self.labels.get(alert)).collect();
        let rules = known.iter().filter_map(|labels| labels.get("alertname")).map(str::to_owned).collect();
        let labels = match known[..] {
            [one] => one.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            _ => BTreeMap::new(),
        };
        Event { at_ms, kind, rules, alerts, labels, author: author.to_owned(), text }
    }

    fn takes(&self, filter: &Filter, event: &Event) -> bool {
        let fulfils = |alert: &String| {
            self.labels.get(alert).is_some_and(|labels| matches_all(&filter.matchers, labels.as_ref()))
        };
        (filter.kinds.is_empty() || filter.kinds.iter().any(|kind| kind == event.kind))
            && (filter.rules.is_empty() || filter.rules.iter().any(|rule| event.rules.contains(rule)))
            && (filter.matchers.is_empty() || event.alerts.iter().any(fulfils))
    }
}

/// What each rule was worth, by the changes of its alerts, oldest first, and by what people did.
fn records(transitions: &[Transition], acts: &[Act]) -> BTreeMap<String, RuleRecord> {
    let mut records: BTreeMap<String, RuleRecord> = BTreeMap::new();
    let mut resolve: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut firing: BTreeMap<&Labels, Timestamp> = BTreeMap::new();
    let mut ended: BTreeMap<&Labels, Timestamp> = BTreeMap::new();
    // Of each alert the times at which an occurrence began, with whether somebody did something about it.
    let mut occurrences: BTreeMap<String, Vec<(i64, bool)>> = BTreeMap::new();
    for change in transitions {
        let rule = change.labels.get("alertname").unwrap_or("");
        let record = records.entry(rule.to_owned()).or_default();
        if change.to == TransitionState::Firing {
            record.fired += 1;
            let is_flap = ended.get(&change.labels).is_some_and(|end| change.at.since(*end) < FLAP);
            record.flaps += usize::from(is_flap);
            firing.insert(&change.labels, change.at);
            let alert = Fingerprint::of(&change.labels).to_string();
            occurrences.entry(alert).or_default().push((change.at.as_millis(), false));
        } else if change.from == TransitionState::Firing {
            ended.insert(&change.labels, change.at);
            if let Some(since) = firing.remove(&change.labels) {
                resolve.entry(rule).or_default().push(change.at.since(since).as_secs_f64());
            }
        }
    }
    let mut acknowledge: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for act in acts {
        let Some(rule) = act.labels.get("alertname") else { continue };
        let record = records.entry(rule.clone()).or_default();
        match act.kind {
            ActKind::Breached => record.breaches += 1,
            ActKind::Acknowledged | ActKind::Assigned | ActKind::Escalated => {
                let began = occurrences.get_mut(&act.fingerprint);
                let latest = began.and_then(|all| all.iter_mut().rfind(|(at_ms, _)| *at_ms <= act.at_ms));
                if let Some((_, is_acted_on @ false)) = latest {
                    *is_acted_on = true;
                    record.acted_on += 1;
                }
            }
            ActKind::Called | ActKind::Silenced | ActKind::Unsilenced => {}
        }
        if let (ActKind::Acknowledged, Some(after_ms)) = (act.kind, act.after_ms) {
            acknowledge.entry(rule).or_default().push(Duration::from_millis(after_ms.unsigned_abs()).as_secs_f64());
        }
    }
    for (rule, record) in &mut records {
        record.acknowledge_seconds_mean = mean(acknowledge.get(rule.as_str()));
        record.resolve_seconds_mean = mean(resolve.get(rule.as_str()));
        record.actionable_share = share(record.acted_on, record.fired);
    }
    records
}

fn share(part: usize, whole: usize) -> f64 {
    let number = |count: usize| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}

fn mean(values: Option<&Vec<f64>>) -> Option<f64> {
    let values = values.filter(|values| !values.is_empty())?;
    let count = u32::try_from(values.len()).map_or(f64::from(u32::MAX), f64::from);
    Some(values.iter().sum::<f64>() / count)
}

#[cfg(test)]
mod tests {
    use alerting::rule::Reason;

    use super::*;

    fn change(host: &str, at: i64, from: TransitionState, to: TransitionState) -> Transition {
        Transition {
            labels: Labels::from_pairs([("alertname", "cpu"), ("host", host)]).unwrap(),
            annotations: BTreeMap::new(),
            value: 1.0,
            at: Timestamp::from_secs(at),
            active_at: Timestamp::from_secs(at),
            from,
            to,
            reason: Reason::parse("condition holds").unwrap_or(Reason::Recovered),
        }
    }

    fn act(kind: ActKind, host: &str, at: i64, after_ms: Option<i64>) -> Act {
        let labels = Labels::from_pairs([("alertname", "cpu"), ("host", host)]).unwrap();
        Act {
            at_ms: at * 1000,
            kind,
            fingerprint: Fingerprint::of(&labels).to_string(),
            labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            by: "aiko".to_owned(),
            note: String::new(),
            after_ms,
            tier: None,
        }
    }

    #[test]
    fn a_rule_is_judged_by_what_became_of_its_alerts() {
        use TransitionState::{Firing, Pending, Resolved};
        let transitions = [
            change("a", 0, Pending, Firing),
            change("b", 0, Pending, Firing),
            change("a", 600, Firing, Resolved),
            change("a", 1200, Pending, Firing),
            change("b", 1200, Firing, Resolved),
            change("b", 9000, Pending, Firing),
        ];
        let acts = [
            act(ActKind::Acknowledged, "a", 60, Some(60_000)),
            act(ActKind::Assigned, "a", 70, None),
            act(ActKind::Breached, "b", 900, Some(900_000)),
            act(ActKind::Acknowledged, "b", 9120, Some(120_000)),
            act(ActKind::Called, "b", 9000, None),
        ];
        let record = &records(&transitions, &acts)["cpu"];
        let expected = RuleRecord {
            fired: 4,
            acted_on: 2,
            actionable_share: 0.5,
            flaps: 1,
            breaches: 1,
            acknowledge_seconds_mean: Some(90.0),
            resolve_seconds_mean: Some(900.0),
        };
        assert_eq!(*record, expected);
        assert!(records(&[], &[]).is_empty());
    }
}
