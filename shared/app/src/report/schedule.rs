//! When reports are due: `reports.yml` and the calendar.

use alerting::ConfigError;
use jiff::civil::{Date, Time};
use model::{Language, Timestamp};
use render::Zone;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::access::Role;

/// What `reports.yml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The zone that days are counted in; the setting's when `None`.
    pub time_zone: Option<Zone>,
    /// The daily report; `None` when it is switched off.
    pub daily: Option<Daily>,
}

/// When the daily report is written, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daily {
    /// The time of the following day at which the report of a day is written.
    pub at: Time,
    /// The roles that see it.
    pub audience: Vec<Role>,
    /// The mailboxes that get a mail with a link once a report of the deployment's own tenant is final.
    pub mail_to: Vec<String>,
    /// The language of that mail; the setting's when `None`.
    pub mail_language: Option<Language>,
}

/// After an outage, missed days are made up for as far back as raw samples reach.
const DAYS_BACK_MAX: usize = 7;

impl Default for Schedule {
    fn default() -> Self {
        let daily = Daily {
            at: Time::constant(0, 15, 0, 0),
            audience: vec![Role::Ops, Role::Tech],
            mail_to: Vec::new(),
            mail_language: None,
        };
        Self { time_zone: None, daily: Some(daily) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleYaml {
    #[serde(default)]
    time_zone: Option<Spanned<String>>,
    #[serde(default)]
    daily: Option<DailyYaml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DailyYaml {
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    at: Option<Spanned<String>>,
    #[serde(default)]
    audience: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    mail_to: Vec<Spanned<String>>,
    #[serde(default)]
    mail_language: Option<Spanned<String>>,
}

const fn yes() -> bool {
    true
}

impl Schedule {
    /// Reads `reports.yml`; what it leaves out is as in [`Schedule::default`].
    ///
    /// # Errors
    /// When it is no YAML, has a field that is none of ours, or a time, zone or role that does not exist.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, ConfigError> {
        let read: Option<ScheduleYaml> =
            serde_saphyr::from_str(yaml).map_err(|error| ConfigError::from_yaml(file, &error))?;
        let Some(read) = read else { return Ok(Self::default()) };
        let time_zone = read.time_zone.map(|name| zone(file, &name)).transpose()?;
        let daily = match read.daily {
            None => Self::default().daily,
            Some(daily) if !daily.enabled => None,
            Some(daily) => Some(self::daily(file, &daily)?),
        };
        Ok(Self { time_zone, daily })
    }
}

fn zone(file: &str, name: &Spanned<String>) -> Result<Zone, ConfigError> {
    Zone::named(&name.value).map_err(|error| ConfigError::at(file, name.referenced, error))
}

fn daily(file: &str, read: &DailyYaml) -> Result<Daily, ConfigError> {
    let defaults = Schedule::default().daily.expect("the default has a daily report");
    let at = match &read.at {
        None => defaults.at,
        Some(text) => time_of_day(&text.value).ok_or_else(|| {
            ConfigError::at(
                file,
                text.referenced,
                format!("at: {:?} is not a time of day such as \"00:15\"", text.value),
            )
        })?,
    };
    let audience = match &read.audience {
        None => defaults.audience,
        Some(names) => names.iter().map(|name| role(file, name)).collect::<Result<_, _>>()?,
    };
    let mail_to = read.mail_to.iter().map(|text| mailbox(file, text)).collect::<Result<_, _>>()?;
    let mail_language = read.mail_language.as_ref().map(|tag| language(file, tag)).transpose()?;
    Ok(Daily { at, audience, mail_to, mail_language })
}

fn mailbox(file: &str, text: &Spanned<String>) -> Result<String, ConfigError> {
    if alerting::notify::is_mailbox(&text.value) {
        return Ok(text.value.clone());
    }
    Err(ConfigError::at(file, text.referenced, format!("mail_to: {:?} is not a mail address", text.value)))
}

fn language(file: &str, tag: &Spanned<String>) -> Result<Language, ConfigError> {
    let found = Language::from_tag(&tag.value).filter(|language| language.tag() == tag.value);
    let reason = || format!("mail_language: {:?} is neither ja nor en", tag.value);
    found.ok_or_else(|| ConfigError::at(file, tag.referenced, reason()))
}

fn role(file: &str, name: &Spanned<String>) -> Result<Role, ConfigError> {
    let unknown = || {
        let reason = format!("audience: role {:?} is none of ops, tech, exec", name.value);
        ConfigError::at(file, name.referenced, reason)
    };
    Role::from_name(&name.value).ok_or_else(unknown)
}

/// Reads `00:15`.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| (digits.len() == 2).then(|| digits.parse::<i8>().ok()).flatten();
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// The days whose reports are to be written at `now`, oldest first; `last` is the last day that has one.
///
/// A day is due once the schedule's time of the following day has come. Without any report the first one is that of
/// the newest such day; after an outage the missed days follow one another, at most a week of them.
pub fn due(daily: &Daily, zone: &Zone, now: Timestamp, last: Option<Date>) -> Vec<Date> {
    let mut days = Vec::new();
    let mut day = newest_due(daily, zone, now);
    while let Some(date) = day {
        if days.len() == DAYS_BACK_MAX || last.is_some_and(|last| date <= last) {
            break;
        }
        days.push(date);
        day = if last.is_some() { date.yesterday().ok() } else { None };
    }
    days.reverse();
    days
}

/// The newest day whose report may be written at `now`.
fn newest_due(daily: &Daily, zone: &Zone, now: Timestamp) -> Option<Date> {
    let today = zone.date(now);
    let written_today = zone.moment(today.to_datetime(daily.at))? <= now;
    let yesterday = today.yesterday().ok()?;
    if written_today { Some(yesterday) } else { yesterday.yesterday().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = include_str!("../../../../infra/config/reports.yml");

    #[test]
    fn the_delivered_file_says_what_holds_without_one() {
        assert_eq!(Schedule::parse("reports.yml", DEFAULTS).unwrap(), Schedule::default());
        assert_eq!(Schedule::parse("reports.yml", "").unwrap(), Schedule::default());
    }

    #[test]
    fn a_file_may_change_everything() {
        let yaml = "time_zone: Europe/Berlin\ndaily:\n  at: \"06:30\"\n  audience: [exec]\n";
        let schedule = Schedule::parse("reports.yml", yaml).unwrap();
        assert_eq!(schedule.time_zone.unwrap().name(), "Europe/Berlin");
        let daily = schedule.daily.unwrap();
        assert_eq!((daily.at, daily.audience), (Time::constant(6, 30, 0, 0), vec![Role::Exec]));
        assert_eq!((daily.mail_to, daily.mail_language), (Vec::new(), None));
        let mailed = "daily: {mail_to: [a@example.com, 'B <b@example.com>'], mail_language: en}";
        let daily = Schedule::parse("reports.yml", mailed).unwrap().daily.unwrap();
        assert_eq!(daily.mail_to, ["a@example.com", "B <b@example.com>"]);
        assert_eq!(daily.mail_language, Some(Language::English));
        let off = Schedule::parse("reports.yml", "daily: {enabled: false}").unwrap();
        assert_eq!(off.daily, None);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let cases = [
            ("daily:\n  when: \"00:15\"\n", "reports.yml:2:3: "),
            ("daily:\n  at: \"24:15\"\n", "reports.yml:2:7: at: \"24:15\" is not a time of day"),
            ("daily:\n  at: \"0:15\"\n", "reports.yml:2:7: at: \"0:15\" is not a time of day"),
            ("daily:\n  audience: [ops, boss]\n", "reports.yml:2:19: audience: role \"boss\" is none of"),
            ("daily:\n  mail_to: [nobody]\n", "reports.yml:2:13: mail_to: \"nobody\" is not a mail address"),
            ("daily:\n  mail_language: fr\n", "reports.yml:2:18: mail_language: \"fr\" is neither ja nor en"),
            ("time_zone: Asia/Edo\n", "reports.yml:1:12: time zone \"Asia/Edo\" is not a name"),
            ("weekly: {}\n", "reports.yml:1:1: "),
            ("daily: [\n", "reports.yml:"),
        ];
        for (yaml, expected) in cases {
            let error = Schedule::parse("reports.yml", yaml).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{yaml:?}: {error}");
        }
    }

    fn check(zone: &str, now: &str, last: Option<&str>, expected: &[&str]) {
        let now = Timestamp::from_millis(now.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let daily = Schedule::default().daily.unwrap();
        let zone = Zone::named(zone).unwrap();
        let days = due(&daily, &zone, now, last.map(|date| date.parse().unwrap()));
        assert_eq!(days.iter().map(Date::to_string).collect::<Vec<_>>(), expected, "{now}");
    }

    #[test]
    fn a_day_is_due_at_a_time_of_the_next_one() {
        check("Asia/Tokyo", "2026-11-21T15:14:59Z", Some("2026-11-20"), &[]);
        check("Asia/Tokyo", "2026-11-21T15:15:00Z", Some("2026-11-20"), &["2026-11-21"]);
        check("Asia/Tokyo", "2026-11-22T15:14:59Z", Some("2026-11-21"), &[]);
        check("Asia/Tokyo", "2026-11-21T15:15:00Z", None, &["2026-11-21"]);
        check("UTC", "2026-11-22T15:00:00Z", Some("2026-11-22"), &[]);
    }

    #[test]
    fn missed_days_are_made_up_for_up_to_a_week() {
        check("UTC", "2026-11-22T12:00:00Z", Some("2026-11-18"), &["2026-11-19", "2026-11-20", "2026-11-21"]);
        let week = ["11-15", "11-16", "11-17", "11-18", "11-19", "11-20", "11-21"].map(|day| format!("2026-{day}"));
        check("UTC", "2026-11-22T12:00:00Z", Some("2026-01-01"), &week.each_ref().map(String::as_str));
    }

    #[test]
    fn a_change_of_the_clocks_neither_skips_nor_repeats_a_day() {
        // Santiago sets its clocks forward at midnight of 2026-09-06: 00:15 of that day does not exist.
        check("America/Santiago", "2026-09-06T03:59:00Z", Some("2026-09-04"), &[]);
        check("America/Santiago", "2026-09-06T04:20:00Z", Some("2026-09-04"), &["2026-09-05"]);
        check("Europe/Berlin", "2026-10-25T23:20:00Z", Some("2026-10-24"), &["2026-10-25"]);
    }
}
