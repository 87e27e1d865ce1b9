//! Native histograms from the wire to the answer: both versions of remote write, written here byte by byte.

use reqwest::Response;
use serde_json::{Value, json};

use crate::server::{Home, Server, eventually, now};

const RULES: &str = "
groups:
- name: test
  interval: 1s
  rules:
  - record: latency_seconds:rate5m
    expr: sum(rate(latency_seconds[5m]))
  - record: latency_seconds:count_rate5m
    expr: histogram_count(latency_seconds:rate5m)
  - alert: Busy
    expr: histogram_count(latency_seconds:rate5m) > 5
";

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

#[tokio::test]
async fn both_versions_are_stored_and_answered_exactly_before_and_after_a_restart() {
    let home = Home::new();
    home.configure("rules/test.yml", RULES);
    let server = home.serve(&["--no-host-metrics"]);
    // Twenty minutes of scrapes, the last five of them ahead of our clock.
    #[expect(clippy::cast_possible_truncation, reason = "a date of our time in seconds")]
    let end = (now() as i64 + 300).div_euclid(15) * 15;
    let times: Vec<i64> = (0..80).map(|step| end - (79 - step) * 15).collect();

    let first = request_v1(&times);
    let response = send(&server, "application/x-protobuf", first).await;
    assert_eq!(response.status().as_u16(), 204, "{}", response.text().await.unwrap());
    let second = request_v2(&times);
    let response = send(&server, V2, second).await;
    let written = |name: &str| {
        let header = format!("x-prometheus-remote-write-{name}-written");
        response.headers().get(header).map(|value| value.to_str().unwrap().to_owned())
    };
    let counts = ["samples", "histograms", "exemplars"].map(written);
    assert_eq!(counts.map(Option::unwrap), ["0", "80", "0"]);
    assert_eq!(response.status().as_u16(), 204);

    let at = times[70];
    check(&server, at).await;
    server.kill();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    // Every start ticks: the rules run.
    let server = home.serve(&["--no-host-metrics"]);
    check(&server, at).await;
    let recorded = eventually("the recorded histogram", || async {
        let result = query(&server, "latency_seconds:rate5m", None).await;
        result.first().cloned()
    })
    .await;
    assert_eq!(recorded["metric"], json!({ "__name__": "latency_seconds:rate5m" }));
    near(number(&recorded["histogram"][1]["count"]), 80.0 / 15.0);
    let quantile = query(&server, "histogram_quantile(0.9, latency_seconds:rate5m)", None).await;
    near(number(&quantile[0]["value"][1]), 2.0_f64.powf(1.84));
    let count = query(&server, "latency_seconds:count_rate5m", None).await;
    near(number(&count[0]["value"][1]), 80.0 / 15.0);
    let metadata = server.json("/api/v1/metadata?metric=latency_seconds").await;
    let said = json!({ "latency_seconds": [{ "type": "histogram", "help": "How long requests take.", "unit": "" }] });
    assert_eq!(metadata["data"], said);
    let alerts = server.json("/api/v1/alerts").await;
    assert_eq!(alerts["data"]["alerts"][0]["labels"]["alertname"], "Busy", "{alerts}");

    let page = server.get("/explore?query=latency_seconds%3Arate5m").await.text().await.unwrap();
    assert!(page.contains("histogram_quantile(0.9, latency_seconds:rate5m)"), "no way from a histogram to numbers");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_series_and_reason() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    #[expect(clippy::cast_possible_truncation, reason = "a date of our time in seconds")]
    let time = now() as i64;
    let bad = histogram(&Counts { count: 9, zero: 0, deltas: &[1, 1, 1] }, 1.0, time);
    let series = [label_v1("__name__", "latency_seconds"), bytes(4, &bad)].concat();
    let response = send(&server, "application/x-protobuf", bytes(1, &series)).await;
    assert_eq!(response.status().as_u16(), 400);
    let expected =
        format!("series 0 (latency_seconds): sample 0 at {time}: histogram counts 9 observations, its buckets 6\n");
    assert_eq!(response.text().await.unwrap(), expected);

    // Of 2.0 the other series are taken.
    let fine = histogram(&Counts { count: 6, zero: 0, deltas: &[1, 1, 1] }, 1.0, time);
    let symbols = symbols(&["", "__name__", "bad", "fine"]);
    let one = [bytes(1, &[1, 2]), bytes(3, &bad)].concat();
    let two = [bytes(1, &[1, 3]), bytes(3, &fine)].concat();
    let response = send(&server, V2, [symbols, bytes(5, &one), bytes(5, &two)].concat()).await;
    assert_eq!(response.status().as_u16(), 400);
    assert_eq!(response.headers()["x-prometheus-remote-write-histograms-written"], "1");
    let said = response.text().await.unwrap();
    assert!(said.starts_with("series 0 (bad): sample 0"), "{said}");
    let found = query(&server, "fine", None).await;
    assert_eq!(found[0]["histogram"][1]["count"], "6");

    let response = send(&server, "application/x-protobuf;proto=other", Vec::new()).await;
    assert_eq!(response.status().as_u16(), 415);
}

/// What was written, asked for at a time.
async fn check(server: &Server, at: i64) {
    let series = query(server, "latency_seconds{instance=\"one\"}", Some(at)).await;
    let expected = json!([{
        "metric": { "__name__": "latency_seconds", "instance": "one" },
        "histogram": [at, {
            "count": "2840", "sum": "71",
            "buckets": [[0, "0.5", "1", "710"], [0, "1", "2", "1420"], [0, "2", "4", "710"]],
        }],
    }]);
    assert_eq!(json!(series), expected);
    let quantile = query(server, "histogram_quantile(0.9, sum(rate(latency_seconds[5m])))", Some(at)).await;
    // Of 80 requests in a scrape 50 are in the last bucket, and 42 of those are below the rank of 72.
    near(number(&quantile[0]["value"][1]), 2.0_f64.powf(1.0 + 42.0 / 50.0));
    let range = format!("/api/v1/query_range?query=latency_seconds&start={at}&end={}&step=15", at + 15);
    let body = server.json(&range).await;
    let matrix = body["data"]["result"].as_array().unwrap();
    assert_eq!(matrix.len(), 2);
    assert_eq!(matrix[1]["histograms"][1][1]["buckets"], json!([[0, "2", "4", "2880"]]), "{body}");
    assert_eq!(matrix[1]["values"], Value::Null);
    let count = query(server, "count_over_time(latency_seconds{instance=\"two\"}[5m])", Some(at)).await;
    assert_eq!(count[0]["value"][1], "20");
}

fn near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-9, "{found}, expected {expected}");
}

fn number(text: &Value) -> f64 {
    text.as_str().unwrap_or_else(|| panic!("no number: {text}")).parse().unwrap()
}

async fn query(server: &Server, expr: &str, time: Option<i64>) -> Vec<Value> {
    let mut form = vec![("query", expr.to_owned())];
    form.extend(time.map(|time| ("time", time.to_string())));
    let request = server.client.post(format!("{}/api/v1/query", server.url)).form(&form);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["status"], "success", "{expr}: {body}");
    body["data"]["result"].as_array().unwrap().clone()
}

async fn send(server: &Server, content_type: &str, message: Vec<u8>) -> Response {
    let request = server.client.post(format!("{}/api/v1/write", server.url));
    let request = request.header("content-type", content_type).header("content-encoding", "snappy");
    request.body(snappy(&message)).send().await.unwrap()
}

/// `prometheus.WriteRequest`: a counter of 40 requests a scrape, in three buckets.
fn request_v1(times: &[i64]) -> Vec<u8> {
    let mut series = [label_v1("__name__", "latency_seconds"), label_v1("instance", "one")].concat();
    for (step, time) in (1i64..).zip(times) {
        let counts = Counts { count: 40 * step.unsigned_abs(), zero: 0, deltas: &[10 * step, 10 * step, -10 * step] };
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        series.extend(bytes(4, &histogram(&counts, step as f64, *time)));
    }
    bytes(1, &series)
}

/// `io.prometheus.write.v2.Request`: a counter of 40 requests a scrape, all in the last bucket; with metadata.
fn request_v2(times: &[i64]) -> Vec<u8> {
    let symbols = symbols(&["", "__name__", "latency_seconds", "instance", "two", "How long requests take."]);
    let mut series = [bytes(1, &[1, 2, 3, 4]), bytes(5, &[0x08, 3, 0x18, 5])].concat();
    for (step, time) in (1i64..).zip(times) {
        let counts = Counts { count: 40 * step.unsigned_abs(), zero: 0, deltas: &[0, 0, 40 * step] };
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        series.extend(bytes(3, &histogram(&counts, step as f64 * 3.0, *time)));
    }
    [symbols, bytes(5, &series)].concat()
}

struct Counts<'a> {
    count: u64,
    zero: u64,
    deltas: &'a [i64],
}

/// The message `Histogram`, in its integer form: buckets from (0.5, 1] on, each twice as wide as the one before.
fn histogram(counts: &Counts<'_>, sum: f64, seconds: i64) -> Vec<u8> {
    let mut deltas = Vec::new();
    counts.deltas.iter().for_each(|delta| put(&mut deltas, folded(*delta)));
    let span = [varint(1, folded(0)), varint(2, counts.deltas.len() as u64)].concat();
    let mut sum_field = vec![3 << 3 | 1];
    sum_field.extend(sum.to_le_bytes());
    let time = (seconds * 1000).unsigned_abs();
    [
        varint(1, counts.count),
        sum_field,
        varint(4, folded(0)),
        varint(6, counts.zero),
        bytes(11, &span),
        bytes(12, &deltas),
        varint(15, time),
    ]
    .concat()
}

fn label_v1(name: &str, value: &str) -> Vec<u8> {
    bytes(1, &[bytes(1, name.as_bytes()), bytes(2, value.as_bytes())].concat())
}

fn symbols(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| bytes(4, text.as_bytes())).collect()
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    put(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

fn varint(field: u8, number: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    put(&mut out, number);
    out
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

const fn folded(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// A snappy block that compresses nothing: one literal after the other.
fn snappy(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, message.len() as u64);
    for chunk in message.chunks(256) {
        // A literal whose length less one stands in the next byte.
        out.extend([60 << 2, u8::try_from(chunk.len() - 1).unwrap()]);
        out.extend_from_slice(chunk);
    }
    out
}
