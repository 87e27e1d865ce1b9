//! Pages for people: who may see what, which time is shown, and what is loaded for it.
//!
//! [`handle`] finds the page of a path; each page's module loads its data through [`crate::query`], [`crate::alerts`],
//! [`crate::load`] and [`crate::report`], and `render` makes the markup.

mod alerts;
mod deliveries;
mod explore;
mod intake;
mod overview;
pub(crate) mod panels;
mod reports;
mod status;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use model::{Language, TimeRange, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use render::page::message::{Login, Problem};
use render::page::{CONTENT_SECURITY_POLICY, Frame, Page, Span, message};
use render::{Reader, Zone, assets};

use crate::access::{self, Caller, LANGUAGE_COOKIE, Role, TIME_ZONE_COOKIE, Viewer};
use crate::http::answers;
use crate::http::reply::{see_other, with_body};
use crate::http::uuid;
use crate::http::{Params, Reply, Route};
use crate::notify::{self, Author};
use crate::{App, AppError};

/// Time zones that the choice offers beside the setting's and the reader's own.
const ZONES: [&str; 14] = [
    "UTC",
    "Asia/Tokyo",
    "Asia/Seoul",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Kolkata",
    "Australia/Sydney",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Helsinki",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "America/Sao_Paulo",
];
/// How long a browser keeps the choice of language and time zone.
const CHOICE_SECONDS: u64 = 365 * 24 * 3600;

/// Answers a request for a page.
pub async fn handle(app: &App, viewer: &Viewer, request: &Request<Bytes>, now: Timestamp) -> Reply {
    let params = Params::of(request);
    if let Some(chosen) = choose(app, request, &params) {
        return chosen;
    }
    match answer(app, viewer, request, &params, now).await {
        Ok(Some(reply)) => reply,
        Ok(None) => problem(viewer.language, StatusCode::NOT_FOUND, ""),
        Err(failure) => {
            crate::http::log(Route::Page, &failure);
            let status = crate::error::consequence(failure.kind()).status;
            problem(viewer.language, status, &failure.public_message())
        }
    }
}

/// A style sheet, script or picture; `None` when the path names none.
pub fn asset(path: &str) -> Option<Reply> {
    let asset = assets::find(path)?;
    let mut reply = with_body(StatusCode::OK, asset.content_type, asset.content);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    reply.headers_mut().insert(CACHE_CONTROL, forever);
    Some(reply)
}

/// The page that says what went wrong with a request.
pub fn error(app: &App, headers: &HeaderMap, status: StatusCode, detail: &str) -> Reply {
    problem(access::language(headers, &app.settings), status, detail)
}

/// The page at which a person answers alerts by a link; its form posts to `path`.
pub fn answer_form(app: &App, headers: &HeaderMap, path: &str, alerts: Vec<message::AnswerAlert>) -> Reply {
    html(StatusCode::OK, message::answer(path, &alerts, access::language(headers, &app.settings)))
}

/// The page that says what was done at a link.
pub fn said(app: &App, headers: &HeaderMap, status: StatusCode, words: &str) -> Reply {
    html(status, message::said(words, access::language(headers, &app.settings)))
}

/// Where the forms of the page of alerts lead.
pub(crate) const ANSWER_PATH: &str = "/alerts/answer";

/// Does what a form of the page of alerts says, and leads back to it.
///
/// # Errors
/// As [`notify::answer`]; an alert that is over is none.
pub(crate) async fn take_answer(
    app: &App,
    caller: &Caller,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, AppError> {
    let params = Params::of(request);
    let wanted = answers::fingerprints(params.all("fingerprint"))?;
    let answering = answers::read(params.get("action").unwrap_or(""), &params)?;
    let name = answers::author_of(caller, &params);
    let new_id = uuid(&random);
    let author = Author { name: &name, comment: params.get("comment").unwrap_or(""), new_id: &new_id };
    match notify::answer(app, &caller.tenant, &wanted, &answering, author, now).await {
        Ok(_) | Err(AppError::NotFound(_)) => Ok(see_other("/alerts", None)),
        Err(error) => Err(error),
    }
}

/// A report's file as an answer, for whoever may read it.
pub(crate) fn report_file(format: crate::report::Format, body: Bytes) -> Reply {
    reports::file_reply(format, body)
}

/// The page to sign in at.
pub fn login(app: &App, headers: &HeaderMap, next: &str, has_failed: bool) -> Reply {
    let language = access::language(headers, &app.settings);
    let page = Login { next: next.to_owned(), has_failed };
    html(StatusCode::OK, message::login(&page, language))
}

/// The pages that a role sees.
fn pages_of(role: Role) -> Vec<Page> {
    match role {
        Role::Ops | Role::Tech => Page::ALL.to_vec(),
        Role::Exec => vec![Page::Overview, Page::Reports],
    }
}

async fn answer(
    app: &App,
    viewer: &Viewer,
    request: &Request<Bytes>,
    params: &Params,
    now: Timestamp,
) -> Result<Option<Reply>, AppError> {
    let path = request.uri().path();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(None);
    }
    if path == "/graph" {
        return Ok(Some(see_other(&explore_path(params), None)));
    }
    if let Some(file) = path.strip_prefix("/reports/daily/") {
        return reports::download(app, viewer, file, params).await;
    }
    let Some(page) = Page::ALL.into_iter().find(|page| page.path() == path) else { return Ok(None) };
    if !pages_of(viewer.role).contains(&page) {
        return Ok(Some(problem(viewer.language, StatusCode::FORBIDDEN, "")));
    }
    let frame = frame(app, viewer, page, params, now);
    let content = match page {
        Page::Overview => overview::content(app, viewer, &frame).await?,
        Page::Alerts => alerts::content(app, viewer, &frame, params).await?,
        Page::Explore => explore::content(app, viewer, &frame, params).await?,
        Page::Reports => reports::content(app, viewer, &frame).await?,
        Page::Status => status::content(app, viewer, &frame).await?,
    };
    let body = if params.get("fragment").is_some() { frame.fragment(&content) } else { frame.document(&content) };
    Ok(Some(html(StatusCode::OK, body)))
}

/// Where the links of alerts lead, which are written as Prometheus writes them (`/graph?g0.expr=...`).
fn explore_path(params: &Params) -> String {
    let query = params.get("g0.expr").unwrap_or("");
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
    format!("{}?{query}", Page::Explore.path())
}

fn frame(app: &App, viewer: &Viewer, page: Page, params: &Params, now: Timestamp) -> Frame {
    let reader = Reader { language: viewer.language, zone: Zone::of(&viewer.time_zone), now };
    let has_span = matches!(page, Page::Overview | Page::Alerts | Page::Explore);
    let span = has_span.then(|| span(params, &reader.zone, usual_span(page)));
    let is_past = matches!(span, Some(Span::Custom(_)));
    let kept = |name: &str| params.get(name).map(|value| (name.to_owned(), value.to_owned()));
    let mut zones: Vec<String> = ZONES.map(str::to_owned).to_vec();
    zones.push(reader.zone.name().to_owned());
    zones.push(Zone::of(&app.settings.time_zone).name().to_owned());
    zones.sort();
    zones.dedup();
    Frame {
        page,
        pages: pages_of(viewer.role),
        span,
        keep: if page == Page::Explore { kept("query").into_iter().collect() } else { Vec::new() },
        tenant: viewer.tenant.to_string(),
        name: viewer.name.clone(),
        csrf: viewer.logged_in.then(|| viewer.csrf.clone()),
        zones,
        is_live: matches!(page, Page::Overview | Page::Alerts | Page::Status) && !is_past,
        reader,
    }
}

/// The span of time that a page shows when nobody asks for another: what moves now, or what happened of late.
const fn usual_span(page: Page) -> Span {
    match page {
        Page::Overview => Span::Last15m,
        Page::Alerts => Span::Last24h,
        Page::Explore | Page::Reports | Page::Status => Span::Last1h,
    }
}

/// The span of time that a page shows: one of the choices, or from one moment to another, or the usual one.
fn span(params: &Params, zone: &Zone, usual: Span) -> Span {
    let moment = |name: &str| params.get(name).and_then(|text| zone.parse_input(text));
    if let (Some(from), Some(to)) = (moment("from"), moment("to"))
        && from != to
    {
        return Span::Custom(TimeRange::new(from.min(to), from.max(to)));
    }
    let chosen = params.get("range").unwrap_or("");
    Span::CHOICES.into_iter().find(|span| span.parameter() == chosen).unwrap_or(usual)
}

/// Takes a choice of language or time zone into cookies and leads back to the page without it.
fn choose(app: &App, request: &Request<Bytes>, params: &Params) -> Option<Reply> {
    let language =
        params.get("lang").and_then(Language::from_tag).map(|language| (LANGUAGE_COOKIE, language.tag().to_owned()));
    let zone = params.get("tz").and_then(|name| Zone::named(name).ok());
    let zone = zone.map(|zone| (TIME_ZONE_COOKIE, utf8_percent_encode(zone.name(), NON_ALPHANUMERIC).to_string()));
    let cookies: Vec<(&str, String)> = language.into_iter().chain(zone).collect();
    if cookies.is_empty() || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let mut reply = see_other(&without_choice(request), None);
    let secure = if app.settings.external_url.starts_with("https://") { "; Secure" } else { "" };
    for (name, value) in cookies {
        let cookie = format!("{name}={value}; Path=/; Max-Age={CHOICE_SECONDS}; SameSite=Lax{secure}");
        let cookie = HeaderValue::from_str(&cookie).expect("tags and encoded names are plain ASCII");
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    Some(reply)
}

fn without_choice(request: &Request<Bytes>) -> String {
    let query = request.uri().query().unwrap_or("");
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "lang" && name != "tz");
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    // A path that begins with two slashes would lead to another site.
    let path = format!("/{}", request.uri().path().trim_start_matches('/'));
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn problem(language: Language, status: StatusCode, detail: &str) -> Reply {
    let problem = match status.as_u16() {
        403 => Problem::Forbidden,
        404 => Problem::NotFound,
        503 => Problem::Unavailable,
        400..500 => Problem::Invalid,
        _ => Problem::Internal,
    };
    html(status, message::problem(problem, detail, language))
}

fn html(status: StatusCode, body: String) -> Reply {
    let mut reply = with_body(status, "text/html; charset=utf-8", body);
    let policy = HeaderName::from_static("content-security-policy");
    reply.headers_mut().insert(policy, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    reply
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
