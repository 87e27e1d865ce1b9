//! Pictures against what stands for the web API of Slack.

use std::time::Duration;

use app::ports::{Address, Content, Delivery, Messenger as _, PortResult, Receipt};
use model::{ErrorKind, Timestamp};

use crate::testing::{Server, answer};
use crate::{NetMessenger, NetSettings};

const JSON: &str = "content-type: application/json; charset=utf-8\r\n";
const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"20\" height=\"10\"/>";

/// The three answers of Slack; some of them others.
fn slack(others: &[(usize, String)]) -> Server {
    Server::knowing(|address| {
        let place = format!("{{\"ok\":true,\"upload_url\":\"http://{address}/upload/v1/x\",\"file_id\":\"F1\"}}");
        let mut answers = vec![
            answer("200 OK", JSON, &place),
            answer("200 OK", "content-type: text/plain\r\n", "OK - 83"),
            answer("200 OK", JSON, "{\"ok\":true,\"files\":[{\"id\":\"F1\"}]}"),
        ];
        for (place, other) in others {
            answers[*place].clone_from(other);
        }
        answers
    })
}

async fn show(server: &Server, svg: &str) -> PortResult<Receipt> {
    let settings =
        NetSettings { allow_loopback: true, timeout: Duration::from_secs(5), ..NetSettings::new("/nowhere") };
    let delivery = Delivery {
        idempotency_key: "key-1/picture".to_owned(),
        address: Address::SlackThread {
            api: server.url("/api/"),
            headers: vec![("Authorization".to_owned(), "Bearer xoxb-1".to_owned())],
            channel: "C1".to_owned(),
            ts: "1700000000.000100".to_owned(),
        },
        content: Content::Picture { title: "CPU使用率 > 90".to_owned(), svg: svg.to_owned() },
        time: Timestamp::default(),
    };
    NetMessenger::new(settings).deliver(&delivery).await
}

#[tokio::test]
async fn a_picture_is_placed_brought_and_shown_in_the_thread() {
    let server = slack(&[]);
    assert_eq!(show(&server, SVG).await.unwrap(), Receipt::noted("HTTP 200".to_owned()));
    let [place, upload, complete] = server.requests().try_into().unwrap();
    assert!(place.starts_with("POST /api/files.getUploadURLExternal HTTP/1.1\r\n"), "{place}");
    let (head, form) = place.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/x-www-form-urlencoded\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer xoxb-1\r\n") && head.contains("idempotency-key: key-1/picture"));
    let length = upload.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let alt = "CPU%E4%BD%BF%E7%94%A8%E7%8E%87+%3E+90";
    assert_eq!(form, format!("filename=chart.png&length={length}&alt_txt={alt}"));
    assert!(upload.starts_with("POST /upload/v1/x HTTP/1.1\r\n") && upload.contains("PNG\r\n"), "{upload}");
    assert!(!upload.to_lowercase().contains("authorization"), "the place needs no token: {upload}");
    assert!(complete.starts_with("POST /api/files.completeUploadExternal HTTP/1.1\r\n"), "{complete}");
    let body: serde_json::Value = serde_json::from_str(complete.split_once("\r\n\r\n").unwrap().1).unwrap();
    let expected = serde_json::json!({
        "files": [{"id": "F1", "title": "CPU使用率 > 90"}], "channel_id": "C1", "thread_ts": "1700000000.000100",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn nothing_is_shown_of_what_did_not_arrive() {
    let refused = |code: &str| answer("200 OK", JSON, &format!("{{\"ok\":false,\"error\":\"{code}\"}}"));
    let cases = [
        (0, refused("missing_scope"), ErrorKind::Invalid, 1),
        (0, answer("429 Too Many Requests", "retry-after: 30\r\n", ""), ErrorKind::Throttled, 1),
        (0, answer("200 OK", JSON, "{\"ok\":true}"), ErrorKind::Invalid, 1),
        (1, answer("500 Internal Server Error", "", ""), ErrorKind::Unavailable, 2),
        (2, refused("thread_not_found"), ErrorKind::NotFound, 3),
    ];
    for (place, other, kind, asked) in cases {
        let server = slack(&[(place, other)]);
        let error = show(&server, SVG).await.unwrap_err();
        assert_eq!((error.kind(), server.requests().len()), (kind, asked), "{error}");
        assert!(!error.to_string().contains("xoxb") && !error.to_string().contains("http"), "{error}");
    }
    let server = slack(&[]);
    let error = show(&server, "no drawing").await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Invalid, 0), "{error}");
}
