//! An Alertmanager configuration file, checked and with everything inherited filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use model::{Labels, Language, Matcher, matches_all};

use super::mute::InhibitRule;
use crate::ConfigError;

mod not_yet;
mod read;

/// Reads an Alertmanager configuration file.
///
/// The file is real Alertmanager YAML, read strictly. Beyond Alertmanager it knows three things, all of which
/// Alertmanager accepts and takes for ordinary names: the mail server `outbox.invalid:25` (or none at all) stands for
/// the outbox folder, the language of a recipient (see [`Integration::language`]), and a file named `ssm:/name` (see
/// [`Secret::File`]).
///
/// # Errors
/// When it is no YAML, has an unknown field, asks for something that is not supported yet, or contradicts itself.
pub fn parse(file: &str, yaml: &str) -> Result<Config, ConfigError> {
    read::config(file, yaml)
}

/// Whether a text looks like a mail address: `local@domain` or `Name <local@domain>`.
pub fn is_mailbox(text: &str) -> bool {
    read::is_mailbox(text)
}

/// Whom to notify of which alerts, and when: a whole Alertmanager configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// After how long an alert counts as ended whose sender did not say when it ends.
    pub resolve_timeout: Duration,
    /// The routing tree.
    pub route: Route,
    /// The receivers by name; every route's receiver is among them.
    pub receivers: BTreeMap<String, Receiver>,
    /// Which alerts mute which others.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Who mails are from that no receiver sends, such as those with reports; `None` when `global` names nobody.
    pub mail_sender: Option<MailSender>,
}

/// Who mails are from, and by which server: `smtp_from` and `smtp_smarthost` of `global`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSender {
    /// The sender.
    pub from: String,
    /// The server, `host:port`; the outbox folder when there is none.
    pub smarthost: Option<String>,
}

impl Config {
    /// The routes that an alert is led to: depth first, the children of a node in order until the first one that
    /// matches and does not continue; the node itself where no child matches.
    pub fn routes_of(&self, labels: &Labels) -> Vec<&Route> {
        let mut found = Vec::new();
        self.route.lead(labels, &mut found);
        found
    }

    /// The route with this key that leads to this receiver.
    pub fn route(&self, key: &str, receiver: &str) -> Option<&Route> {
        self.route.find(key, receiver)
    }
}

/// A node of the routing tree, with what it inherits filled in.
#[derive(Clone, Debug)]
pub struct Route {
    /// The matchers from the root to here, as they stand in group keys: `{}/{severity="critical"}`.
    pub key: String,
    /// What an alert must fulfil to get here from the parent.
    pub matchers: Vec<Matcher>,
    /// Whether the nodes after it see the alert, too.
    pub goes_on: bool,
    /// Who is notified.
    pub receiver: String,
    /// Which labels make a group.
    pub group_by: GroupBy,
    /// How long a new group collects alerts before its first notification.
    pub group_wait: Duration,
    /// How long after a notification the group looks again.
    pub group_interval: Duration,
    /// After how long an unchanged group is notified again, at the next group interval.
    pub repeat_interval: Duration,
    /// The nodes below.
    pub routes: Vec<Route>,
}

impl Route {
    /// The labels of the group that an alert belongs to on this route.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.with_only(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        }
    }

    /// Collects the routes for an alert; says whether it matched here.
    fn lead<'a>(&'a self, labels: &Labels, found: &mut Vec<&'a Self>) -> bool {
        if !matches_all(&self.matchers, labels.as_ref()) {
            return false;
        }
        let before = found.len();
        for child in &self.routes {
            if child.lead(labels, found) && !child.goes_on {
                break;
            }
        }
        if found.len() == before {
            found.push(self);
        }
        true
    }

    fn find(&self, key: &str, receiver: &str) -> Option<&Self> {
        if self.key == key && self.receiver == receiver {
            return Some(self);
        }
        self.routes.iter().find_map(|child| child.find(key, receiver))
    }
}

/// Which labels make a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// All of them (`...`): every alert is a group of its own.
    All,
    /// Alerts with equal values of these are one group.
    Labels(BTreeSet<String>),
}

/// A named destination.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// The ways to it; each is notified and logged for itself.
    pub integrations: Vec<Integration>,
}

/// One way to a receiver.
#[derive(Clone, Debug)]
pub struct Integration {
    /// What it is and its place among its kind in the receiver: `slack/0`.
    pub key: String,
    /// Whether it is told when alerts end.
    pub send_resolved: bool,
    /// The language its recipient reads; `None` where the file does not say.
    ///
    /// A receiver whose name ends in `.ja` or `.en` says it for all its integrations; the header `Content-Language` of
    /// a mail says it for that mail.
    pub language: Option<Language>,
    /// Where to.
    pub target: Target,
}

/// Where an integration leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An incoming webhook of Slack.
    Slack(Slack),
    /// A mail.
    Email(Email),
    /// A generic webhook.
    Webhook(Webhook),
    /// Amazon SNS: a telephone or a topic.
    Sns(Sns),
}

/// An incoming webhook of Slack, or of what understands the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slack {
    /// Where to post.
    pub url: Secret,
    /// The channel to name in the message; the webhook's own when empty.
    pub channel: String,
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The sender.
    pub from: String,
    /// The mailboxes.
    pub to: Vec<String>,
    /// The server, `host:port`; the outbox folder when there is none.
    pub smarthost: Option<String>,
}

/// A generic webhook, which gets Alertmanager's JSON of version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to post.
    pub url: Secret,
    /// Most alerts in a message; 0 for all.
    pub max_alerts: usize,
}

/// What Amazon SNS delivers to. Region and rights are those of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sns {
    /// A telephone, by text message: its number in the form of E.164, such as `+819012345678`.
    Phone(String),
    /// A topic by its ARN, whose subscribers decide what becomes of the message.
    Topic(String),
}

/// A text that must not be shown, such as a webhook's URL, or where to find it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself, as it stands in the configuration.
    Inline(String),
    /// The name of what holds it, from a field that ends in `_file`: a file's path, or on AWS `ssm:` and the name of a
    /// parameter. It is read at each delivery.
    File(String),
}

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Inline(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("<secret>"),
            Self::File(name) => write!(f, "<secret in {name}>"),
        }
    }
}

#[cfg(test)]
mod tests;
