//! The texts of receivers: which fields are templates, and what becomes of them when a notification is built.
//!
//! Read [`Target::each_text`] first: the one list of fields. At load every one of them is read; at a notification every
//! one is expanded ([`Integration::expanded`]), and where that fails the message is that of the house.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{Integration, PagerDutyKey, Secret, SlackLook, SnsTarget, Target};
use crate::template::{Data, Library, Markup, Text};

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is read by people.
    Text,
    /// It is read by people, as HTML.
    Html,
    /// It says where the message goes: without it there is no delivery.
    Address,
    /// As `Address`, and it is secret.
    Secret,
}

/// Why a text of a receiver cannot be expanded. Names the field; never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// The field, as the file calls it.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.reason)
    }
}

impl TextError {
    fn new(field: &str, role: Role, reason: impl fmt::Display) -> Self {
        let reason = match role {
            // The reason repeats pieces of the text.
            Role::Secret => "the template in it is wrong".to_owned(),
            Role::Text | Role::Html | Role::Address => reason.to_string(),
        };
        Self { field: field.to_owned(), reason }
    }
}

/// A receiver with its texts filled in.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// Where to, and what to say; texts that are not there are those of the house.
    pub target: Target,
    /// Why the message is that of the house although the receiver has texts of its own.
    pub problem: Option<TextError>,
}

impl Integration {
    /// Fills in the texts of the receiver for a notification. When one of them fails, the receiver's own texts are
    /// dropped, so that the house's message goes out in their place.
    ///
    /// # Errors
    /// When a text fails without which nobody knows where to deliver.
    pub fn expanded(&self, library: &Library, data: &Data) -> Result<Expanded, TextError> {
        let mut target = self.target.clone();
        target.fill_up();
        let mut problem = None;
        target.each_text(&mut |field, role, text| match expand(text, role, library, data) {
            Ok(expanded) => {
                *text = expanded;
                Ok(())
            }
            Err(reason) if matches!(role, Role::Address | Role::Secret) => Err(TextError::new(field, role, reason)),
            Err(reason) => {
                problem.get_or_insert_with(|| TextError::new(field, role, reason));
                Ok(())
            }
        })?;
        target.split_recipients();
        match problem {
            None => target.give_types(),
            Some(_) => target.drop_texts(),
        }
        Ok(Expanded { target, problem })
    }
}

fn expand(text: &str, role: Role, library: &Library, data: &Data) -> Result<String, String> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let markup = if role == Role::Html { Markup::Html } else { Markup::Text };
    let template = Text::parse(text).map_err(|error| error.to_string())?;
    template.expand(library, data, markup).map_err(|error| error.to_string())
}

/// What looks at a field: its name, what it is for, and its text.
type Visit<'a, E> = &'a mut dyn FnMut(&str, Role, &mut String) -> Result<(), E>;

impl Target {
    /// Reads every text as a template.
    ///
    /// # Errors
    /// The first that is none.
    pub(super) fn check_texts(&self) -> Result<(), TextError> {
        self.clone().each_text(&mut |field, role, text| match Text::parse(text) {
            Err(error) => Err(TextError::new(field, role, error)),
            Ok(_) => Ok(()),
        })
    }

    /// The first text that calls a template that nobody defines: its field, and the template's name.
    pub(super) fn missing_template(&self, library: &Library) -> Option<(String, String)> {
        let missing = |field: &str, _: Role, text: &mut String| {
            let text = Text::parse(text).ok();
            match text.and_then(|text| library.missing_for(&text)) {
                Some(name) => Err((field.to_owned(), name)),
                None => Ok(()),
            }
        };
        self.clone().each_text(&mut { missing }).err()
    }

    /// Shows every field that is a template, under the name that the file gives it.
    fn each_text<E>(&mut self, visit: Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::Slack(slack) => {
                visit("channel", Role::Address, &mut slack.channel)?;
                slack.look.each_text(visit)
            }
            Self::Email(mail) => {
                visit("from", Role::Address, &mut mail.from)?;
                mail.to.iter_mut().try_for_each(|to| visit("to", Role::Address, to))?;
                for (name, value) in &mut mail.headers {
                    visit(&format!("headers.{name}"), Role::Text, value)?;
                }
                option("html", Role::Html, &mut mail.html, visit)?;
                option("text", Role::Text, &mut mail.text, visit)
            }
            Self::Webhook(hook) => {
                secret("url", &mut hook.url, visit)?;
                hook.payload.as_mut().map_or(Ok(()), |payload| each_value("payload", payload, visit))
            }
            Self::Sns(sns) => {
                match &mut sns.to {
                    SnsTarget::Phone(number) => visit("phone_number", Role::Secret, number)?,
                    SnsTarget::Topic(arn) => visit("topic_arn", Role::Address, arn)?,
                    SnsTarget::Device(arn) => visit("target_arn", Role::Address, arn)?,
                }
                option("subject", Role::Text, &mut sns.subject, visit)?;
                option("message", Role::Text, &mut sns.message, visit)?;
                each_named("attributes", &mut sns.attributes, visit)
            }
            Self::PagerDuty(service) => {
                let (PagerDutyKey::Routing(key) | PagerDutyKey::Service(key)) = &mut service.key;
                secret("routing_key", key, visit)?;
                each_of(&mut service.texts, visit)?;
                for (name, value) in &mut service.details {
                    each_value(&format!("details.{name}"), value, visit)?;
                }
                service.images.iter_mut().try_for_each(|image| each_named("images", image, visit))?;
                service.links.iter_mut().try_for_each(|link| each_named("links", link, visit))
            }
            Self::Opsgenie(service) => {
                secret("api_key", &mut service.key, visit)?;
                each_of(&mut service.texts, visit)?;
                each_named("details", &mut service.details, visit)?;
                service.responders.iter_mut().try_for_each(|one| each_named("responders", one, visit))
            }
            Self::Teams(service) => {
                option("title", Role::Text, &mut service.title, visit)?;
                option("summary", Role::Text, &mut service.summary, visit)?;
                option("text", Role::Text, &mut service.text, visit)
            }
            Self::Discord(service) => each_of(&mut service.texts, visit),
            Self::Telegram(service) => {
                let role = if service.parse_mode == "HTML" { Role::Html } else { Role::Text };
                option("message", role, &mut service.message, visit)
            }
            Self::Undelivered(_) => Ok(()),
        }
    }

    /// What Alertmanager says in fields that are not given, where the receiver says something itself: its texts fit
    /// those, not the house's.
    fn fill_up(&mut self) {
        const LOOK: [(&str, &str); 10] = [
            ("callback_id", "slack.default.callbackid"),
            ("color", "slack.default.color"),
            ("fallback", "slack.default.fallback"),
            ("footer", "slack.default.footer"),
            ("icon_emoji", "slack.default.iconemoji"),
            ("icon_url", "slack.default.iconurl"),
            ("pretext", "slack.default.pretext"),
            ("text", "slack.default.text"),
            ("title", "slack.default.title"),
            ("title_link", "slack.default.titlelink"),
        ];
        if let Self::Slack(slack) = self
            && slack.look.says_something()
        {
            for (field, template) in LOOK {
                slack.look.texts.entry(field).or_insert_with(|| format!("{{{{ template \"{template}\" . }}}}"));
            }
        }
    }

    /// Recipients with commas between them that came out of one template.
    fn split_recipients(&mut self) {
        if let Self::Email(mail) = self {
            let all = mail.to.iter().flat_map(|to| to.split(',')).map(|to| to.trim().to_owned());
            mail.to = all.filter(|to| !to.is_empty()).collect();
        }
    }

    /// Values that expanded to a number, a list or a mapping are that, and no text.
    fn give_types(&mut self) {
        match self {
            Self::Webhook(hook) => hook.payload.iter_mut().for_each(typed),
            Self::PagerDuty(service) => service.details.values_mut().for_each(typed),
            Self::Slack(_)
            | Self::Email(_)
            | Self::Sns(_)
            | Self::Opsgenie(_)
            | Self::Teams(_)
            | Self::Discord(_)
            | Self::Telegram(_)
            | Self::Undelivered(_) => {}
        }
    }

    /// Forgets what the receiver says itself, but for where it goes.
    fn drop_texts(&mut self) {
        match self {
            Self::Slack(slack) => slack.look = SlackLook::default(),
            Self::Email(mail) => {
                mail.headers.retain(|name, value| name == "Content-Language" && !value.contains("{{"));
                (mail.html, mail.text) = (None, None);
            }
            Self::Webhook(hook) => hook.payload = None,
            Self::Sns(sns) => {
                (sns.subject, sns.message) = (None, None);
                sns.attributes.clear();
            }
            Self::PagerDuty(service) => {
                service.texts.clear();
                service.details.clear();
                service.images.clear();
                service.links.clear();
            }
            Self::Opsgenie(service) => {
                service.texts.clear();
                service.details.clear();
                service.responders.retain(|one| !one.values().any(|text| text.contains("{{")));
            }
            Self::Teams(service) => (service.title, service.summary, service.text) = (None, None, None),
            Self::Discord(service) => service.texts.clear(),
            Self::Telegram(service) => service.message = None,
            Self::Undelivered(_) => {}
        }
    }
}

impl SlackLook {
    /// Whether it says what the message is, and not only what it looks like.
    pub fn says_something(&self) -> bool {
        const SAYING: [&str; 8] =
            ["fallback", "footer", "image_url", "pretext", "text", "thumb_url", "title", "title_link"];
        let has_text = SAYING.iter().any(|name| self.texts.contains_key(name));
        has_text || self.message_text.is_some() || !self.fields.is_empty() || !self.actions.is_empty()
    }

    fn each_text<E>(&mut self, visit: Visit<'_, E>) -> Result<(), E> {
        each_of(&mut self.texts, visit)?;
        option("message_text", Role::Text, &mut self.message_text, visit)?;
        for field in &mut self.fields {
            visit("fields.title", Role::Text, &mut field.title)?;
            visit("fields.value", Role::Text, &mut field.value)?;
        }
        self.actions.iter_mut().try_for_each(|action| each_value("actions", action, visit))
    }
}

fn option<E>(name: &str, role: Role, text: &mut Option<String>, visit: Visit<'_, E>) -> Result<(), E> {
    text.as_mut().map_or(Ok(()), |text| visit(name, role, text))
}

/// A secret that stands in the file; one that is kept elsewhere is taken as it is.
fn secret<E>(name: &str, secret: &mut Secret, visit: Visit<'_, E>) -> Result<(), E> {
    match secret {
        Secret::Inline(text) => visit(name, Role::Secret, text),
        Secret::File(_) => Ok(()),
    }
}

fn each_of<E>(texts: &mut BTreeMap<&'static str, String>, visit: Visit<'_, E>) -> Result<(), E> {
    texts.iter_mut().try_for_each(|(name, text)| visit(name, Role::Text, text))
}

fn each_named<E>(field: &str, texts: &mut BTreeMap<String, String>, visit: Visit<'_, E>) -> Result<(), E> {
    texts.iter_mut().try_for_each(|(name, text)| visit(&format!("{field}.{name}"), Role::Text, text))
}

fn each_value<E>(field: &str, value: &mut Value, visit: Visit<'_, E>) -> Result<(), E> {
    match value {
        Value::String(text) => visit(field, Role::Text, text),
        Value::Array(items) => items.iter_mut().try_for_each(|item| each_value(field, item, visit)),
        Value::Object(fields) => {
            fields.iter_mut().try_for_each(|(name, value)| each_value(&format!("{field}.{name}"), value, visit))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// A text that is YAML of anything but a text becomes that, as in Alertmanager.
fn typed(value: &mut Value) {
    match value {
        Value::String(text) => {
            let read = serde_saphyr::from_str::<Value>(text).ok();
            if let Some(mut other) = read.filter(|other| !other.is_string()) {
                other.as_array_mut().into_iter().flatten().for_each(typed);
                *value = other;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(typed),
        Value::Object(fields) => fields.values_mut().for_each(typed),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
