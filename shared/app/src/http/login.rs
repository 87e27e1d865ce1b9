//! `/login` and `/logout`: a token for a session cookie, and back.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{HttpError, Params, Reply, is_open, reply};
use crate::access::{self, SESSION_COOKIE, SESSION_LIFETIME};
use crate::{App, pages};

/// Answers the login page, a login and a logout.
pub(super) async fn handle(app: &App, request: &Request<Bytes>, now: Timestamp) -> Result<Reply, HttpError> {
    // A form of another site must not log anybody in or out.
    access::check_origin(request.headers(), &app.settings.external_url)?;
    let params = Params::of(request);
    if request.uri().path() == "/logout" {
        return logout(app, request, &params, now).await;
    }
    let next = local_path(params.get("next").unwrap_or("/"));
    if request.method() != Method::POST {
        return Ok(pages::login(app, request.headers(), next, false));
    }
    let token = params.get("token").unwrap_or("").trim();
    if access::find(app.ports.state.as_ref(), token, now).await?.is_none() {
        let mut page = pages::login(app, request.headers(), next, true);
        *page.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(page);
    }
    let session = app.session_key().sign(token, now);
    Ok(reply::see_other(next, Some(set_cookie(app, &session, SESSION_LIFETIME.as_secs()))))
}

async fn logout(app: &App, request: &Request<Bytes>, params: &Params, now: Timestamp) -> Result<Reply, HttpError> {
    if !is_open(app) {
        let default_tenant = &app.settings.default_tenant;
        let state = app.ports.state.as_ref();
        let key = app.session_key();
        // Whose session has ended is logged out already.
        if let Ok(caller) = access::identify(app.access(), request.headers(), state, key, default_tenant, now).await? {
            caller.check_csrf(params.get("csrf").unwrap_or(""))?;
        }
    }
    Ok(reply::see_other("/login", Some(set_cookie(app, "", 0))))
}

/// The login page that leads on to a path.
pub(super) fn path_with_next(path: &str) -> String {
    format!("/login?next={}", utf8_percent_encode(path, NON_ALPHANUMERIC))
}

/// A path of this site, or `/`: never a way to another site.
fn local_path(next: &str) -> &str {
    let is_local = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    if is_local && !next.contains(char::is_control) { next } else { "/" }
}

fn set_cookie(app: &App, value: &str, max_age_seconds: u64) -> String {
    let secure = if app.settings.external_url.starts_with("https://") { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_leads_to_this_site_only() {
        let cases = [
            ("/", "/"),
            ("/alerts?range=1h", "/alerts?range=1h"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("", "/"),
        ];
        for (next, expected) in cases {
            assert_eq!(local_path(next), expected, "{next:?}");
        }
    }
}
