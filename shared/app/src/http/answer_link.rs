//! `/a/<token>`: a page at which one person answers for the alerts that a mail or text message was about.
//!
//! Looking does nothing, so that whatever opens links by itself answers nothing. The token is all that is needed, and it
//! acts once; since the page sends no referrer, a browser says no origin, and none is asked for.

use bytes::Bytes;
use http::header::REFERRER_POLICY;
use http::{HeaderValue, Method, Request, StatusCode};
use model::Timestamp;
use render::Text;
use render::page::message::AnswerAlert;

use super::alertmanager::uuid;
use super::{HttpError, Params, Reply, answers};
use crate::notify::links::{self, Link, LinkProblem};
use crate::notify::{self, Author};
use crate::{App, AppError, access, pages};

/// Shows what a link is about, or does what its form says.
pub(super) async fn handle(
    app: &App,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let token = request.uri().path().strip_prefix(links::PREFIX).unwrap_or("");
    let mut reply = if *request.method() == Method::POST {
        act(app, request, token, random, now).await?
    } else {
        match links::open(app, token, now).await? {
            Ok(link) => show(app, request, &link, now).await?,
            Err(problem) => refusal(app, request, problem),
        }
    };
    // The address is a key: whoever is linked to from the page must not learn it.
    reply.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(reply)
}

async fn show(app: &App, request: &Request<Bytes>, link: &Link, now: Timestamp) -> Result<Reply, AppError> {
    let wanted = link.alerts();
    let answered = notify::answered(app, &link.tenant()?, now).await?;
    let known = answered.iter().filter(|(alert, _)| wanted.contains(alert)).map(|(_, answered)| AnswerAlert {
        name: answered.labels.get("alertname").unwrap_or("").to_owned(),
        labels: answered.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        answered_by: answered.watched.answer.as_ref().map(|answer| answer.by.clone()),
    });
    Ok(pages::answer_form(app, request.headers(), request.uri().path(), known.collect()))
}

async fn act(
    app: &App,
    request: &Request<Bytes>,
    token: &str,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let params = Params::of(request);
    let answering = answers::read(params.get("action").unwrap_or(""), &params)?;
    let link = match links::take(app, token, answering.as_str(), now).await? {
        Ok(link) => link,
        Err(problem) => return Ok(refusal(app, request, problem)),
    };
    let new_id = uuid(&random);
    let author = Author { name: &link.person, comment: "", new_id: &new_id };
    let language = access::language(request.headers(), &app.settings);
    match notify::answer(app, &link.tenant()?, &link.alerts(), &answering, author, now).await {
        Ok(_) => Ok(pages::said(app, request.headers(), StatusCode::OK, Text::AnswerDone.in_language(language))),
        Err(AppError::NotFound(_)) => {
            Ok(pages::said(app, request.headers(), StatusCode::OK, Text::AnswerOver.in_language(language)))
        }
        Err(error) => Err(error.into()),
    }
}

fn refusal(app: &App, request: &Request<Bytes>, problem: LinkProblem) -> Reply {
    let language = access::language(request.headers(), &app.settings);
    let text = match problem {
        LinkProblem::Altered => Text::LinkAltered,
        LinkProblem::Expired => Text::LinkExpired,
        LinkProblem::Used => Text::LinkUsed,
    };
    pages::error(app, request.headers(), StatusCode::FORBIDDEN, text.in_language(language))
}
