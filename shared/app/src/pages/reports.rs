//! The list of reports, and their downloads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, HeaderName};
use http::{HeaderValue, StatusCode};
use render::Markup;
use render::assets::REPORT_STYLE;
use render::page::Frame;
use render::page::reports::{ReportRow, Reports, content as render};
use sha2::{Digest as _, Sha256};

use crate::access::Viewer;
use crate::http::{Params, Reply};
use crate::report::{self, Entry, Format};
use crate::{App, AppError};

/// Most reports that the page lists: those of a quarter.
const ROWS_MAX: usize = 92;

pub(super) async fn content(app: &App, viewer: &Viewer, frame: &Frame) -> Result<Markup, AppError> {
    let schedule = report::schedule(app);
    let is_for_others = !report::is_for(app, viewer.role);
    let daily = if is_for_others { Vec::new() } else { report::list(app, &viewer.tenant).await? };
    let link = |id: &str| {
        let now = frame.reader.now;
        report::link::make(app.session_key(), &viewer.tenant, id, viewer.language, report::link::LIFETIME, now)
    };
    let reports = Reports {
        daily: daily.into_iter().take(ROWS_MAX).map(|entry| row(&entry, link(&entry.id))).collect(),
        daily_at: schedule.daily.map(|daily| daily.at.strftime("%H:%M").to_string()),
        is_for_others,
    };
    Ok(render(&reports, frame))
}

fn row(entry: &Entry, link: String) -> ReportRow {
    ReportRow {
        date: entry.date.to_string(),
        time_zone: entry.zone.clone(),
        made_at: entry.made_at,
        is_final: entry.is_final,
        address: format!("/reports/daily/{}", entry.id),
        link,
    }
}

/// A report's file: `<id>.json`, `<id>.ja.html` or `<id>.en.html`; with `download` it is to be saved.
pub(super) async fn download(
    app: &App,
    viewer: &Viewer,
    file: &str,
    params: &Params,
) -> Result<Option<Reply>, AppError> {
    if !report::is_for(app, viewer.role) {
        return Ok(Some(super::problem(viewer.language, StatusCode::FORBIDDEN, "")));
    }
    let Some((id, format)) = Format::of_file(file) else { return Ok(None) };
    let Some(body) = report::get(app, &viewer.tenant, id, format).await? else { return Ok(None) };
    let mut reply = file_reply(format, body);
    if params.get("download").is_some() {
        let name = file.replace('/', "_");
        let attachment = format!("attachment; filename=\"mihari-daily-{name}\"");
        reply
            .headers_mut()
            .insert(CONTENT_DISPOSITION, HeaderValue::from_str(&attachment).expect("an id is plain ASCII"));
    }
    Ok(Some(reply))
}

/// A report's file as an answer.
pub(super) fn file_reply(format: Format, body: Bytes) -> Reply {
    let content_type = match format {
        Format::Json => "application/json",
        Format::Html(_) => "text/html; charset=utf-8",
    };
    let mut reply = super::with_body(StatusCode::OK, content_type, body);
    let policy = HeaderValue::from_str(&policy()).expect("a policy is plain ASCII");
    reply.headers_mut().insert(HeaderName::from_static("content-security-policy"), policy);
    reply
}

/// A report's page may use the style that it carries, known by its hash, and nothing else. A report of an earlier
/// version of ours carries another style, and shows its figures without it.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(REPORT_STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use model::Language;

    use super::*;

    #[test]
    fn file_names_say_the_form() {
        let cases = [
            ("2026-11-21/UTC/final.json", Some(("2026-11-21/UTC/final", Format::Json))),
            ("2026-11-21/UTC/final.ja.html", Some(("2026-11-21/UTC/final", Format::Html(Language::Japanese)))),
            ("2026-11-21/UTC/final.en.html", Some(("2026-11-21/UTC/final", Format::Html(Language::English)))),
            ("2026-11-21/UTC/final.fr.html", None),
            ("2026-11-21/UTC/final.en-US.html", None),
            ("2026-11-21/UTC/final", None),
        ];
        for (file, expected) in cases {
            assert_eq!(Format::of_file(file), expected, "{file}");
        }
    }
}
