//! Endpoints that samples are pushed to.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use model::{ErrorKind, TenantId, Timestamp};

use wire::cloudwatch::firehose::answer;

use super::{Reply, Route, log, reply};
use crate::error::consequence;
use crate::ingest::firehose;
use crate::{App, AppError, ingest};

/// Prometheus remote write 1.0. The answer is plain text, which senders put into their log.
pub(super) async fn remote_write(app: &App, tenant: &TenantId, request: &Request<Bytes>, now: Timestamp) -> Reply {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Err(unsupported) = wire::remote_write::check_headers(header("content-type"), header("content-encoding")) {
        app.metrics.refused(ErrorKind::Invalid);
        return reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{unsupported}\n"));
    }
    match ingest::remote_write(app, tenant, request.body(), now).await {
        Ok(_) => reply::empty(StatusCode::NO_CONTENT),
        Err(error) => failure(app, &error),
    }
}

/// Amazon Data Firehose: the answer repeats the request's id, or Firehose takes it for a failure.
pub(super) async fn firehose(app: &App, tenant: &TenantId, request: &Request<Bytes>, now: Timestamp) -> Reply {
    let encoding = request.headers().get("content-encoding").and_then(|value| value.to_str().ok());
    match firehose::receive(app, tenant, request.body(), encoding, now).await {
        Ok(received) => {
            let status = if received.refused.is_none() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            reply::json(status, answer(&received.request_id, now, received.refused.as_deref()))
        }
        Err(error) => {
            log(Route::Firehose, &error);
            app.metrics.refused(error.kind());
            firehose_refusal(request, consequence(error.kind()).status, &error.public_message(), now)
        }
    }
}

/// The answer to a request of Firehose that nothing was taken of.
pub(super) fn firehose_refusal(request: &Request<Bytes>, status: StatusCode, message: &str, now: Timestamp) -> Reply {
    let request_id = request.headers().get("x-amz-firehose-request-id").and_then(|value| value.to_str().ok());
    reply::json(status, answer(request_id.unwrap_or(""), now, Some(message)))
}

fn failure(app: &App, error: &AppError) -> Reply {
    log(Route::RemoteWrite, error);
    app.metrics.refused(error.kind());
    let consequence = consequence(error.kind());
    let mut reply = reply::text(consequence.status, format!("{}\n", error.public_message()));
    if consequence.retry {
        reply.headers_mut().insert("retry-after", HeaderValue::from_static("5"));
    }
    reply
}
