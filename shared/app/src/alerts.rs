//! Rules and alerts for readers: the HTTP API, the pages, the reports.
//!
//! All of it comes from the rows that the tick commits, so what is shown is what was decided, on every machine alike.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::rule::{GroupState, Phase, Rule, RuleGroup, RuleKind, RuleState, Transition, format_value};
use alerting::template::Template;
use model::{Labels, Matcher, TenantId, TimeRange, Timestamp, matches_all};
use serde::{Serialize, Serializer};

use crate::http::Params;
use crate::ports::Shard;
use crate::{App, AppError, evaluate, tick_row};

/// One alert that is pending or firing. Serialises as in Prometheus's API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertView {
    /// What it is about, with `alertname`.
    #[serde(serialize_with = "as_map")]
    pub labels: Labels,
    /// Text for people.
    pub annotations: BTreeMap<String, String>,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when the condition holds.
    #[serde(rename = "activeAt", serialize_with = "as_rfc_3339")]
    pub active_at: Timestamp,
    /// Since when it is kept firing although the condition ended.
    #[serde(
        rename = "keepFiringSince",
        serialize_with = "as_optional_rfc_3339",
        skip_serializing_if = "Option::is_none"
    )]
    pub keep_firing_since: Option<Timestamp>,
    /// The expression's value, as of the last time the condition held.
    #[serde(serialize_with = "as_value")]
    pub value: f64,
}

/// The state of an alert, or of a rule: the most serious of its alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The rule was not evaluated yet.
    Unknown,
    /// No alert.
    Inactive,
    /// True, waiting for `for`.
    Pending,
    /// True long enough.
    Firing,
}

/// How the last evaluation of a rule went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There was none yet.
    Unknown,
    /// It worked.
    Ok,
    /// It failed.
    Err,
}

/// A rule group. Serialises as in Prometheus's API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// From one evaluation to the next.
    #[serde(serialize_with = "as_seconds")]
    pub interval: Duration,
    /// Most alerts or series of one rule; 0 for no limit.
    pub limit: usize,
    /// Its rules, in order.
    pub rules: Vec<RuleView>,
    /// How long its last evaluation took, in seconds.
    #[serde(rename = "evaluationTime")]
    pub evaluation_seconds: f64,
    /// When it was evaluated last; `None` before the first time.
    #[serde(rename = "lastEvaluation", serialize_with = "as_evaluation")]
    pub last_evaluation: Option<Timestamp>,
}

/// A rule. Serialises as in Prometheus's API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleView {
    /// The alert's name, or the metric name of the recorded series.
    pub name: String,
    /// The expression.
    pub query: String,
    /// Labels it sets, templates as they are written.
    pub labels: BTreeMap<String, String>,
    /// How the last evaluation went.
    pub health: Health,
    /// Why it failed.
    #[serde(rename = "lastError", skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How long the last evaluation took, in seconds.
    #[serde(rename = "evaluationTime")]
    pub evaluation_seconds: f64,
    /// When it was evaluated last; `None` before the first time.
    #[serde(rename = "lastEvaluation", serialize_with = "as_evaluation")]
    pub last_evaluation: Option<Timestamp>,
    /// What only one kind of rule has.
    #[serde(flatten)]
    pub kind: RuleKindView,
}

/// What only one kind of rule has.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RuleKindView {
    /// Stores the answer as new series.
    Recording,
    /// Raises alerts.
    Alerting {
        /// How long an alert is pending before it fires.
        #[serde(rename = "duration", serialize_with = "as_seconds")]
        hold: Duration,
        /// How long it goes on firing after the condition ended.
        #[serde(rename = "keepFiringFor", serialize_with = "as_seconds")]
        keep_firing_for: Duration,
        /// Text for people, templates as they are written.
        annotations: BTreeMap<String, String>,
        /// Its pending and firing alerts.
        alerts: Vec<AlertView>,
        /// The most serious state of them.
        state: AlertState,
    },
}

/// Which rules to show.
#[derive(Clone, Debug, Default)]
pub struct RuleFilter {
    kind: Option<FilterKind>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    selectors: Vec<Vec<Matcher>>,
    exclude_alerts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FilterKind {
    Alert,
    Record,
}

/// The alerts of a tenant that are pending or firing, in order of group, rule and labels.
///
/// # Errors
/// When the state cannot be read.
pub async fn active(app: &App, tenant: &TenantId, now: Timestamp) -> Result<Vec<AlertView>, AppError> {
    let groups = rule_groups(app, tenant, &RuleFilter::default(), now).await?;
    let kinds = groups.into_iter().flat_map(|group| group.rules).map(|rule| rule.kind);
    let alerts = |kind| match kind {
        RuleKindView::Recording => Vec::new(),
        RuleKindView::Alerting { alerts, .. } => alerts,
    };
    Ok(kinds.flat_map(alerts).collect())
}

/// The rule groups of a tenant with the state of their rules.
///
/// # Errors
/// When the state cannot be read.
pub async fn rule_groups(
    app: &App,
    tenant: &TenantId,
    filter: &RuleFilter,
    now: Timestamp,
) -> Result<Vec<GroupView>, AppError> {
    let config = app.config();
    let Some(tenant_config) = config.tenants.get(tenant) else { return Ok(Vec::new()) };
    let (row, _) = tick_row::read(&app.ports, &app.tick_states, Shard::default(), now).await?;
    let mut views = Vec::new();
    for group in tenant_config.rule_groups.iter().filter(|group| filter.takes_group(group)) {
        let state = row.groups.get(&(tenant.clone(), group.key()));
        // One that cannot be read is not known: the next tick sets it aside, and says so.
        let state = state.and_then(|bytes| GroupState::decode(bytes).ok()).unwrap_or_default();
        let view = GroupView::of(group, &state, filter);
        if !view.rules.is_empty() || filter.takes_all_rules() {
            views.push(view);
        }
    }
    Ok(views)
}

/// The changes of alerts within a time range, oldest first.
///
/// # Errors
/// When the history cannot be read.
pub async fn history(
    app: &App,
    tenant: &TenantId,
    range: TimeRange,
    now: Timestamp,
) -> Result<Vec<Transition>, AppError> {
    evaluate::read_history(app.ports.state.as_ref(), tenant, range, now).await
}

impl GroupView {
    fn of(group: &RuleGroup, state: &GroupState, filter: &RuleFilter) -> Self {
        let identities = group.identities();
        let unknown = RuleState::default();
        let states = identities.iter().map(|identity| state.rules.get(identity).unwrap_or(&unknown));
        let rules: Vec<(&Rule, &RuleState)> = group.rules.iter().zip(states).collect();
        let seconds =
            |(_, state): &(&Rule, &RuleState)| state.last_run.as_ref().map_or(0.0, |run| run.duration_seconds);
        Self {
            name: group.name.clone(),
            file: group.file.clone(),
            interval: group.interval,
            limit: group.limit.unwrap_or(0),
            evaluation_seconds: rules.iter().map(seconds).sum(),
            last_evaluation: state.slot,
            rules: rules
                .into_iter()
                .filter(|(rule, _)| filter.takes_rule(rule))
                .map(|(rule, state)| RuleView::of(rule, state, filter))
                .collect(),
        }
    }
}

impl RuleView {
    fn of(rule: &Rule, state: &RuleState, filter: &RuleFilter) -> Self {
        let last_run = state.last_run.as_ref();
        let last_error = last_run.and_then(|run| run.error.clone());
        let health = match (last_run, &last_error) {
            (None, _) => Health::Unknown,
            (Some(_), None) => Health::Ok,
            (Some(_), Some(_)) => Health::Err,
        };
        Self {
            name: rule.name.clone(),
            query: rule.expr.clone(),
            labels: sources(&rule.labels),
            health,
            last_error,
            evaluation_seconds: last_run.map_or(0.0, |run| run.duration_seconds),
            last_evaluation: last_run.map(|run| run.at),
            kind: RuleKindView::of(rule, state, filter),
        }
    }
}

impl RuleKindView {
    fn of(rule: &Rule, state: &RuleState, filter: &RuleFilter) -> Self {
        let RuleKind::Alerting { hold, keep_firing_for, annotations, .. } = &rule.kind else { return Self::Recording };
        let mut alerts: Vec<AlertView> =
            state.active.iter().filter_map(|(labels, alert)| AlertView::of(labels, alert)).collect();
        let calm = if state.last_run.is_some() { AlertState::Inactive } else { AlertState::Unknown };
        let state = alerts.iter().map(|alert| alert.state).max().unwrap_or(calm);
        if filter.exclude_alerts {
            alerts.clear();
        }
        Self::Alerting {
            hold: *hold,
            keep_firing_for: *keep_firing_for,
            annotations: sources(annotations),
            alerts,
            state,
        }
    }
}

impl AlertView {
    /// The view of an alert that holds.
    fn of(labels: &Labels, alert: &alerting::rule::Active) -> Option<Self> {
        let (state, keep_firing_since) = match alert.phase {
            Phase::Pending => (AlertState::Pending, None),
            Phase::Firing { kept_since, .. } => (AlertState::Firing, kept_since),
            Phase::Resolved { .. } => return None,
        };
        Some(Self {
            labels: labels.clone(),
            annotations: alert.annotations.clone(),
            state,
            active_at: alert.active_at,
            keep_firing_since,
            value: alert.value,
        })
    }
}

fn sources(templates: &BTreeMap<String, Template>) -> BTreeMap<String, String> {
    templates.iter().map(|(name, template)| (name.clone(), template.source().to_owned())).collect()
}

impl RuleFilter {
    /// Reads the parameters of `/api/v1/rules`.
    ///
    /// # Errors
    /// When one of them has a value it cannot have.
    pub fn from_params(params: &Params) -> Result<Self, AppError> {
        let texts = |name: &str| params.all(name).map(str::to_owned).collect();
        let refuse = |name: &str, reason: &str| AppError::Invalid(format!("invalid parameter {name:?}: {reason}"));
        let lower = |name: &str| params.get(name).map(str::to_ascii_lowercase);
        let kind = match lower("type").as_deref() {
            None => None,
            Some("alert") => Some(FilterKind::Alert),
            Some("record") => Some(FilterKind::Record),
            Some(other) => return Err(refuse("type", &format!("not supported value {other:?}"))),
        };
        let exclude_alerts = match lower("exclude_alerts").as_deref() {
            None | Some("false" | "f" | "0") => false,
            Some("true" | "t" | "1") => true,
            Some(other) => return Err(refuse("exclude_alerts", &format!("{other:?} is neither true nor false"))),
        };
        let selector = |text: &str| {
            promql::parse_selector(text)
                .map_err(|error| AppError::Invalid(format!("invalid parameter \"match[]\": {error}")))
        };
        Ok(Self {
            kind,
            names: texts("rule_name[]"),
            groups: texts("rule_group[]"),
            files: texts("file[]"),
            selectors: params.all("match[]").map(selector).collect::<Result<_, _>>()?,
            exclude_alerts,
        })
    }

    fn takes_group(&self, group: &RuleGroup) -> bool {
        let listed = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        listed(&self.groups, &group.name) && listed(&self.files, &group.file)
    }

    fn takes_all_rules(&self) -> bool {
        self.kind.is_none() && self.names.is_empty() && self.selectors.is_empty()
    }

    fn takes_rule(&self, rule: &Rule) -> bool {
        let kind = match rule.kind {
            RuleKind::Recording => FilterKind::Record,
            RuleKind::Alerting { .. } => FilterKind::Alert,
        };
        let labels = Labels::from_pairs(rule.labels.iter().map(|(name, value)| (name.as_str(), value.source())));
        let labels = labels.unwrap_or_default();
        self.kind.is_none_or(|wanted| wanted == kind)
            && (self.names.is_empty() || self.names.contains(&rule.name))
            && (self.selectors.is_empty() || self.selectors.iter().any(|all| matches_all(all, labels.as_ref())))
    }
}

/// When nothing was evaluated yet: Go's zero time, which clients know.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn rfc_3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis()).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
}

fn as_map<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

fn as_rfc_3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc_3339(*time))
}

fn as_optional_rfc_3339<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc_3339).serialize(serializer)
}

fn as_evaluation<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.map_or_else(|| NEVER.to_owned(), rfc_3339))
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let seconds = duration.as_secs_f64();
    if duration.subsec_nanos() == 0 {
        serializer.serialize_u64(duration.as_secs())
    } else {
        serializer.serialize_f64(seconds)
    }
}

fn as_value<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_value(*value))
}
