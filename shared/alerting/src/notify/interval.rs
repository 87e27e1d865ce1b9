//! Calendars on routes: Alertmanager's time intervals, which say when a route is muted or active.
//!
//! Within an interval every field that is given must hold, and a field holds when one of its ranges does
//! (Alertmanager `timeinterval/timeinterval.go`). Times are minutes of the day, their end exclusive; all other ranges
//! include both ends.

use jiff::tz::TimeZone;
use model::Timestamp;
use serde::Deserialize;

/// A range of whole numbers, both ends included.
type Range = (i32, i32);

/// One interval of a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeInterval {
    /// Minutes since midnight, the end exclusive.
    times: Option<Vec<(i32, i32)>>,
    /// 0 is Sunday.
    weekdays: Option<Vec<Range>>,
    /// Negative days count from the end of the month: -1 is its last day.
    days_of_month: Option<Vec<Range>>,
    months: Option<Vec<Range>>,
    years: Option<Vec<Range>>,
    location: Option<TimeZone>,
}

/// Why an interval was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// A time of the day that is none.
    #[error("{0:?} is not a time of the day such as 09:30")]
    Time(String),
    /// A range that ends before it starts.
    #[error("{0:?} ends before it starts")]
    Backwards(String),
    /// A name or number that is no such thing.
    #[error("{text:?} is not a {what}")]
    Member {
        /// What stands there.
        text: String,
        /// What should.
        what: &'static str,
    },
    /// A place whose time zone is unknown.
    #[error("unknown time zone {0:?}")]
    Location(String),
}

/// An interval as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInterval {
    times: Option<Vec<RawTimes>>,
    weekdays: Option<Vec<String>>,
    days_of_month: Option<Vec<String>>,
    months: Option<Vec<String>>,
    years: Option<Vec<String>>,
    location: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTimes {
    #[serde(default)]
    start_time: String,
    #[serde(default)]
    end_time: String,
}

impl TimeInterval {
    /// Reads a list of intervals, as it stands below `time_intervals` of a named one.
    ///
    /// # Errors
    /// The reason in words, when it is not YAML of that form or a value is none.
    pub fn parse_list(yaml: &str) -> Result<Vec<Self>, String> {
        let raw: Vec<RawInterval> =
            serde_saphyr::from_str(yaml).map_err(|error| error.without_snippet().to_string())?;
        raw.into_iter().map(|one| Self::read(one).map_err(|error| error.to_string())).collect()
    }

    pub(super) fn read(raw: RawInterval) -> Result<Self, IntervalError> {
        let times = raw.times.map(|times| times.iter().map(minutes).collect()).transpose()?;
        Ok(Self {
            times,
            weekdays: ranges(raw.weekdays, weekday, &|range| (range.0 <= range.1).then_some(range))?,
            days_of_month: ranges(raw.days_of_month, day_of_month, &days)?,
            months: ranges(raw.months, month, &|range| (range.0 <= range.1).then_some(range))?,
            years: ranges(raw.years, year, &|range| (range.0 <= range.1).then_some(range))?,
            location: raw.location.map(location).transpose()?,
        })
    }

    /// Whether a moment lies within; without a location the calendar is that of UTC.
    pub fn contains(&self, time: Timestamp) -> bool {
        let Ok(instant) = jiff::Timestamp::from_millisecond(time.as_millis()) else { return false };
        let local = instant.to_zoned(self.location.clone().unwrap_or(TimeZone::UTC));
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let last_day = i32::from(local.days_in_month());
        let holds = |field: &Option<Vec<Range>>, value: i32| {
            field.as_ref().is_none_or(|ranges| ranges.iter().any(|&(first, last)| (first..=last).contains(&value)))
        };
        let in_times =
            self.times.as_ref().is_none_or(|times| times.iter().any(|&(start, end)| (start..end).contains(&minute)));
        let day = i32::from(local.day());
        let in_days = self.days_of_month.as_ref().is_none_or(|ranges| {
            ranges.iter().any(|&range| {
                let (first, last) = in_month(range, last_day);
                first <= last_day && (first..=last).contains(&day)
            })
        });
        in_times
            && in_days
            && holds(&self.months, i32::from(local.month()))
            && holds(&self.weekdays, i32::from(local.weekday().to_sunday_zero_offset()))
            && holds(&self.years, i32::from(local.year()))
    }
}

/// The days of a range in a month of so many days.
fn in_month((first, last): Range, days: i32) -> Range {
    let of = |day: i32| if day < 0 { days + day + 1 } else { day };
    let first = of(first);
    // A range that starts after the month's end is not moved into it.
    (if first > days { first } else { first.max(-days) }, of(last).clamp(-days, days))
}

fn minutes(raw: &RawTimes) -> Result<Range, IntervalError> {
    let (start, end) = (minute(&raw.start_time)?, minute(&raw.end_time)?);
    if start < end {
        return Ok((start, end));
    }
    Err(IntervalError::Backwards(format!("{} to {}", raw.start_time, raw.end_time)))
}

/// `HH:MM` in minutes; `24:00` is the end of the day.
fn minute(text: &str) -> Result<i32, IntervalError> {
    let bad = || IntervalError::Time(text.to_owned());
    let digits = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<i32>().ok()).flatten().ok_or_else(bad)
    };
    let (hours, minutes) = text.split_once(':').ok_or_else(bad)?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    if (hours < 24 && minutes < 60) || (hours, minutes) == (24, 0) { Ok(hours * 60 + minutes) } else { Err(bad()) }
}

/// Reads the ranges of a field: `a` or `a:b`, in any case of letters.
fn ranges(
    raw: Option<Vec<String>>,
    member: fn(&str) -> Result<i32, IntervalError>,
    check: &dyn Fn(Range) -> Option<Range>,
) -> Result<Option<Vec<Range>>, IntervalError> {
    let Some(raw) = raw else { return Ok(None) };
    let read = |text: &String| {
        let lower = text.to_lowercase();
        let (first, last) = lower.split_once(':').unwrap_or((&lower, &lower));
        let range = (member(first)?, member(last)?);
        check(range).ok_or_else(|| IntervalError::Backwards(text.clone()))
    };
    raw.iter().map(read).collect::<Result<_, _>>().map(Some)
}

/// A range of days that cannot be empty in a month of 28 days.
fn days((first, last): Range) -> Option<Range> {
    let of = |day: i32| if day < 0 { 28 + day } else { day };
    (!(first < 0 && last > 0) && of(first) <= of(last)).then_some((first, last))
}

fn weekday(text: &str) -> Result<i32, IntervalError> {
    const NAMES: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    place(&NAMES, text).ok_or_else(|| IntervalError::Member { text: text.to_owned(), what: "weekday" })
}

fn month(text: &str) -> Result<i32, IntervalError> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let number = || text.parse::<i32>().ok();
    let found = place(&NAMES, text).map(|index| index + 1).or_else(number);
    found.ok_or_else(|| IntervalError::Member { text: text.to_owned(), what: "month" })
}

fn place(names: &[&str], text: &str) -> Option<i32> {
    i32::try_from(names.iter().position(|name| *name == text)?).ok()
}

fn day_of_month(text: &str) -> Result<i32, IntervalError> {
    let day = text.parse::<i32>().ok().filter(|day| *day != 0 && (-31..=31).contains(day));
    day.ok_or_else(|| IntervalError::Member { text: text.to_owned(), what: "day of the month" })
}

fn year(text: &str) -> Result<i32, IntervalError> {
    text.parse().map_err(|_| IntervalError::Member { text: text.to_owned(), what: "year" })
}

/// A place of the zone database; `UTC` and the empty name are UTC, as Go has it.
fn location(name: String) -> Result<TimeZone, IntervalError> {
    match name.as_str() {
        "" | "UTC" => Ok(TimeZone::UTC),
        _ => TimeZone::get(&name).map_err(|_| IntervalError::Location(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, inside: &[&str], outside: &[&str]) {
        let intervals = TimeInterval::parse_list(yaml).unwrap();
        let at = |text: &&str| {
            let time: jiff::Timestamp = text.parse().unwrap();
            let time = Timestamp::from_millis(time.as_millisecond());
            intervals.iter().any(|interval| interval.contains(time))
        };
        assert_eq!(inside.iter().filter(|time| !at(time)).collect::<Vec<_>>(), Vec::<&&str>::new(), "{yaml}");
        assert_eq!(outside.iter().filter(|time| at(time)).collect::<Vec<_>>(), Vec::<&&str>::new(), "{yaml}");
    }

    #[test]
    fn fields_that_are_given_must_all_hold() {
        check(
            "[{weekdays: ['monday:Friday'], times: [{start_time: '09:00', end_time: '17:00'}]}]",
            &["2020-07-08T09:00:00Z", "2020-07-08T16:59:59Z"],
            &["2020-07-08T08:59:59Z", "2020-07-08T17:00:00Z", "2020-07-11T12:00:00Z"],
        );
        check("[{}]", &["1999-12-31T23:59:59Z"], &[]);
        check("[{weekdays: []}]", &[], &["2020-07-08T09:00:00Z"]);
        check(
            "[{months: ['december', '1:2'], years: ['2020:2021']}]",
            &["2021-02-28T00:00:00Z"],
            &["2021-03-01T00:00:00Z", "2022-01-01T00:00:00Z"],
        );
        check(
            "[{times: [{start_time: '22:00', end_time: '24:00'}]}, {times: [{start_time: '00:00', end_time: '06:00'}]}]",
            &["2020-07-08T23:59:59Z", "2020-07-08T00:00:00Z"],
            &["2020-07-08T06:00:00Z"],
        );
    }

    #[test]
    fn days_count_from_both_ends_of_the_month_and_stay_in_it() {
        check(
            "[{days_of_month: ['-1']}]",
            &["2020-02-29T12:00:00Z", "2021-02-28T12:00:00Z"],
            &["2020-02-28T12:00:00Z"],
        );
        check("[{days_of_month: ['29:31']}]", &["2020-02-29T12:00:00Z"], &["2021-02-28T12:00:00Z"]);
        check("[{days_of_month: ['1:-1']}]", &["2020-02-01T00:00:00Z", "2020-02-29T00:00:00Z"], &[]);
        check("[{days_of_month: ['-31:-28']}]", &["2021-02-01T00:00:00Z"], &["2021-02-02T00:00:00Z"]);
    }

    #[test]
    fn a_location_has_its_own_midnight_and_its_own_summer() {
        let tokyo = "[{location: Asia/Tokyo, times: [{start_time: '09:00', end_time: '10:00'}]}]";
        check(tokyo, &["2026-11-22T00:00:00Z"], &["2026-11-22T09:00:00Z"]);
        let berlin = "[{location: Europe/Berlin, times: [{start_time: '09:00', end_time: '10:00'}]}]";
        check(berlin, &["2026-01-15T08:30:00Z", "2026-07-15T07:30:00Z"], &["2026-07-15T08:30:00Z"]);
    }

    #[test]
    fn what_is_no_interval_is_refused_with_the_reason() {
        let cases = [
            (
                "[{times: [{start_time: '12:30', end_time: '24:01'}]}]",
                "\"24:01\" is not a time of the day such as 09:30",
            ),
            ("[{times: [{start_time: '9:00', end_time: '10:00'}]}]", "\"9:00\" is not a time of the day such as 09:30"),
            ("[{times: [{start_time: '10:00', end_time: '10:00'}]}]", "\"10:00 to 10:00\" ends before it starts"),
            ("[{weekdays: ['friday:monday']}]", "\"friday:monday\" ends before it starts"),
            ("[{weekdays: ['-2:-1']}]", "\"-2\" is not a weekday"),
            ("[{days_of_month: ['10:-25']}]", "\"10:-25\" ends before it starts"),
            ("[{days_of_month: ['-1:1']}]", "\"-1:1\" ends before it starts"),
            ("[{days_of_month: ['0']}]", "\"0\" is not a day of the month"),
            ("[{months: ['march:junius']}]", "\"junius\" is not a month"),
            ("[{location: Mars/Base}]", "unknown time zone \"Mars/Base\""),
        ];
        for (yaml, reason) in cases {
            assert_eq!(TimeInterval::parse_list(yaml).unwrap_err(), reason, "{yaml}");
        }
    }
}
