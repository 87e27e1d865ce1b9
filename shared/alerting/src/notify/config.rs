//! An Alertmanager configuration file, checked and with everything inherited filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use model::{Labels, Language, Matcher, Timestamp, matches_all};

use super::interval::TimeInterval;
use super::mute::InhibitRule;
use crate::ConfigError;
use crate::template::Library;

mod fields;
mod forward;
mod http;
mod original;
mod read;
mod receivers;
mod services;
mod template_files;
mod texts;

pub use template_files::TemplateFile;
pub use texts::{Expanded, TextError};

pub use forward::{Alertmanager, Forwarding};

/// Reads an Alertmanager configuration file.
///
/// The file is real Alertmanager YAML, read strictly. Beyond Alertmanager it knows three things, all of which
/// Alertmanager accepts and takes for ordinary names: the mail server `outbox.invalid:25` (or none at all) stands for
/// the outbox folder, the language of a recipient (see [`Integration::language`]), and a file named `ssm:/name` (see
/// [`Secret::File`]).
///
/// # Errors
/// When it is no YAML, has an unknown field, contradicts itself, or a template in it is broken.
pub fn parse(file: &str, yaml: &str) -> Result<Config, ConfigError> {
    parse_with(file, yaml, &[])
}

/// As [`parse`], with the files of templates that it may name.
///
/// # Errors
/// As [`parse`], and when a template in one of the files is broken, or a text calls one that nobody defines.
pub fn parse_with(file: &str, yaml: &str, templates: &[TemplateFile<'_>]) -> Result<Config, ConfigError> {
    read::config(file, yaml, templates)
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
    /// The calendars by name; those of every route are among them.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// The named templates that texts of receivers may call: those of the house and those of the files.
    pub library: Library,
    /// What the file asks for and does not get, one line each, with its place: it loads as in Alertmanager, and whoever
    /// wrote it must be told.
    pub unheeded: Vec<String>,
    /// The file as it may be shown: every secret replaced by `<secret>`.
    pub original: String,
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
    /// How to speak with the server.
    pub smtp: Smtp,
}

impl Config {
    /// The routes that an alert is led to: depth first, the children of a node in order until the first one that
    /// matches and does not continue; the node itself where no child matches.
    pub fn routes_of(&self, labels: &Labels) -> Vec<&Route> {
        let mut found = Vec::new();
        self.route.lead(labels, &mut found);
        found
    }

    /// The calendars by which a route says nothing at a moment: those that mute it, or else all of which none is active.
    pub fn intervals_muting(&self, route: &Route, now: Timestamp) -> Vec<String> {
        let holds = |name: &&String| {
            self.time_intervals.get(*name).is_some_and(|all| all.iter().any(|interval| interval.contains(now)))
        };
        let muting: Vec<String> = route.mute_time_intervals.iter().filter(holds).cloned().collect();
        let is_active =
            route.active_time_intervals.is_empty() || route.active_time_intervals.iter().any(|one| holds(&one));
        if muting.is_empty() && !is_active { route.active_time_intervals.clone() } else { muting }
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
    /// The calendars while which it says nothing. Not inherited.
    pub mute_time_intervals: Vec<String>,
    /// The calendars outside of which it says nothing; empty for always. Not inherited.
    pub active_time_intervals: Vec<String>,
    /// Labels of the route, which templates may show; their values are templates. Inherited one by one.
    pub labels: BTreeMap<String, String>,
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
    /// Labels to find it by; its `name` is among them.
    pub labels: BTreeMap<String, String>,
    /// The ways to it; each is notified and logged for itself.
    pub integrations: Vec<Integration>,
}

/// One way to a receiver.
#[derive(Clone, Debug, PartialEq)]
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

/// Where an integration leads. A field that is `None` was not given: the text of the house stands there then. Texts
/// may be templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Slack: an incoming webhook, or its web API.
    Slack(Box<Slack>),
    /// A mail.
    Email(Box<Email>),
    /// A generic webhook.
    Webhook(Webhook),
    /// Amazon SNS: a telephone or a topic.
    Sns(Sns),
    /// PagerDuty.
    PagerDuty(Box<PagerDuty>),
    /// Opsgenie.
    Opsgenie(Box<Opsgenie>),
    /// Microsoft Teams.
    Teams(Teams),
    /// Discord.
    Discord(Discord),
    /// Telegram.
    Telegram(Telegram),
    /// A service that Alertmanager's files may name and that is not delivered to.
    Undelivered(&'static str),
}

/// Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slack {
    /// Where to post.
    pub door: SlackDoor,
    /// The channel to name in the message; a webhook's own when empty.
    pub channel: String,
    /// What the message says, where the file says it.
    pub look: SlackLook,
    /// Whether a message that was sent is changed instead of followed by another one. Only through the web API.
    pub update: bool,
    /// How to ask.
    pub http: Http,
}

/// How messages get into Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackDoor {
    /// An incoming webhook, or what understands the same.
    Webhook(Secret),
    /// The web API with the token of an app.
    WebApi {
        /// `chat.postMessage` of the API.
        url: String,
        /// The token, unless the headers of [`Http`] bring it.
        token: Option<Secret>,
    },
}

/// What a message in Slack says, where the file says it: fields of an attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlackLook {
    /// Texts by their names in Slack's API, such as `title` and `text`.
    pub texts: BTreeMap<&'static str, String>,
    /// The text above the attachment.
    pub message_text: Option<String>,
    /// Short facts in two columns.
    pub fields: Vec<SlackField>,
    /// Buttons.
    pub actions: Vec<serde_json::Value>,
    /// Which texts are in Slack's markup.
    pub mrkdwn_in: Option<Vec<String>>,
    /// Whether names of people and channels become links.
    pub link_names: bool,
}

/// A short fact in a message of Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackField {
    /// What it is about.
    pub title: String,
    /// What it is.
    pub value: String,
    /// Whether two of them fit in a line.
    pub short: bool,
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
    /// How to speak with the server.
    pub smtp: Smtp,
    /// Further headers; a `Subject` takes the place of the house's.
    pub headers: BTreeMap<String, String>,
    /// The body in HTML; an empty text for none.
    pub html: Option<String>,
    /// The body in plain text; an empty text for none.
    pub text: Option<String>,
    /// Whether mails about a group are a thread.
    pub thread: Option<Thread>,
}

/// How to speak with a mail server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Smtp {
    /// The name to greet with; the sender's domain when there is none.
    pub hello: Option<String>,
    /// The name to log in with.
    pub username: Option<String>,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// Whether a server without TLS is refused; the host decides where the file does not say.
    pub require_tls: Option<bool>,
    /// Whether TLS is spoken from the first byte; the port decides where the file does not say.
    pub implicit_tls: Option<bool>,
    /// Whom to trust, and how to prove who asks.
    pub tls: Tls,
}

/// Whom to trust over TLS, and how to prove who asks: `tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of authorities to trust besides those that everybody does, in PEM.
    pub ca: Option<Secret>,
    /// The certificate to show, in PEM; it comes with its key.
    pub cert: Option<Secret>,
    /// The key of the certificate, in PEM.
    pub key: Option<Secret>,
    /// The name that the server's certificate must have; its own when there is none.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub skips_verification: bool,
    /// Whether nothing older than version 1.3 is spoken.
    pub only_1_3: bool,
}

/// Which mails are a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// All of a group.
    Group,
    /// Those of a group and a day.
    Day,
}

/// A generic webhook, which gets Alertmanager's JSON of version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to post.
    pub url: Secret,
    /// Most alerts in a message; 0 for all.
    pub max_alerts: usize,
    /// A document of its own instead: its texts are templates.
    pub payload: Option<serde_json::Value>,
    /// How to ask.
    pub http: Http,
}

/// What Amazon SNS delivers to. Region and rights are those of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sns {
    /// The destination.
    pub to: SnsTarget,
    /// The subject, for those who subscribe by mail.
    pub subject: Option<String>,
    /// The text.
    pub message: Option<String>,
    /// What subscribers filter by: texts beside the message.
    pub attributes: BTreeMap<String, String>,
}

/// A destination of Amazon SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnsTarget {
    /// A telephone, by text message: its number in the form of E.164, such as `+819012345678`.
    Phone(String),
    /// A topic by its ARN, whose subscribers decide what becomes of the message.
    Topic(String),
    /// A device of a mobile app by its ARN.
    Device(String),
}

/// PagerDuty, by version 2 of its events, or by version 1 with the key of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDuty {
    /// Where to post.
    pub url: String,
    /// The key.
    pub key: PagerDutyKey,
    /// Texts by their names in the file, such as `description` and `severity`.
    pub texts: BTreeMap<&'static str, String>,
    /// Details beside those that are always there.
    pub details: BTreeMap<String, serde_json::Value>,
    /// Pictures: `src`, `alt`, `href`.
    pub images: Vec<BTreeMap<String, String>>,
    /// Links: `href`, `text`.
    pub links: Vec<BTreeMap<String, String>>,
    /// How to ask.
    pub http: Http,
}

/// The key of a PagerDuty integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PagerDutyKey {
    /// Of version 2 of the events.
    Routing(Secret),
    /// Of version 1.
    Service(Secret),
}

/// Opsgenie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opsgenie {
    /// Where its API is, with a slash at the end.
    pub url: String,
    /// The key.
    pub key: Secret,
    /// Texts by their names in the file, such as `message` and `priority`.
    pub texts: BTreeMap<&'static str, String>,
    /// Details beside the common labels.
    pub details: BTreeMap<String, String>,
    /// Who responds: `id`, `name`, `username`, `type`.
    pub responders: Vec<BTreeMap<String, String>>,
    /// How to ask.
    pub http: Http,
}

/// Microsoft Teams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teams {
    /// Where to post.
    pub url: Secret,
    /// Whether it is a workflow, which takes adaptive cards; else an old connector.
    pub is_workflow: bool,
    /// The title.
    pub title: Option<String>,
    /// The summary.
    pub summary: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// How to ask.
    pub http: Http,
}

/// Discord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discord {
    /// Where to post.
    pub url: Secret,
    /// Texts by their names in the file, such as `title` and `message`.
    pub texts: BTreeMap<&'static str, String>,
    /// How to ask.
    pub http: Http,
}

/// Telegram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telegram {
    /// Where its API is, without a slash at the end.
    pub url: String,
    /// The token of the bot.
    pub token: Secret,
    /// The chat, or where its number is kept.
    pub chat: Secret,
    /// The topic of a group.
    pub thread: Option<i64>,
    /// The text.
    pub message: Option<String>,
    /// How the text is marked up: `HTML`, `Markdown`, `MarkdownV2`, or not at all when empty.
    pub parse_mode: String,
    /// Whether it comes without a sound.
    pub is_silent: bool,
    /// How to ask.
    pub http: Http,
}

/// How to ask an HTTP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// How to say who asks.
    pub authorization: Option<Authorization>,
    /// Further headers; a name may come more than once.
    pub headers: Vec<(String, Secret)>,
    /// How it is reached.
    pub connection: Connection,
}

/// How an HTTP server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whom to trust, and how to prove who asks.
    pub tls: Tls,
    /// The proxy that requests go through, `http://` or `https://`; its URL may hold a password.
    pub proxy: Option<Secret>,
    /// Whether an answer that asks for the same request elsewhere is a refusal.
    pub refuses_redirects: bool,
}

/// How to say who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// A name and a password.
    Basic {
        /// The name.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// What stands in the header: `Bearer` and the credentials.
    Scheme {
        /// The first word.
        scheme: String,
        /// The rest.
        credentials: Secret,
    },
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
