//! Bad input: the right status, a message that names the cause, and nothing changed.

use model::{Batch, Labels, Sample, Timestamp};

use crate::server::{Home, now};

#[tokio::test]
async fn a_refused_push_says_why_and_changes_nothing() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let good = body(&[("__name__", "kept")], 0.0);
    let bomb = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 100]].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("truncated snappy", good[..good.len() - 3].to_vec(), "snappy"),
        ("a bomb", bomb, "decoded_bytes_max"),
        ("not protobuf", snappy(b"\xff\xff\xff"), "protobuf"),
        ("no name", body(&[("job", "x")], 0.0), "name"),
        ("too old", body(&[("__name__", "old")], -8.0 * 86_400.0), "sample_age_max"),
        ("too far ahead", body(&[("__name__", "ahead")], 3600.0), "sample_ahead_max"),
        ("value too long", body(&[("__name__", "long"), ("x", &"v".repeat(2000))], 0.0), "label_value_bytes_max"),
    ];
    for (what, body, expected) in cases {
        let (status, said) = server.write(body).await;
        assert_eq!(status, 400, "{what}: {said}");
        assert!(said.contains(expected), "{what}: {said:?} does not name {expected:?}");
    }
    let (status, _) = server.write(good).await;
    assert_eq!(status, 204);
    let names =
        server.json("/api/v1/label/__name__/values?match[]=%7B__name__%3D~%22.%2B%22,job!%3D%22mihari%22%7D").await;
    assert_eq!(names["data"], serde_json::json!(["kept"]));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_another_encoding_415() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let (status, said) = server.write(vec![0; (4 << 20) + 1]).await;
    assert_eq!(status, 413, "{said}");
    assert!(said.contains("body_bytes_max"), "{said}");
    let request = server.client.post(format!("{}/api/v1/write", server.url));
    let request = request.header("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request");
    let response = request.header("content-encoding", "snappy").body("x").send().await.unwrap();
    assert_eq!(response.status(), 415);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_answered_like_any_other() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let post = server.client.post(format!("{}/api/v1/query", server.url)).body(vec![0; 5 << 20]);
    let refused = post.send().await.unwrap();
    assert_eq!(refused.status(), 413);
    assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    assert!(refused.headers().contains_key("content-security-policy"));
    let said: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(said["status"], "error", "{said}");
}

#[tokio::test]
async fn a_bad_query_names_its_position() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let cases = [
        ("/api/v1/query?query=sum(", 400, "bad_data", "1:"),
        ("/api/v1/query", 400, "bad_data", "\"query\""),
        ("/api/v1/query?query=up&time=yesterday", 400, "bad_data", "\"time\""),
        ("/api/v1/query_range?query=up&start=0&end=100000&step=1", 400, "bad_data", "11,000"),
        ("/api/v1/query_range?query=up&start=10&end=0&step=1", 400, "bad_data", "before start"),
        ("/api/v1/query_range?query=up&start=0&end=10&step=0", 400, "bad_data", "step"),
        ("/api/v1/series", 400, "bad_data", "match[]"),
        ("/api/v1/query_exemplars?query=up&start=10&end=0", 400, "bad_data", "before start"),
        ("/api/v1/nothing", 404, "not_found", "/api/v1/nothing"),
    ];
    for (path, status, error_type, expected) in cases {
        let response = server.get(path).await;
        assert_eq!(response.status(), status, "{path}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!((body["status"].as_str(), body["errorType"].as_str()), (Some("error"), Some(error_type)), "{path}");
        assert!(body["error"].as_str().unwrap().contains(expected), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_folder_or_port_in_use_and_a_broken_configuration_are_named() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let said = home.serve_refused(&[]);
    assert!(said.contains("data folder") && said.contains("in use"), "{said}");
    let other = Home::new();
    let taken = server.url.trim_start_matches("http://").to_owned();
    let said = other.serve_refused(&["--listen", &taken]);
    assert!(said.contains(&taken) && said.contains("--listen"), "{said}");
    let said = other.serve_refused(&["--max-sample-age", "8d"]);
    assert!(said.contains("--raw-retention"), "{said}");
    other.configure("rules/bad.yml", "groups:\n- name: a\n  rules:\n  - alert: B\n    expr: sum(\n");
    let said = other.serve_refused(&[]);
    assert!(said.contains("rules/bad.yml:5"), "{said}");
}

#[tokio::test]
async fn samples_of_1970_are_taken_when_a_century_is_allowed() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics", "--max-sample-age", "100y", "--raw-retention", "100y"]);
    let labels = Labels::from_pairs([("__name__", "epoch")]).unwrap();
    let mut batch = Batch::new();
    let sample = |seconds: i32| Sample { timestamp: Timestamp::from_secs(seconds.into()), value: f64::from(seconds) };
    batch.push(labels.as_ref(), [sample(0), sample(60), sample(120)]);
    let (status, said) = server.write(wire::remote_write::encode(&batch)).await;
    assert_eq!(status, 204, "{said}");
    assert_eq!(server.query("epoch", Some(60.0)).await[0].1, "60");
    assert_eq!(server.query("sum_over_time(epoch[2m])", Some(119.0)).await[0].1, "60");
}

/// A remote write body with one sample, so many seconds from now.
fn body(pairs: &[(&str, &str)], seconds_from_now: f64) -> Vec<u8> {
    let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
    let mut batch = Batch::new();
    #[expect(clippy::cast_possible_truncation, reason = "a date of our time in milliseconds")]
    let timestamp = Timestamp::from_millis(((now() + seconds_from_now) * 1000.0) as i64);
    batch.push(labels.as_ref(), [Sample { timestamp, value: 1.0 }]);
    wire::remote_write::encode(&batch)
}

/// A snappy block of one literal, at most 60 bytes.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    [&[length, (length - 1) << 2][..], bytes].concat()
}
