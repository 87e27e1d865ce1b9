//! Alarms of CloudWatch as alerts: what EventBridge says of them goes the way of every other alert.

use std::collections::BTreeMap;

use alerting::Alert;
use alerting::rule::{ALERT_NAME, STATE_ANNOTATION};
use bytes::Bytes;
use model::{Labels, TenantId, Timestamp};
use wire::WireError;
use wire::cloudwatch::alarm::{self, AlarmChange, AlarmState, AlarmStateValue};
use wire::cloudwatch::{JOB, dimension_label};

use super::{AlertMessage, Desk, Origin};
use crate::ports::Message;
use crate::{App, AppError};

/// What a label for the alert begins with in the description of an alarm: `mihari/severity=critical`.
const LABEL_PREFIX: &str = "mihari/";
/// The severity of an alarm that names none.
const SEVERITY: &str = "warning";

/// A "CloudWatch Alarm State Change" event of EventBridge as a message of the alert topic; `None` for anything else.
///
/// An alarm fires an alert of the tenant, which only the alarm's return to OK ends, however long that takes:
/// CloudWatch says nothing in between. Where it lacks data, the alert goes on and says so. Labels are the alarm's name
/// and ARN, what it watches, and those that its description names (`mihari/severity=critical mihari/team=db`).
pub fn alarm_message(event: &[u8], tenant: &TenantId) -> Option<Result<Message, WireError>> {
    let read = alarm::decode(event)?;
    Some(read.and_then(|change| {
        let alerts = alert_of(&change)?.into_iter().collect();
        let message = AlertMessage { tenant: tenant.to_string(), alerts, origin: Origin::Elsewhere };
        let body = serde_json::to_vec(&message).expect("texts and numbers become JSON");
        Ok(Message { id: change.id, body: Bytes::from(body) })
    }))
}

/// Takes in such an event that came over HTTP; its alert is stored when this returns, and people are told in time.
///
/// # Errors
/// `Invalid` when it is anything else, or cannot be read; otherwise when it cannot be stored, and is to be sent again.
pub async fn take_alarm(app: &App, tenant: &TenantId, event: &[u8], now: Timestamp) -> Result<(), AppError> {
    app.require_config()?;
    let Some(read) = alarm_message(event, tenant) else {
        return Err(AppError::Invalid(
            "the body is no event \"CloudWatch Alarm State Change\" of EventBridge".to_owned(),
        ));
    };
    let message = read?;
    let config = app.config();
    Desk::of(app, &config, now).receive_one(&message).await?;
    // It is stored. From the topic it comes once more, which changes nothing here, and is handed on.
    let is_handed_on = config.tenants.get(tenant).is_some_and(|config| !config.forwarding.alertmanagers.is_empty());
    if is_handed_on && let Err(error) = app.ports.topic.publish(vec![message]).await {
        tracing::warn!(%tenant, %error, "an alarm is not handed on");
    }
    Ok(())
}

/// What there is to tell: nothing of an alarm that did not fire and now lacks data.
fn alert_of(change: &AlarmChange) -> Result<Option<Alert>, WireError> {
    let AlarmState { value, since, reason } = &change.state;
    let fired =
        change.before.as_ref().filter(|before| before.value == AlarmStateValue::Alarm).map(|before| before.since);
    let (starts_at, ends_at) = match (value, fired) {
        (AlarmStateValue::Alarm, _) => (*since, None),
        (AlarmStateValue::Ok, fired) => (fired.unwrap_or(*since), Some(*since)),
        (AlarmStateValue::InsufficientData, Some(fired)) => (fired, None),
        (AlarmStateValue::InsufficientData, None) => return Ok(None),
    };
    let (description, named) = described(&change.description);
    let mut annotations = BTreeMap::from([("summary".to_owned(), change.name.clone())]);
    annotations.insert("reason".to_owned(), reason.clone());
    annotations.insert("description".to_owned(), if description.is_empty() { reason.clone() } else { description });
    if *value == AlarmStateValue::InsufficientData {
        annotations.insert(STATE_ANNOTATION.to_owned(), "unknown".to_owned());
    }
    Ok(Some(Alert {
        labels: labels(change, &named)?,
        annotations,
        starts_at,
        ends_at,
        valid_until: None,
        sampled_at: None,
        generator_url: console(change),
        updated_at: *since,
    }))
}

/// The text of a description, and the labels that it names.
fn described(description: &str) -> (String, BTreeMap<&str, &str>) {
    let mut labels = BTreeMap::new();
    let mut text = Vec::new();
    for word in description.split_whitespace() {
        match word.strip_prefix(LABEL_PREFIX).and_then(|word| word.split_once('=')) {
            Some((name, value)) => drop(labels.insert(name, value)),
            None => text.push(word),
        }
    }
    (text.join(" "), labels)
}

fn labels(change: &AlarmChange, named: &BTreeMap<&str, &str>) -> Result<Labels, WireError> {
    let mut pairs = BTreeMap::from([("severity".to_owned(), SEVERITY), ("scope".to_owned(), "infra")]);
    pairs.extend(named.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    if let Some(metric) = &change.metric {
        pairs.extend(metric.dimensions.iter().map(|(name, value)| (dimension_label(name), value.as_str())));
        pairs.insert("namespace".to_owned(), &metric.namespace);
        pairs.insert("metric_name".to_owned(), &metric.name);
    }
    for (name, value) in [
        (ALERT_NAME, &change.name),
        ("alarm_arn", &change.arn),
        ("account_id", &change.account),
        ("region", &change.region),
    ] {
        pairs.insert(name.to_owned(), value);
    }
    pairs.insert("job".to_owned(), JOB);
    let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), *value)));
    labels.map_err(|error| WireError::Alarm { reason: error.to_string() })
}

/// The page of the alarm in the console of AWS.
fn console(change: &AlarmChange) -> String {
    let AlarmChange { region, name, .. } = change;
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#alarmsV2:alarm/{escaped}")
}
