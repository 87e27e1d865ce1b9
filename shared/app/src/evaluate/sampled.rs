//! When what made an alert fire was measured: for alerts that begin to fire, the newest sample of the series behind them.
//!
//! Only then: the message that announces an alert says it, and whoever is told first remembers it. In every other
//! evaluation this costs nothing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use alerting::rule::{Outcome, Rule, TransitionState};
use model::{Labels, METRIC_NAME, Timestamp, is_stale};
use promql::Source;

/// Alerts of one evaluation that are looked at; in a storm those say it for all.
const ALERTS_MAX: usize = 100;

/// Says of the alerts that begin to fire when they were measured. `source` has the series of `selections` selections of
/// the rule's expression.
pub(super) fn date(outcome: &mut Outcome, rule: &Rule, source: &impl Source, selections: usize) {
    let begins = |change: &&alerting::rule::Transition| {
        change.to == TransitionState::Firing && change.from != TransitionState::Firing
    };
    let begun: BTreeSet<Labels> =
        outcome.transitions.iter().filter(begins).map(|change| change.labels.clone()).take(ALERTS_MAX).collect();
    if begun.is_empty() {
        return;
    }
    let mut newest: Vec<(Labels, Option<Timestamp>)> = begun.into_iter().map(|labels| (labels, None)).collect();
    for selection in 0..selections {
        let read = source.each(selection, &mut |series| {
            let times = series.samples().filter(|sample| !is_stale(sample.value)).map(|sample| sample.timestamp);
            if let Some(at) = times.max() {
                let behind = newest.iter_mut().filter(|(alert, _)| is_behind(&series.labels, alert, rule));
                behind.for_each(|(_, found)| *found = (*found).max(Some(at)));
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = read {
            tracing::debug!(%error, "when alerts were measured is not known");
            return;
        }
    }
    for alert in &mut outcome.alerts {
        if let Some((_, at)) = newest.iter().find(|(labels, _)| *labels == alert.labels) {
            alert.sampled_at = *at;
        }
    }
}

/// Whether an alert may come from a series: no label of the series says otherwise. Labels that the rule sets itself say
/// nothing, and those that its expression drops are not among the alert's.
fn is_behind(series: &Labels, alert: &Labels, rule: &Rule) -> bool {
    let says_otherwise = |name: &str, value: &str| {
        let is_own = name == METRIC_NAME || rule.labels.contains_key(name);
        !is_own && alert.get(name).is_some_and(|of_alert| of_alert != value)
    };
    !series.iter().any(|(name, value)| says_otherwise(name, value))
}
