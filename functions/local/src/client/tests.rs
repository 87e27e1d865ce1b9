use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use model::{Labels, Limits, Sample, Timestamp};
use tokio::net::TcpListener;

use super::*;

/// A server that answers everything with one status, header and body; its address.
async fn server(status: u16, header: (&'static str, &'static str), body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .fallback(move || async move { (StatusCode::from_u16(status).unwrap(), [header], body).into_response() });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A server that answers with what it was asked: path, form, and who asked.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(|uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        serde_json::json!({"status": "success", "data": {
            "uri": uri.to_string(),
            "body": String::from_utf8_lossy(&body),
            "authorization": header("authorization"),
            "tenant": header("x-scope-orgid"),
        }})
        .to_string()
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn refused(status: u16, header: (&'static str, &'static str), body: &'static str) -> ClientError {
    let client = Client::new(&server(status, header, body).await, None, None).unwrap();
    client.instant_query("up", None).await.unwrap_err()
}

#[tokio::test]
async fn questions_arrive_as_they_were_asked() {
    let url = echo().await;
    let client = Client::new(&format!("{url}/prefix/"), Some("secret"), Some("ignored")).unwrap();
    let asked = client.instant_query("up{a=\"b&c\"} + 1", Some("12")).await.unwrap();
    assert_eq!(asked["uri"], "/prefix/api/v1/query");
    assert_eq!(asked["body"], "query=up%7Ba%3D%22b%26c%22%7D+%2B+1&time=12");
    assert_eq!(asked["authorization"], "Bearer secret");
    assert_eq!(asked["tenant"], Value::Null);
    let client = Client::new(&url, None, Some("team")).unwrap();
    let asked = client.range_query("up", "1", "2", "1m").await.unwrap();
    assert_eq!(asked["body"], "query=up&start=1&end=2&step=1m");
    assert_eq!(asked["tenant"], "team");
    let asked = client.get("/x", &[("a", "b c")]).await.unwrap();
    assert_eq!(asked["data"]["uri"], "/x?a=b+c");
    let asked = client.delete("/x", &[("name", "y")]).await.unwrap();
    assert_eq!(asked["data"]["uri"], "/x?name=y");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let none = ("x", "y");
    let error = refused(400, none, r#"{"status":"error","errorType":"bad_data","error":"unknown function foo"}"#).await;
    assert_eq!(error.to_string(), "refused (400 Bad Request): unknown function foo");
    assert_eq!(error.retry_after(), None);
    let error = refused(401, none, "").await;
    assert!(error.to_string().contains("mihari token create"), "{error}");
    let error = refused(403, none, "scope write is missing\n").await;
    assert_eq!(error.to_string(), "the token does not allow this: scope write is missing");
    let error = refused(503, ("retry-after", "7"), "disk full").await;
    assert_eq!(error.to_string(), "the server cannot do it now (503 Service Unavailable): disk full");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let error = refused(200, none, "<html>hello</html>").await;
    assert!(error.to_string().contains("is not that of a Mihari server: \"<html>hello</html>\""), "{error}");
}

#[tokio::test]
async fn nobody_there_or_no_address_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:secret@{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(&url, None, None).unwrap().get("/", &[("token", "secret")]).await.unwrap_err();
    assert!(error.to_string().contains("is a server running there? `mihari` starts one"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(error.retry_after().is_some());
    for bad in ["", "localhost", "127.0.0.1:9099", "ftp://x", "http://"] {
        let error = Client::new(bad, None, None).unwrap_err();
        assert!(matches!(error, ClientError::BadUrl { .. }), "{bad:?}: {error}");
    }
}

#[tokio::test]
async fn samples_are_sent_as_remote_write() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    let router = Router::new().fallback(|headers: HeaderMap, body: Bytes| async move {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        wire::remote_write::check_headers(header("content-type"), header("content-encoding")).unwrap();
        let decoded = wire::remote_write::decode(&body, &Limits::default(), Timestamp::from_secs(100)).unwrap();
        assert_eq!(decoded.batch.series(0).labels.to_string(), "up");
        StatusCode::NO_CONTENT
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut batch = Batch::new();
    let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
    batch.push(labels.as_ref(), [Sample { timestamp: Timestamp::from_secs(99), value: 1.0 }]);
    Client::new(&url, None, None).unwrap().write("", &batch).await.unwrap();
}
