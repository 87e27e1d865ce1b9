//! Why an alert was told, or was not: what the notifications know of it, for people who ask.
//!
//! Nothing is guessed: the group is asked by the same [`plan()`](alerting::notify::plan()) that decides, as if it looked
//! at its alerts now.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use alerting::Fingerprint;
use alerting::notify::{
    Attempt, Config as Routes, Group, GroupKey, Held, Inhibitor, Input, IntegrationState, Intent, Quiet, Reason,
    Receiver, Route, Verdict, plan,
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
    /// Why, or why not, in words.
    pub verdict: String,
    /// The same for programs.
    pub because: Because,
    /// When its reminder is due, where nothing is new.
    pub repeat_at_ms: Option<i64>,
    /// When it was told last about the group.
    pub told_at_ms: Option<i64>,
    /// Why it was told then.
    pub told_reason: Option<Reason>,
    /// Whether it was told then that this alert fires.
    pub told_firing: bool,
    /// Whether it was told then that this alert has ended.
    pub told_resolved: bool,
    /// The notification that it has not got yet.
    pub pending: Option<PendingExplanation>,
}

/// Why an integration would be notified if its group looked now, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It is notified.
    Tells(Reason),
    /// It is notified again of what may not have arrived.
    TellsAgain(Reason),
    /// Nothing fires, and it was never told that anything did.
    NothingFires,
    /// It was told all this already.
    NothingNew,
    /// All alerts of the group are muted.
    Muted,
    /// It does not want to hear of resolved alerts.
    ResolvedUnwanted,
    /// The notification before is still under way.
    UnderWay,
    /// Its destination asked to be left alone until then, in milliseconds since the epoch.
    AskedToWait(i64),
    /// The configuration has no such route any more.
    RouteGone,
    /// The group has no alerts.
    NoAlerts,
}

/// A notification that was decided and is not known to have arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingExplanation {
    /// Why it is sent.
    pub reason: Reason,
    /// How often it was tried.
    pub tries: u32,
    /// Where it stands.
    pub stands: PendingState,
}

/// Where a notification stands that has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingState {
    /// It is being delivered.
    UnderWay,
    /// It failed, and is tried again then, in milliseconds since the epoch.
    TriedAgain(i64),
    /// Its destination asked to be left alone until then, in milliseconds since the epoch.
    AskedToWait(i64),
    /// It is a dead letter.
    GivenUp,
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

/// Explains the known alerts that fulfil matchers: those that fire first, then the newest first. Gives how many more
/// there are as well.
///
/// # Errors
/// When alerts, silences or groups cannot be read.
pub async fn explain_known(
    app: &App,
    tenant: &TenantId,
    matchers: &[Matcher],
    now: Timestamp,
) -> Result<(Vec<Explanation>, usize), AppError> {
    let config = app.config();
    let desk = Desk::of(app, &config, now);
    let loaded = Loaded::of(app, tenant, now).await?;
    let fits = |held: &&Held| matches_all(matchers, held.alert.labels.as_ref());
    let mut known: Vec<&Held> = loaded.alerts.values().filter(fits).collect();
    known.sort_by_key(|held| (held.alert.is_resolved(now), Reverse(held.alert.starts_at)));
    let more = known.len().saturating_sub(ALERTS_MAX);
    known.truncate(ALERTS_MAX);
    let asked: Vec<_> = known.into_iter().map(|held| (&held.alert.labels, Some(held))).collect();
    Ok((desk.explain_all(tenant, &asked, &loaded).await?, more))
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
        let known = loaded.alerts.values().filter(fits).take(ALERTS_MAX);
        let mut asked: Vec<_> = known.map(|held| (&held.alert.labels, Some(held))).collect();
        if asked.is_empty() {
            asked.push((labels, None));
        }
        self.explain_all(tenant, &asked, loaded).await
    }

    /// Explains alerts by their labels, with what is known of them; each group is read once.
    async fn explain_all(
        &self,
        tenant: &TenantId,
        asked: &[(&Labels, Option<&Held>)],
        loaded: &Loaded,
    ) -> PortResult<Vec<Explanation>> {
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
        let mut groups = BTreeMap::new();
        let mut all = Vec::new();
        for (labels, held) in asked {
            for key in routes.routes_of(labels).into_iter().map(|route| GroupKey::of(route, labels)) {
                if let Entry::Vacant(place) = groups.entry(key) {
                    let row = self.state.get(&rows::group_key(tenant, &place.key().id()), self.now).await?;
                    let stored = row.as_ref().map(StoredGroup::read).transpose()?;
                    place.insert(stored.map(|stored| stored.group));
                }
            }
            all.push(self.explain_one(labels, *held, &groups, &input));
        }
        Ok(all)
    }

    fn explain_one(
        &self,
        labels: &Labels,
        held: Option<&Held>,
        groups: &BTreeMap<GroupKey, Option<Group>>,
        input: &Input<'_>,
    ) -> Explanation {
        let fingerprint = Fingerprint::of(labels);
        let routes = input.config.routes_of(labels).into_iter().map(|route| {
            let key = GroupKey::of(route, labels);
            let group = groups.get(&key).and_then(Option::as_ref);
            of_route(route, key, group, fingerprint, input)
        });
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
        Explanation {
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
            routes: routes.collect(),
        }
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
    let (text, because) = match verdict {
        Some(Verdict::Notify(reason)) => (reason.to_string(), Because::Tells(*reason)),
        Some(Verdict::Again(reason)) => (reason.to_string(), Because::TellsAgain(*reason)),
        Some(Verdict::Quiet(quiet)) => (quiet.to_string(), Because::of(quiet)),
        None => ("the group has no alerts".to_owned(), Because::NoAlerts),
    };
    let repeat_at_ms = match verdict {
        Some(Verdict::Quiet(Quiet::NothingNew { repeat_at })) => Some(repeat_at.as_millis()),
        _ => None,
    };
    IntegrationExplanation {
        integration: key.to_owned(),
        notifies: matches!(because, Because::Tells(_) | Because::TellsAgain(_)),
        verdict: text,
        because,
        repeat_at_ms,
        told_at_ms: log.map(|entry| entry.sent_at.as_millis()),
        told_reason: log.map(|entry| entry.reason),
        told_firing: log.is_some_and(|entry| entry.firing.contains(&alert)),
        told_resolved: log.is_some_and(|entry| entry.resolved.contains(&alert)),
        pending: state.and_then(|state| state.intent.as_ref()).map(PendingExplanation::of),
    }
}

impl Because {
    const fn of(quiet: &Quiet) -> Self {
        match quiet {
            Quiet::NothingFires => Self::NothingFires,
            Quiet::NothingNew { .. } => Self::NothingNew,
            Quiet::Muted(_) => Self::Muted,
            Quiet::ResolvedUnwanted => Self::ResolvedUnwanted,
            Quiet::UnderWay => Self::UnderWay,
            Quiet::AskedToWait { until } => Self::AskedToWait(until.as_millis()),
            Quiet::RouteGone => Self::RouteGone,
        }
    }
}

impl PendingExplanation {
    const fn of(intent: &Intent) -> Self {
        let stands = match intent.attempt {
            Attempt::UnderWay { .. } => PendingState::UnderWay,
            Attempt::Waiting { until } => PendingState::TriedAgain(until.as_millis()),
            Attempt::AskedToWait { until } => PendingState::AskedToWait(until.as_millis()),
            Attempt::GivenUp => PendingState::GivenUp,
        };
        Self { reason: intent.reason, tries: intent.tries, stands }
    }

    fn line(&self) -> String {
        let Self { reason, tries, stands } = self;
        let at = |ms: i64| rfc3339(Timestamp::from_millis(ms));
        match *stands {
            PendingState::UnderWay => format!("{reason}: under way, try {tries}"),
            PendingState::TriedAgain(ms) => format!("{reason}: failed {tries} times, tried again at {}", at(ms)),
            PendingState::AskedToWait(ms) => format!("{reason}: its destination asked to wait until {}", at(ms)),
            PendingState::GivenUp => format!("{reason}: given up after {tries} tries, a dead letter"),
        }
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
                    format!("      told {what} at {}: {}", at(ms), one.told_reason.map_or("", Reason::as_str))
                }));
                lines.extend(one.repeat_at_ms.map(|ms| format!("      reminded at the first look after {}", at(ms))));
                lines.extend(one.pending.iter().map(|pending| format!("      {}", pending.line())));
            }
        }
        lines
    }
}
