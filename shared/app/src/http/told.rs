//! What people ask of the notifications: why an alert was told or was not, and what could not be delivered.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::{Labels, Timestamp};
use serde_json::json;

use super::{HttpError, Params, Reply, reply};
use crate::access::{Caller, Scope};
use crate::{App, AppError, notify};

/// Explains alerts by their labels: `/api/mihari/v1/explain?label=alertname=cpu&label=instance=a`.
pub(super) async fn explain(app: &App, caller: &Caller, params: &Params, now: Timestamp) -> Result<Reply, HttpError> {
    let alerts = notify::explain(app, &caller.tenant, &labels(params.all("label"))?, now).await?;
    Ok(reply::json(StatusCode::OK, json!({ "alerts": alerts }).to_string()))
}

/// Labels of the form `name=value`; a value may stand in quotes.
///
/// # Errors
/// `Invalid` when a text is of another form, or there is none.
pub(crate) fn labels<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Labels, AppError> {
    let pairs = texts.map(|text| {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| AppError::Invalid(format!("label {text:?} is not of the form name=value")))?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        Ok((name.trim(), value))
    });
    let pairs = pairs.collect::<Result<Vec<_>, AppError>>()?;
    let labels = Labels::from_pairs(pairs).map_err(|error| AppError::Invalid(format!("label: {error}")))?;
    if labels.is_empty() {
        Err(AppError::Invalid("name a label, such as label=alertname=cpu_usage".to_owned()))
    } else {
        Ok(labels)
    }
}

/// Lists dead letters, or delivers them again: those of the parameters `id`, or with `all=true` all.
pub(super) async fn dead_letters(
    app: &App,
    caller: &Caller,
    request: &Request<Bytes>,
    params: &Params,
    now: Timestamp,
) -> Result<Reply, HttpError> {
    if *request.method() != Method::POST {
        let letters = notify::dead_letters(app, &caller.tenant, now).await?;
        return Ok(reply::json(StatusCode::OK, json!({ "dead_letters": letters }).to_string()));
    }
    caller.require(Scope::Admin)?;
    let ids: Vec<String> = params.all("id").map(str::to_owned).collect();
    let wants_all = params.get("all") == Some("true");
    if ids.is_empty() != wants_all {
        return Err(AppError::Invalid("name dead letters by id, or say all=true".to_owned()).into());
    }
    let redriven = notify::redrive(app, &caller.tenant, (!wants_all).then_some(ids.as_slice()), now).await?;
    Ok(reply::json(StatusCode::OK, json!({ "redriven": redriven }).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names_and_values() {
        let read = |texts: &[&str]| {
            labels(texts.iter().copied()).map(|all| all.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(read(&["alertname=cpu", "path=\"/a=b\""]).unwrap(), r#"{alertname="cpu", path="/a=b"}"#);
        assert_eq!(read(&["cpu"]).unwrap_err(), r#"label "cpu" is not of the form name=value"#);
        assert_eq!(read(&[]).unwrap_err(), "name a label, such as label=alertname=cpu_usage");
    }
}
