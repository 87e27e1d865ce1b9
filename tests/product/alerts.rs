//! A breach reaches people once, and a crash neither loses nor repeats it.

use std::time::Duration;

use model::{Batch, Labels, Sample, Timestamp};

use crate::server::{Home, Server, eventually, now};

const RULES: &str = "
groups:
- name: test
  interval: 1s
  rules:
  - record: temperature:max
    expr: max(temperature)
  - alert: TooHot
    expr: temperature > 90
    labels: {severity: critical, team: ops}
    annotations:
      summary: 'too hot: {{ $value }}'
      description: '温度が高すぎます'
      impact: '部品が壊れます'
      action: '冷やしてください'
";

const ROUTES: &str = "
route:
  receiver: mail
  group_wait: 0s
  group_interval: 10s
  repeat_interval: 4h
receivers:
- name: mail
  email_configs:
  - to: ops@example.com
    from: mihari@example.com
    send_resolved: true
";

#[tokio::test]
async fn a_breach_is_announced_once_even_if_the_process_is_killed() {
    let home = Home::new();
    home.configure("rules/test.yml", RULES);
    home.configure("alertmanager.yml", ROUTES);
    let server = home.serve(&["--no-host-metrics"]);
    write(&server, 95.0).await;
    server.kill();
    // A tick runs at every start, so nobody has to wait for the next minute; only for the group's next slot.
    tokio::time::sleep(Duration::from_millis(1100)).await;

    let server = home.serve(&["--no-host-metrics"]);
    let alert = eventually("the alert", || async {
        let alerts = server.json("/api/v1/alerts").await["data"]["alerts"].as_array().unwrap().clone();
        alerts.into_iter().find(|alert| alert["labels"]["alertname"] == "TooHot" && alert["state"] == "firing")
    })
    .await;
    assert_eq!(alert["annotations"]["summary"], "too hot: 95");
    let mails = eventually("the mail", || async {
        let mails = home.outbox();
        (!mails.is_empty()).then_some(mails)
    })
    .await;
    assert_eq!(mails.len(), 1);
    let subject = mails[0].1.lines().find(|line| line.starts_with("Subject:")).unwrap().to_owned();
    assert!(subject.contains("[CRITICAL] TooHot"), "{subject}");
    assert!(mails[0].1.contains("Content-Type: image/png"), "the mail shows the series: {}", mails[0].1);
    let recorded = server.query("temperature:max", None).await;
    assert_eq!(recorded[0].1, "95");
    server.kill();

    let server = home.serve(&["--no-host-metrics"]);
    let again = eventually("the alert after a restart", || async {
        let alerts = server.json("/api/v1/alerts").await["data"]["alerts"].as_array().unwrap().clone();
        alerts.into_iter().find(|alert| alert["labels"]["alertname"] == "TooHot")
    })
    .await;
    assert_eq!(again["activeAt"], alert["activeAt"], "the state survived");
    assert_eq!(home.outbox(), mails, "nothing is announced twice");
    let page = server.get("/alerts").await.text().await.unwrap();
    assert!(page.contains("TooHot") && page.contains("温度が高すぎます"), "the page does not show the alert");
    let reasons = page.split("id=\"deliveries\"").nth(1).unwrap();
    assert!(reasons.contains("email/0") && reasons.contains("発報を通知しました：最初の通知"), "{reasons}");
    let link = server.get("/graph?g0.expr=temperature+%3E+90&g0.tab=1").await;
    assert_eq!(
        (link.status().as_u16(), link.headers()["location"].to_str().unwrap()),
        (303, "/explore?query=temperature+%3E+90")
    );
    let rules = server.json("/api/v1/rules").await;
    assert_eq!(rules["data"]["groups"][0]["name"], "test");
}

/// Three minutes of samples up to now, one a second: rules look back by their query offset.
async fn write(server: &Server, value: f64) {
    let labels = Labels::from_pairs([("__name__", "temperature"), ("room", "a")]).unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "a date of our time in seconds")]
    let end = now() as i64;
    let mut batch = Batch::new();
    batch.push(
        labels.as_ref(),
        (end - 180..=end).map(|seconds| Sample { timestamp: Timestamp::from_secs(seconds), value }),
    );
    let (status, said) = server.write(wire::remote_write::encode(&batch)).await;
    assert_eq!(status, 204, "{said}");
}
