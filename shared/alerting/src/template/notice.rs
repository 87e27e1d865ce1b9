//! What the templates of receivers see: Alertmanager's data of a notification.

use std::collections::BTreeMap;
use std::rc::Rc;

use model::Timestamp;

use super::value::{Items, Value};

/// A notification as templates see it.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The name of the receiver.
    pub receiver: String,
    /// The alerts, in Alertmanager's order.
    pub alerts: Vec<DataAlert>,
    /// The labels that make the group.
    pub group_labels: BTreeMap<String, String>,
    /// Where people reach this server, without a slash at the end.
    pub external_url: String,
    /// Why it is sent: `first notification`.
    pub reason: String,
    /// The labels of the route, whose values are templates.
    pub route_labels: BTreeMap<String, String>,
    /// The time from which `since` counts.
    pub now: Timestamp,
}

/// One alert of a [`Data`].
#[derive(Clone, Debug, Default)]
pub struct DataAlert {
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// Text for people.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires, or fired.
    pub starts_at: Timestamp,
    /// When it ended; `None` while it fires.
    pub ended_at: Option<Timestamp>,
    /// Where a person can look at the expression.
    pub generator_url: String,
    /// Its identity, in hexadecimal.
    pub fingerprint: String,
}

/// The first second of the year 1: no time at all, for Go.
const NO_TIME: f64 = -62_135_596_800.0;

/// The fields of the data in the order in which Go prints them, and their names in JSON.
const DATA: [(&str, &str); 8] = [
    ("Receiver", "receiver"),
    ("Status", "status"),
    ("Alerts", "alerts"),
    ("NotificationReason", "notification_reason"),
    ("GroupLabels", "groupLabels"),
    ("CommonLabels", "commonLabels"),
    ("CommonAnnotations", "commonAnnotations"),
    ("ExternalURL", "externalURL"),
];
const ALERT: [(&str, &str); 7] = [
    ("Status", "status"),
    ("Labels", "labels"),
    ("Annotations", "annotations"),
    ("StartsAt", "startsAt"),
    ("EndsAt", "endsAt"),
    ("GeneratorURL", "generatorURL"),
    ("Fingerprint", "fingerprint"),
];

fn names_of(record: &str) -> &'static [(&'static str, &'static str)] {
    match record {
        "template.Data" => &DATA,
        "template.Alert" => &ALERT,
        _ => &[],
    }
}

/// The fields of a record in the order of their declaration.
pub(super) fn in_order<'a>(
    record: &str,
    fields: &'a BTreeMap<&'static str, Value>,
) -> impl Iterator<Item = (&'static str, &'a Value)> {
    let names = names_of(record);
    let place = |name: &str| names.iter().position(|(known, _)| *known == name);
    let mut all: Vec<(&'static str, &'a Value)> = fields.iter().map(|(name, value)| (*name, value)).collect();
    all.sort_by_key(|(name, _)| place(name).unwrap_or(names.len()));
    all.into_iter()
}

/// As [`in_order`], under their names in JSON; what has none there is left out.
pub(super) fn in_json<'a>(
    record: &str,
    fields: &'a BTreeMap<&'static str, Value>,
) -> impl Iterator<Item = (&'static str, &'a Value)> {
    let names = names_of(record);
    in_order(record, fields).filter_map(move |(name, value)| {
        if names.is_empty() {
            return Some((name, value));
        }
        names.iter().find(|(known, _)| *known == name).map(|(_, json)| (*json, value))
    })
}

/// The data as a template computes with it.
pub(super) fn value(data: &Data) -> Value {
    let labels = |map: &BTreeMap<String, String>| Value::Pairs(Rc::new(map.clone()));
    let is_firing = data.alerts.iter().any(|alert| alert.ended_at.is_none());
    let alerts: Vec<Value> = data.alerts.iter().map(alert).collect();
    let fields = [
        ("Receiver", Value::text(&data.receiver)),
        ("Status", Value::text(status(is_firing))),
        ("Alerts", Value::List(Items::Alerts, Rc::new(alerts))),
        ("GroupLabels", labels(&data.group_labels)),
        ("CommonLabels", labels(&common(data.alerts.iter().map(|alert| &alert.labels)))),
        ("CommonAnnotations", labels(&common(data.alerts.iter().map(|alert| &alert.annotations)))),
        ("ExternalURL", Value::text(&data.external_url)),
        ("NotificationReason", Value::text(&data.reason)),
        ("RouteLabels", labels(&data.route_labels)),
    ];
    Value::Record("template.Data", Rc::new(BTreeMap::from(fields)))
}

fn alert(alert: &DataAlert) -> Value {
    let fields = [
        ("Status", Value::text(status(alert.ended_at.is_none()))),
        ("Labels", Value::Pairs(Rc::new(alert.labels.clone()))),
        ("Annotations", Value::Pairs(Rc::new(alert.annotations.clone()))),
        ("StartsAt", Value::time(alert.starts_at.as_secs_f64())),
        ("EndsAt", Value::time(alert.ended_at.map_or(NO_TIME, |ended| ended.as_secs_f64()))),
        ("GeneratorURL", Value::text(&alert.generator_url)),
        ("Fingerprint", Value::text(&alert.fingerprint)),
    ];
    Value::Record("template.Alert", Rc::new(BTreeMap::from(fields)))
}

const fn status(is_firing: bool) -> &'static str {
    if is_firing { "firing" } else { "resolved" }
}

/// The pairs that all maps have.
fn common<'a>(mut maps: impl Iterator<Item = &'a BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let Some(mut all) = maps.next().cloned() else { return BTreeMap::new() };
    for map in maps {
        all.retain(|name, value| map.get(name) == Some(value));
    }
    all
}
