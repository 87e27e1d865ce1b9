//! Times as a viewer reads them: in a named time zone, with the offset printed.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use model::{TimeRange, Timestamp};

/// A time zone of the tz database, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

/// A name that the tz database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time zone {name:?} is not a name of the tz database such as Asia/Tokyo or UTC")]
pub struct ZoneError {
    name: String,
}

/// One mark of a time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Where it stands.
    pub time: Timestamp,
    /// `13:05`, at midnight the date `11-22`.
    pub label: String,
}

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between marks of a time axis, in milliseconds: each divides the next natural unit.
const STEPS: [i64; 22] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    56 * DAY,
];

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }

    /// The zone with a name such as `Asia/Tokyo`.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        match TimeZone::get(name) {
            Ok(zone) => Ok(Self { name: zone.iana_name().unwrap_or(name).to_owned(), zone }),
            Err(_) => Err(ZoneError { name: name.chars().take(64).collect() }),
        }
    }

    /// A zone that somebody else has looked up.
    pub fn of(zone: &TimeZone) -> Self {
        Self { name: zone.iana_name().unwrap_or("UTC").to_owned(), zone: zone.clone() }
    }

    /// Its name in the tz database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The date and time of day there.
    pub fn civil(&self, time: Timestamp) -> DateTime {
        self.zone.to_datetime(instant(time))
    }

    /// The date there.
    pub fn date(&self, time: Timestamp) -> Date {
        self.civil(time).date()
    }

    /// The moment that a date and time of day names; in a repeated hour the first, in a skipped one the later reading.
    pub fn moment(&self, civil: DateTime) -> Option<Timestamp> {
        let zoned = self.zone.to_ambiguous_zoned(civil).compatible().ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    }

    /// From the first to the last millisecond of a day: 23, 24 or 25 hours.
    pub fn day(&self, date: Date) -> Option<TimeRange> {
        let start = self.moment(date.to_datetime(jiff::civil::Time::midnight()))?;
        let next = self.moment(date.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight()))?;
        Some(TimeRange::new(start, Timestamp::from_millis(next.as_millis() - 1)))
    }

    /// `UTC+09:00`, as it is at that time.
    pub fn offset(&self, time: Timestamp) -> String {
        let seconds = self.zone.to_offset(instant(time)).seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.unsigned_abs() / 60;
        format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// The offset over a range, both when the clocks change within it: `UTC+01:00 → UTC+02:00`.
    pub fn offsets(&self, range: TimeRange) -> String {
        let (first, last) = (self.offset(range.start), self.offset(range.end));
        if first == last { first } else { format!("{first} → {last}") }
    }

    /// `2026-11-22 13:05:30`.
    pub fn date_time(&self, time: Timestamp) -> String {
        self.civil(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `2026-11-22 13:05`.
    pub fn date_minute(&self, time: Timestamp) -> String {
        self.civil(time).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `13:05:30`.
    pub fn time(&self, time: Timestamp) -> String {
        self.civil(time).strftime("%H:%M:%S").to_string()
    }

    /// `2026-11-22T13:05:30+09:00`, for machines.
    pub fn rfc3339(&self, time: Timestamp) -> String {
        let zoned = instant(time).to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// `2026-11-22T13:05`: what a `datetime-local` input takes.
    pub fn input_value(&self, time: Timestamp) -> String {
        self.civil(time).strftime("%Y-%m-%dT%H:%M").to_string()
    }

    /// The moment that a `datetime-local` input names, with or without seconds.
    pub fn parse_input(&self, text: &str) -> Option<Timestamp> {
        if text.len() < 16 || !text.contains('T') {
            return None;
        }
        self.moment(text.parse().ok()?)
    }

    /// Marks for a time axis: at most `count_max`, on round times of the zone, also over a change of its clocks.
    pub fn ticks(&self, range: TimeRange, count_max: usize) -> Vec<Tick> {
        let span = range.end.as_millis().saturating_sub(range.start.as_millis());
        if span <= 0 || count_max == 0 {
            return Vec::new();
        }
        let count = i64::try_from(count_max).unwrap_or(i64::MAX);
        let step = STEPS.into_iter().find(|step| span / step < count).unwrap_or(span.max(DAY));
        // Marks closer than an hour lie on one grid; further ones are picked from the hours, whose clocks may change.
        let stride = step.min(HOUR);
        let local_start = range.start.as_millis().saturating_add(self.offset_millis(range.start));
        let ahead = (-local_start).rem_euclid(stride);
        let mut ticks = Vec::new();
        let mut previous: Option<DateTime> = None;
        let mut at = range.start.as_millis().saturating_add(ahead);
        while at <= range.end.as_millis() {
            let time = Timestamp::from_millis(at);
            let civil = self.civil(time);
            if is_round(civil, step) && previous != Some(civil) {
                previous = Some(civil);
                ticks.push(Tick { time, label: label(civil, step) });
            }
            at = at.saturating_add(stride);
        }
        ticks
    }

    fn offset_millis(&self, time: Timestamp) -> i64 {
        i64::from(self.zone.to_offset(instant(time)).seconds()) * SECOND
    }
}

/// Whether a civil time is a multiple of a step that is longer than an hour; shorter ones lie on their grid anyway.
fn is_round(civil: DateTime, step: i64) -> bool {
    if step <= HOUR {
        return true;
    }
    let on_the_hour = civil.minute() == 0 && civil.second() == 0;
    if step < DAY {
        return on_the_hour && i64::from(civil.hour()) % (step / HOUR) == 0;
    }
    let days = i64::from(civil.date().since(Date::constant(1970, 1, 1)).map_or(0, |span| span.get_days()));
    on_the_hour && civil.hour() == 0 && days.rem_euclid(step / DAY) == 0
}

fn label(civil: DateTime, step: i64) -> String {
    let midnight = civil.hour() == 0 && civil.minute() == 0 && civil.second() == 0;
    let format = match (midnight, step < MINUTE) {
        (true, _) => "%m-%d",
        (false, true) => "%H:%M:%S",
        (false, false) => "%H:%M",
    };
    civil.strftime(format).to_string()
}

/// A time that the calendar library can hold; times outside its years are moved to its ends.
fn instant(time: Timestamp) -> jiff::Timestamp {
    let end = if time.as_millis() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn labels(zone: &str, start: &str, end: &str, count: usize) -> Vec<String> {
        let ticks = Zone::named(zone).unwrap().ticks(TimeRange::new(at(start), at(end)), count);
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn times_carry_their_offset() {
        let tokyo = Zone::named("Asia/Tokyo").unwrap();
        let time = at("2026-11-22T15:05:30Z");
        assert_eq!(tokyo.date_time(time), "2026-11-23 00:05:30");
        assert_eq!(tokyo.offset(time), "UTC+09:00");
        assert_eq!(tokyo.rfc3339(time), "2026-11-23T00:05:30+09:00");
        assert_eq!(Zone::named("America/St_Johns").unwrap().offset(time), "UTC-03:30");
        assert_eq!(Zone::utc().offset(time), "UTC+00:00");
        assert!(Zone::named("Asia/Edo").is_err());
    }

    #[test]
    fn marks_stand_on_round_local_times() {
        let hour = labels("Asia/Tokyo", "2026-11-22T04:07:00Z", "2026-11-22T05:07:00Z", 6);
        assert_eq!(hour, ["13:15", "13:30", "13:45", "14:00"]);
        let day = labels("Asia/Tokyo", "2026-11-21T16:00:00Z", "2026-11-22T16:00:00Z", 6);
        assert_eq!(day, ["06:00", "12:00", "18:00", "11-23"]);
        let half_hour_offset = labels("Asia/Kolkata", "2026-11-22T00:10:00Z", "2026-11-22T06:10:00Z", 7);
        assert_eq!(half_hour_offset, ["06:00", "07:00", "08:00", "09:00", "10:00", "11:00"]);
        let week = labels("UTC", "2026-11-15T12:00:00Z", "2026-11-22T12:00:00Z", 8);
        assert_eq!(week, ["11-16", "11-17", "11-18", "11-19", "11-20", "11-21", "11-22"]);
        assert_eq!(labels("UTC", "2026-11-15T12:00:00Z", "2026-11-15T12:00:00Z", 8), [""; 0]);
    }

    #[test]
    fn marks_stay_on_round_times_when_the_clocks_change() {
        // Berlin sets its clocks forward at 2026-03-29T01:00Z and back at 2026-10-25T01:00Z.
        let forward = labels("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T10:00:00Z", 6);
        assert_eq!(forward, ["03-29", "04:00", "06:00", "08:00", "10:00", "12:00"]);
        let back = labels("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z", 9);
        assert_eq!(back, ["10-25", "01:00", "02:00", "03:00", "04:00", "05:00", "06:00"]);
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let night = TimeRange::new(at("2026-03-28T23:00:00Z"), at("2026-03-29T10:00:00Z"));
        assert_eq!(berlin.offsets(night), "UTC+01:00 → UTC+02:00");
    }

    #[test]
    fn a_day_has_23_to_25_hours() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let hours = |date: Date| {
            let day = berlin.day(date).unwrap();
            (day.end.as_millis() + 1 - day.start.as_millis()) / HOUR
        };
        assert_eq!(hours(Date::constant(2026, 3, 29)), 23);
        assert_eq!(hours(Date::constant(2026, 10, 25)), 25);
        assert_eq!(hours(Date::constant(2026, 11, 22)), 24);
    }

    #[test]
    fn inputs_read_back_in_the_zone() {
        let tokyo = Zone::named("Asia/Tokyo").unwrap();
        let time = at("2026-11-22T04:05:00Z");
        assert_eq!(tokyo.input_value(time), "2026-11-22T13:05");
        assert_eq!(tokyo.parse_input("2026-11-22T13:05"), Some(time));
        for bad in ["", "13:05", "2026-11-22", "2026-02-30T00:00", "2026-11-22T13:05; DROP"] {
            assert_eq!(tokyo.parse_input(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert!(!Zone::utc().date_time(time).is_empty());
        }
        let all = Zone::utc().ticks(TimeRange::new(at("1970-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")), 6);
        assert!(all.len() <= 6, "{}", all.len());
    }
}
