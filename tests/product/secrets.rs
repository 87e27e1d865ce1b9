//! Secrets of receivers reach the receivers and nobody else: not the log, no answer, no page, no error, no data file.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use crate::server::{Home, eventually, run};

/// Stands in every secret, and nowhere else.
const MARK: &str = "S3CR3T";

/// Every receiver with every secret it can have, all leading to one server on this machine.
const ROUTES: &str = "
global:
  smtp_smarthost: '127.0.0.1:1'
  smtp_from: mihari@example.com
  smtp_auth_username: mihari
  smtp_auth_password: S3CR3T-smtp
  smtp_require_tls: false
  slack_api_url: 'http://BASE_HOST/S3CR3T-slack-global'
  pagerduty_url: 'http://BASE_HOST/pagerduty'
  opsgenie_api_url: 'http://BASE_HOST/opsgenie/'
  opsgenie_api_key: S3CR3T-opsgenie
  telegram_api_url: 'http://BASE_HOST/telegram'
route: {receiver: all, group_wait: 0s, group_interval: 1m}
receivers:
- name: all
  webhook_configs:
  - url: 'http://BASE_HOST/hook/S3CR3T-url?token=S3CR3T-query'
    http_config: {basic_auth: {username: name, password: S3CR3T-password}}
  - url: 'http://BASE_HOST/bearer'
    http_config: {authorization: {credentials: S3CR3T-bearer}}
  - url: 'http://BASE_HOST/header'
    http_config: {http_headers: {X-Key: {secrets: [S3CR3T-header]}}}
  slack_configs:
  - {channel: '#a', send_resolved: true}
  - {channel: '#b', app_token: S3CR3T-app, app_url: 'http://BASE_HOST/slack'}
  pagerduty_configs:
  - {routing_key: S3CR3T-routing}
  - {service_key: S3CR3T-service}
  opsgenie_configs: [{}]
  msteams_configs: [{webhook_url: 'http://BASE_HOST/S3CR3T-teams'}]
  msteamsv2_configs: [{webhook_url: 'http://BASE_HOST/S3CR3T-teams2'}]
  discord_configs: [{webhook_url: 'http://BASE_HOST/S3CR3T-discord'}]
  telegram_configs: [{bot_token: S3CR3T-bot, chat_id: 1}]
  email_configs: [{to: ops@example.com}]
";
const INTEGRATIONS: usize = 12;

/// Answers every request with 404, and repeats all of it to whoever asks.
fn echo() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut text = String::new();
            while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).unwrap_or(0) > 0 {}
            let length =
                text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            text += &String::from_utf8_lossy(&body);
            // Whoever wrote may be gone.
            drop(write!(
                stream,
                "HTTP/1.1 404 S3CR3T\r\nx-secret: {MARK}\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            ));
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

#[tokio::test]
async fn secrets_are_in_no_log_no_answer_no_error_and_no_file() {
    let (address, requests) = echo();
    let home = Home::new();
    home.configure("alertmanager.yml", &ROUTES.replace("BASE_HOST", &address));
    let (server, log) = home.serve_logged(&["--no-host-metrics"], "debug");
    let alert = r#"[{"labels": {"alertname": "TooHot", "severity": "critical"}, "annotations": {"summary": "hot"}}]"#;
    let post =
        server.client.post(format!("{}/am/api/v2/alerts", server.url)).header("content-type", "application/json");
    assert_eq!(post.body(alert).send().await.unwrap().status(), 200);
    let path = "/api/mihari/v1/dead-letters";
    let letters = eventually("all dead letters", || async {
        let letters = server.json(path).await["dead_letters"].as_array().unwrap().clone();
        (letters.len() >= INTEGRATIONS - 1).then_some(letters)
    })
    .await;
    let sent: Vec<String> = requests.try_iter().collect();
    let secrets: Vec<&str> = ROUTES.match_indices(MARK).map(|(at, _)| word(&ROUTES[at..])).collect();
    // The global webhook of Slack, name and password of HTTP (in base64), the unused smtp password are not seen as such.
    let arrived = secrets.iter().filter(|secret| sent.iter().any(|request| request.contains(**secret))).count();
    assert!(
        arrived >= secrets.len() - 4,
        "only {arrived} of {} secrets reached their receivers: {sent:#?}",
        secrets.len()
    );

    let mut seen = Vec::new();
    for page in [
        path,
        "/api/mihari/v1/explain?label=alertname=TooHot",
        "/api/mihari/v1/config",
        "/am/api/v2/status",
        "/am/api/v2/alerts",
        "/am/api/v2/alerts/groups",
        "/am/api/v2/receivers",
        "/api/v1/alerts",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/metrics",
        "/",
        "/alerts",
        "/status",
    ] {
        seen.push((page.to_owned(), server.get(page).await.text().await.unwrap()));
    }
    let id = letters[0]["id"].as_str().unwrap();
    for words in [
        &["alerts", "dead-letters"][..],
        &["alerts", "explain", "alertname=TooHot"],
        &["alerts", "redrive", id],
        &["alerts", "redrive", "--all"],
    ] {
        let output = run(&[words, &["--url", &server.url]].concat());
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(!text.is_empty(), "{words:?} says nothing");
        seen.push((words.join(" "), text));
    }
    assert_eq!(run(&["alerts", "redrive", id, "--url", &server.url]).status.code(), Some(1), "it is refused again");
    // A broken file is told of with its place, not with its secrets.
    home.configure("alertmanager.yml", &ROUTES.replace("BASE_HOST", &address).replace("chat_id: 1", "chat_id: S3CR3T"));
    server.kill();
    seen.push(("the refusal of a file".to_owned(), home.serve_refused(&["--no-host-metrics"])));
    seen.push(("the log".to_owned(), std::fs::read_to_string(log).unwrap()));
    assert!(seen.last().unwrap().1.contains("notification failed"), "the log tells of the failures");
    for (name, text) in &seen {
        let leaks: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
        assert!(leaks.is_empty(), "{name} leaks: {leaks:#?}");
    }
    leaks_in_files(&home.data_dir());
}

/// The secret that a text starts with.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or(text)
}

fn leaks_in_files(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            leaks_in_files(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let leaks = bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
            assert!(!leaks, "{} holds a secret", path.display());
        }
    }
}
