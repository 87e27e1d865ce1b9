//! Pages without navigation: signing in, and what went wrong.

use maud::{Markup, html};
use model::Language;

use super::{document, mark};
use crate::Text;
use crate::i18n::{LANGUAGES, own_name};
use crate::state::State;

/// The page to sign in at.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// Where to go on after it: a path of ours.
    pub next: String,
    /// Whether a token was tried and refused.
    pub has_failed: bool,
}

/// What went wrong with a request for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// 400: the request is not valid.
    Invalid,
    /// 403: the reader may not see the page.
    Forbidden,
    /// 404: there is no such page.
    NotFound,
    /// 503: not now.
    Unavailable,
    /// 500: our mistake.
    Internal,
}

impl Problem {
    /// Its HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    const fn text(self) -> Text {
        match self {
            Self::Invalid => Text::ErrorInvalid,
            Self::Forbidden => Text::ErrorForbidden,
            Self::NotFound => Text::ErrorNotFound,
            Self::Unavailable => Text::ErrorUnavailable,
            Self::Internal => Text::ErrorInternal,
        }
    }
}

/// The whole login page; its form posts `token` and `next` to `/login`.
pub fn login(login: &Login, language: Language) -> String {
    let text = |key: Text| key.in_language(language);
    card(
        language,
        text(Text::Login),
        &html! {
            form.login method="post" action="/login" {
                @if login.has_failed {
                    p.is-critical #login-error role="alert" { (State::Failing.icon()) (text(Text::LoginFailed)) }
                }
                label for="token" { (text(Text::LoginToken)) }
                input #token type="password" name="token" required autofocus autocomplete="current-password"
                    aria-describedby="login-hint" aria-invalid=[login.has_failed.then_some("true")];
                p.soft #login-hint { (text(Text::LoginHint)) }
                input type="hidden" name="next" value=(login.next);
                button type="submit" { (text(Text::Login)) }
            }
            p.languages {
                @for other in LANGUAGES.into_iter().filter(|other| *other != language) {
                    a href={ "/login?lang=" (other.tag()) "&next=" (super::encoded(&login.next)) } lang=(other.tag()) hreflang=(other.tag()) {
                        (own_name(other))
                    }
                }
            }
        },
    )
}

/// An alert that somebody may answer at a link.
#[derive(Clone, Debug)]
pub struct AnswerAlert {
    /// The label `alertname`.
    pub name: String,
    /// All labels.
    pub labels: Vec<(String, String)>,
    /// Who answered already.
    pub answered_by: Option<String>,
}

/// The whole page at which a person answers; its form posts `action` to `path`.
pub fn answer(path: &str, alerts: &[AnswerAlert], language: Language) -> String {
    let text = |key: Text| key.in_language(language);
    let actions = [("ack", Text::AnswerAck), ("silence", Text::AnswerSilence), ("escalate", Text::AnswerEscalate)];
    card(
        language,
        text(Text::AnswerTitle),
        &html! {
            @if alerts.is_empty() {
                p { (text(Text::AnswerOver)) }
            } @else {
                ul { @for alert in alerts {
                    li {
                        b { (alert.name) } " " (super::label_tokens(&alert.labels))
                        @if let Some(by) = &alert.answered_by { p.soft { (Text::AnsweredBy.fill(language, &[by])) } }
                    }
                } }
                form.login method="post" action=(path) {
                    @for (action, label) in actions {
                        button type="submit" name="action" value=(action) { (text(label)) }
                    }
                }
                p.soft { (text(Text::AnswerOnce)) }
            }
        },
    )
}

/// The whole page that says that something was done.
pub fn said(words: &str, language: Language) -> String {
    card(language, Text::AnswerTitle.in_language(language), &html! { p.is-ok { (State::Ok.icon()) (words) } })
}

/// The whole page that says what went wrong; `detail` is for the reader and may be empty.
pub fn problem(problem: Problem, detail: &str, language: Language) -> String {
    let text = |key: Text| key.in_language(language);
    card(
        language,
        text(problem.text()),
        &html! {
            p.status-code { (problem.status()) }
            @if !detail.is_empty() { p { (detail) } }
            p { a href="/" { (text(Text::BackToOverview)) } }
        },
    )
}

fn card(language: Language, title: &str, content: &Markup) -> String {
    document(
        language,
        &format!("{title} · Mihari"),
        &html! {
            main.card {
                p.brand { (mark()) span { "Mihari" } }
                h1 { (title) }
                (content)
            }
        },
    )
}
