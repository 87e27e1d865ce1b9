//! How people answered within the period of a report, put into its figures.

use render::report::{OnCallStatistics, ResponseStatistics, RuleWorth};

use crate::history::{ResponseRecord, RuleRecord, Worth};

/// The figures; severities with the most urgent promise first, rules that fired most first.
pub(super) fn of(worth: Worth) -> OnCallStatistics {
    let mut responses: Vec<ResponseStatistics> = worth.responses.into_iter().map(response).collect();
    responses.sort_by_key(|one| one.promised_seconds.unwrap_or(u64::MAX));
    let mut rules: Vec<RuleWorth> = worth.rules.into_iter().filter(|(_, record)| is_told(record)).map(rule).collect();
    rules.sort_by(|a, b| b.fired.cmp(&a.fired).then_with(|| a.name.cmp(&b.name)));
    OnCallStatistics { responses, rules }
}

/// A rule whose alerts only became pending asked nothing of anybody.
const fn is_told(record: &RuleRecord) -> bool {
    record.fired > 0 || record.breaches > 0 || record.acknowledge_seconds_mean.is_some()
}

fn response((severity, record): (String, ResponseRecord)) -> ResponseStatistics {
    ResponseStatistics {
        severity,
        promised_seconds: whole(record.promised_seconds),
        escalates_after_seconds: record.escalates_after_seconds.into_iter().map(seconds).collect(),
        fired: record.fired as u64,
        answered: record.answered as u64,
        in_time: record.in_time as u64,
        breaches: record.breaches as u64,
        escalated: record.escalated as u64,
        acknowledge_seconds_mean: whole(record.acknowledge_seconds_mean),
        acknowledge_seconds_max: whole(record.acknowledge_seconds_max),
        resolve_seconds_mean: whole(record.resolve_seconds_mean),
        resolve_seconds_max: whole(record.resolve_seconds_max),
    }
}

fn rule((name, record): (String, RuleRecord)) -> RuleWorth {
    RuleWorth {
        name,
        fired: record.fired as u64,
        actionable_share: record.actionable_share,
        flaps: record.flaps as u64,
        breaches: record.breaches as u64,
        acknowledge_seconds_mean: whole(record.acknowledge_seconds_mean),
        resolve_seconds_mean: whole(record.resolve_seconds_mean),
    }
}

fn whole(value: Option<f64>) -> Option<u64> {
    value.map(seconds)
}

/// Whole seconds.
fn seconds(value: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(value.round()).unwrap_or_default().as_secs()
}
