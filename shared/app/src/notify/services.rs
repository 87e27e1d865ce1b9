//! What is said to PagerDuty, Opsgenie, Microsoft Teams, Discord, Telegram and Slack.
//!
//! Each function is pure: a service with its secrets revealed and its texts expanded, and a message in; one request out.
//! The texts are those of the house; a text of the receiver's own takes their place.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alerting::notify::{Discord, Opsgenie, PagerDuty, PagerDutyKey, Teams, Telegram};
use render::notification::{Kind, Message, Stage, Writer, webhook};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

mod slack;

pub(super) use slack::slack;

/// Most bytes of an event that PagerDuty takes; above that the details are left out.
const PAGERDUTY_BYTES_MAX: usize = 512_000;
const PAGERDUTY_SUMMARY_CHARS_MAX: usize = 1024;
const OPSGENIE_MESSAGE_CHARS_MAX: usize = 130;
const OPSGENIE_USER_CHARS_MAX: usize = 100;
const OPSGENIE_DESCRIPTION_CHARS_MAX: usize = 15_000;
const TEAMS_TEXT_CHARS_MAX: usize = 20_000;
const DISCORD_TITLE_CHARS_MAX: usize = 256;
const DISCORD_TEXT_CHARS_MAX: usize = 2048;
const TELEGRAM_TEXT_CHARS_MAX: usize = 4096;

/// One POST of JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Where to; may hold a secret.
    pub(super) url: String,
    /// Headers beside those that every request has.
    pub(super) headers: Vec<(String, String)>,
    /// The document; may hold a secret.
    pub(super) body: Value,
}

impl Call {
    const fn new(url: String, body: Value) -> Self {
        Self { url, headers: Vec::new(), body }
    }
}

/// A message with what every service needs of it.
pub(super) struct Said<'a> {
    message: &'a Message,
    pub(super) subject: String,
    text: String,
    /// The document of a generic webhook, of which services take parts.
    whole: Value,
}

impl<'a> Said<'a> {
    pub(super) fn of(message: &'a Message, writer: &Writer<'_>) -> Self {
        let (subject, text) = writer.topic(message);
        let whole = serde_json::from_str(&webhook(message, 0)).expect("a webhook's body is JSON");
        Self { message, subject, text, whole }
    }

    fn has_ended(&self) -> bool {
        self.message.kind() == Kind::Resolved
    }

    /// Who has taken it on, where that is what is told.
    fn acknowledged_by(&self) -> Option<&str> {
        self.message.alerts.iter().find_map(|alert| match &alert.stage {
            Some(Stage::Acknowledged { by }) if alert.ended_at.is_none() => Some(by.as_str()),
            _ => None,
        })
    }

    fn alerts(&self, status: &str) -> Vec<&Value> {
        self.whole["alerts"].as_array().into_iter().flatten().filter(|alert| alert["status"] == status).collect()
    }

    /// One name for all that is said about the group: a hash of its key, as upstream makes it.
    fn group(&self) -> String {
        let hash = Sha256::digest(self.message.group_key.as_bytes());
        hash.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a text cannot fail");
            text
        })
    }

    fn severity(&self) -> &'static str {
        match self.message.kind() {
            Kind::Critical => "critical",
            Kind::Warning => "warning",
            Kind::Info | Kind::Resolved => "info",
        }
    }
}

/// A text of the receiver's own.
fn own<'a>(texts: &'a BTreeMap<&'static str, String>, name: &str) -> Option<&'a str> {
    texts.get(name).map(String::as_str)
}

/// A text of at most so many characters; what is cut off is replaced by an ellipsis.
fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// Puts a text into a document unless it is empty.
fn put(document: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        document.insert(name.to_owned(), text.into());
    }
}

/// An event of PagerDuty: version 2 with a routing key, version 1 with a service key.
pub(super) fn pagerduty(service: &PagerDuty, key: &str, said: &Said<'_>) -> Call {
    let client = own(&service.texts, "client").unwrap_or("Mihari");
    let client_url = own(&service.texts, "client_url").unwrap_or(&said.message.external_url);
    let summary = cut(own(&service.texts, "description").unwrap_or(&said.subject), PAGERDUTY_SUMMARY_CHARS_MAX);
    let action = match said.acknowledged_by() {
        _ if said.has_ended() => "resolve",
        Some(_) => "acknowledge",
        None => "trigger",
    };
    let (firing, resolved) = (said.alerts("firing"), said.alerts("resolved"));
    let mut details = json!({
        "firing": firing,
        "resolved": resolved,
        "num_firing": firing.len().to_string(),
        "num_resolved": resolved.len().to_string(),
    });
    for (name, value) in &service.details {
        details[name] = value.clone();
    }
    let mut body = match &service.key {
        PagerDutyKey::Service(_) => json!({
            "service_key": key,
            "event_type": action,
            "incident_key": said.group(),
            "description": summary,
            "client": client,
            "client_url": client_url,
        }),
        PagerDutyKey::Routing(_) => {
            let source = own(&service.texts, "source").unwrap_or(client);
            let severity = own(&service.texts, "severity").unwrap_or_else(|| said.severity());
            let mut payload = Map::new();
            payload.insert("summary".to_owned(), summary.into());
            put(&mut payload, "source", Some(source));
            put(&mut payload, "severity", Some(severity));
            for name in ["class", "component", "group"] {
                put(&mut payload, name, own(&service.texts, name));
            }
            json!({
                "routing_key": key,
                "event_action": action,
                "dedup_key": said.group(),
                "client": client,
                "client_url": client_url,
                "payload": payload,
                "images": service.images,
                "links": service.links,
            })
        }
    };
    with_details(&mut body, details);
    Call::new(service.url.clone(), body)
}

/// Puts the details where they belong; a note in their place where the event would be too large.
fn with_details(body: &mut Value, details: Value) {
    let room = PAGERDUTY_BYTES_MAX.saturating_sub(body.to_string().len());
    let too_large = details.to_string().len() + 32 > room;
    let note = || json!({ "error": "the details are left out: with them the event is over the limit of 512 KB" });
    let details = if too_large { note() } else { details };
    if body.get("payload").is_some() {
        body["payload"]["custom_details"] = details;
    } else {
        body["details"] = details;
    }
}

/// An alert of Opsgenie, that somebody takes it on, or its end.
pub(super) fn opsgenie(service: &Opsgenie, key: &str, said: &Said<'_>) -> Call {
    let alias = said.group();
    let source = own(&service.texts, "source").unwrap_or(&said.message.external_url);
    let authorization = vec![("Authorization".to_owned(), format!("GenieKey {key}"))];
    if said.has_ended() {
        let url = format!("{}v2/alerts/{alias}/close?identifierType=alias", service.url);
        return Call { url, headers: authorization, body: json!({ "source": source }) };
    }
    if let Some(by) = said.acknowledged_by() {
        let url = format!("{}v2/alerts/{alias}/acknowledge?identifierType=alias", service.url);
        let by = cut(by, OPSGENIE_USER_CHARS_MAX);
        return Call { url, headers: authorization, body: json!({ "source": source, "user": by }) };
    }
    let mut details = said.whole["commonLabels"].clone();
    for (name, value) in &service.details {
        details[name] = value.as_str().into();
    }
    let list = |name: &str| -> Vec<&str> {
        let items = own(&service.texts, name).unwrap_or("").split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).collect()
    };
    let message = own(&service.texts, "message").unwrap_or(&said.subject);
    let description = own(&service.texts, "description").unwrap_or(&said.text);
    let mut body = json!({
        "alias": alias,
        "message": cut(message, OPSGENIE_MESSAGE_CHARS_MAX),
        "description": cut(description, OPSGENIE_DESCRIPTION_CHARS_MAX),
        "details": details,
        "source": source,
    });
    let document = body.as_object_mut().expect("it was made as an object");
    for name in ["tags", "actions"] {
        if !list(name).is_empty() {
            document.insert(name.to_owned(), list(name).into());
        }
    }
    if !service.responders.is_empty() {
        document.insert("responders".to_owned(), json!(service.responders));
    }
    for name in ["note", "priority", "entity"] {
        put(document, name, own(&service.texts, name));
    }
    Call { url: format!("{}v2/alerts", service.url), headers: authorization, body }
}

/// A message of Microsoft Teams: an adaptive card for a workflow, a message card for an old connector.
pub(super) fn teams(service: &Teams, url: &str, said: &Said<'_>) -> Call {
    let title = service.title.as_deref().unwrap_or(&said.subject);
    let text = cut(service.text.as_deref().unwrap_or(&said.text), TEAMS_TEXT_CHARS_MAX);
    if !service.is_workflow {
        let summary = service.summary.as_deref().unwrap_or(title);
        let colour = if said.has_ended() { "1d7044" } else { "b3261e" };
        return Call::new(
            url.to_owned(),
            json!({
                "@context": "http://schema.org/extensions",
                "type": "MessageCard",
                "title": title,
                "summary": summary,
                "text": text,
                "themeColor": colour,
            }),
        );
    }
    let colour = if said.has_ended() { "Good" } else { "Attention" };
    let heading = json!({
        "type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true, "style": "heading",
        "color": colour,
    });
    Call::new(
        url.to_owned(),
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "msteams": { "width": "full" },
                    "body": [heading, { "type": "TextBlock", "text": text, "wrap": true }],
                },
            }],
        }),
    )
}

/// A message of Discord.
pub(super) fn discord(service: &Discord, url: &str, said: &Said<'_>) -> Call {
    let title = own(&service.texts, "title").unwrap_or(&said.subject);
    let text = own(&service.texts, "message").unwrap_or(&said.text);
    let colour = if said.has_ended() { 0x1d_70_44 } else { 0xb3_26_1e };
    let mut body = json!({
        "content": own(&service.texts, "content").unwrap_or(""),
        "embeds": [{
            "title": cut(title, DISCORD_TITLE_CHARS_MAX),
            "description": cut(text, DISCORD_TEXT_CHARS_MAX),
            "color": colour,
        }],
    });
    let document = body.as_object_mut().expect("it was made as an object");
    for name in ["username", "avatar_url"] {
        put(document, name, own(&service.texts, name));
    }
    Call::new(url.to_owned(), body)
}

/// A message of a bot of Telegram. The text of the house has no markup.
pub(super) fn telegram(service: &Telegram, token: &str, chat: &str, said: &Said<'_>) -> Call {
    let own = service.message.as_deref();
    let mut body = json!({
        "chat_id": chat.trim().parse::<i64>().map_or_else(|_| Value::from(chat.trim()), Value::from),
        "text": cut(own.unwrap_or(&format!("{}\n\n{}", said.subject, said.text)), TELEGRAM_TEXT_CHARS_MAX),
        "disable_notification": service.is_silent,
        "disable_web_page_preview": true,
    });
    let document = body.as_object_mut().expect("it was made as an object");
    if let Some(thread) = service.thread {
        document.insert("message_thread_id".to_owned(), thread.into());
    }
    put(document, "parse_mode", own.map(|_| service.parse_mode.as_str()));
    Call::new(format!("{}/bot{token}/sendMessage", service.url), body)
}

#[cfg(test)]
mod tests;
