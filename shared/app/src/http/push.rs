//! Endpoints that samples are pushed to.

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use model::{ErrorKind, TenantId, Timestamp};

use super::{Reply, Route, log, reply};
use crate::error::consequence;
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
