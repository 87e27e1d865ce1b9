//! What an evaluation writes and sends.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Labels, METRIC_NAME, Sample, Timestamp, stale_nan};

use super::state::Phase;
use super::step::{Moment, Outcome};
use crate::Alert;
use crate::template::{GraphTab, graph_path};

/// How long a resolved alert is kept and sent again.
const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);
/// A firing alert is vouched for so many times the longer of the interval and the resend delay.
const VALID_FACTOR: u32 = 4;

/// Writes `ALERTS` and `ALERTS_FOR_STATE` for every alert that holds.
pub(super) fn emit(outcome: &mut Outcome, moment: &Moment<'_>) {
    let timestamp = moment.sample_time();
    let mut samples = Vec::new();
    for (labels, alert) in outcome.state.holding() {
        let state = if alert.phase == Phase::Pending { "pending" } else { "firing" };
        let mut builder = labels.to_builder();
        let for_state = builder.set(METRIC_NAME, "ALERTS_FOR_STATE").build();
        let alerts = builder.set(METRIC_NAME, "ALERTS").set("alertstate", state).build();
        #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are exact far beyond our time")]
        let since = alert.active_at.as_millis().div_euclid(1000) as f64;
        for (labels, value) in [(alerts, 1.0), (for_state, since)] {
            let labels = labels.expect("the labels of an alert are valid, and so are the names that are added");
            samples.push((labels, Sample { timestamp, value }));
        }
    }
    outcome.state.series = samples.iter().map(|(labels, _)| labels.clone()).collect();
    outcome.samples.extend(samples);
}

/// Ends the series that the evaluation before wrote and this one did not.
pub(super) fn mark_vanished(before: &BTreeSet<Labels>, outcome: &mut Outcome, moment: &Moment<'_>) {
    let native = outcome.histograms.iter().map(|(labels, _)| labels);
    let written: BTreeSet<&Labels> = outcome.samples.iter().map(|(labels, _)| labels).chain(native).collect();
    let vanished: Vec<Labels> = before.iter().filter(|labels| !written.contains(labels)).cloned().collect();
    let end = Sample { timestamp: moment.sample_time(), value: stale_nan() };
    outcome.samples.extend(vanished.into_iter().map(|labels| (labels, end)));
}

/// Whether everybody must have heard of an end: it was sent for long enough, and not only by the evaluation that saw
/// it, after which the process may have died.
pub(super) fn is_told(slot: Timestamp, ended: Timestamp, last_sent: Option<Timestamp>) -> bool {
    slot.since(ended) > RESOLVED_RETENTION && last_sent.is_some_and(|sent| sent > ended)
}

/// Sends what is due: what fires or has resolved, again and again.
pub(super) fn send(outcome: &mut Outcome, moment: &Moment<'_>) {
    let slot = moment.slot;
    let valid_until = slot + moment.interval.max(moment.resend_delay) * VALID_FACTOR;
    let url =
        format!("{}{}", moment.external_url.trim_end_matches('/'), graph_path(&outcome.state.expr, GraphTab::Table));
    let due = |last_sent: Option<Timestamp>| last_sent.is_none_or(|sent| sent + moment.resend_delay < slot);
    let state = &mut outcome.state;
    for (labels, active) in &mut state.active {
        let (since, ended, last_sent) = match &mut active.phase {
            Phase::Pending => continue,
            Phase::Firing { since, last_sent, .. } => (*since, None, last_sent),
            Phase::Resolved { since, at, last_sent } => (*since, Some(*at), last_sent),
        };
        if ended.is_none() {
            state.withdrawn.remove(labels);
        }
        let just_ended = ended.is_some_and(|end| last_sent.is_none_or(|sent| end > sent));
        if just_ended || due(*last_sent) {
            *last_sent = Some(slot);
            let valid_until = if ended.is_none() { Some(valid_until) } else { None };
            outcome.alerts.push(Alert {
                labels: labels.clone(),
                annotations: active.annotations.clone(),
                starts_at: since,
                ends_at: ended,
                valid_until,
                sampled_at: None,
                generator_url: url.clone(),
                updated_at: slot,
            });
        }
    }
    state.withdrawn.retain(|_, alert| !is_told(slot, alert.at, alert.last_sent));
    for (labels, withdrawn) in state.withdrawn.iter_mut().filter(|(_, alert)| due(alert.last_sent)) {
        withdrawn.last_sent = Some(slot);
        outcome.alerts.push(Alert {
            labels: labels.clone(),
            annotations: withdrawn.annotations.clone(),
            starts_at: withdrawn.since,
            ends_at: Some(withdrawn.at),
            valid_until: None,
            sampled_at: None,
            generator_url: url.clone(),
            updated_at: slot,
        });
    }
}
