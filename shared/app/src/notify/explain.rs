//! Why an alert was told, or was not: what the notifications know of it, for people who ask.
//!
//! Nothing is guessed: the group is asked by the same [`plan()`](alerting::notify::plan()) that decides, as if it looked
//! at its alerts now.

use std::collections::BTreeMap;

use alerting::Fingerprint;
use alerting::notify::{
    Attempt, Config as Routes, Group, GroupKey, Held, Inhibitor, Input, IntegrationState, Quiet, Receiver, Route,
    Verdict, plan,
};
use model::{Labels, Matcher, TenantId, Timestamp, matches_all};
use serde::{Deserialize, Serialize};

use super::Desk;
use super::rows::{self, StoredGroup};
use super::view::Loaded;
use crate::ports::PortResult;
use crate::{App, AppError};

/// Most alerts that are explained at once.
const ALERTS_MAX: usize = 20;

/// What is known about one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its identity, in hexadecimal.
    pub fingerprint: String,
    /// Whether it fires, has ended, or is not known: then the rest says what would become of it.
    pub state: KnownAs,
    /// Since when it fires, or fired, in milliseconds since the epoch.
    pub starts_at_ms: Option<i64>,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// The silences that mute it.
    pub silenced_by: Vec<SilencedBy>,
    /// The alert that mutes it.
    pub inhibited_by: Option<InhibitedBy>,
    /// Where it leads, in the order of the routes.
    pub routes: Vec<RouteExplanation>,
}

/// What the notifications know of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownAs {
    /// It fires.
    Firing,
    /// It has ended.
    Resolved,
    /// Nothing.
    Unknown,
}

/// A silence that mutes an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencedBy {
    /// Its identity.
    pub id: String,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Until when, in milliseconds since the epoch.
    pub ends_at_ms: i64,
}

/// An alert that mutes another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InhibitedBy {
    /// Its identity, in hexadecimal.
    pub fingerprint: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// One route that an alert leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteExplanation {
    /// The matchers from the root, as they stand in group keys: `{}/{severity="critical"}`.
    pub path: String,
    /// Who is notified.
    pub receiver: String,
    /// The group, as Alertmanager prints its key.
    pub group_key: String,
    /// How many alerts the group has; 0 when there is no such group.
    pub alerts: usize,
    /// The calendars that keep the route quiet.
    pub muted_by: Vec<String>,
    /// When those end, in milliseconds since the epoch, as far as a week ahead.
    pub muted_until_ms: Option<i64>,
    /// Until when the group collects alerts before its first notification, in milliseconds since the epoch.
    pub waits_until_ms: Option<i64>,
    /// When the group looks at its alerts next, in milliseconds since the epoch.
    pub next_look_ms: Option<i64>,
    /// Each way to the receiver.
    pub integrations: Vec<IntegrationExplanation>,
}

/// One way to a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationExplanation {
    /// What it is and its place: `slack/0`.
    pub integration: String,
    /// Whether it would be notified if the group looked now.
    pub notifies: bool,
    /// Why, or why not.
    pub verdict: String,
    /// When its reminder is due, where nothing is new.
    pub repeat_at_ms: Option<i64>,
    /// When it was told last about the group.
    pub told_at_ms: Option<i64>,
    /// Why it was told then.
    pub told_reason: Option<String>,
    /// Whether it was told then that this alert fires.
    pub told_firing: bool,
    /// Whether it was told then that this alert has ended.
    pub told_resolved: bool,
    /// What became of the notification that it has not got yet.
    pub pending: Option<String>,
}

/// Explains the alerts with these labels; where none is known, what would become of an alert with exactly these.
///
/// # Errors
/// When alerts, silences or groups cannot be read.
pub async fn explain(
    app: &App,
    tenant: &TenantId,
    labels: &Labels,
    now: Timestamp,
) -> Result<Vec<Explanation>, AppError> {
    let config = app.config();
    let desk = Desk::of(app, &config, now);
    let loaded = Loaded::of(app, tenant, now).await?;
    Ok(desk.explain(tenant, labels, &loaded).await?)
}

impl Desk<'_> {
    pub(super) async fn explain(
        &self,
        tenant: &TenantId,
        labels: &Labels,
        loaded: &Loaded,
    ) -> PortResult<Vec<Explanation>> {
        let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let fits = |held: &&Held| matches_all(&matchers, held.alert.labels.as_ref());
        let known: Vec<&Held> = loaded.alerts.values().filter(fits).take(ALERTS_MAX).collect();
        let routes = self.routes(tenant);
        let inhibitor = Inhibitor::new(&routes.inhibit_rules, &loaded.alerts, self.now);
        let input = Input {
            tenant: tenant.as_str(),
            config: routes,
            alerts: &loaded.alerts,
            inhibitor: &inhibitor,
            silences: &loaded.silences,
            now: self.now,
        };
        let mut all = Vec::new();
        for held in known.iter().map(|held| Some(*held)).chain(known.is_empty().then_some(None)) {
            all.push(self.explain_one(tenant, held.map_or(labels, |held| &held.alert.labels), held, &input).await?);
        }
        Ok(all)
    }

    async fn explain_one(
        &self,
        tenant: &TenantId,
        labels: &Labels,
        held: Option<&Held>,
        input: &Input<'_>,
    ) -> PortResult<Explanation> {
        let fingerprint = Fingerprint::of(labels);
        let mut routes = Vec::new();
        for route in input.config.routes_of(labels) {
            let key = GroupKey::of(route, labels);
            let row = self.state.get(&rows::group_key(tenant, &key.id()), self.now).await?;
            let stored = row.as_ref().map(StoredGroup::read).transpose()?;
            routes.push(of_route(route, key, stored.map(|stored| stored.group).as_ref(), fingerprint, input));
        }
        let muting = input.silences.iter().filter(|silence| silence.mutes(labels, self.now));
        let silenced_by = muting.map(|silence| SilencedBy {
            id: silence.id.clone(),
            created_by: silence.created_by.clone(),
            comment: silence.comment.clone(),
            ends_at_ms: silence.ends_at.as_millis(),
        });
        let inhibited_by = input.inhibitor.source_of(labels).map(|by| InhibitedBy {
            fingerprint: by.to_string(),
            labels: input.alerts.get(&by).map(|held| map(&held.alert.labels)).unwrap_or_default(),
        });
        let is_resolved = held.map(|held| held.alert.is_resolved(self.now));
        Ok(Explanation {
            labels: map(labels),
            fingerprint: fingerprint.to_string(),
            state: match is_resolved {
                Some(true) => KnownAs::Resolved,
                Some(false) => KnownAs::Firing,
                None => KnownAs::Unknown,
            },
            starts_at_ms: held.map(|held| held.alert.starts_at.as_millis()),
            ended_at_ms: held
                .filter(|_| is_resolved == Some(true))
                .and_then(|held| Some(held.alert.ends_at?.as_millis())),
            silenced_by: silenced_by.collect(),
            inhibited_by,
            routes,
        })
    }
}

fn map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn of_route(
    route: &Route,
    key: GroupKey,
    group: Option<&Group>,
    alert: Fingerprint,
    input: &Input<'_>,
) -> RouteExplanation {
    let muted_by = input.config.intervals_muting(route, input.now);
    let waiting = group.filter(|group| !group.members.is_empty());
    let has_time = |time: Timestamp| (time > input.now).then_some(time.as_millis());
    let looks_now = |group: &Group| Group { flush_at: input.now, ..group.clone() };
    let decisions = waiting.map(|group| plan(&looks_now(group), input).decisions).unwrap_or_default();
    let receiver = input.config.receivers.get(&route.receiver);
    let of_integration = |receiver: &Receiver| {
        let all = receiver.integrations.iter().map(|one| {
            let verdict = decisions.iter().rev().find(|decision| decision.integration == one.key);
            let state = group.and_then(|group| group.integrations.get(&one.key));
            of_integration(&one.key, verdict.map(|decision| &decision.verdict), state, alert)
        });
        all.collect()
    };
    RouteExplanation {
        path: route.key.clone(),
        receiver: route.receiver.clone(),
        group_key: key.text(),
        alerts: group.map_or(0, |group| group.members.len()),
        muted_until_ms: (!muted_by.is_empty()).then(|| muted_until(route, input.config, input.now)).flatten(),
        muted_by,
        waits_until_ms: waiting.filter(|group| !group.has_flushed).and_then(|group| has_time(group.flush_at)),
        next_look_ms: waiting.map(|group| group.flush_at.as_millis()),
        integrations: receiver.map(of_integration).unwrap_or_default(),
    }
}

/// When the calendars of a route let it speak again; `None` when not within a week.
fn muted_until(route: &Route, config: &Routes, now: Timestamp) -> Option<i64> {
    // Calendars change at whole minutes.
    let minute = |number: i64| Timestamp::from_millis((now.as_millis().div_euclid(60_000) + number) * 60_000);
    let mut minutes = (1..=7 * 24 * 60).map(minute);
    minutes.find(|time| config.intervals_muting(route, *time).is_empty()).map(|time| time.as_millis())
}

fn of_integration(
    key: &str,
    verdict: Option<&Verdict>,
    state: Option<&IntegrationState>,
    alert: Fingerprint,
) -> IntegrationExplanation {
    let log = state.and_then(|state| state.log.as_ref());
    let (notifies, text, repeat_at) = match verdict {
        Some(Verdict::Notify(reason) | Verdict::Again(reason)) => (true, reason.to_string(), None),
        Some(Verdict::Quiet(quiet)) => {
            let repeat_at = match quiet {
                Quiet::NothingNew { repeat_at } => Some(repeat_at.as_millis()),
                Quiet::NothingFires
                | Quiet::Muted(_)
                | Quiet::ResolvedUnwanted
                | Quiet::UnderWay
                | Quiet::AskedToWait { .. }
                | Quiet::RouteGone => None,
            };
            (false, quiet.to_string(), repeat_at)
        }
        None => (false, "the group has no alerts".to_owned(), None),
    };
    IntegrationExplanation {
        integration: key.to_owned(),
        notifies,
        verdict: text,
        repeat_at_ms: repeat_at,
        told_at_ms: log.map(|entry| entry.sent_at.as_millis()),
        told_reason: log.map(|entry| entry.reason.to_string()),
        told_firing: log.is_some_and(|entry| entry.firing.contains(&alert)),
        told_resolved: log.is_some_and(|entry| entry.resolved.contains(&alert)),
        pending: state.and_then(|state| state.intent.as_ref()).map(|intent| {
            let tries = intent.tries;
            match intent.attempt {
                Attempt::UnderWay { .. } => format!("{}: under way, try {tries}", intent.reason),
                Attempt::Waiting { .. } => format!("{}: failed {tries} times, tried again soon", intent.reason),
                Attempt::AskedToWait { until } => {
                    format!("{}: its destination asked to wait until {}", intent.reason, rfc3339(until))
                }
                Attempt::GivenUp => format!("{}: given up after {tries} tries, a dead letter", intent.reason),
            }
        }),
    }
}

/// A time for people who read UTC.
fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .map_or_else(|_| time.as_millis().to_string(), |at| at.to_string())
}

impl Explanation {
    /// The explanation for people who read English, a line each, times in UTC.
    pub fn lines(&self) -> Vec<String> {
        let at = |ms: i64| rfc3339(Timestamp::from_millis(ms));
        let labels = |all: &BTreeMap<String, String>| {
            let pairs = all.iter().map(|(name, value)| format!("{name}={value:?}"));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        };
        let since = self.starts_at_ms.map_or_else(String::new, |ms| format!(" since {}", at(ms)));
        let state = match self.state {
            KnownAs::Firing => format!("fires{since}"),
            KnownAs::Resolved => format!("has ended at {}", self.ended_at_ms.map(at).unwrap_or_default()),
            KnownAs::Unknown => "is not known to the notifications; one with these labels would lead here".to_owned(),
        };
        let mut lines = vec![format!("alert {} {} {state}", self.fingerprint, labels(&self.labels))];
        lines.extend(self.silenced_by.iter().map(|silence| {
            let (id, by, until) = (&silence.id, &silence.created_by, at(silence.ends_at_ms));
            format!("  silenced by {id} of {by} until {until}: {}", silence.comment)
        }));
        lines.extend(
            self.inhibited_by.iter().map(|by| format!("  inhibited by {} {}", by.fingerprint, labels(&by.labels))),
        );
        for route in &self.routes {
            lines.push(format!("  route {} -> receiver {}, group {}", route.path, route.receiver, route.group_key));
            if !route.muted_by.is_empty() {
                let until = route
                    .muted_until_ms
                    .map_or_else(|| "for more than a week".to_owned(), |ms| format!("until {}", at(ms)));
                lines.push(format!("    muted by time interval {} {until}", route.muted_by.join(", ")));
            }
            lines.extend(route.waits_until_ms.map(|ms| format!("    waits for group_wait until {}", at(ms))));
            let looks = route.next_look_ms.filter(|_| route.waits_until_ms.is_none());
            lines.extend(looks.map(|ms| format!("    {} alerts, looked at next at {}", route.alerts, at(ms))));
            for one in &route.integrations {
                let verb = if one.notifies { "is told at the next look" } else { "is not told" };
                lines.push(format!("    {} {verb}: {}", one.integration, one.verdict));
                lines.extend(one.told_at_ms.map(|ms| {
                    let what = match (one.told_firing, one.told_resolved) {
                        (true, _) => "that it fires",
                        (_, true) => "that it ended",
                        (false, false) => "about others of the group",
                    };
                    format!("      told {what} at {}: {}", at(ms), one.told_reason.as_deref().unwrap_or(""))
                }));
                lines.extend(one.repeat_at_ms.map(|ms| format!("      reminded at the first look after {}", at(ms))));
                lines.extend(one.pending.iter().map(|text| format!("      {text}")));
            }
        }
        lines
    }
}
