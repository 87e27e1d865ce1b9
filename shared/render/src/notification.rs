//! What people read when they are told of alerts: Slack messages, mails, text messages, webhook bodies.
//!
//! Read [`Message`] first (what happened), then [`Writer`] (who reads, in which words), then one of [`Writer::slack`],
//! [`Writer::mail`], [`Writer::sms`] and [`webhook()`].
//!
//! Invariants:
//! - The severity is always a word; colour comes on top of it.
//! - Every time is in the reader's zone with its offset printed, but for webhooks, which are read by machines.
//! - A long group is cut to a list with a count; nothing is left out without saying so.

mod mail;
mod slack;
mod template;
mod text;
mod webhook;
mod words;

use std::collections::BTreeMap;

use model::{Labels, Language, Timestamp};

use crate::Zone;
pub use mail::Mail;
pub use template::{Form, Template, TemplateError, Templates};
pub use webhook::webhook;

/// One notification: some alerts of a group, to one receiver.
#[derive(Clone, Debug)]
pub struct Message {
    /// The receiver's name.
    pub receiver: String,
    /// The group's key, as Alertmanager prints it.
    pub group_key: String,
    /// The labels that make the group.
    pub group_labels: Labels,
    /// Why it is sent, in Alertmanager's words: `first notification`.
    pub reason: String,
    /// Where the pages are, without a slash at the end.
    pub external_url: String,
    /// Where whoever reads it answers: a link for this reader alone.
    pub answer_url: Option<String>,
    /// What the alerts look like over time, as SVG, for who can show it.
    pub picture: Option<String>,
    /// What buttons in Slack say it is about; without it there are none.
    pub buttons: Option<String>,
    /// The alerts, those that fire first, each part in the order in which it is shown.
    pub alerts: Vec<Item>,
}

/// One alert of a [`Message`].
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is about, with `alertname`.
    pub labels: Labels,
    /// Text for people.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires, or fired.
    pub starts_at: Timestamp,
    /// When it ended; `None` while it fires.
    pub ended_at: Option<Timestamp>,
    /// Where a person can look at the expression; may be empty.
    pub generator_url: String,
    /// Its identity, in hexadecimal.
    pub fingerprint: String,
    /// What those on call are told of it, beyond that it fires.
    pub stage: Option<Stage>,
}

/// What has become of an alert among those on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody answered in time, or somebody handed it on.
    Escalated,
    /// Somebody takes it on.
    Acknowledged {
        /// Who.
        by: String,
    },
}

/// What a message or an alert of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Respond within 15 minutes.
    Critical,
    /// Respond within an hour.
    Warning,
    /// Worth knowing.
    Info,
    /// It is over.
    Resolved,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Warning, Self::Info, Self::Resolved];

    /// Its colour, for what has no style sheet.
    const fn colour(self) -> &'static str {
        match self {
            Self::Critical => "#b3261e",
            Self::Warning => "#9a5b00",
            Self::Info => "#1f5fa8",
            Self::Resolved => "#1d7044",
        }
    }
}

impl Item {
    /// What the alert is: over, or as severe as its label says; an unknown severity is informative.
    pub fn kind(&self) -> Kind {
        match (self.ended_at, self.labels.get("severity")) {
            (Some(_), _) => Kind::Resolved,
            (None, Some("critical")) => Kind::Critical,
            (None, Some("warning")) => Kind::Warning,
            (None, Some(_) | None) => Kind::Info,
        }
    }

    /// The template that it is told with.
    pub(crate) fn form(&self) -> Form {
        match &self.stage {
            Some(Stage::Escalated) if self.ended_at.is_none() => Form::Escalated,
            Some(Stage::Acknowledged { .. }) if self.ended_at.is_none() => Form::Acknowledged,
            Some(_) | None => Form::Alert(self.kind()),
        }
    }

    /// An annotation in a language: `description_en` before `description`, for every language alike.
    fn annotation(&self, name: &str, language: Language) -> Option<&str> {
        let own = self.annotations.get(&format!("{name}_{}", language.tag()));
        own.or_else(|| self.annotations.get(name)).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("")
    }
}

impl Message {
    /// What the message is: the worst of its alerts.
    pub fn kind(&self) -> Kind {
        self.alerts.iter().map(Item::kind).min().unwrap_or(Kind::Info)
    }

    /// The template of its subject: that of the worst of its alerts.
    fn form(&self) -> Form {
        let worst = self.alerts.iter().min_by_key(|alert| alert.kind());
        worst.map_or(Form::Alert(Kind::Info), Item::form)
    }

    fn firing_count(&self) -> usize {
        self.alerts.iter().filter(|alert| alert.ended_at.is_none()).count()
    }
}

/// Writes messages for one reader.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    /// The texts.
    pub templates: &'a Templates,
    /// The language of the reader.
    pub language: Language,
    /// The zone of all times.
    pub zone: Zone,
}

impl Writer<'_> {
    /// The subject of a message: `[CRITICAL] cpu_usage`, in one line.
    fn subject(&self, message: &Message) -> String {
        let mut names: Vec<&str> = Vec::new();
        for alert in &message.alerts {
            if !names.contains(&alert.name()) {
                names.push(alert.name());
            }
        }
        let first = names.first().copied().unwrap_or("");
        let name = match names.len() {
            0 | 1 => first.to_owned(),
            count => format!("{first} {}", words::more(self.language, count - 1)),
        };
        let subject = self.templates.of(message.form(), self.language).subject(&name);
        subject.replace(|c: char| c.is_control(), " ")
    }

    /// The lines of one alert, those of the template and the rule's summary: what stands before the colon, and the
    /// value.
    fn lines(&self, alert: &Item) -> Vec<(String, String)> {
        let template = self.templates.of(alert.form(), self.language);
        let mut lines = template.lines(|placeholder| self.value(alert, placeholder));
        let summary = alert.annotation("summary", self.language);
        if let Some(summary) = summary.filter(|_| alert.annotation("description", self.language).is_some()) {
            lines.push((words::summary(self.language).to_owned(), summary.to_owned()));
        }
        lines
    }

    fn value(&self, alert: &Item, placeholder: template::Placeholder) -> String {
        use template::Placeholder;
        let text = |value: Option<&str>| value.unwrap_or(words::not_given(self.language)).to_owned();
        let annotation = |name: &str| alert.annotation(name, self.language);
        match placeholder {
            Placeholder::AlertName => alert.name().to_owned(),
            Placeholder::Severity => text(alert.labels.get("severity")),
            Placeholder::Timestamp => self.time(alert.starts_at),
            Placeholder::ResolvedAt => text(alert.ended_at.map(|time| self.time(time)).as_deref()),
            Placeholder::Description => text(annotation("description").or_else(|| annotation("summary"))),
            Placeholder::Impact => text(annotation("impact")),
            Placeholder::Action => text(annotation("action")),
            Placeholder::AcknowledgedBy => match &alert.stage {
                Some(Stage::Acknowledged { by }) => by.clone(),
                Some(Stage::Escalated) | None => text(None),
            },
        }
    }

    /// `2026-11-22 13:05:30 UTC+09:00`.
    fn time(&self, time: Timestamp) -> String {
        format!("{} {}", self.zone.date_time(time), self.zone.offset(time))
    }

    /// How many fire and how many ended: `発生中 2件、解決 1件`.
    fn counts(&self, message: &Message) -> String {
        let firing = message.firing_count();
        words::counts(self.language, firing, message.alerts.len() - firing)
    }
}

/// The labels that say which of the alerts of one name it is: all but name and severity, which stand above.
fn distinguishing(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().filter(|(name, _)| !matches!(*name, "alertname" | "severity"))
}

/// A text of at most so many characters; what is cut off is replaced by an ellipsis.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
