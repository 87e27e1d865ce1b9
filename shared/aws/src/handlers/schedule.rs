//! Events by which a schedule, or a person, starts a flow.
//!
//! A person sends `{"flow": "evaluate"}`; EventBridge sends its own event, which names no flow:
//! `{"detail-type": "Scheduled Event", ...}`. Nothing else of an event is looked at: what is due is decided by what is
//! stored.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::FunctionError;

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    flow: Option<String>,
    #[serde(default, rename = "detail-type")]
    detail_type: Option<String>,
}

/// Checks that an event starts this flow.
pub(super) fn check(event: &RawValue, flow: &str) -> Result<(), FunctionError> {
    let wrong = |what: &str| FunctionError::Event(format!("the event does not start the flow {flow:?}: {what}"));
    let Event { flow: named, detail_type } =
        serde_json::from_str(event.get()).map_err(|error| wrong(&error.to_string()))?;
    match (named.as_deref(), detail_type.as_deref()) {
        (Some(named), _) if named == flow => Ok(()),
        (Some(named), _) => Err(wrong(&format!("it starts {named:?}"))),
        (None, Some("Scheduled Event")) => Ok(()),
        (None, Some(other)) => Err(wrong(&format!("it is a {other:?}"))),
        (None, None) => Err(wrong("it is no schedule's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_started_by_its_name_or_by_a_schedule() {
        let cases = [
            (r#"{"flow": "rollup"}"#, None),
            (r#"{"detail-type": "Scheduled Event", "source": "aws.scheduler"}"#, None),
            (r#"{"flow": "report"}"#, Some("it starts \"report\"")),
            (r#"{"detail-type": "EC2 Instance State-change Notification"}"#, Some("Instance State-change")),
            (r#"{"Records": []}"#, Some("it is no schedule's")),
            (r#"{"flow": 1}"#, Some("invalid type")),
            ("[]", Some("it is no schedule's")),
            ("3", Some("invalid type")),
        ];
        for (event, expected) in cases {
            let event = RawValue::from_string(event.to_owned()).unwrap();
            let error = check(&event, "rollup").err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None, "{event}"),
                Some(text) => assert!(error.as_ref().is_some_and(|error| error.contains(text)), "{event}: {error:?}"),
            }
        }
    }
}
