//! "CloudWatch Alarm State Change" events, as EventBridge hands them on.
//!
//! [`decode`] reads one event into an [`AlarmChange`]. What an alarm watches comes as the dimensions of its first metric;
//! an alarm of several metrics or of other alarms has those of none that is alone.

use std::collections::BTreeMap;

use jiff::fmt::strtime;
use model::Timestamp;
use serde::Deserialize;

use crate::error::WireError;

/// What EventBridge calls such an event.
const DETAIL_TYPE: &str = "CloudWatch Alarm State Change";

/// A change of an alarm's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmChange {
    /// The event's own name; the same event may come twice.
    pub id: String,
    /// The alarm, among all of the world.
    pub arn: String,
    /// The alarm's name.
    pub name: String,
    /// The number of the account.
    pub account: String,
    /// Such as `ap-northeast-1`.
    pub region: String,
    /// What a person wrote about the alarm; may be empty.
    pub description: String,
    /// What the alarm watches, where that is one metric: its namespace, its name and its dimensions.
    pub metric: Option<AlarmMetric>,
    /// The state from now on.
    pub state: AlarmState,
    /// The state before; `None` for a new alarm.
    pub before: Option<AlarmState>,
}

/// The metric that an alarm watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmMetric {
    /// Such as `AWS/EC2`.
    pub namespace: String,
    /// Such as `CPUUtilization`.
    pub name: String,
    /// Of which thing.
    pub dimensions: BTreeMap<String, String>,
}

/// A state and since when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmState {
    /// The state.
    pub value: AlarmStateValue,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the words of CloudWatch.
    pub reason: String,
}

/// The states that an alarm has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum AlarmStateValue {
    /// All is well.
    #[serde(rename = "OK")]
    Ok,
    /// It is not.
    #[serde(rename = "ALARM")]
    Alarm,
    /// Nobody knows.
    #[serde(rename = "INSUFFICIENT_DATA")]
    InsufficientData,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    account: String,
    region: String,
    #[serde(default)]
    resources: Vec<String>,
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    alarm_name: String,
    #[serde(default)]
    configuration: Configuration,
    #[serde(default)]
    previous_state: Option<State>,
    state: State,
}

#[derive(Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    description: String,
    #[serde(default)]
    metrics: Vec<Query>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    #[serde(default)]
    metric_stat: Option<MetricStat>,
}

#[derive(Deserialize)]
struct MetricStat {
    metric: Metric,
}

#[derive(Deserialize)]
struct Metric {
    namespace: String,
    name: String,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct State {
    value: AlarmStateValue,
    timestamp: String,
    #[serde(default)]
    reason: String,
}

/// Whether bytes are such an event, right or wrong: `None` is anything else.
pub fn decode(event: &[u8]) -> Option<Result<AlarmChange, WireError>> {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(rename = "detail-type")]
        detail_type: String,
    }
    let probe: Probe = serde_json::from_slice(event).ok()?;
    (probe.detail_type == DETAIL_TYPE).then(|| read(event))
}

fn read(event: &[u8]) -> Result<AlarmChange, WireError> {
    let wrong = |reason: String| WireError::Alarm { reason };
    let Event { id, account, region, resources, detail } =
        serde_json::from_slice(event).map_err(|error| wrong(error.to_string()))?;
    let arn = resources.into_iter().next().ok_or_else(|| wrong("it names no resource".to_owned()))?;
    if detail.alarm_name.is_empty() {
        return Err(wrong("the alarm has no name".to_owned()));
    }
    let mut metrics = detail.configuration.metrics.into_iter().filter_map(|query| query.metric_stat);
    let metric = match (metrics.next(), metrics.next()) {
        (Some(MetricStat { metric: Metric { namespace, name, dimensions } }), None) => {
            Some(AlarmMetric { namespace, name, dimensions })
        }
        _ => None,
    };
    Ok(AlarmChange {
        id,
        arn,
        name: detail.alarm_name,
        account,
        region,
        description: detail.configuration.description,
        metric,
        state: detail.state.read()?,
        before: detail.previous_state.map(State::read).transpose()?,
    })
}

impl State {
    fn read(self) -> Result<AlarmState, WireError> {
        let wrong = || WireError::Alarm { reason: format!("{:?} is no time of a state", self.timestamp) };
        let parsed = strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", &self.timestamp).map_err(|_| wrong())?;
        let since = parsed.to_timestamp().map_err(|_| wrong())?;
        let since = Timestamp::from_millis(since.as_millisecond());
        Ok(AlarmState { value: self.value, since, reason: self.reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../../../events/notify/alarm.json");

    fn event(change: impl Fn(&mut serde_json::Value)) -> Option<Result<AlarmChange, WireError>> {
        let mut event = serde_json::from_str(EVENT).unwrap();
        change(&mut event);
        decode(event.to_string().as_bytes())
    }

    #[test]
    fn an_event_says_which_alarm_changed_and_how() {
        let change = event(|_| {}).unwrap().unwrap();
        assert_eq!(change.arn, "arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:orders-db-cpu");
        assert_eq!((change.name.as_str(), change.account.as_str()), ("orders-db-cpu", "123456789012"));
        assert_eq!(change.state.value, AlarmStateValue::Alarm);
        assert_eq!(change.state.since, Timestamp::from_millis(1_795_347_180_989));
        assert!(change.state.reason.starts_with("Threshold Crossed"), "{}", change.state.reason);
        let before = change.before.unwrap();
        assert_eq!((before.value, before.since), (AlarmStateValue::Ok, Timestamp::from_millis(1_795_346_820_000)));
        let metric = change.metric.unwrap();
        assert_eq!((metric.namespace.as_str(), metric.name.as_str()), ("AWS/RDS", "CPUUtilization"));
        assert_eq!(metric.dimensions["DBInstanceIdentifier"], "orders");
    }

    #[test]
    fn an_alarm_of_several_metrics_or_of_alarms_has_no_metric_of_its_own() {
        let composite = event(|event| event["detail"]["configuration"] = serde_json::json!({"alarmRule": "ALARM(a)"}));
        assert_eq!(composite.unwrap().unwrap().metric, None);
        let twice = event(|event| {
            let metrics = event["detail"]["configuration"]["metrics"].as_array_mut().unwrap();
            metrics.push(metrics[0].clone());
        });
        assert_eq!(twice.unwrap().unwrap().metric, None);
        let new = event(|event| drop(event["detail"].as_object_mut().unwrap().remove("previousState")));
        assert_eq!(new.unwrap().unwrap().before, None);
    }

    #[test]
    fn other_events_are_none_and_broken_ones_are_refused() {
        assert_eq!(decode(b"no JSON"), None);
        assert_eq!(decode(b"{\"tenant\": \"default\", \"alerts\": []}"), None);
        assert_eq!(event(|event| event["detail-type"] = "Scheduled Event".into()), None);
        let refused = |change: &dyn Fn(&mut serde_json::Value)| event(change).unwrap().unwrap_err().to_string();
        let state =
            |value: &'static str| move |event: &mut serde_json::Value| event["detail"]["state"]["value"] = value.into();
        assert!(refused(&state("BROKEN")).contains("unknown variant `BROKEN`"));
        let expected = "not a change of a CloudWatch alarm: \"yesterday\" is no time of a state";
        assert_eq!(refused(&|event| event["detail"]["state"]["timestamp"] = "yesterday".into()), expected);
        let expected = "not a change of a CloudWatch alarm: it names no resource";
        assert_eq!(refused(&|event| event["resources"] = serde_json::json!([])), expected);
        assert!(refused(&|event| event["detail"] = 3.into()).contains("invalid type"));
    }
}
