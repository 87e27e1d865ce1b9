//! Who is called, when, and what happens when nobody answers: people, teams, rotas and escalation.
//!
//! Read [`OnCall`] (the file `oncall.yml` as it was read), [`Rota::on_duty`] (who is on call at a moment), then
//! [`Escalation`] (alerts that somebody must answer) and [`step()`] (what becomes of them).
//!
//! Severity chooses what is promised and which duties are called ([`Policy`]), the label `team` chooses whose.
//!
//! Invariants:
//! - A moment and a rota give one person or nobody, whatever was asked before; calendars are those of the rota's zone.
//! - Local times that a change of daylight-saving time leaves out or repeats are taken once: the first moment that is
//!   not before the time that was written.
//! - A file that names somebody or something that is not there is refused, with the place.

mod escalation;
mod ics;
mod read;
mod rota;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use model::{Labels, Language, Timestamp};

use crate::ConfigError;
use crate::notify::{Config, Secret};
pub use escalation::{
    Answer, Cause, Clock, Escalation, EscalationError, EscalationKey, Event, Page, PageTarget, Record, Step, Try,
    Watched, step,
};
pub use ics::calendar;
pub use rota::{Hours, Layer, Override, Rota, Shift, Turn};

/// Who is called: a whole file `oncall.yml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnCall {
    /// People by a short name.
    pub people: BTreeMap<String, Person>,
    /// Rotas by name.
    pub rotas: BTreeMap<String, Rota>,
    /// Teams by the value of the label `team`.
    pub teams: BTreeMap<String, Team>,
    /// The team of alerts whose label names none of these.
    pub default_team: Option<String>,
    /// What is promised for a severity, by the value of the label `severity`; others are promised nothing.
    pub policies: BTreeMap<String, Policy>,
    /// When and whom a list of what nobody answered is sent to.
    pub digest: Option<Digest>,
    /// What requests from buttons in Slack are signed with.
    pub slack_signing_secret: Option<Secret>,
    /// The receivers that are named, each with its line and column.
    receivers: Vec<(String, u64, u64)>,
}

/// Somebody who can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name for people; the short one where none is given.
    pub name: String,
    /// What they read; the setting's where it is not given.
    pub language: Option<Language>,
    /// Ways to reach them; each is used.
    pub contacts: Vec<Contact>,
    /// Who they are in Slack, such as `U024BE7LH`: whoever presses a button there acts as this person.
    pub slack_user: Option<String>,
}

/// A way to reach a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// A mailbox.
    Email(String),
    /// A telephone, by text message: `+819012345678`.
    Sms(String),
    /// An address that takes Alertmanager's webhook, such as that of a pager.
    Webhook(Secret),
}

impl Contact {
    /// What kind of way it is.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Sms(_) => "sms",
            Self::Webhook(_) => "webhook",
        }
    }
}

/// Who does what in a team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Team {
    /// By the name of a duty: `on-call`, `administrator`.
    pub duties: BTreeMap<String, Vec<Duty>>,
}

/// Who has a duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Whoever is on call by a rota.
    Rota(String),
    /// Always the same person.
    Person(String),
}

/// What is promised for a severity, and who is called while the promise is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Within what time somebody answers; later answers are breaches.
    pub respond_within: Option<Duration>,
    /// Who is called when nobody answered for so long, in order of time.
    pub tiers: Vec<Tier>,
    /// After what time without an answer an alert stands in the digest.
    pub digest_after: Option<Duration>,
}

/// Who is called at some point of an escalation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// After what time without an answer; zero is at once.
    pub after: Duration,
    /// Duties of the alert's team.
    pub duties: Vec<String>,
    /// Receivers of the Alertmanager configuration file.
    pub receivers: Vec<String>,
}

/// A list, once a day, of alerts that nobody answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The time of the day.
    pub at: Time,
    /// Where that time is.
    pub time_zone: TimeZone,
    /// Receivers of the Alertmanager configuration file.
    pub receivers: Vec<String>,
}

impl OnCall {
    /// Reads `oncall.yml`, strictly.
    ///
    /// # Errors
    /// When it is no YAML, has an unknown field, or names a person, rota, team, duty or zone that is not there.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, ConfigError> {
        read::on_call(file, yaml)
    }

    /// Checks that every receiver it names is one of the Alertmanager configuration.
    ///
    /// # Errors
    /// The places of those that are not.
    pub fn check_receivers(&self, file: &str, config: &Config) -> Result<(), Vec<ConfigError>> {
        let missing = self.receivers.iter().filter(|(name, ..)| !config.receivers.contains_key(name));
        let errors: Vec<ConfigError> = missing
            .map(|(name, line, column)| ConfigError {
                file: file.to_owned(),
                line: *line,
                column: *column,
                reason: format!("receiver {name:?} is none of the Alertmanager configuration"),
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The team that an alert belongs to.
    pub fn team_of(&self, labels: &Labels) -> &str {
        let named = labels.get("team").and_then(|team| self.teams.get_key_value(team)).map(|(team, _)| team);
        named.or(self.default_team.as_ref()).map_or("", String::as_str)
    }

    /// The people who have duties of a team at a moment, each once, in order.
    pub fn people_of(&self, team: &str, duties: &[String], now: Timestamp) -> Vec<&str> {
        let Some(team) = self.teams.get(team) else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let all = duties.iter().filter_map(|duty| team.duties.get(duty)).flatten();
        let people = all.filter_map(|duty| match duty {
            Duty::Person(name) => Some(name.as_str()),
            Duty::Rota(name) => self.rotas.get(name).and_then(|rota| rota.on_duty(now)),
        });
        people.filter(|person| seen.insert(*person)).collect()
    }

    /// The person of a user of Slack, by short name.
    pub fn person_in_slack(&self, user: &str) -> Option<&str> {
        let found = self.people.iter().find(|(_, person)| person.slack_user.as_deref() == Some(user));
        found.map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests;
