//! Alerts as the notifications hold them, with what mutes them: for Alertmanager's API, the pages, the command line.

use std::collections::BTreeMap;

use alerting::Fingerprint;
use alerting::notify::{
    Config as Routes, GroupKey, Held, Inhibitor, Receiver, Route, Silence, order_of_alerts, order_of_labels,
    silenced_by,
};
use model::{Matcher, TenantId, Timestamp};

use super::{Desk, load_silences};
use crate::{App, AppError};

/// Which alerts to show.
#[derive(Clone, Debug)]
pub struct ViewFilter {
    /// What their labels must fulfil.
    pub matchers: Vec<Matcher>,
    /// Whether those are shown that nothing mutes.
    pub active: bool,
    /// Whether those are shown that a silence mutes.
    pub silenced: bool,
    /// Whether those are shown that another alert mutes.
    pub inhibited: bool,
    /// Whether groups are shown that a calendar mutes.
    pub muted: bool,
    /// Which receivers: a condition on the name.
    pub receiver: Option<Matcher>,
    /// Which receivers, by their labels.
    pub receiver_matchers: Vec<Matcher>,
}

impl Default for ViewFilter {
    fn default() -> Self {
        Self {
            matchers: Vec::new(),
            active: true,
            silenced: true,
            inhibited: true,
            muted: true,
            receiver: None,
            receiver_matchers: Vec::new(),
        }
    }
}

/// One alert, with the receivers that it leads to and what mutes it.
#[derive(Clone, Debug)]
pub struct SentAlertView {
    /// The alert.
    pub held: Held,
    /// Whom it leads to, a name a route.
    pub receivers: Vec<String>,
    /// The silences that mute it, by id.
    pub silenced_by: Vec<String>,
    /// The alert that mutes it.
    pub inhibited_by: Option<Fingerprint>,
    /// The calendars that mute its group; empty outside of a group.
    pub muted_by: Vec<String>,
}

/// Whether anything mutes an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentAlertState {
    /// Nothing.
    Active,
    /// Something.
    Suppressed,
}

impl SentAlertView {
    /// Whether anything mutes it.
    pub fn state(&self) -> SentAlertState {
        let is_free = self.silenced_by.is_empty() && self.inhibited_by.is_none() && self.muted_by.is_empty();
        if is_free { SentAlertState::Active } else { SentAlertState::Suppressed }
    }
}

/// Alerts that are notified together.
#[derive(Clone, Debug)]
pub struct AlertGroupView {
    /// What makes the group.
    pub key: GroupKey,
    /// The labels of its route, as they are written.
    pub route_labels: BTreeMap<String, String>,
    /// Its alerts.
    pub alerts: Vec<SentAlertView>,
}

/// The alerts that fire, in order of fingerprint.
///
/// # Errors
/// When they cannot be read.
pub async fn sent_alerts(
    app: &App,
    tenant: &TenantId,
    filter: &ViewFilter,
    now: Timestamp,
) -> Result<Vec<SentAlertView>, AppError> {
    let loaded = Loaded::of(app, tenant, now).await?;
    let config = app.config();
    let routes = Desk::of(app, &config, now).routes(tenant);
    let scene = Scene::new(routes, &loaded, filter, now);
    let views = loaded.alerts.values().filter_map(|held| {
        let receivers: Vec<String> =
            routes.routes_of(&held.alert.labels).iter().map(|route| route.receiver.clone()).collect();
        let is_led_there = receivers.iter().any(|receiver| scene.takes_receiver(receiver));
        scene.view(held, receivers, &[]).filter(|_| is_led_there)
    });
    let mut views: Vec<SentAlertView> = views.collect();
    views.sort_by_key(|view| view.held.alert.fingerprint().to_string());
    Ok(views)
}

/// The groups of the alerts that fire, in order of labels and receiver.
///
/// # Errors
/// When they cannot be read.
pub async fn alert_groups(
    app: &App,
    tenant: &TenantId,
    filter: &ViewFilter,
    now: Timestamp,
) -> Result<Vec<AlertGroupView>, AppError> {
    let loaded = Loaded::of(app, tenant, now).await?;
    let config = app.config();
    let routes = Desk::of(app, &config, now).routes(tenant);
    let scene = Scene::new(routes, &loaded, filter, now);
    let mut groups: BTreeMap<GroupKey, AlertGroupView> = BTreeMap::new();
    for held in loaded.alerts.values() {
        let led: Vec<&Route> = routes.routes_of(&held.alert.labels);
        let receivers: Vec<String> = led.iter().map(|route| route.receiver.clone()).collect();
        for route in led.into_iter().filter(|route| scene.takes_receiver(&route.receiver)) {
            let muted_by = routes.intervals_muting(route, now);
            if !muted_by.is_empty() && !filter.muted {
                continue;
            }
            let Some(view) = scene.view(held, receivers.clone(), &muted_by) else { continue };
            let key = GroupKey::of(route, &held.alert.labels);
            let new = || AlertGroupView { key: key.clone(), route_labels: route.labels.clone(), alerts: Vec::new() };
            groups.entry(key.clone()).or_insert_with(new).alerts.push(view);
        }
    }
    let mut groups: Vec<AlertGroupView> = groups.into_values().collect();
    for group in &mut groups {
        group.alerts.sort_by(|one, two| order_of_alerts(&one.held.alert.labels, &two.held.alert.labels));
    }
    let order = |one: &GroupKey, two: &GroupKey| {
        order_of_labels(&one.labels, &two.labels).then_with(|| one.receiver.cmp(&two.receiver))
    };
    groups.sort_by(|one, two| order(&one.key, &two.key));
    Ok(groups)
}

pub(super) struct Loaded {
    pub(super) alerts: BTreeMap<Fingerprint, Held>,
    pub(super) silences: Vec<Silence>,
}

impl Loaded {
    pub(super) async fn of(app: &App, tenant: &TenantId, now: Timestamp) -> Result<Self, AppError> {
        let config = app.config();
        Ok(Self {
            alerts: Desk::of(app, &config, now).alerts(tenant).await?.0,
            silences: load_silences(app.ports.state.as_ref(), tenant, now).await?,
        })
    }
}

/// What mutes at the moment, and what is asked for.
struct Scene<'a> {
    receivers: &'a BTreeMap<String, Receiver>,
    inhibitor: Inhibitor<'a>,
    silences: &'a [Silence],
    filter: &'a ViewFilter,
    now: Timestamp,
}

impl<'a> Scene<'a> {
    fn new(routes: &'a Routes, loaded: &'a Loaded, filter: &'a ViewFilter, now: Timestamp) -> Self {
        let inhibitor = Inhibitor::new(&routes.inhibit_rules, &loaded.alerts, now);
        Self { receivers: &routes.receivers, inhibitor, silences: &loaded.silences, filter, now }
    }

    fn takes_receiver(&self, name: &str) -> bool {
        let wanted = &self.filter.receiver_matchers;
        let by_labels = || self.receivers.get(name).is_some_and(|receiver| receiver_fulfils(receiver, wanted));
        self.filter.receiver.as_ref().is_none_or(|pattern| pattern.matches(name)) && (wanted.is_empty() || by_labels())
    }

    /// The view of an alert; `None` when it has ended or is not asked for.
    fn view(&self, held: &Held, receivers: Vec<String>, muted_by: &[String]) -> Option<SentAlertView> {
        let labels = &held.alert.labels;
        if held.alert.is_resolved(self.now) || !fulfils(&self.filter.matchers, |name| labels.get(name)) {
            return None;
        }
        let silenced_by = silenced_by(self.silences, labels, self.now);
        let inhibited_by = self.inhibitor.source_of(labels);
        let is_free = silenced_by.is_empty() && inhibited_by.is_none();
        let is_asked_for = (self.filter.active || !is_free)
            && (self.filter.silenced || silenced_by.is_empty())
            && (self.filter.inhibited || inhibited_by.is_none());
        let view =
            || SentAlertView { held: held.clone(), receivers, silenced_by, inhibited_by, muted_by: muted_by.to_vec() };
        is_asked_for.then(view)
    }
}

/// Whether the labels of a receiver fulfil matchers.
pub fn receiver_fulfils(receiver: &Receiver, matchers: &[Matcher]) -> bool {
    fulfils(matchers, |label| receiver.labels.get(label).map(String::as_str))
}

/// Whether labels fulfil matchers; one that excludes the empty value asks only that the label is there, as upstream has
/// it.
fn fulfils<'a>(matchers: &[Matcher], label: impl Fn(&str) -> Option<&'a str>) -> bool {
    matchers.iter().all(|matcher| {
        let value = label(matcher.name());
        let excludes = matches!(matcher.op(), model::MatchOp::NotEqual | model::MatchOp::NotRegex);
        matcher.value().is_empty() && value.is_some() == excludes || matcher.matches(value.unwrap_or(""))
    })
}
