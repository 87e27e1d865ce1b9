//! Alertmanager's webhook body, version 4.

use std::collections::BTreeMap;

use model::{Labels, Timestamp};
use serde::Serialize;

use super::{Item, Message};

/// What Go prints for no time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<Alert<'a>>,
    #[serde(rename = "notification_reason")]
    notification_reason: &'a str,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: &'a str,
}

/// The body for a generic webhook, with at most `max_alerts` alerts (0 for all); those cut off are counted.
pub fn webhook(message: &Message, max_alerts: usize) -> String {
    let shown = match max_alerts {
        0 => message.alerts.len(),
        limit => limit.min(message.alerts.len()),
    };
    let alerts = &message.alerts[..shown];
    let body = Body {
        receiver: &message.receiver,
        status: status(alerts.iter().all(|alert| alert.ended_at.is_some())),
        alerts: alerts.iter().map(alert).collect(),
        notification_reason: &message.reason,
        group_labels: message.group_labels.iter().collect(),
        common_labels: common(alerts.iter().map(|alert| map(&alert.labels))),
        common_annotations: common(
            alerts
                .iter()
                .map(|alert| alert.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()),
        ),
        external_url: &message.external_url,
        version: "4",
        group_key: &message.group_key,
        truncated_alerts: message.alerts.len() - shown,
    };
    serde_json::to_string(&body).expect("texts and numbers become JSON")
}

fn alert(item: &Item) -> Alert<'_> {
    Alert {
        status: status(item.ended_at.is_some()),
        labels: map(&item.labels),
        annotations: &item.annotations,
        starts_at: rfc3339(item.starts_at),
        ends_at: item.ended_at.map_or_else(|| NO_TIME.to_owned(), rfc3339),
        generator_url: &item.generator_url,
        fingerprint: &item.fingerprint,
    }
}

const fn status(resolved: bool) -> &'static str {
    if resolved { "resolved" } else { "firing" }
}

fn map(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}

/// The pairs that all maps have.
fn common<'a>(maps: impl Iterator<Item = BTreeMap<&'a str, &'a str>>) -> BTreeMap<&'a str, &'a str> {
    let shared = |mut all: BTreeMap<&'a str, &'a str>, one: BTreeMap<&'a str, &'a str>| {
        all.retain(|name, value| one.get(name) == Some(value));
        all
    };
    maps.reduce(shared).unwrap_or_default()
}

/// A time as Go prints it: UTC, the fraction without zeros at its end.
fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis()).map_or_else(|_| NO_TIME.to_owned(), |time| time.to_string())
}
