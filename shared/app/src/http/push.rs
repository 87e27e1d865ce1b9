//! Endpoints that samples are pushed to.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use model::{ErrorKind, TenantId, Timestamp};

use wire::cloudwatch::firehose::answer;
use wire::remote_write::{Protocol, check_headers};

use super::params::invalid;
use super::{Params, Reply, Route, log, reply};
use crate::error::consequence;
use crate::ingest::{Written, firehose};
use crate::{App, AppError, ingest};

/// Prometheus remote write. The answer is plain text, which senders put into their log.
pub(super) async fn remote_write(app: &App, tenant: &TenantId, request: &Request<Bytes>, now: Timestamp) -> Reply {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let protocol = match check_headers(header("content-type"), header("content-encoding")) {
        Ok(protocol) => protocol,
        Err(unsupported) => {
            app.metrics.refused(ErrorKind::Invalid);
            return reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{unsupported}\n"));
        }
    };
    let (mut reply, written) = match ingest::remote_write(app, tenant, (protocol, request.body()), now).await {
        Ok(written) => (taken(app, &written), written),
        Err(error) => (failure(app, Route::RemoteWrite, &error), Written::default()),
    };
    if protocol == Protocol::V2 {
        // Senders of 2.0 take an answer without these for one of a receiver that knows only 1.0.
        let counts =
            [("samples", written.numbers), ("histograms", written.histograms), ("exemplars", written.exemplars)];
        for (what, count) in counts {
            let name = HeaderName::try_from(format!("x-prometheus-remote-write-{what}-written"));
            reply.headers_mut().insert(name.expect("these are names of headers"), HeaderValue::from(count));
        }
    }
    reply
}

/// The answer to a request that was taken, perhaps without some of its series: those are not to be sent again.
fn taken(app: &App, written: &Written) -> Reply {
    let Some((count, first)) = &written.refused else { return reply::empty(StatusCode::NO_CONTENT) };
    app.metrics.refused(ErrorKind::Invalid);
    let message = format!("{first}; {count} series of the request were refused, the others were written\n");
    reply::text(StatusCode::BAD_REQUEST, message)
}

/// Pages in the text exposition format, as scripts and cron jobs send them; `extra_label=name=value` gives every series
/// a label.
pub(super) async fn exposition(app: &App, tenant: &TenantId, request: &Request<Bytes>, now: Timestamp) -> Reply {
    let encoding = request.headers().get("content-encoding").and_then(|value| value.to_str().ok());
    let taken = async {
        let page = wire::encoding::unpack(request.body(), encoding, &app.limits).map_err(wire::WireError::from)?;
        // The body is a page, whatever it is called: curl says that everything is a form.
        let params = Params::of_uri(request.uri());
        let extra = params.all("extra_label").map(|text| {
            let label = text.split_once('=').filter(|(name, _)| !name.is_empty());
            label.ok_or_else(|| invalid("extra_label", &format!("{text:?} is not <name>=<value>")))
        });
        let extra = extra.collect::<Result<Vec<_>, _>>()?;
        ingest::exposition(app, tenant, (&page, &extra), now).await
    };
    match taken.await {
        Ok(_) => reply::empty(StatusCode::NO_CONTENT),
        Err(error) => failure(app, Route::Import, &error),
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

fn failure(app: &App, route: Route, error: &AppError) -> Reply {
    log(route, error);
    app.metrics.refused(error.kind());
    let consequence = consequence(error.kind());
    let mut reply = reply::text(consequence.status, format!("{}\n", error.public_message()));
    if consequence.retry {
        reply.headers_mut().insert("retry-after", HeaderValue::from_static("5"));
    }
    reply
}
