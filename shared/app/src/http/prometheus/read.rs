//! Remote read: another Prometheus asks for samples as they are, to evaluate its own expressions over them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use model::{Aggregate, Series, TenantId, Timestamp};
use promql::{Selection, Source as _};
use wire::remote_read::{self, Form, ReadRequest};

use crate::error::consequence;
use crate::http::{Reply, Route, log, reply};
use crate::{App, AppError};

/// `/api/v1/read`. Errors are plain text, as those of Prometheus are here.
pub(in crate::http) async fn read(app: &App, tenant: &TenantId, request: &Request<Bytes>, now: Timestamp) -> Reply {
    match answer(app, tenant, request.body(), now).await {
        Ok(reply) => reply,
        Err(error) => {
            log(Route::RemoteRead, &error);
            let status = consequence(error.kind()).status;
            reply::text(status, format!("{}\n", error.public_message()))
        }
    }
}

async fn answer(app: &App, tenant: &TenantId, body: &[u8], now: Timestamp) -> Result<Reply, AppError> {
    let request = remote_read::decode(body, &app.limits).map_err(|error| AppError::Invalid(error.to_string()))?;
    let form = request.form;
    let results = load(app, tenant, &request, now).await?;
    let body = tokio::task::spawn_blocking(move || encode(form, &results)).await;
    let body = body.map_err(|error| AppError::Bug(format!("encoding ended: {error}")))?;
    let content_type = match form {
        Form::Samples => remote_read::SAMPLES_TYPE,
        Form::Chunks => remote_read::CHUNKS_TYPE,
    };
    let mut reply = reply::with_body(StatusCode::OK, content_type, body);
    if form == Form::Samples {
        reply.headers_mut().insert("content-encoding", HeaderValue::from_static("snappy"));
    }
    Ok(reply)
}

/// The series of each query, in the order of their labels.
async fn load(
    app: &App,
    tenant: &TenantId,
    request: &ReadRequest,
    now: Timestamp,
) -> Result<Vec<Vec<Series>>, AppError> {
    let selections = request.queries.iter().map(|query| Selection {
        matchers: query.matchers.clone(),
        range: query.range,
        aggregate: Aggregate::Last,
        // Every sample is wanted, so that nothing coarser will do where there is a choice.
        window: Duration::ZERO,
        step: Duration::ZERO,
        newest_only: false,
    });
    samples(app, tenant, selections.collect(), now).await
}

/// The series of each selection, in the order of their labels, decoded beside everything else.
pub(super) async fn samples(
    app: &App,
    tenant: &TenantId,
    selections: Vec<Selection>,
    now: Timestamp,
) -> Result<Vec<Vec<Series>>, AppError> {
    let loaded = app.loader.load(tenant, &selections, now).await?;
    let decoded = tokio::task::spawn_blocking(move || {
        (0..selections.len()).map(|index| loaded.series(index)).collect::<Result<Vec<_>, _>>()
    });
    Ok(decoded.await.map_err(|error| AppError::Bug(format!("decoding ended: {error}")))??)
}

fn encode(form: Form, results: &[Vec<Series>]) -> Vec<u8> {
    match form {
        Form::Samples => remote_read::samples(results),
        Form::Chunks => {
            let mut body = Vec::new();
            for (query, series) in results.iter().enumerate() {
                series.iter().for_each(|series| remote_read::frame(&mut body, query, series));
            }
            body
        }
    }
}
