//! Rotas: whose turn it is, hour by hour.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan as _};
use model::{TimeRange, Timestamp};

/// Who is on call when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rota {
    /// Rotations one above the other: of those with somebody on duty, the last one counts.
    pub layers: Vec<Layer>,
    /// Exceptions; of those that cover a moment, the last one counts.
    pub overrides: Vec<Override>,
}

/// People who take turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Whose clock the times are of.
    pub time_zone: TimeZone,
    /// The short names, in the order of their turns.
    pub people: Vec<String>,
    /// How long a turn is.
    pub turn: Turn,
    /// When the first turn begins; the others begin at the same time of the day.
    pub start: DateTime,
    /// The hours of duty; always when there are none.
    pub hours: Vec<Hours>,
}

/// How long a turn is, by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many days.
    Days(i32),
    /// So many months; a day that a month does not have is its last one.
    Months(i32),
}

/// Hours of some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// From when.
    pub from: Time,
    /// Until when: of the same day, or of the next one unless it is later.
    pub until: Time,
    /// The days on which they begin; every day when there are none.
    pub weekdays: Vec<Weekday>,
}

/// Somebody takes over for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The short name.
    pub person: String,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// A time during which one person is on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The short name.
    pub person: String,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Rota {
    /// Who is on call at a moment, if anybody is.
    pub fn on_duty(&self, now: Timestamp) -> Option<&str> {
        let covering = self.overrides.iter().rev().find(|one| one.from <= now && now < one.until);
        let turn = || self.layers.iter().rev().find_map(|layer| layer.on_duty(now));
        covering.map(|one| one.person.as_str()).or_else(turn)
    }

    /// Who is on call from when to when within a range, in order; times without anybody are left out.
    pub fn shifts(&self, range: TimeRange) -> Vec<Shift> {
        let mut moments: Vec<Timestamp> = self.overrides.iter().flat_map(|one| [one.from, one.until]).collect();
        moments.extend(self.layers.iter().flat_map(|layer| layer.changes(range)));
        moments.retain(|moment| range.start < *moment && *moment < range.end);
        moments.extend([range.start, range.end]);
        moments.sort_unstable();
        moments.dedup();
        let mut shifts: Vec<Shift> = Vec::new();
        for pair in moments.windows(2) {
            let Some(person) = self.on_duty(pair[0]) else { continue };
            match shifts.last_mut() {
                Some(last) if last.person == person && last.until == pair[0] => last.until = pair[1],
                _ => shifts.push(Shift { person: person.to_owned(), from: pair[0], until: pair[1] }),
            }
        }
        shifts
    }
}

impl Layer {
    fn on_duty(&self, now: Timestamp) -> Option<&str> {
        if !self.hours.is_empty() && !self.is_in_hours(now) {
            return None;
        }
        let turn = usize::try_from(self.turn_at(now)?).ok()?;
        self.people.get(turn % self.people.len().max(1)).map(String::as_str)
    }

    /// The number of the turn that a moment lies in, from 0; `None` before the first one.
    fn turn_at(&self, now: Timestamp) -> Option<i64> {
        if now < self.turn_start(0)? {
            return None;
        }
        let days = i64::from(local(&self.time_zone, now)?.date().since(self.start.date()).ok()?.get_days());
        // A guess that is never too late; a turn or two on is the right one.
        let mut turn = match self.turn {
            Turn::Days(length) => days / i64::from(length) - 1,
            Turn::Months(length) => days / (31 * i64::from(length)) - 1,
        }
        .max(0);
        while self.turn_start(turn + 1).is_some_and(|start| start <= now) {
            turn += 1;
        }
        Some(turn)
    }

    fn turn_start(&self, number: i64) -> Option<Timestamp> {
        let span = match self.turn {
            Turn::Days(length) => Span::new().try_days(number.checked_mul(i64::from(length))?).ok()?,
            Turn::Months(length) => Span::new().try_months(number.checked_mul(i64::from(length))?).ok()?,
        };
        moment(&self.time_zone, self.start.checked_add(span).ok()?)
    }

    fn is_in_hours(&self, now: Timestamp) -> bool {
        let Some(today) = local(&self.time_zone, now).map(DateTime::date) else { return false };
        // Hours that began yesterday may reach until now.
        let days = [today.yesterday().unwrap_or(today), today];
        days.into_iter().any(|day| {
            let spans = self.hours.iter().filter_map(|hours| hours.on(day, &self.time_zone));
            spans.into_iter().any(|(from, until)| from <= now && now < until)
        })
    }

    /// The moments within a range at which the layer may have another person on duty.
    fn changes(&self, range: TimeRange) -> Vec<Timestamp> {
        let mut changes = Vec::new();
        let first = self.turn_at(range.start).unwrap_or(0);
        let starts = (first..).map_while(|turn| self.turn_start(turn)).take_while(|start| *start < range.end);
        changes.extend(starts);
        if self.hours.is_empty() {
            return changes;
        }
        let day_of = |time: Timestamp| local(&self.time_zone, time).map(DateTime::date);
        let (Some(first), Some(last)) = (day_of(range.start), day_of(range.end)) else { return changes };
        let days = first.yesterday().unwrap_or(first).series(1.day()).take_while(|day| *day <= last);
        for day in days {
            let spans = self.hours.iter().filter_map(|hours| hours.on(day, &self.time_zone));
            changes.extend(spans.flat_map(|(from, until)| [from, until]));
        }
        changes
    }
}

impl Hours {
    /// The hours that begin on a day.
    fn on(&self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.weekdays.is_empty() && !self.weekdays.contains(&day.weekday()) {
            return None;
        }
        let last_day = if self.until > self.from { day } else { day.tomorrow().ok()? };
        Some((moment(zone, day.to_datetime(self.from))?, moment(zone, last_day.to_datetime(self.until))?))
    }
}

fn local(zone: &TimeZone, time: Timestamp) -> Option<DateTime> {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
    Some(zone.to_datetime(time))
}

/// When a local time is. One that comes twice is the first; one that a change leaves out is as much later as the clock
/// was moved.
pub(super) fn moment(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    let time = zone.to_ambiguous_timestamp(time).compatible().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}
