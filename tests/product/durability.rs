//! What was answered with a 2xx is there after a crash.

use model::{Batch, Labels, Sample, Timestamp};

use crate::server::{Home, Server, now};

/// Of 2,000 real samples as a Prometheus sent them, the first body.
const RECORDED: &[u8] = include_bytes!("../fixtures/remote_write/prometheus-2.42.body");

#[tokio::test]
async fn a_recorded_prometheus_body_survives_kill_9() {
    let home = Home::new();
    let flags = ["--no-host-metrics", "--max-sample-age", "100y", "--raw-retention", "100y"];
    let server = home.serve(&flags);
    let (status, said) = server.write(RECORDED.to_vec()).await;
    assert_eq!(status, 204, "{said}");
    let before = all(&server).await;
    assert!(before.len() > 10, "the recording has {} series", before.len());
    server.kill();
    let server = home.serve(&flags);
    assert_eq!(all(&server).await, before);
    let (status, said) = server.write(RECORDED.to_vec()).await;
    assert_eq!(status, 204, "the same body again: {said}");
    assert_eq!(all(&server).await, before, "a repeat changes nothing");
}

#[tokio::test]
async fn killed_between_many_writes_nothing_acknowledged_is_lost() {
    let home = Home::new();
    for round in 0..3_u32 {
        let server = home.serve(&["--no-host-metrics"]);
        for index in 0..20_u32 {
            let (status, said) = server.write(one_sample(f64::from(round * 20 + index))).await;
            assert_eq!(status, 204, "{said}");
        }
        server.kill();
    }
    let server = home.serve(&["--no-host-metrics"]);
    let count = server.query("count(written)", None).await;
    assert_eq!(count[0].1, "60");
    let sum = server.query("sum(written)", None).await;
    assert_eq!(sum[0].1, "1770");
}

fn one_sample(value: f64) -> Vec<u8> {
    let index = value.to_string();
    let labels = Labels::from_pairs([("__name__", "written"), ("index", index.as_str())]).unwrap();
    let mut batch = Batch::new();
    #[expect(clippy::cast_possible_truncation, reason = "a date of our time in milliseconds")]
    let timestamp = Timestamp::from_millis((now() * 1000.0) as i64);
    batch.push(labels.as_ref(), [Sample { timestamp, value }]);
    wire::remote_write::encode(&batch)
}

/// Every series there is, with all its samples.
async fn all(server: &Server) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let series = server.json("/api/v1/series?match[]=%7B__name__%3D~%22.%2B%22%7D").await;
    for labels in series["data"].as_array().unwrap() {
        if labels["job"] == "mihari" {
            continue;
        }
        let pairs = labels.as_object().unwrap();
        let matchers: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let selector = format!("{{{}}}[100y]", matchers.join(","));
        let form = [("query", selector)];
        let request = server.client.post(format!("{}/api/v1/query", server.url)).form(&form);
        let body: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(body["status"], "success", "{body}");
        found.push(body["data"]["result"].clone());
    }
    found
}
