//! How fast people answered what is promised for each severity.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::oncall::OnCall;
use alerting::rule::{Transition, TransitionState};
use model::{Labels, Timestamp};
use serde::Serialize;

use crate::notify::{Act, ActKind};

/// The promise for a severity, and what came of it within a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResponseRecord {
    /// Within what time somebody answers, in seconds, as the policy says now; `None` where nothing is promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised_seconds: Option<f64>,
    /// After what times without an answer further people are called, in seconds.
    pub escalates_after_seconds: Vec<f64>,
    /// How often an alert of our rules fired.
    pub fired: usize,
    /// How often somebody took an alert on; those of outside senders count, too.
    pub answered: usize,
    /// Of those, how many within the promise, where there is one.
    pub in_time: usize,
    /// How often nobody had answered when the promised time was over.
    pub breaches: usize,
    /// How often further people were called, by the clock or at somebody's wish.
    pub escalated: usize,
    /// The mean time to an answer, in seconds, without times in which the alert was muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge_seconds_mean: Option<f64>,
    /// The longest time to an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge_seconds_max: Option<f64>,
    /// The mean time from firing to the end, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_seconds_mean: Option<f64>,
    /// The longest time from firing to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_seconds_max: Option<f64>,
}

/// By severity: those with a promise, and those whose alerts somebody answered.
pub(super) fn records(transitions: &[Transition], acts: &[Act], on_call: &OnCall) -> BTreeMap<String, ResponseRecord> {
    let mut records: BTreeMap<String, ResponseRecord> = BTreeMap::new();
    for (severity, policy) in &on_call.policies {
        let record = records.entry(severity.clone()).or_default();
        record.promised_seconds = policy.respond_within.map(|time| time.as_secs_f64());
        let later = policy.tiers.iter().filter(|tier| !tier.after.is_zero());
        record.escalates_after_seconds = later.map(|tier| tier.after.as_secs_f64()).collect();
    }
    let mut acknowledge: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for act in acts {
        let severity = act.labels.get("severity").map_or("", String::as_str);
        let is_answer = act.kind == ActKind::Acknowledged;
        if !records.contains_key(severity) && !is_answer {
            continue;
        }
        let record = records.entry(severity.to_owned()).or_default();
        record.breaches += usize::from(act.kind == ActKind::Breached);
        record.escalated += usize::from(is_later(act, on_call, severity));
        if let (true, Some(after_ms)) = (is_answer, act.after_ms) {
            let after = Duration::from_millis(after_ms.unsigned_abs()).as_secs_f64();
            record.answered += 1;
            record.in_time += usize::from(record.promised_seconds.is_some_and(|promised| after <= promised));
            acknowledge.entry(severity).or_default().push(after);
        }
    }
    let resolve = fired(transitions, &mut records);
    for (severity, record) in &mut records {
        (record.acknowledge_seconds_mean, record.acknowledge_seconds_max) = figures(acknowledge.get(severity.as_str()));
        (record.resolve_seconds_mean, record.resolve_seconds_max) = figures(resolve.get(severity.as_str()));
    }
    records
}

/// Whether a tier was called that is not called at once.
fn is_later(act: &Act, on_call: &OnCall, severity: &str) -> bool {
    let policy = on_call.policies.get(severity);
    let tier = act.tier.and_then(|tier| policy?.tiers.get(tier));
    act.kind == ActKind::Called && tier.is_some_and(|tier| !tier.after.is_zero())
}

/// Counts what fired, and gives how long it took to end, by severity.
fn fired<'a>(
    transitions: &'a [Transition],
    records: &mut BTreeMap<String, ResponseRecord>,
) -> BTreeMap<&'a str, Vec<f64>> {
    let mut resolve: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut firing: BTreeMap<&Labels, Timestamp> = BTreeMap::new();
    for change in transitions {
        let severity = change.labels.get("severity").unwrap_or("");
        let Some(record) = records.get_mut(severity) else { continue };
        if change.to == TransitionState::Firing {
            record.fired += 1;
            firing.insert(&change.labels, change.at);
        } else if change.from == TransitionState::Firing
            && let Some(since) = firing.remove(&change.labels)
        {
            resolve.entry(severity).or_default().push(change.at.since(since).as_secs_f64());
        }
    }
    resolve
}

/// The mean and the greatest.
fn figures(values: Option<&Vec<f64>>) -> (Option<f64>, Option<f64>) {
    let greatest = values.and_then(|values| values.iter().copied().reduce(f64::max));
    (super::mean(values), greatest)
}

#[cfg(test)]
mod tests {
    use TransitionState::{Firing, Pending, Resolved};
    use alerting::Fingerprint;
    use alerting::rule::Reason;

    use super::*;

    fn labels(severity: &str) -> Labels {
        Labels::from_pairs([("alertname", "cpu"), ("severity", severity)]).unwrap()
    }

    fn change(severity: &str, at: i64, from: TransitionState, to: TransitionState) -> Transition {
        Transition {
            labels: labels(severity),
            annotations: BTreeMap::new(),
            value: 1.0,
            at: Timestamp::from_secs(at),
            active_at: Timestamp::from_secs(at),
            from,
            to,
            reason: Reason::Holds,
        }
    }

    fn act(kind: ActKind, severity: &str, after_secs: Option<i64>, tier: Option<usize>) -> Act {
        let labels = labels(severity);
        Act {
            at_ms: 0,
            kind,
            fingerprint: Fingerprint::of(&labels).to_string(),
            labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            by: String::new(),
            note: String::new(),
            after_ms: after_secs.map(|secs| secs * 1000),
            tier,
        }
    }

    /// Those of the plan: 15 minutes and 1 hour, tiers at once and after 15 minutes, after 4 hours.
    fn on_call() -> OnCall {
        let config = crate::config::Config::defaults();
        config.tenants[&model::TenantId::default_tenant()].on_call.clone()
    }

    #[test]
    fn answers_are_held_against_the_promise_of_their_severity() {
        use ActKind::{Acknowledged, Breached, Called};
        let transitions = [
            change("critical", 0, Pending, Firing),
            change("critical", 1200, Firing, Resolved),
            change("critical", 2000, Pending, Firing),
            change("critical", 2600, Firing, Resolved),
            change("warning", 3000, Pending, Firing),
        ];
        let acts = [
            act(Called, "critical", None, Some(0)),
            act(Acknowledged, "critical", Some(900), None),
            act(Called, "critical", None, Some(0)),
            act(Breached, "critical", Some(900), None),
            act(Called, "critical", None, Some(1)),
            act(Acknowledged, "critical", Some(1100), None),
            act(Breached, "warning", Some(3600), None),
            act(Called, "warning", None, Some(0)),
            act(Acknowledged, "page", Some(5), None),
            act(Called, "none", None, Some(0)),
        ];
        let records = records(&transitions, &acts, &on_call());
        assert_eq!(records.keys().collect::<Vec<_>>(), ["critical", "info", "page", "warning"]);
        let critical = ResponseRecord {
            promised_seconds: Some(900.0),
            escalates_after_seconds: vec![900.0],
            fired: 2,
            answered: 2,
            in_time: 1,
            breaches: 1,
            escalated: 1,
            acknowledge_seconds_mean: Some(1000.0),
            acknowledge_seconds_max: Some(1100.0),
            resolve_seconds_mean: Some(900.0),
            resolve_seconds_max: Some(1200.0),
        };
        assert_eq!(records["critical"], critical);
        let warning = &records["warning"];
        assert_eq!((warning.promised_seconds, &warning.escalates_after_seconds), (Some(3600.0), &vec![14_400.0]));
        assert_eq!((warning.fired, warning.answered, warning.breaches, warning.escalated), (1, 0, 1, 1));
        assert_eq!((records["info"].promised_seconds, records["info"].fired), (Some(86_400.0), 0));
        assert_eq!((records["page"].answered, records["page"].in_time), (1, 0), "nothing was promised");
    }
}
