//! HTTP on a socket: reads a whole request, hands it to the router, writes the whole answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use app::cost::Door;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use tokio::net::TcpListener;

use super::{Running, random};
use crate::clock;

/// How long a sender may take for one body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a body over the limit is read, and how long, so that its sender hears of it.
const PASSED_OVER_MAX: usize = 64 << 20;
const PASS_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// The memory of a function that answers requests, as `infra/template.yaml` has it for queries.
const MEMORY_MB: u32 = 1024;

/// Serves until `shutdown` resolves and open requests are answered.
pub(super) async fn run(
    running: Arc<Running>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let router = Router::new().fallback(answer).with_state(running);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await.context("serving HTTP")
}

async fn answer(State(running): State<Arc<Running>>, request: Request) -> Response {
    let app = &running.app;
    let (head, mut body) = request.into_parts();
    // One byte more than the limit: the router then names the limit.
    let limited = Limited::new(&mut body, app.limits.body_bytes_max + 1);
    let body = match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let limit = app.limits.body_bytes_max;
            pass_over(&mut body).await;
            return refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("body is over the limit of {limit} bytes (body_bytes_max)"),
            );
        }
        Ok(Err(error)) => return refuse(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 30 seconds"),
    };
    let random = match random() {
        Ok(random) => random,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let is_head = head.method == Method::HEAD;
    let gzip = !is_head && app::http::accepts_gzip(&head.headers);
    // A request goes on even if its sender hangs up: what is half done would be done again.
    let work = tokio::spawn(async move {
        let reply = handle(&running, http::Request::from_parts(head, body), random).await;
        if is_head { reply } else { app::http::compressed(reply, gzip) }
    });
    match work.await {
        Ok(reply) => into_response(reply, is_head),
        Err(error) => {
            tracing::error!(%error, "a request handler panicked");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the log of the server says more")
        }
    }
}

/// Reads on for a while without keeping anything: a sender that is cut off while it sends does not read why.
async fn pass_over(body: &mut Body) {
    let mut passed = 0;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await
            && passed < PASSED_OVER_MAX
        {
            passed += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    if tokio::time::timeout(PASS_OVER_TIMEOUT, rest).await.is_err() {
        tracing::debug!("a slow sender of a body over the limit may not read its answer");
    }
}

async fn handle(running: &Running, request: http::Request<Bytes>, random: [u8; 32]) -> app::http::Reply {
    let started = running.app.stopwatch.read();
    let received_bytes = request.body().len() as u64;
    let reply = app::http::handle(&running.app, request, random, clock::now()).await;
    let elapsed = running.app.stopwatch.read().saturating_sub(started);
    let door = Door::HttpApi { received_bytes, sent_bytes: reply.body().len() as u64 };
    running.ledger.invocation(door, elapsed, MEMORY_MB);
    reply
}

fn into_response(reply: http::Response<Bytes>, is_head: bool) -> Response {
    let (head, body) = reply.into_parts();
    Response::from_parts(head, if is_head { Body::empty() } else { Body::from(body) })
}

fn refuse(status: StatusCode, message: impl AsRef<str>) -> Response {
    into_response(app::http::refuse(status, message.as_ref()), false)
}
