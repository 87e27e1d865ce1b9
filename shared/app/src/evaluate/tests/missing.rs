//! Recovery and missing data, from the samples to the history and the messages.

use super::*;

/// Ticks with a value each minute, or without one, and what the history says of the alerts.
async fn course(alert: &str, values: &[Option<f64>]) -> Vec<String> {
    let world = World::new();
    let rules = format!("groups: [{{ name: g, rules: [{{ alert: high, {alert} }}] }}]");
    let app = world.app(&rules, &FaultPlan::none());
    for (at, value) in (0..).zip(values) {
        if let Some(value) = value {
            world.push(minute(at), *value).await;
        }
        let summary = ticked(&app, minute(at)).await;
        assert_eq!(summary.rules_failed, 0, "{summary:?}");
    }
    let history = alerts::history(&app, &tenant(), TimeRange::new(minute(0), minute(60)), minute(60)).await.unwrap();
    let shown = history.iter().map(|change| {
        let at = (change.at.as_millis() - minute(0).as_millis()) / 60_000;
        format!("{at} {}>{}: {}", change.from.as_str(), change.to.as_str(), change.reason.as_str())
    });
    shown.collect()
}

/// Samples are seen for five minutes unless a window says less.
const LAST: &str = "last_over_time(load[1m])";

#[tokio::test]
async fn the_history_says_whether_an_alert_recovered_or_its_data_vanished() {
    let plain = format!("expr: '{LAST} > 5'");
    let values = [Some(9.0), Some(1.0), None];
    assert_eq!(course(&plain, &values).await, ["0 inactive>firing: condition holds", "1 firing>resolved: recovered"]);
    let values = [Some(9.0), None, None];
    assert_eq!(
        course(&plain, &values).await,
        ["0 inactive>firing: condition holds", "1 firing>resolved: data vanished"]
    );
}

#[tokio::test]
async fn hysteresis_and_missing_data_follow_the_annotations() {
    let recover = format!("expr: '{LAST} > 8', annotations: {{ mihari/recover_expr: '{LAST} < 3' }}");
    let values = [9.0, 5.0, 7.0, 2.0, 5.0].map(Some);
    let expected = ["0 inactive>firing: condition holds", "3 firing>resolved: recovered"];
    assert_eq!(course(&recover, &values).await, expected);
    let unknown = format!("expr: '{LAST} > 8', annotations: {{ mihari/missing: unknown }}");
    let expected = [
        "0 inactive>firing: condition holds",
        "1 firing>firing: data are missing",
        "3 firing>firing: data came back",
        "4 firing>resolved: recovered",
    ];
    assert_eq!(course(&unknown, &[Some(9.0), None, None, Some(9.0), Some(1.0)]).await, expected);
    let alert = format!("expr: '{LAST} > 8', annotations: {{ mihari/missing: alert }}");
    let expected = ["1 inactive>firing: data are missing", "2 firing>resolved: recovered"];
    assert_eq!(course(&alert, &[Some(1.0), None, Some(1.0)]).await, expected);
}
