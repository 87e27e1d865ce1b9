//! What is due, and whether it may be paid: the pure part of the flow.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::{CloudWatchConfig, Entry};

/// How often metrics are listed again.
pub(super) const LIST_EVERY: Duration = Duration::from_secs(30 * 60);
/// A unit that a run took up is left alone by others for so long; a run that died frees it thus.
pub(super) const CLAIMED_FOR: Duration = Duration::from_secs(5 * 60);
/// The longest wait after failures, and the longest interval that a short budget stretches to a day.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Dollars for one question or one page of a listing. The same in almost all regions.
const DOLLARS_A_QUESTION: f64 = 0.01 / 1000.0;

/// What is remembered of all units together: one row, read every minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Board {
    /// The calendar month that is counted, such as 202611.
    pub(super) month: i32,
    /// Questions and pages of listings that were asked in it.
    pub(super) asked: u64,
    /// By name of the unit.
    pub(super) units: BTreeMap<String, Mark>,
}

/// How far one unit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The end of the last period that all its questions were answered for; `None` before the first answers.
    pub(super) until_ms: Option<i64>,
    /// It is left alone until then.
    pub(super) not_before_ms: i64,
    /// How many questions a round takes.
    pub(super) questions: u64,
    /// How many pages a listing takes.
    pub(super) pages: u64,
    /// How many rounds in a row failed.
    pub(super) failures: u32,
}

impl Mark {
    /// What a round is expected to ask for at most: all questions, and a listing.
    pub(super) fn cost(&self) -> u64 {
        self.questions + self.pages.max(1)
    }
}

/// One entry of the configuration in one region.
#[derive(Clone, Debug)]
pub(super) struct Unit<'a> {
    /// Names its rows.
    pub(super) name: String,
    pub(super) entry: &'a Entry,
    pub(super) region: &'a str,
}

/// A unit that is to be taken up now.
#[derive(Clone, Debug)]
pub(super) struct Due<'a> {
    pub(super) unit: Unit<'a>,
    pub(super) mark: Mark,
    /// How old answers must be for their questions to be asked again.
    pub(super) every: Duration,
    /// The end of the last complete period.
    pub(super) complete: Timestamp,
}

/// All units of a configuration.
pub(super) fn units<'a>(config: &'a CloudWatchConfig, home_region: &'a str) -> Vec<Unit<'a>> {
    let mut units: Vec<Unit<'_>> = Vec::new();
    for entry in &config.entries {
        let home = [home_region];
        let regions = entry.regions.iter().map(String::as_str);
        let regions = regions.chain(home.into_iter().filter(|_| entry.regions.is_empty()));
        for region in regions {
            let linked = if config.linked_accounts { "+" } else { "" };
            let name = format!("{region}#{}#{:016x}{linked}", entry.namespace, entry.identity());
            // The same entry twice asks once.
            if units.iter().all(|unit| unit.name != name) {
                units.push(Unit { name, entry, region });
            }
        }
    }
    units
}

impl Board {
    /// What is due at `now`, the unit that waits longest first, as far as the budget goes.
    pub(super) fn due<'a>(&self, units: Vec<Unit<'a>>, budget_dollars: f64, now: Timestamp) -> Vec<Due<'a>> {
        let mut left = self.left(budget_dollars, now);
        let stretch = self.stretch(&units, left, now);
        let mut due: Vec<Due<'_>> = units.into_iter().filter_map(|unit| self.due_unit(unit, stretch, now)).collect();
        due.sort_by_key(|due| due.mark.until_ms);
        due.retain(|due| {
            let can_be_paid = due.mark.cost() <= left;
            left -= if can_be_paid { due.mark.cost() } else { 0 };
            can_be_paid
        });
        due
    }

    fn due_unit<'a>(&self, unit: Unit<'a>, stretch: f64, now: Timestamp) -> Option<Due<'a>> {
        let mark = self.units.get(&unit.name).copied().unwrap_or_default();
        if now.as_millis() < mark.not_before_ms {
            return None;
        }
        let complete = (now - unit.entry.delay).align_down(unit.entry.period);
        let every = stretched(unit.entry.every, stretch);
        let is_due = mark.until_ms.is_none_or(|until| complete.since(Timestamp::from_millis(until)) >= every);
        is_due.then_some(Due { unit, mark, every, complete })
    }

    /// Questions that can still be paid in this month.
    pub(super) fn left(&self, budget_dollars: f64, now: Timestamp) -> u64 {
        let asked = if self.month == month(now) { self.asked } else { 0 };
        whole(budget_dollars / DOLLARS_A_QUESTION).saturating_sub(asked)
    }

    /// How many times longer intervals must be, for what is left to last until the end of the month.
    fn stretch(&self, units: &[Unit<'_>], left: u64, now: Timestamp) -> f64 {
        let rest = month_end(now).since(now).as_secs_f64();
        let planned: f64 = units.iter().map(|unit| self.questions_within(unit, rest)).sum();
        if planned <= 0.0 { 1.0 } else { (planned / float(left.max(1))).max(1.0) }
    }

    /// The questions that a unit asks in so many seconds, when its intervals are not stretched.
    fn questions_within(&self, unit: &Unit<'_>, seconds: f64) -> f64 {
        let mark = self.units.get(&unit.name).copied().unwrap_or_default();
        let asked = float(mark.questions) / unit.entry.every.as_secs_f64();
        (asked + float(mark.pages) / LIST_EVERY.max(unit.entry.every).as_secs_f64()) * seconds
    }

    /// Takes up what is due: others leave it alone, and what it costs is counted beforehand. Units that are configured
    /// no more are forgotten.
    pub(super) fn claim(&mut self, due: &[Due<'_>], all: &[String], now: Timestamp) {
        self.units.retain(|name, _| all.contains(name));
        self.count(due.iter().map(|due| due.mark.cost()).sum(), now);
        for due in due {
            let mark = self.units.entry(due.unit.name.clone()).or_default();
            mark.not_before_ms = (now + CLAIMED_FOR).as_millis();
        }
    }

    /// Counts what was billed in place of what was expected.
    pub(super) fn recount(&mut self, expected: u64, billed: u64, now: Timestamp) {
        self.count(billed, now);
        self.asked = self.asked.saturating_sub(expected);
    }

    /// Counts questions in the month of `now`.
    pub(super) fn count(&mut self, questions: u64, now: Timestamp) {
        if self.month != month(now) {
            (self.month, self.asked) = (month(now), 0);
        }
        self.asked = self.asked.saturating_add(questions);
    }
}

/// How long a unit waits after so many failures in a row: a minute, then twice as long each time.
pub(super) fn backoff(failures: u32) -> Duration {
    (Duration::from_secs(60) * 2_u32.saturating_pow(failures.saturating_sub(1).min(10))).min(BACKOFF_MAX)
}

/// An interval made longer, in whole minutes.
fn stretched(every: Duration, stretch: f64) -> Duration {
    let minutes = (every.as_secs_f64() * stretch / 60.0).ceil();
    Duration::from_secs(whole(minutes).saturating_mul(60)).min(INTERVAL_MAX.max(every))
}

fn civil(now: Timestamp) -> jiff::civil::Date {
    let time = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The month that AWS bills, such as 202611.
pub(super) fn month(now: Timestamp) -> i32 {
    let date = civil(now);
    i32::from(date.year()) * 100 + i32::from(date.month())
}

/// The end of the month.
fn month_end(now: Timestamp) -> Timestamp {
    let next = civil(now).last_of_month().tomorrow().ok();
    let next = next.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
    next.map_or(now, |time| Timestamp::from_millis(time.timestamp().as_millisecond()))
}

#[expect(clippy::cast_precision_loss, reason = "counts of questions are far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is wanted")]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests;
