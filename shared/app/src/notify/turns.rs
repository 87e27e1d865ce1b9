//! The history of alerts that no rule of ours made: when they came to fire and when they ended, as their senders said it.
//!
//! Rows are those of the evaluation's history, written with the alert's own row, so that each change is there once. An
//! alert that ran past its end without a word has ended then; that is noted when it is next heard of.

use alerting::Fingerprint;
use alerting::notify::{Arrival, Held};
use alerting::rule::{Reason, Transition, TransitionState};
use model::{TenantId, Timestamp};

use super::history::KEPT;
use crate::evaluate::history_rows;
use crate::ports::RowWrite;

/// What a message changes about the state of an alert.
pub(super) fn of(known: Option<&Held>, arrival: &Arrival, now: Timestamp) -> Vec<Transition> {
    if !arrival.turned {
        return Vec::new();
    }
    let fired_until_now = known.filter(|held| !held.alert.is_resolved(now));
    let fires = !arrival.held.alert.is_resolved(now);
    let mut turns = Vec::new();
    if let Some((held, end)) = known.and_then(|held| Some((held, unsaid_end(held, now)?))) {
        turns.push(turn(held, end, (TransitionState::Firing, TransitionState::Resolved), Reason::Ended));
    } else if fired_until_now.is_some() {
        // It ended, or begins anew, which ends what was before.
        turns.push(turn(&arrival.held, now, (TransitionState::Firing, TransitionState::Resolved), Reason::Ended));
    }
    if fires {
        turns.push(turn(&arrival.held, now, (TransitionState::Inactive, TransitionState::Firing), Reason::Holds));
    }
    turns
}

/// When an alert ended that its sender said would go on until then, and never took back.
fn unsaid_end(held: &Held, now: Timestamp) -> Option<Timestamp> {
    held.alert.ends_at.filter(|&end| end <= now && end > held.alert.updated_at)
}

fn turn(held: &Held, at: Timestamp, (from, to): (TransitionState, TransitionState), reason: Reason) -> Transition {
    let alert = &held.alert;
    Transition {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        value: f64::NAN,
        at,
        active_at: alert.starts_at,
        from,
        to,
        reason,
    }
}

/// The rows of changes of one alert; as many as there are changes, at most.
pub(super) fn rows(tenant: &TenantId, alert: Fingerprint, turns: &[Transition], now: Timestamp) -> Vec<RowWrite> {
    let turns: Vec<(String, Transition)> = turns.iter().map(|turn| (alert.to_string(), turn.clone())).collect();
    match history_rows(tenant, &turns, now + KEPT) {
        Ok(rows) => rows,
        Err(error) => {
            tracing::error!(%tenant, %error, "a change of an alert is not in the history");
            Vec::new()
        }
    }
}
