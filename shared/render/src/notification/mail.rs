//! A mail: a text part for every reader and an HTML part that a phone shows well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::slack::is_link;
use super::{Item, Message, Writer, cut, distinguishing, words};

/// Most alerts of a mail; the rest is counted.
const ALERTS_MAX: usize = 30;
/// Most characters of one value, so that no mail grows without end.
const VALUE_CHARS_MAX: usize = 2000;

const PAGE: &str = "margin:0;padding:16px;background:#f2f3f5;color:#1d2430;\
    font-family:-apple-system,'Segoe UI','Hiragino Sans','Noto Sans JP',Meiryo,sans-serif;font-size:16px;line-height:1.6";
const BOX: &str = "max-width:640px;margin:0 auto;background:#ffffff";
const INNER: &str = "padding:16px 20px";
const PICTURE: &str = "display:block;width:100%;max-width:640px;height:auto;margin:0 0 12px";
const CARD: &str = "width:100%;border-collapse:collapse;margin:16px 0;font-size:16px";
const NAME: &str = "text-align:left;vertical-align:top;padding:6px 12px 6px 0;width:6em;color:#4a5464;font-weight:normal;\
    border-top:1px solid #dde1e7";
const VALUE: &str = "text-align:left;vertical-align:top;padding:6px 0;border-top:1px solid #dde1e7;\
    overflow-wrap:anywhere;word-break:break-word";
const LINK: &str = "color:#1f5fa8";
const QUIET: &str = "color:#4a5464;font-size:14px";

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The subject line; never more than one line.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part, a whole document.
    pub html: String,
}

impl Writer<'_> {
    /// The mail for a message.
    pub fn mail(&self, message: &Message) -> Mail {
        let subject = self.subject(message);
        let html = self.mail_html(message, &subject).into_string();
        Mail { text: self.mail_text(message), html, subject }
    }

    pub(super) fn mail_text(&self, message: &Message) -> String {
        let mut parts: Vec<String> = Vec::new();
        if message.alerts.len() > 1 {
            parts.push(self.counts(message));
        }
        parts.extend(message.alerts.iter().take(ALERTS_MAX).map(|alert| self.mail_alert(alert)));
        if message.alerts.len() > ALERTS_MAX {
            parts.push(words::more(self.language, message.alerts.len() - ALERTS_MAX));
        }
        if let Some(link) = &message.answer_url {
            parts.push(format!("{}: {link}", words::answer(self.language)));
        }
        let reason = words::reason(self.language, &message.reason);
        parts.push(format!(
            "{}: {reason}\n{}: {}/alerts\n",
            words::why(self.language),
            words::all_alerts(self.language),
            message.external_url
        ));
        parts.join("\n\n")
    }

    fn mail_alert(&self, alert: &Item) -> String {
        let line = |(label, value): (String, String)| match label.is_empty() {
            true => value,
            false => format!("{label}: {}", cut(&value, VALUE_CHARS_MAX)),
        };
        let mut lines: Vec<String> = self.lines(alert).into_iter().map(line).collect();
        let labels: Vec<String> =
            distinguishing(&alert.labels).map(|(name, value)| format!("{name}={value}")).collect();
        if !labels.is_empty() {
            lines.push(format!("{}: {}", words::labels(self.language), labels.join(", ")));
        }
        lines.extend(self.mail_links(alert).into_iter().map(|(word, url)| format!("{word}: {url}")));
        lines.join("\n")
    }

    fn mail_links<'b>(&self, alert: &'b Item) -> Vec<(&'static str, &'b str)> {
        let runbook = alert.annotation("runbook_url", self.language);
        let links = [
            (words::graph(self.language), Some(alert.generator_url.as_str())),
            (words::runbook(self.language), runbook),
        ];
        links.into_iter().filter_map(|(word, url)| Some((word, url.filter(|url| is_link(url))?))).collect()
    }

    fn mail_html(&self, message: &Message, subject: &str) -> Markup {
        let colour = message.kind().colour();
        html! {
            (DOCTYPE)
            html lang=(self.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (subject) }
                }
                body style=(PAGE) {
                    div style=(BOX) {
                        h1 style={ "margin:0;padding:14px 20px;font-size:20px;color:#ffffff;background:" (colour) } { (subject) }
                        div style=(INNER) {
                            @if let Some(picture) = &message.picture {
                                img style=(PICTURE) alt=(subject) src={ "data:image/svg+xml;base64," (STANDARD.encode(picture)) };
                            }
                            @if message.alerts.len() > 1 { p style="margin:0" { (self.counts(message)) } }
                            @for alert in message.alerts.iter().take(ALERTS_MAX) { (self.mail_card(alert)) }
                            @if message.alerts.len() > ALERTS_MAX {
                                p { (words::more(self.language, message.alerts.len() - ALERTS_MAX)) }
                            }
                            @if let Some(link) = &message.answer_url {
                                p { a style=(LINK) href=(link) { (words::answer(self.language)) } }
                            }
                            p style=(QUIET) {
                                (words::why(self.language)) ": " (words::reason(self.language, &message.reason)) br;
                                a style=(LINK) href={ (message.external_url) "/alerts" } { (words::all_alerts(self.language)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn mail_card(&self, alert: &Item) -> Markup {
        let links = self.mail_links(alert);
        html! {
            table style=(CARD) {
                @for (label, value) in self.lines(alert) {
                    @if label.is_empty() {
                        tr { td style=(VALUE) colspan="2" { (multiline(&value)) } }
                    } @else {
                        tr { th style=(NAME) scope="row" { (label) } td style=(VALUE) { (multiline(&value)) } }
                    }
                }
                @for (name, value) in distinguishing(&alert.labels) {
                    tr { th style=(NAME) scope="row" { (name) } td style=(VALUE) { (multiline(value)) } }
                }
                @if !links.is_empty() {
                    tr {
                        td style=(VALUE) colspan="2" {
                            @for (index, (word, url)) in links.iter().enumerate() {
                                @if index > 0 { " · " }
                                a style=(LINK) href=(url) { (word) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A value with its line breaks kept.
fn multiline(text: &str) -> Markup {
    let text = cut(text, VALUE_CHARS_MAX);
    html! {
        @for (index, line) in text.lines().enumerate() {
            @if index > 0 { (PreEscaped("<br>")) }
            (line)
        }
    }
}
