//! `/slack/actions`, and `/slack/<tenant>/actions`: buttons that people press in Slack.
//!
//! A request counts when it is signed by Slack (version 0 of its signatures: HMAC-SHA-256 over the version, the time and
//! the body), not older than five minutes, and not one that was taken already.

use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Request, StatusCode};
use model::{ErrorKind, TenantId, Timestamp};
use serde::Deserialize;
use sha2::Sha256;

use super::alertmanager::uuid;
use super::{HttpError, Params, Reply, answers, reply};
use crate::notify::{self, Answering, Author};
use crate::ports::{Expect, RowKey, RowWrite};
use crate::{App, AppError};

/// What the paths start with.
pub(super) const PREFIX: &str = "/slack/";
/// How old a request may be, and how far in the future.
const WINDOW: Duration = Duration::from_secs(300);
/// How long a request is remembered: longer than it may be old.
const REMEMBERED: Duration = Duration::from_secs(900);

#[derive(Deserialize)]
struct Payload {
    user: User,
    #[serde(default)]
    actions: Vec<Action>,
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: Option<String>,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    value: Option<String>,
}

/// Takes a press of a button.
pub(super) async fn handle(
    app: &App,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let path = request.uri().path();
    let tenant = match path.strip_prefix(PREFIX).unwrap_or("").rsplit_once('/') {
        None if path == "/slack/actions" => app.settings.default_tenant.clone(),
        Some((tenant, "actions")) => match TenantId::new(tenant) {
            Ok(tenant) => tenant,
            Err(_) => return Ok(super::not_found(path)),
        },
        Some(_) | None => return Ok(super::not_found(path)),
    };
    let config = app.config();
    let on_call = notify::on_call(&config, &tenant);
    let Some(secret) = &on_call.slack_signing_secret else { return Ok(super::not_found(path)) };
    let secret = app.ports.messenger.reveal(secret).await.map_err(AppError::from)?;
    if !is_signed(request.headers(), request.body(), secret.trim(), now) || !is_first(app, request, now).await? {
        return Ok(super::refuse(
            StatusCode::FORBIDDEN,
            "the request is not signed by Slack, too old, or a repetition",
        ));
    }
    let params = Params::of(request);
    let payload: Payload = serde_json::from_str(params.required("payload")?)
        .map_err(|error| AppError::Invalid(format!("payload: {error}")))?;
    let slack_name = || format!("slack:{}", payload.user.username.as_deref().unwrap_or(&payload.user.id));
    let name = on_call.person_in_slack(&payload.user.id).map_or_else(slack_name, str::to_owned);
    let mut said = Vec::new();
    for action in &payload.actions {
        let Ok(answering) = Answering::read(&action.action_id, None, None) else { continue };
        let wanted = answers::fingerprints(action.value.as_deref().unwrap_or("").split(','))?;
        let author = Author { name: &name, comment: "Slack", new_id: &uuid(&random) };
        said.push(match notify::answer(app, &tenant, &wanted, &answering, author, now).await {
            Ok(_) => format!("{name}: {}", answering.as_str()),
            Err(error @ (AppError::NotFound(_) | AppError::Invalid(_))) => error.public_message(),
            Err(error) => return Err(error.into()),
        });
    }
    if let (Some(url), false) = (payload.response_url, said.is_empty()) {
        tell(app, &url, &said.join("\n"), request).await;
    }
    Ok(reply::empty(StatusCode::OK))
}

/// Whether a request carries Slack's signature of about now.
fn is_signed(headers: &HeaderMap, body: &[u8], secret: &str, now: Timestamp) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let sent = text("x-slack-request-timestamp");
    let Ok(seconds) = sent.parse::<i64>() else { return false };
    let at = Timestamp::from_secs(seconds.clamp(0, i64::from(u32::MAX)));
    if at + WINDOW < now || now + WINDOW < at {
        return false;
    }
    let Some(signature) = text("x-slack-signature").strip_prefix("v0=").and_then(hex) else { return false };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(b"v0:");
    mac.update(sent.as_bytes());
    mac.update(b":");
    mac.update(body);
    // In a time that tells nothing about it.
    mac.verify_slice(&signature).is_ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let is_plain = text.len() == 64 && text.is_ascii();
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    is_plain.then(|| (0..text.len()).step_by(2).map(byte).collect()).flatten()
}

/// Whether a request was not taken before: its signature is remembered.
async fn is_first(app: &App, request: &Request<Bytes>, now: Timestamp) -> Result<bool, AppError> {
    let signature = request.headers().get("x-slack-signature").and_then(|value| value.to_str().ok()).unwrap_or("");
    let key = RowKey::new("j#", format!("slack#{}", signature.to_ascii_lowercase()));
    let row = RowWrite::put(key, Expect::Absent, Bytes::from_static(&[1])).expiring(now + REMEMBERED);
    match app.ports.state.write(vec![row], now).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Says in the channel what came of it; nothing depends on its arrival.
async fn tell(app: &App, url: &str, text: &str, request: &Request<Bytes>) {
    let signature = request.headers().get("x-slack-signature").and_then(|value| value.to_str().ok()).unwrap_or("");
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = serde_json::json!({ "response_type": "in_channel", "replace_original": false, "text": text });
    if let Err(error) = notify::reply(app, signature, url, body.to_string()).await {
        tracing::info!(%error, "Slack is not told what came of a button");
    }
}
