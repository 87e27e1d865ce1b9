//! Answers: status, headers, body.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};

/// What the router gives back.
pub type Reply = Response<Bytes>;

/// An answer with a content type and a body.
pub(crate) fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_body(status, "application/json", body)
}

/// Plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_body(status, "text/plain; charset=utf-8", body)
}

/// No body at all.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    reply
}

/// Sends the browser elsewhere on this site after a form, optionally with a cookie.
pub(crate) fn see_other(path: &str, cookie: Option<String>) -> Reply {
    let mut reply = empty(StatusCode::SEE_OTHER);
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    reply.headers_mut().insert(LOCATION, path);
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        reply.headers_mut().insert(SET_COOKIE, cookie);
    }
    reply
}
