//! `oncall.yml` from text.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use model::{Language, Timestamp, duration};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::rota::moment;
use super::{Contact, Digest, Duty, Hours, Layer, OnCall, Override, Person, Policy, Rota, Team, Tier, Turn};
use crate::ConfigError;
use crate::notify::{Secret, is_mailbox};

/// Most people, rotas, teams, layers, overrides or tiers of one list.
const ENTRIES_MAX: usize = 1000;
/// Most people of a rotation, contacts of a person and tiers of a severity.
const FEW_MAX: usize = 50;
/// The longest turn, in days.
const TURN_DAYS_MAX: i32 = 366;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileYaml {
    #[serde(default)]
    people: BTreeMap<String, Spanned<PersonYaml>>,
    #[serde(default)]
    rotas: BTreeMap<String, Spanned<RotaYaml>>,
    #[serde(default)]
    overrides: Vec<Spanned<OverrideYaml>>,
    #[serde(default)]
    teams: BTreeMap<String, TeamYaml>,
    default_team: Option<Spanned<String>>,
    #[serde(default)]
    escalation: BTreeMap<String, Spanned<PolicyYaml>>,
    digest: Option<Spanned<DigestYaml>>,
    slack_signing_secret: Option<String>,
    slack_signing_secret_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonYaml {
    name: Option<String>,
    language: Option<Spanned<String>>,
    #[serde(default)]
    contacts: Vec<Spanned<ContactYaml>>,
    slack_user: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactYaml {
    email: Option<String>,
    sms: Option<String>,
    webhook_url: Option<String>,
    webhook_url_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotaYaml {
    time_zone: Option<Spanned<String>>,
    #[serde(default)]
    layers: Vec<Spanned<LayerYaml>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerYaml {
    time_zone: Option<Spanned<String>>,
    people: Vec<Spanned<String>>,
    turn: Spanned<String>,
    start: Spanned<String>,
    #[serde(default)]
    hours: Vec<Spanned<HoursYaml>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoursYaml {
    from: Spanned<String>,
    until: Spanned<String>,
    #[serde(default)]
    weekdays: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideYaml {
    rota: Spanned<String>,
    person: Spanned<String>,
    from: Spanned<String>,
    until: Spanned<String>,
    time_zone: Option<Spanned<String>>,
}

/// Duties by name, and who has them.
type TeamYaml = BTreeMap<String, Vec<Spanned<DutyYaml>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DutyYaml {
    rota: Option<String>,
    person: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyYaml {
    respond_within: Option<Spanned<String>>,
    #[serde(default)]
    tiers: Vec<Spanned<TierYaml>>,
    digest_after: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierYaml {
    after: Spanned<String>,
    #[serde(default)]
    duties: Vec<Spanned<String>>,
    #[serde(default)]
    receivers: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestYaml {
    at: Spanned<String>,
    time_zone: Option<Spanned<String>>,
    receivers: Vec<Spanned<String>>,
}

type Read<T> = Result<T, ConfigError>;

pub(super) fn on_call(file: &str, yaml: &str) -> Read<OnCall> {
    let read: Option<FileYaml> = serde_saphyr::from_str(yaml).map_err(|error| ConfigError::from_yaml(file, &error))?;
    let read = read.unwrap_or_default();
    let counts = [read.people.len(), read.rotas.len(), read.overrides.len(), read.teams.len(), read.escalation.len()];
    if counts.into_iter().any(|count| count > ENTRIES_MAX) {
        return Err(ConfigError::whole(file, format!("more than {ENTRIES_MAX} entries of one kind")));
    }
    let mut reader = Reader { file, on_call: OnCall::default(), zones: BTreeMap::new() };
    reader.people(read.people)?;
    reader.rotas(read.rotas)?;
    reader.overrides(read.overrides)?;
    reader.teams(read.teams)?;
    if let Some(team) = read.default_team {
        if !reader.on_call.teams.contains_key(&team.value) {
            return reader.refuse(team.referenced, format!("default_team: there is no team {:?}", team.value));
        }
        reader.on_call.default_team = Some(team.value);
    }
    for (severity, policy) in read.escalation {
        let policy = reader.policy(&severity, policy.value)?;
        reader.on_call.policies.insert(severity, policy);
    }
    if let Some(digest) = read.digest {
        reader.on_call.digest = Some(reader.digest(digest.value)?);
    }
    reader.on_call.slack_signing_secret =
        secret(file, "slack_signing_secret", read.slack_signing_secret, read.slack_signing_secret_file)?;
    Ok(reader.on_call)
}

fn secret(file: &str, name: &str, given: Option<String>, in_file: Option<String>) -> Read<Option<Secret>> {
    match (given, in_file) {
        (Some(_), Some(_)) => {
            Err(ConfigError::whole(file, format!("there can be `{name}` or `{name}_file`, not both")))
        }
        (Some(text), None) => Ok(Some(Secret::new(text.as_str()))),
        (None, Some(path)) => Ok(Some(Secret::File(path))),
        (None, None) => Ok(None),
    }
}

struct Reader<'a> {
    file: &'a str,
    on_call: OnCall,
    /// The zones of rotas, for their overrides.
    zones: BTreeMap<String, TimeZone>,
}

impl Reader<'_> {
    fn refuse<T>(&self, place: Location, reason: impl fmt::Display) -> Read<T> {
        Err(ConfigError::at(self.file, place, reason))
    }

    fn people(&mut self, people: BTreeMap<String, Spanned<PersonYaml>>) -> Read<()> {
        for (short, person) in people {
            let place = person.referenced;
            if !is_short_name(&short) {
                return self.refuse(place, format!("people: {short:?} is no short name of letters, digits, `-`, `_`"));
            }
            let person = person.value;
            if person.contacts.len() > FEW_MAX {
                return self.refuse(place, format!("people: more than {FEW_MAX} contacts of {short:?}"));
            }
            let contacts = person.contacts.into_iter().map(|one| self.contact(one)).collect::<Read<_>>()?;
            let language = match person.language {
                None => None,
                Some(tag) => match Language::from_tag(&tag.value) {
                    Some(language) => Some(language),
                    None => return self.refuse(tag.referenced, format!("language: {:?} is not ja or en", tag.value)),
                },
            };
            let name = person.name.unwrap_or_else(|| short.clone());
            let person = Person { name, language, contacts, slack_user: person.slack_user };
            self.on_call.people.insert(short, person);
        }
        Ok(())
    }

    fn contact(&self, contact: Spanned<ContactYaml>) -> Read<Contact> {
        let place = contact.referenced;
        let ContactYaml { email, sms, webhook_url, webhook_url_file } = contact.value;
        let webhook = secret(self.file, "webhook_url", webhook_url, webhook_url_file)?;
        match (email, sms, webhook) {
            (Some(email), None, None) if is_mailbox(&email) => Ok(Contact::Email(email)),
            (Some(email), None, None) => self.refuse(place, format!("email: {email:?} is not a mail address")),
            (None, Some(number), None) if is_number(&number) => Ok(Contact::Sms(number)),
            (None, Some(number), None) => {
                self.refuse(place, format!("sms: {number:?} is not a number such as +819012345678"))
            }
            (None, None, Some(url)) => Ok(Contact::Webhook(url)),
            _ => self.refuse(place, "a contact is one of `email`, `sms`, `webhook_url` and `webhook_url_file`"),
        }
    }

    fn rotas(&mut self, rotas: BTreeMap<String, Spanned<RotaYaml>>) -> Read<()> {
        for (name, rota) in rotas {
            if !is_short_name(&name) {
                let reason = format!("rotas: {name:?} is no short name of letters, digits, `-`, `_`");
                return self.refuse(rota.referenced, reason);
            }
            let zone = self.zone(rota.value.time_zone.as_ref(), &TimeZone::UTC)?;
            let layers = rota.value.layers;
            if layers.is_empty() || layers.len() > FEW_MAX {
                return self.refuse(rota.referenced, format!("rota {name:?} needs 1 to {FEW_MAX} layers"));
            }
            let layers = layers.into_iter().map(|layer| self.layer(layer, &zone)).collect::<Read<_>>()?;
            self.on_call.rotas.insert(name.clone(), Rota { layers, overrides: Vec::new() });
            self.zones.insert(name, zone);
        }
        Ok(())
    }

    fn layer(&self, layer: Spanned<LayerYaml>, zone: &TimeZone) -> Read<Layer> {
        let place = layer.referenced;
        let layer = layer.value;
        if layer.people.is_empty() || layer.people.len() > FEW_MAX {
            return self.refuse(place, format!("people: a layer needs 1 to {FEW_MAX} of them"));
        }
        let people = layer.people.into_iter().map(|person| self.person(person)).collect::<Read<_>>()?;
        let Some(turn) = turn(&layer.turn.value) else {
            let reason = format!("turn: {:?} is none of daily, weekly, monthly, 3 days, 2 weeks", layer.turn.value);
            return self.refuse(layer.turn.referenced, reason);
        };
        let time_zone = self.zone(layer.time_zone.as_ref(), zone)?;
        let start = self.local(&layer.start)?;
        let hours = layer.hours.into_iter().map(|hours| self.hours(hours.value)).collect::<Read<_>>()?;
        Ok(Layer { time_zone, people, turn, start, hours })
    }

    fn hours(&self, hours: HoursYaml) -> Read<Hours> {
        let weekday = |day: Spanned<String>| match weekday(&day.value) {
            Some(weekday) => Ok(weekday),
            None => self.refuse(day.referenced, format!("weekdays: {:?} is not a weekday", day.value)),
        };
        let weekdays = hours.weekdays.into_iter().map(weekday).collect::<Read<_>>()?;
        Ok(Hours { from: self.time(&hours.from)?, until: self.time(&hours.until)?, weekdays })
    }

    fn overrides(&mut self, overrides: Vec<Spanned<OverrideYaml>>) -> Read<()> {
        for one in overrides {
            let (place, one) = (one.referenced, one.value);
            let Some(zone) = self.zones.get(&one.rota.value) else {
                return self.refuse(one.rota.referenced, format!("there is no rota {:?}", one.rota.value));
            };
            let zone = self.zone(one.time_zone.as_ref(), zone)?;
            let person = self.person(one.person)?;
            let (from, until) = (self.moment(&one.from, &zone)?, self.moment(&one.until, &zone)?);
            if until <= from {
                return self.refuse(place, "an override ends after it starts");
            }
            let rota = self.on_call.rotas.get_mut(&one.rota.value).expect("every rota with a zone was read");
            rota.overrides.push(Override { person, from, until });
        }
        Ok(())
    }

    fn teams(&mut self, teams: BTreeMap<String, TeamYaml>) -> Read<()> {
        for (name, team) in teams {
            let mut read = Team::default();
            for (duty, holders) in team {
                let holders = holders.into_iter().map(|one| self.duty(one)).collect::<Read<_>>()?;
                read.duties.insert(duty, holders);
            }
            self.on_call.teams.insert(name, read);
        }
        Ok(())
    }

    fn duty(&self, duty: Spanned<DutyYaml>) -> Read<Duty> {
        match (duty.value.rota, duty.value.person) {
            (Some(rota), None) if self.on_call.rotas.contains_key(&rota) => Ok(Duty::Rota(rota)),
            (Some(rota), None) => self.refuse(duty.referenced, format!("there is no rota {rota:?}")),
            (None, Some(person)) if self.on_call.people.contains_key(&person) => Ok(Duty::Person(person)),
            (None, Some(person)) => self.refuse(duty.referenced, format!("there is no person {person:?}")),
            _ => self.refuse(duty.referenced, "a duty is a `rota` or a `person`"),
        }
    }

    fn policy(&mut self, severity: &str, policy: PolicyYaml) -> Read<Policy> {
        let respond_within = policy.respond_within.map(|text| self.duration(&text)).transpose()?;
        let digest_after = policy.digest_after.map(|text| self.duration(&text)).transpose()?;
        let mut tiers: Vec<Tier> = Vec::new();
        for tier in policy.tiers {
            let (place, tier) = (tier.referenced, tier.value);
            let after = self.duration(&tier.after)?;
            if tiers.last().is_some_and(|before| before.after >= after) {
                return self.refuse(tier.after.referenced, "after: tiers come one after the other");
            }
            if tier.duties.is_empty() && tier.receivers.is_empty() || tiers.len() == FEW_MAX {
                let reason = format!("escalation: a tier of {severity:?} needs duties or receivers; most {FEW_MAX}");
                return self.refuse(place, reason);
            }
            let duties = tier.duties.into_iter().map(|duty| self.known_duty(duty)).collect::<Read<_>>()?;
            tiers.push(Tier { after, duties, receivers: self.receivers(tier.receivers) });
        }
        Ok(Policy { respond_within, tiers, digest_after })
    }

    fn known_duty(&self, duty: Spanned<String>) -> Read<String> {
        if self.on_call.teams.values().any(|team| team.duties.contains_key(&duty.value)) {
            return Ok(duty.value);
        }
        self.refuse(duty.referenced, format!("no team has a duty {:?}", duty.value))
    }

    fn digest(&mut self, digest: DigestYaml) -> Read<Digest> {
        let time_zone = self.zone(digest.time_zone.as_ref(), &TimeZone::UTC)?;
        Ok(Digest { at: self.time(&digest.at)?, time_zone, receivers: self.receivers(digest.receivers) })
    }

    fn receivers(&mut self, receivers: Vec<Spanned<String>>) -> Vec<String> {
        let names: Vec<String> = receivers.iter().map(|one| one.value.clone()).collect();
        let places = receivers.into_iter().map(|one| (one.value, one.referenced.line(), one.referenced.column()));
        self.on_call.receivers.extend(places);
        names
    }

    fn person(&self, person: Spanned<String>) -> Read<String> {
        if self.on_call.people.contains_key(&person.value) {
            return Ok(person.value);
        }
        self.refuse(person.referenced, format!("there is no person {:?}", person.value))
    }

    fn zone(&self, name: Option<&Spanned<String>>, otherwise: &TimeZone) -> Read<TimeZone> {
        let Some(name) = name else { return Ok(otherwise.clone()) };
        match TimeZone::get(&name.value) {
            Ok(zone) => Ok(zone),
            Err(_) => self.refuse(name.referenced, format!("unknown time zone {:?}", name.value)),
        }
    }

    fn duration(&self, text: &Spanned<String>) -> Read<Duration> {
        let read = if text.value == "0" { Ok(Duration::ZERO) } else { duration::parse(&text.value) };
        read.or_else(|error| self.refuse(text.referenced, error))
    }

    fn time(&self, text: &Spanned<String>) -> Read<Time> {
        let is_plain = text.value.len() == 5 && text.value.as_bytes()[2] == b':';
        match text.value.parse::<Time>() {
            Ok(time) if is_plain => Ok(time),
            _ => self.refuse(text.referenced, format!("{:?} is not a time of the day such as \"09:30\"", text.value)),
        }
    }

    fn local(&self, text: &Spanned<String>) -> Read<DateTime> {
        match text.value.parse::<DateTime>() {
            Ok(time) => Ok(time),
            Err(_) => {
                self.refuse(text.referenced, format!("{:?} is not a local time such as 2026-11-02T09:00", text.value))
            }
        }
    }

    fn moment(&self, text: &Spanned<String>, zone: &TimeZone) -> Read<Timestamp> {
        match moment(zone, self.local(text)?) {
            Some(moment) => Ok(moment),
            None => self.refuse(text.referenced, format!("{:?} is too far away", text.value)),
        }
    }
}

/// Short names stand in keys and links.
fn is_short_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(is_plain)
}

/// E.164: a plus and up to fifteen digits.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or("");
    (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn turn(text: &str) -> Option<Turn> {
    match text {
        "daily" => return Some(Turn::Days(1)),
        "weekly" => return Some(Turn::Days(7)),
        "monthly" => return Some(Turn::Months(1)),
        _ => {}
    }
    let (count, unit) = text.split_once(' ')?;
    let count: i32 = count.parse().ok().filter(|count| (1..=TURN_DAYS_MAX).contains(count))?;
    match unit {
        "day" | "days" => Some(Turn::Days(count)),
        "week" | "weeks" => Some(Turn::Days(count * 7)),
        "month" | "months" => Some(Turn::Months(count)),
        _ => None,
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    let all = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let lower = text.to_lowercase();
    all.into_iter().find(|(name, _)| *name == lower).map(|(_, weekday)| weekday)
}
