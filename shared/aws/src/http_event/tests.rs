use std::io::Read as _;

use flate2::read::GzDecoder;
use http::Response;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::*;

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn event(path: &str, stage: &str, query: &str) -> Value {
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": {"host": "m.example.com"},
        "requestContext": {"stage": stage, "http": {"method": "GET", "path": path}}
    })
}

fn reply(content_type: &str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(body.into());
    reply.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
    reply
}

fn answer(reply: Reply, accepts_gzip: bool) -> Value {
    serde_json::from_str(encode(reply, accepts_gzip).get()).unwrap()
}

#[test]
fn paths_lose_their_stage_and_nothing_else() {
    let cases = [
        ("/api/v1/query", "$default", "query=up", "/api/v1/query?query=up"),
        ("/prod/api/v1/query", "prod", "", "/api/v1/query"),
        ("/prod", "prod", "", "/"),
        ("/production/x", "prod", "", "/production/x"),
        ("/", "$default", "", "/"),
        ("", "", "", "/"),
        ("/a b/日", "$default", "q=1 2#3", "/a%20b/%E6%97%A5?q=1%202%233"),
        ("/a%20b", "$default", "q=%7Bx%7D&r={y}", "/a%20b?q=%7Bx%7D&r=%7By%7D"),
        ("/what?", "$default", "", "/what%3F"),
    ];
    for (path, stage, query, expected) in cases {
        let request = decode(&raw(&event(path, stage, query))).unwrap().request;
        assert_eq!(request.uri().to_string(), expected, "{path:?} {stage:?} {query:?}");
    }
}

#[test]
fn bodies_cookies_and_headers_arrive() {
    let mut sent = event("/api/v1/write", "$default", "");
    sent["requestContext"]["http"]["method"] = "POST".into();
    sent["cookies"] = json!(["a=1", "mihari_session=x.y"]);
    sent["body"] = "AAH/".into();
    sent["isBase64Encoded"] = true.into();
    let request = decode(&raw(&sent)).unwrap().request;
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.body().as_ref(), [0, 1, 255]);
    assert_eq!(request.headers()["cookie"], "a=1; mihari_session=x.y");
    assert_eq!(request.headers()["host"], "m.example.com");
    sent["body"] = "query=up\n\"".into();
    sent["isBase64Encoded"] = false.into();
    assert_eq!(decode(&raw(&sent)).unwrap().request.body().as_ref(), b"query=up\n\"");
}

#[test]
fn the_two_front_doors_are_told_apart() {
    let cases = [("abc.execute-api.eu-west-1.amazonaws.com", false), ("abc.lambda-url.eu-west-1.on.aws", true)];
    for (name, expected) in cases {
        let mut sent = event("/", "$default", "");
        sent["requestContext"]["domainName"] = name.into();
        assert_eq!(decode(&raw(&sent)).unwrap().is_function_url, expected, "{name}");
    }
}

#[test]
fn what_is_no_request_is_told_apart_by_whose_mistake_it_is() {
    let wired_wrongly = [json!({"Records": []}), json!([1]), json!({"httpMethod": "GET", "path": "/"})];
    for sent in wired_wrongly {
        assert!(matches!(decode(&raw(&sent)), Err(HttpEventError::Event(_))), "{sent}");
    }
    let with = |change: fn(&mut Value)| {
        let mut sent = event("/", "$default", "");
        change(&mut sent);
        sent
    };
    let sent_wrongly = [
        with(|sent| sent["requestContext"]["http"]["method"] = "GE T".into()),
        with(|sent| sent["headers"]["a b"] = "c".into()),
        with(|sent| sent["headers"]["a"] = "c\r\nd: e".into()),
        with(|sent| (sent["body"], sent["isBase64Encoded"]) = ("%".into(), true.into())),
    ];
    for sent in sent_wrongly {
        assert!(matches!(decode(&raw(&sent)), Err(HttpEventError::Request(_))), "{sent}");
    }
}

#[test]
fn text_stays_text_and_bytes_become_base64() {
    let text = answer(reply("application/json", "{\"a\":\"見張り\"}"), true);
    assert_eq!((&text["body"], &text["isBase64Encoded"]), (&json!("{\"a\":\"見張り\"}"), &json!(false)));
    assert_eq!(text["headers"]["content-type"], "application/json");
    assert!(text.get("cookies").is_none(), "{text}");
    let bytes = answer(reply("image/png", &[0x89, 0x50, 0xff][..]), true);
    assert_eq!((&bytes["body"], &bytes["isBase64Encoded"]), (&json!("iVD/"), &json!(true)));
}

#[test]
fn cookies_are_a_list_and_repeated_headers_a_line() {
    let mut both = reply("text/plain", "");
    for value in ["a=1; HttpOnly", "b=2"] {
        both.headers_mut().append(SET_COOKIE, value.parse().unwrap());
        both.headers_mut().append("x-test", value.parse().unwrap());
    }
    *both.status_mut() = StatusCode::SEE_OTHER;
    let written = answer(both, false);
    assert_eq!(written["statusCode"], 303);
    assert_eq!(written["cookies"], json!(["a=1; HttpOnly", "b=2"]));
    assert_eq!(written["headers"]["x-test"], "a=1; HttpOnly, b=2");
    assert_eq!(written["headers"].get("set-cookie"), None);
}

#[test]
fn long_text_is_compressed_for_those_who_take_it() {
    let long = "見張り ".repeat(1000);
    let packed = answer(reply("text/html; charset=utf-8", long.clone()), true);
    assert_eq!((&packed["headers"]["content-encoding"], &packed["isBase64Encoded"]), (&json!("gzip"), &json!(true)));
    let bytes = STANDARD.decode(packed["body"].as_str().unwrap()).unwrap();
    let mut unpacked = String::new();
    GzDecoder::new(bytes.as_slice()).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, long);
    let plain = answer(reply("text/html; charset=utf-8", long.clone()), false);
    assert_eq!((&plain["body"], &plain["headers"]["vary"]), (&json!(long), &json!("accept-encoding")));
    for (kind, body) in [("text/html", "short".to_owned()), ("image/png", long)] {
        assert_eq!(answer(reply(kind, body), true)["headers"].get("content-encoding"), None, "{kind}");
    }
}

#[test]
fn codings_are_read_with_their_quality() {
    let cases = [
        (vec!["gzip, deflate, br"], true),
        (vec!["br;q=1.0, GZIP;q=0.8"], true),
        (vec!["br", "gzip"], true),
        (vec!["gzip;q=0"], false),
        (vec!["gzip;q=x"], false),
        (vec!["br"], false),
        (vec![], false),
    ];
    for (lines, expected) in cases {
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append("accept-encoding", line.parse().unwrap());
        }
        assert_eq!(accepts_gzip(&headers), expected, "{lines:?}");
    }
}

#[test]
fn an_answer_over_the_limit_says_so() {
    // A quotation mark takes two bytes in JSON, so the limit is that of what is sent.
    for (body, fits) in [("x".repeat(ANSWER_BYTES_MAX - 500), true), ("\"".repeat(ANSWER_BYTES_MAX / 2), false)] {
        let written = encode(reply("image/png", body), false);
        assert!(written.get().len() <= ANSWER_BYTES_MAX);
        let written: Value = serde_json::from_str(written.get()).unwrap();
        assert_eq!(written["statusCode"] == 200, fits);
        if !fits {
            assert_eq!(written["statusCode"], 422);
            let body = written["body"].as_str().unwrap();
            assert!(body.contains("over the 6291456 bytes that a function can return"), "{body}");
        }
    }
}
