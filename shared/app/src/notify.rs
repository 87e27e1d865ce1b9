//! The notify flow: alerts from the topic become groups with timers; due groups become deliveries.
//!
//! Read [`receive()`] first (messages in, rows out), then [`run_due`] (rows in, deliveries out). What is decided is
//! decided in [`alerting::notify`]; here it is loaded, committed and delivered.
//!
//! Invariants:
//! - An alert, its groups and their timers are written together; a message that comes twice changes nothing.
//! - What is delivered was stored as an intent before, at the version of its group that the decision rests on. Whoever
//!   finds another version leaves the group to whoever wrote it.
//! - A delivery that fails is tried again by the timer of its group and holds up no other.

mod acts;
mod alarms;
mod answer;
mod chart;
mod dead_letters;
mod deliver;
mod digest;
mod due;
mod escalate;
mod explain;
mod forward;
mod history;
mod illustrate;
pub mod links;
mod own_texts;
mod receive;
mod reply;
mod rows;
mod services;
mod silences;
mod turns;
mod view;
mod wake;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use alerting::notify::{self as pure, Silence};
use alerting::oncall::OnCall;
use alerting::{Alert, Fingerprint};
use model::{TenantId, Timestamp};
use render::notification::Templates;
use serde::{Deserialize, Serialize};

use crate::access::SessionKey;
use crate::config::Config;
use crate::ports::{Message, Messenger, PortResult, RowRange, Shard, StateStore, range_all};
use crate::settings::Settings;
use crate::{App, AppError};
pub use acts::{Act, ActKind, acts};
pub use alarms::{alarm_message, take_alarm};
pub use answer::{Answered, Answering, Author, SILENCED_FOR, answer, answered, firing, labels_of_alerts};
pub use dead_letters::{DeadLetter, Redriven, dead_letters, redrive};
pub use due::Ran;
pub use explain::{
    Because, Explanation, InhibitedBy, IntegrationExplanation, KnownAs, PendingExplanation, PendingState,
    RouteExplanation, SilencedBy, explain, explain_known,
};
pub use history::{Detection, Sent, detections, sent};
pub use illustrate::Picture;
pub use receive::{Received, SentAlert, take_in};
pub(crate) use reply::reply;
pub use silences::{expire_silence, put_silence, silence, silences};
pub use view::{
    AlertGroupView, SentAlertState, SentAlertView, ViewFilter, alert_groups, receiver_fulfils, sent_alerts,
};
use wake::Noting;

/// The body of a message on the alert topic, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertMessage {
    /// Whose alerts they are.
    pub tenant: String,
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// Where they come from.
    #[serde(default)]
    pub origin: Origin,
}

/// Where alerts come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From rules: the tick that made them has written their changes into the history.
    #[default]
    Rules,
    /// From outside senders and alarms of CloudWatch: their changes become history here.
    Elsewhere,
}

/// Takes in alerts from the topic: each message for itself, so that a bad one costs no other.
///
/// Which groups they belong to, and when those are due, is stored when this returns; nothing is delivered.
pub async fn receive(app: &App, messages: &[Message], now: Timestamp) -> Received {
    let config = app.config();
    let started = app.stopwatch.read();
    let received = match app.require_config() {
        Ok(()) => {
            let noting = Noting::over(app.ports.state.as_ref());
            let received = Desk { state: &noting, ..Desk::of(app, &config, now) }.receive(messages).await;
            noting.wake(app.ports.topic.as_ref(), soon(now), now).await;
            received
        }
        Err(error) => Received::none(messages, &error),
    };
    app.metrics.flow("notify", received.failed.is_empty(), app.stopwatch.read().saturating_sub(started));
    received
}

/// Hands alerts on to the Alertmanagers outside that the configuration names, each within its time limit; does nothing
/// where it names none. What fails is counted and told: rules say it again.
pub async fn forward(app: &App, alerts: &BTreeMap<TenantId, Vec<Alert>>, now: Timestamp) {
    let config = app.config();
    Desk::of(app, &config, now).forward(alerts).await;
}

/// Does what is due: looks at groups whose time has come, delivers, and tries again what failed. What it gives back may
/// name pictures, which [`illustrate()`] sends after it.
///
/// # Errors
/// When the timers cannot be read, or the configuration that was pushed; what goes wrong with one group is counted, logged, and left to its timer.
pub async fn run_due(app: &App, now: Timestamp) -> Result<Ran, AppError> {
    app.require_config()?;
    let config = app.config();
    let noting = Noting::over(app.ports.state.as_ref());
    let ran = Desk { state: &noting, ..Desk::of(app, &config, now) }.run_due().await;
    noting.wake(app.ports.topic.as_ref(), soon(now), now).await;
    ran
}

/// From when on those who do what is due ask for another look: what they found due is done, or waits for the minute.
fn soon(now: Timestamp) -> Timestamp {
    now + Duration::from_millis(1)
}

/// Sends the pictures that follow the messages of a run, for twelve seconds at most. One that fails is left out: its
/// message was sent and recorded before. A host that has other runs to do does them meanwhile.
pub async fn illustrate(app: &App, pictures: Vec<Picture>, now: Timestamp) {
    let config = app.config();
    Desk::of(app, &config, now).illustrate(pictures).await;
}

/// When something is due next, if anything is waiting at all: the host need not look before.
///
/// # Errors
/// When the timers cannot be read.
pub async fn next_due(app: &App, now: Timestamp) -> Result<Option<Timestamp>, AppError> {
    let first = RowRange { limit: 1, ..RowRange::all(rows::timer_partition(Shard::default())) };
    let page = app.ports.state.range(&first, now).await?;
    Ok(page.rows.first().and_then(|row| rows::Timer::read(&row.key.sort)).map(|timer| timer.due_at))
}

async fn load_silences(state: &dyn StateStore, tenant: &TenantId, now: Timestamp) -> PortResult<Vec<Silence>> {
    let found = range_all(state, RowRange::all(rows::silence_partition(tenant)), now).await?;
    found.iter().map(|row| Silence::decode(&row.value).map_err(|error| rows::corrupt("silence", error))).collect()
}

/// Whom alerts of a tenant lead to: its own routes, or the default ones.
pub fn routes<'a>(config: &'a Config, tenant: &TenantId) -> &'a pure::Config {
    config.tenants.get(tenant).map_or(&*DEFAULT_ROUTES, |tenant| &tenant.notify)
}

/// Who is called for a tenant: nobody where no file says it.
pub fn on_call<'a>(config: &'a Config, tenant: &TenantId) -> &'a OnCall {
    config.tenants.get(tenant).map_or(&*NOBODY, |tenant| &tenant.on_call)
}

/// All that the flow needs of an [`App`], at one moment.
#[derive(Clone, Copy, Debug)]
struct Desk<'a> {
    state: &'a dyn StateStore,
    messenger: &'a dyn Messenger,
    config: &'a Config,
    settings: &'a Settings,
    metrics: &'a crate::metrics::Metrics,
    key: &'a SessionKey,
    /// Whom to ask for the series behind alerts; `None` where nothing is drawn.
    app: Option<&'a App>,
    now: Timestamp,
}

/// The texts of notifications.
static TEMPLATES: LazyLock<Templates> = LazyLock::new(Templates::embedded);

/// The routes of a tenant that has no configuration of its own, such as one whose files were removed.
static DEFAULT_ROUTES: LazyLock<pure::Config> = LazyLock::new(|| {
    let defaults = Config::defaults().tenants.remove(&TenantId::default_tenant());
    defaults.expect("the defaults are those of the default tenant").notify
});

static NOBODY: LazyLock<OnCall> = LazyLock::new(OnCall::default);

/// The alerts of a tenant with the versions of their rows.
type StoredAlerts = (BTreeMap<Fingerprint, pure::Held>, BTreeMap<Fingerprint, u64>);

impl<'a> Desk<'a> {
    fn of(app: &'a App, config: &'a Config, now: Timestamp) -> Self {
        Self {
            state: app.ports.state.as_ref(),
            messenger: app.ports.messenger.as_ref(),
            config,
            settings: &app.settings,
            metrics: &app.metrics,
            key: app.session_key(),
            app: Some(app),
            now,
        }
    }

    /// Who is called for a tenant.
    fn on_call(&self, tenant: &TenantId) -> &'a OnCall {
        on_call(self.config, tenant)
    }

    fn routes(&self, tenant: &TenantId) -> &'a pure::Config {
        routes(self.config, tenant)
    }

    async fn alerts(&self, tenant: &TenantId) -> PortResult<StoredAlerts> {
        let mut alerts = BTreeMap::new();
        let mut versions = BTreeMap::new();
        for row in range_all(self.state, RowRange::all(rows::alert_partition(tenant)), self.now).await? {
            let held = rows::decode_alert(&row.value)?;
            versions.insert(held.alert.fingerprint(), row.version);
            alerts.insert(held.alert.fingerprint(), held);
        }
        Ok((alerts, versions))
    }
}

#[cfg(test)]
mod tests;
