//! What somebody sees who has just typed `cargo run`.

use crate::server::{Home, eventually, mihari, run};

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "host metrics come from procfs so far")]
async fn a_fresh_start_shows_this_machine_without_any_configuration() {
    let home = Home::new();
    let server = home.serve(&[]);
    eventually("load average of this machine", || async {
        let found = server.query("node_load1", None).await;
        found.iter().any(|(labels, _)| labels["job"] == "node").then_some(())
    })
    .await;
    eventually("cpu rate after two collections", || async {
        let found = server.query("rate(node_cpu_seconds_total{mode=\"idle\"}[1m])", None).await;
        (!found.is_empty()).then_some(())
    })
    .await;
    let page = server.get("/").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let text = page.text().await.unwrap();
    assert!(text.contains("<html lang=\"ja\""), "{text}");
    assert!(text.contains("<svg"), "no chart on the page");
}

#[tokio::test]
async fn grafana_and_promtool_find_what_they_look_for_first() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let two = server.json("/api/v1/query?query=1%2B1&time=4").await;
    assert_eq!(two["data"], serde_json::json!({"resultType": "scalar", "result": [4, "2"]}));
    let info = server.json("/api/v1/status/buildinfo").await;
    assert!(info["data"]["version"].is_string());
    assert!(info["data"].get("features").is_none(), "a list of features means another product");
    assert_eq!(server.get("/-/ready").await.status(), 200);
    assert_eq!(server.get("/-/healthy").await.status(), 200);
    let metrics = server.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("# TYPE mihari_http_requests_total counter"), "{metrics}");
}

#[tokio::test]
async fn rules_check_names_file_line_and_reason() {
    let home = Home::new();
    home.configure("rules/bad.yml", "groups:\n- name: a\n  rules:\n  - alert: B\n    expr: sum(\n");
    let file = home.config_dir().join("rules/bad.yml");
    let output = run(&["rules", "check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("bad.yml:5"), "{said}");
    home.configure("rules/good.yml", "groups:\n- name: a\n  rules:\n  - alert: B\n    expr: up == 0\n");
    let file = home.config_dir().join("rules/good.yml");
    assert!(run(&["rules", "check", file.to_str().unwrap()]).status.success());
}

#[test]
fn help_teaches() {
    for words in [&["--help"][..], &["serve", "--help"], &["query", "--help"], &["token", "create", "--help"]] {
        let output = mihari(words).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        assert!(output.stdout.len() > 400, "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test]
async fn an_answer_cut_short_says_so_and_a_head_has_the_length_of_the_answer() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let two = "vector(1)+or+label_replace(vector(2),%22a%22,%22b%22,%22%22,%22%22)";
    let cut = server.json(&format!("/api/v1/query?query={two}&limit=1")).await;
    assert_eq!(cut["data"]["result"].as_array().unwrap().len(), 1, "{cut}");
    assert_eq!(cut["warnings"], serde_json::json!(["results truncated due to limit"]));
    let path = format!("{}/api/v1/query?query=1&time=4", server.url);
    let length = server.client.get(&path).send().await.unwrap().text().await.unwrap().len();
    let head = server.client.head(&path).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], length.to_string().as_str());
    assert_eq!(head.text().await.unwrap(), "");
}
