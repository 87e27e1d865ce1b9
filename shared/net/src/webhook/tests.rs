//! Webhooks against a small HTTP server on this machine.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use app::ports::{Address, Content, Delivery, Messenger as _, Secret};
use model::Timestamp;

use super::*;
use crate::testing::{Server, answer};
use crate::{NetMessenger, NetSettings};

fn messenger(allow_loopback: bool) -> NetMessenger {
    let settings = NetSettings { allow_loopback, timeout: Duration::from_secs(2), ..NetSettings::new("/nowhere") };
    NetMessenger::new(settings)
}

fn delivery(url: &str) -> Delivery {
    let headers = vec![("Authorization".to_owned(), "Bearer token".to_owned()), ("X-Key".to_owned(), "k".to_owned())];
    Delivery {
        idempotency_key: "key-1".to_owned(),
        address: Address::Webhook { url: Secret::new(url), headers, connection: None },
        content: Content::Json("{\"text\":\"警告\"}".to_owned()),
        time: Timestamp::default(),
    }
}

#[tokio::test]
async fn a_document_is_posted_once() {
    let server = Server::start(vec![answer("200 OK", "", "ok")]);
    let receipt = messenger(true).deliver(&delivery(&server.url("/hook?a=b"))).await.unwrap();
    assert_eq!(receipt.note, "HTTP 200");
    let requests = server.requests();
    let request = requests[0].to_lowercase();
    assert_eq!(requests.len(), 1);
    for expected in [
        "post /hook?a=b http/1.1\r\n",
        "\r\ncontent-type: application/json\r\n",
        "\r\nidempotency-key: key-1\r\n",
        "\r\nauthorization: bearer token\r\n",
        "\r\nx-key: k\r\n",
        "\r\nuser-agent: mihari/",
        "\r\n\r\n{\"text\":\"警告\"}",
    ] {
        assert!(request.contains(expected), "{expected:?} is missing in {request}");
    }
}

#[tokio::test]
async fn how_long_to_wait_is_heard() {
    let seconds = Duration::from_secs;
    let dates = "date: Sun, 22 Nov 2026 10:00:00 GMT\r\nretry-after: Sun, 22 Nov 2026 10:02:05 GMT\r\n";
    let past = "date: Sun, 22 Nov 2026 10:00:00 GMT\r\nretry-after: Sun, 22 Nov 2026 09:00:00 GMT\r\n";
    let cases = [
        ("429 Too Many Requests", "retry-after: 30\r\n", "", Some(seconds(30))),
        ("429 Too Many Requests", "retry-after: 0.3\r\n", "", Some(seconds(1))),
        ("503 Service Unavailable", dates, "", Some(seconds(125))),
        ("503 Service Unavailable", past, "", Some(seconds(0))),
        ("503 Service Unavailable", "retry-after: soon\r\n", "", None),
        ("503 Service Unavailable", "retry-after: -5\r\n", "", None),
        ("503 Service Unavailable", "", "", None),
        (
            "200 OK",
            "content-type: application/json\r\nretry-after: 7\r\n",
            r#"{"ok":false,"error":"ratelimited"}"#,
            Some(seconds(7)),
        ),
    ];
    for (status, headers, body, expected) in cases {
        let server = Server::start(vec![answer(status, headers, body)]);
        let error = messenger(true).deliver(&delivery(&server.url("/hook"))).await.unwrap_err();
        assert_eq!(error.retry_after(), expected, "{status} {headers}");
    }
}

#[tokio::test]
async fn what_slack_calls_a_message_is_known() {
    let json = "content-type: application/json; charset=utf-8\r\n";
    let cases = [
        (r#"{"ok":true,"channel":"C123","ts":"1503435956.000247"}"#, Some("C123/1503435956.000247")),
        (r#"{"ok":true,"channel":"C123"}"#, None),
        (r#"{"ok":true,"channel":"../x","ts":"1"}"#, None),
        (r#"{"result":1}"#, None),
    ];
    for (body, expected) in cases {
        let server = Server::start(vec![answer("200 OK", json, body)]);
        let receipt = messenger(true).deliver(&delivery(&server.url("/api"))).await.unwrap();
        assert_eq!(receipt.reference.as_deref(), expected, "{body}");
    }
}

#[tokio::test]
async fn each_status_asks_for_something_else() {
    let cases = [
        ("204 No Content", "", None),
        ("400 Bad Request", "invalid_payload", Some((ErrorKind::Invalid, "HTTP 400 (invalid_payload)"))),
        ("403 Forbidden", "token T0/B0/secret is revoked", Some((ErrorKind::Invalid, "HTTP 403"))),
        ("404 Not Found", "", Some((ErrorKind::Invalid, "HTTP 404"))),
        ("408 Request Timeout", "", Some((ErrorKind::Throttled, "HTTP 408"))),
        ("429 Too Many Requests", "rate_limited", Some((ErrorKind::Throttled, "HTTP 429 (rate_limited)"))),
        ("500 Internal Server Error", "", Some((ErrorKind::Unavailable, "HTTP 500"))),
        ("503 Service Unavailable", "", Some((ErrorKind::Unavailable, "HTTP 503"))),
        ("302 Found", "", Some((ErrorKind::Invalid, "HTTP 302"))),
        ("304 Not Modified", "", Some((ErrorKind::Invalid, "HTTP 304"))),
    ];
    for (status, body, expected) in cases {
        let location = if status.starts_with("302") { "location: /elsewhere\r\n" } else { "" };
        let server = Server::start(vec![answer(status, location, body)]);
        let result = messenger(true).deliver(&delivery(&server.url("/hook/secret"))).await;
        let found = result.err().map(|error| (error.kind(), error.to_string()));
        let expected = expected.map(|(kind, text)| (kind, format!("messenger deliver: the webhook answers {text}")));
        assert_eq!(found, expected, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_repeats_the_post_and_keeps_secrets_at_home() {
    let target = Server::start(vec![answer("200 OK", "", ""), answer("200 OK", "", "")]);
    let elsewhere = format!("location: {}\r\n", target.url("/new"));
    let first = Server::start(vec![answer("307 Temporary Redirect", &elsewhere, "")]);
    messenger(true).deliver(&delivery(&first.url("/old"))).await.unwrap();
    let request = target.requests().remove(0).to_lowercase();
    assert!(request.starts_with("post /new http/1.1\r\n") && request.ends_with("{\"text\":\"警告\"}"), "{request}");
    assert!(request.contains("idempotency-key: key-1") && !request.contains("x-key") && !request.contains("bearer"));

    let here =
        Server::start(vec![answer("308 Permanent Redirect", "location: /new\r\n", ""), answer("200 OK", "", "")]);
    messenger(true).deliver(&delivery(&here.url("/old"))).await.unwrap();
    assert!(here.requests()[1].to_lowercase().contains("x-key: k"), "the same origin gets its headers again");
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let answers = vec![answer("307 Temporary Redirect", "location: /again\r\n", ""); 9];
    let server = Server::start(answers);
    let error = messenger(true).deliver(&delivery(&server.url("/"))).await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Invalid, 1 + REDIRECTS_MAX), "{error}");
}

#[tokio::test]
async fn a_redirect_passes_the_guard_too() {
    for location in
        ["http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/", "ftp://example.com/"]
    {
        let server = Server::start(vec![answer("307 Temporary Redirect", &format!("location: {location}\r\n"), "")]);
        let error = messenger(true).deliver(&delivery(&server.url("/"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{location}: {error}");
        assert!(!error.to_string().contains("169"), "{error}");
    }
}

#[tokio::test]
async fn this_machine_is_out_of_reach_unless_allowed() {
    let server = Server::start(vec![answer("200 OK", "", "")]);
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let error = messenger(false).deliver(&delivery(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{host}: {error}");
        assert!(error.to_string().contains("outbound calls must not reach"), "{host}: {error}");
    }
    assert_eq!(server.requests(), [""; 0]);
    let by_name = delivery(&format!("http://localhost:{port}/"));
    messenger(true).deliver(&by_name).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_without_naming_it() {
    let with_header = |name: &str, value: &str| Delivery {
        address: Address::Webhook {
            url: Secret::new("http://127.0.0.1:1/secret"),
            headers: vec![(name.to_owned(), value.to_owned())],
            connection: None,
        },
        ..delivery("")
    };
    let bad = [
        delivery("secret"),
        delivery("ftp://example.com/secret"),
        delivery("http://"),
        delivery("file:///etc/secret"),
        with_header("X-Key", "sec\nret"),
        with_header("not a name", "secret"),
    ];
    for delivery in bad {
        let error = messenger(true).deliver(&delivery).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{delivery:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_silent_or_dead_destination_is_unavailable() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings =
        NetSettings { allow_loopback: true, timeout: Duration::from_millis(200), ..NetSettings::new("/nowhere") };
    let url = format!("http://{}/secret", silent.local_addr().unwrap());
    let error = NetMessenger::new(settings).deliver(&delivery(&url)).await.unwrap_err();
    assert_eq!(error.to_string(), "messenger deliver: no answer in 200ms");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(silent);
    let error = messenger(true).deliver(&delivery(&url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("cannot be reached: ") && !error.to_string().contains("secret"), "{error}");
}

/// A server that speaks no TLS, and one whose certificate nobody vouches for, are unavailable; neither hears a word.
#[tokio::test]
async fn https_is_spoken_with_our_own_provider() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hello = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).unwrap();
        hello
    });
    let error = messenger(true).deliver(&delivery(&format!("https://{address}/secret"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(hello.join().unwrap(), [22, 3, 1], "a TLS handshake record");
}

#[tokio::test]
async fn an_answer_that_says_it_is_not_ok_is_a_refusal() {
    let json = "content-type: application/json; charset=utf-8\r\n";
    let cases = [
        (r#"{"ok":true,"ts":"1.2"}"#, None),
        (r#"{"ok":false,"error":"channel_not_found"}"#, Some((ErrorKind::Invalid, "(channel_not_found)"))),
        (r#"{"ok":false,"error":"ratelimited"}"#, Some((ErrorKind::Throttled, "(ratelimited)"))),
        (r#"{"ok":false,"error":"xoxb-SECRET"}"#, Some((ErrorKind::Invalid, "(no reason)"))),
        ("not JSON", None),
    ];
    for (body, expected) in cases {
        let server = Server::start(vec![answer("200 OK", json, body)]);
        let outcome = messenger(true).deliver(&delivery(&server.url("/api"))).await;
        match (outcome, expected) {
            (Ok(receipt), None) => assert_eq!(receipt.note, "HTTP 200"),
            (Err(error), Some((kind, end))) => {
                assert_eq!(error.kind(), kind, "{body}");
                assert!(error.to_string().ends_with(end), "{error}");
            }
            (outcome, _) => panic!("{body}: {outcome:?}"),
        }
    }
}
