//! Alerts handed on to Alertmanagers outside.

use serde_json::Value;

use super::*;
use crate::ports::{Address, Content};

const FORWARD: &str = "
alerting:
  alertmanagers:
  - scheme: https
    path_prefix: /am
    basic_auth: { username: mihari, password: geheim }
    static_configs: [{ targets: ['am.example:9093'] }]
  - authorization: { credentials: token }
    static_configs: [{ targets: ['other.example'] }]
";

fn bench(plan: &Arc<FaultPlan>) -> Bench {
    let mut bench = Bench::new(plan);
    bench.config = Config::parse(&[("alertmanager.yml", ROUTES), ("forward.yml", FORWARD)]).unwrap();
    bench
}

impl Bench {
    async fn hand_on(&self, messages: &[Message], now: i64) -> Received {
        let received = self.receive(messages, now).await;
        self.desk(now).forward(&received.known).await;
        received
    }

    /// What was posted since the last call: the URL, the authorization, the alerts.
    fn posted(&self) -> Vec<(String, String, Vec<Value>)> {
        let posted = self.messenger.drain().into_iter().map(|delivery| {
            let (Address::Webhook { url: Secret::Inline(url), headers, .. }, Content::Json(body)) =
                (delivery.address, delivery.content)
            else {
                panic!("alerts are posted as JSON");
            };
            let authorization = headers.into_iter().find(|(name, _)| name == "Authorization").unwrap().1;
            (url, authorization, serde_json::from_str(&body).unwrap())
        });
        posted.collect()
    }
}

#[tokio::test]
async fn every_alertmanager_gets_every_alert_as_a_prometheus_sends_it() {
    let bench = bench(&FaultPlan::none());
    let firing = message(1000, &[("a", 1000, None)]);
    let mut body: AlertMessage = serde_json::from_slice(&firing.body).unwrap();
    body.alerts[0].valid_until = Some(Timestamp::from_secs(1240));
    body.alerts[0].generator_url = "http://mihari.example/graph?g0.expr=x".to_owned();
    let vouched = Message { body: serde_json::to_vec(&body).unwrap().into(), ..firing };
    assert_eq!(bench.hand_on(&[vouched], 1001).await.alerts, 1);
    let expected = serde_json::json!([{
        "labels": {"alertname": "cpu", "host": "a", "severity": "critical"},
        "annotations": {"description": "high"},
        "startsAt": "1970-01-01T00:16:40.000Z",
        "endsAt": "1970-01-01T00:20:40.000Z",
        "generatorURL": "http://mihari.example/graph?g0.expr=x",
    }]);
    let mut posted = bench.posted();
    posted.sort_by(|one, two| one.0.cmp(&two.0));
    let to: Vec<(&str, &str)> = posted.iter().map(|(url, how, _)| (url.as_str(), how.as_str())).collect();
    let basic = "Basic bWloYXJpOmdlaGVpbQ==";
    let bearer = "Bearer token";
    assert_eq!(
        to,
        [("http://other.example/api/v2/alerts", bearer), ("https://am.example:9093/am/api/v2/alerts", basic)]
    );
    assert!(posted.iter().all(|(_, _, alerts)| Value::Array(alerts.clone()) == expected), "{posted:?}");

    bench.hand_on(&[message(1100, &[("a", 1000, Some(1100))])], 1101).await;
    let ends = |bench: &Bench| bench.posted().iter().map(|(_, _, all)| all[0]["endsAt"].clone()).collect::<Vec<_>>();
    assert_eq!(ends(&bench), ["1970-01-01T00:18:20.000Z"; 2]);
    // A message from before that comes late opens nothing again.
    bench.hand_on(&[message(1050, &[("a", 1000, None)])], 1150).await;
    assert_eq!(ends(&bench), ["1970-01-01T00:18:20.000Z"; 2]);
    // Of an alarm, nobody says again that it fires.
    bench.hand_on(&[message(2000, &[("b", 2000, None)])], 2000).await;
    assert_eq!(ends(&bench), ["1971-01-01T00:33:20.000Z"; 2]);
}

#[tokio::test]
async fn many_alerts_go_out_in_requests_that_an_alertmanager_takes() {
    let bench = bench(&FaultPlan::none());
    let hosts: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let alerts: Vec<_> = hosts.iter().map(|host| (host.as_str(), 1000, None)).collect();
    bench.hand_on(&[message(1000, &alerts[..200]), message(1001, &alerts[200..])], 1001).await;
    let mut counts: Vec<usize> = bench.posted().iter().map(|(_, _, alerts)| alerts.len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [44, 44, 256, 256]);
}

#[tokio::test]
async fn what_fails_is_tried_again_counted_and_costs_nothing_else() {
    let down = |calls: &[u64]| {
        let faults =
            calls.iter().copied().map(|call| ("messenger deliver", call, Fault::ErrorBefore(ErrorKind::Unavailable)));
        bench(&FaultPlan::script(faults))
    };
    let counted = |bench: &Bench, outcome: &str| {
        let families = bench.metrics.families();
        let text =
            families.iter().map(|family| format!("{family:?}")).find(|text| text.contains("notifications_total"));
        text.is_some_and(|text| text.contains("alertmanager") && text.contains(outcome))
    };
    let bench = down(&[0, 2]);
    assert_eq!(bench.hand_on(&[message(1000, &[("a", 1000, None)])], 1001).await.alerts, 1);
    assert_eq!(bench.posted().len(), 2, "another try brought it");
    assert!(counted(&bench, "delivered") && !counted(&bench, "failed"));
    let bench = down(&[0, 1, 2, 3]);
    let received = bench.hand_on(&[message(1000, &[("a", 1000, None)])], 1001).await;
    assert_eq!((received.alerts, received.failed.len(), bench.posted().len()), (1, 0, 0));
    assert!(counted(&bench, "failed") && !counted(&bench, "delivered"));
    assert_eq!(bench.run(1012).await.delivered, 3, "people are told here all the same");
    bench.is_heard_again().await;
}

impl Bench {
    /// What the rules say again arrives.
    async fn is_heard_again(&self) {
        self.messenger.drain();
        self.hand_on(&[message(1060, &[("a", 1000, None)])], 1061).await;
        assert_eq!(self.posted().len(), 2, "the next message of the rules is handed on");
    }
}
