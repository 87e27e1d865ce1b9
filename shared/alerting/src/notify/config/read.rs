//! From YAML to [`Config`]: the shape of the file first (`Raw…`, strict), then its meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Language, MatchOp, Matcher};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{Config, Email, GroupBy, Integration, Receiver, Route, Secret, Slack, Target, Webhook};
use crate::ConfigError;
use crate::notify::matchers::parse_matchers;
use crate::notify::mute::InhibitRule;

/// The mail server that stands for the outbox folder. `.invalid` is reserved: no such host can ever exist (RFC 2606).
const OUTBOX: &str = "outbox.invalid:25";

/// Fields that Alertmanager knows and we do not yet.
const NOT_YET: &[&str] = &[
    "active_time_intervals",
    "actions",
    "api_key",
    "api_key_file",
    "api_url_file",
    "app_token",
    "app_url",
    "auth_identity",
    "auth_password",
    "auth_password_file",
    "auth_secret",
    "auth_username",
    "callback_id",
    "color",
    "discord_configs",
    "fallback",
    "fields",
    "footer",
    "force_implicit_tls",
    "hello",
    "html",
    "http_config",
    "icon_emoji",
    "icon_url",
    "image_url",
    "incidentio_configs",
    "jira_api_url",
    "jira_configs",
    "labels",
    "link_names",
    "mattermost_configs",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "message_text",
    "mrkdwn_in",
    "msteams_configs",
    "msteamsv2_configs",
    "mute_time_intervals",
    "name_by",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "opsgenie_api_url",
    "opsgenie_configs",
    "pagerduty_configs",
    "pagerduty_url",
    "payload",
    "pretext",
    "pushover_configs",
    "require_tls",
    "rocketchat_api_url",
    "rocketchat_configs",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "short_fields",
    "slack_api_url_file",
    "slack_app_token",
    "slack_app_token_file",
    "slack_app_url",
    "smtp_auth_identity",
    "smtp_auth_password",
    "smtp_auth_password_file",
    "smtp_auth_secret",
    "smtp_auth_secret_file",
    "smtp_auth_username",
    "smtp_force_implicit_tls",
    "smtp_hello",
    "smtp_require_tls",
    "smtp_tls_config",
    "sns_configs",
    "source_matchers_any",
    "telegram_api_url",
    "telegram_bot_token",
    "telegram_bot_token_file",
    "telegram_configs",
    "text",
    "threading",
    "thumb_url",
    "time_intervals",
    "timeout",
    "title",
    "title_link",
    "tls_config",
    "tracing",
    "update_message",
    "url_file",
    "username",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "victorops_configs",
    "webex_api_url",
    "webex_configs",
    "wechat_api_corp_id",
    "wechat_api_secret",
    "wechat_api_secret_file",
    "wechat_api_url",
    "wechat_configs",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    global: Option<RawGlobal>,
    templates: Option<Spanned<Vec<String>>>,
    route: Option<RawRoute>,
    receivers: Option<Vec<RawReceiver>>,
    inhibit_rules: Option<Vec<RawInhibitRule>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGlobal {
    resolve_timeout: Option<Spanned<String>>,
    smtp_smarthost: Option<Spanned<String>>,
    smtp_from: Option<Spanned<String>>,
    slack_api_url: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    receiver: Option<Spanned<String>>,
    group_by: Option<Spanned<Vec<String>>>,
    group_wait: Option<Spanned<String>>,
    group_interval: Option<Spanned<String>>,
    repeat_interval: Option<Spanned<String>>,
    #[serde(rename = "continue")]
    goes_on: Option<Spanned<bool>>,
    #[serde(rename = "match")]
    equals: Option<BTreeMap<String, Spanned<String>>>,
    match_re: Option<BTreeMap<String, Spanned<String>>>,
    matchers: Option<Vec<Spanned<String>>>,
    routes: Option<Vec<RawRoute>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceiver {
    name: Spanned<String>,
    slack_configs: Option<Vec<Spanned<RawSlack>>>,
    email_configs: Option<Vec<Spanned<RawEmail>>>,
    webhook_configs: Option<Vec<Spanned<RawWebhook>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlack {
    api_url: Option<Spanned<String>>,
    channel: Option<String>,
    send_resolved: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEmail {
    to: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    smarthost: Option<Spanned<String>>,
    send_resolved: Option<bool>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    url: Option<Spanned<String>>,
    send_resolved: Option<bool>,
    max_alerts: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInhibitRule {
    source_match: Option<BTreeMap<String, Spanned<String>>>,
    source_match_re: Option<BTreeMap<String, Spanned<String>>>,
    source_matchers: Option<Vec<Spanned<String>>>,
    target_match: Option<BTreeMap<String, Spanned<String>>>,
    target_match_re: Option<BTreeMap<String, Spanned<String>>>,
    target_matchers: Option<Vec<Spanned<String>>>,
    equal: Option<Vec<String>>,
}

/// Reads the whole file.
pub(super) fn config(file: &str, yaml: &str) -> Result<Config, ConfigError> {
    let reader = Reader { file };
    let raw: RawConfig = serde_saphyr::from_str(yaml).map_err(|error| reader.refuse_yaml(&error))?;
    reader.config(raw)
}

/// What is inherited down the routing tree.
#[derive(Clone)]
struct Inherited {
    key: String,
    receiver: String,
    group_by: GroupBy,
    group_wait: Duration,
    group_interval: Duration,
    repeat_interval: Duration,
}

struct Reader<'a> {
    file: &'a str,
}

type Read<T> = Result<T, ConfigError>;

impl Reader<'_> {
    fn refuse<T>(&self, location: Location, reason: impl std::fmt::Display) -> Read<T> {
        Err(ConfigError::at(self.file, location, reason))
    }

    fn refuse_yaml(&self, error: &serde_saphyr::Error) -> ConfigError {
        let mut refusal = ConfigError::from_yaml(self.file, error);
        let unknown = refusal.reason.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`'));
        if let Some((field, _)) = unknown.filter(|(field, _)| NOT_YET.contains(field)) {
            refusal.reason = format!("`{field}` is not supported yet");
        }
        refusal
    }

    fn config(&self, raw: RawConfig) -> Read<Config> {
        if let Some(templates) = raw.templates.filter(|templates| !templates.value.is_empty()) {
            return self.refuse(templates.referenced, "`templates` is not supported yet");
        }
        let global = raw.global.unwrap_or_default();
        let resolve_timeout = self.duration(global.resolve_timeout.as_ref(), Duration::from_secs(300))?;
        let receivers = self.receivers(raw.receivers.unwrap_or_default(), &global)?;
        let Some(route) = raw.route else {
            return Err(ConfigError::whole(self.file, "there is no route"));
        };
        let route = self.root(route, &receivers)?;
        let inhibit_rules = raw.inhibit_rules.unwrap_or_default();
        let inhibit_rules = inhibit_rules.into_iter().map(|rule| self.inhibit_rule(rule)).collect::<Read<_>>()?;
        Ok(Config { resolve_timeout, route, receivers, inhibit_rules })
    }

    fn root(&self, raw: RawRoute, receivers: &BTreeMap<String, Receiver>) -> Read<Route> {
        let Some(receiver) = &raw.receiver else {
            return Err(ConfigError::whole(self.file, "the root route has no receiver"));
        };
        let place = receiver.referenced;
        if raw.equals.is_some() || raw.match_re.is_some() || raw.matchers.is_some() {
            return self.refuse(place, "the root route must match all alerts: it cannot have matchers");
        }
        if let Some(goes_on) = raw.goes_on.as_ref().filter(|goes_on| goes_on.value) {
            return self.refuse(goes_on.referenced, "the root route cannot have `continue`");
        }
        let defaults = Inherited {
            key: "{}".to_owned(),
            receiver: receiver.value.clone(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: Duration::from_secs(4 * 3600),
        };
        self.route(raw, Vec::new(), defaults, receivers)
    }

    fn child(&self, raw: RawRoute, parent: &Inherited, receivers: &BTreeMap<String, Receiver>) -> Read<Route> {
        let matchers = self.matchers(raw.equals.as_ref(), raw.match_re.as_ref(), raw.matchers.as_deref())?;
        let inherited = Inherited { key: format!("{}/{}", parent.key, braced(&matchers)), ..parent.clone() };
        self.route(raw, matchers, inherited, receivers)
    }

    fn route(
        &self,
        raw: RawRoute,
        matchers: Vec<Matcher>,
        above: Inherited,
        receivers: &BTreeMap<String, Receiver>,
    ) -> Read<Route> {
        if let Some(receiver) = raw.receiver.as_ref().filter(|receiver| !receivers.contains_key(&receiver.value)) {
            return self.refuse(receiver.referenced, format!("there is no receiver {:?}", receiver.value));
        }
        let here = Inherited {
            key: above.key,
            receiver: raw.receiver.map_or(above.receiver, |receiver| receiver.value),
            group_by: raw.group_by.map_or(Ok(above.group_by), |group_by| self.group_by(group_by))?,
            group_wait: self.duration(raw.group_wait.as_ref(), above.group_wait)?,
            group_interval: self.interval(raw.group_interval.as_ref(), above.group_interval)?,
            repeat_interval: self.interval(raw.repeat_interval.as_ref(), above.repeat_interval)?,
        };
        let children = raw.routes.unwrap_or_default();
        let routes = children.into_iter().map(|child| self.child(child, &here, receivers)).collect::<Read<_>>()?;
        Ok(Route {
            key: here.key,
            matchers,
            goes_on: raw.goes_on.is_some_and(|goes_on| goes_on.value),
            receiver: here.receiver,
            group_by: here.group_by,
            group_wait: here.group_wait,
            group_interval: here.group_interval,
            repeat_interval: here.repeat_interval,
            routes,
        })
    }

    fn group_by(&self, raw: Spanned<Vec<String>>) -> Read<GroupBy> {
        let mut names = BTreeSet::new();
        for name in raw.value {
            if name.is_empty() {
                return self.refuse(raw.referenced, "a label of `group_by` has no name");
            }
            if !names.insert(name.clone()) {
                return self.refuse(raw.referenced, format!("label {name:?} stands in `group_by` twice"));
            }
        }
        match (names.contains("..."), names.len()) {
            (false, _) => Ok(GroupBy::Labels(names)),
            (true, 1) => Ok(GroupBy::All),
            (true, _) => self.refuse(raw.referenced, "`group_by` has `...`, which is all labels, and others beside it"),
        }
    }

    fn duration(&self, raw: Option<&Spanned<String>>, default: Duration) -> Read<Duration> {
        let Some(raw) = raw else { return Ok(default) };
        model::duration::parse(&raw.value).or_else(|error| self.refuse(raw.referenced, error))
    }

    fn interval(&self, raw: Option<&Spanned<String>>, default: Duration) -> Read<Duration> {
        let interval = self.duration(raw, default)?;
        match raw {
            Some(raw) if interval.is_zero() => self.refuse(raw.referenced, "an interval of zero would never rest"),
            Some(_) | None => Ok(interval),
        }
    }

    /// The matchers of all three notations together, in order of name, operator and value as group keys print them.
    fn matchers(
        &self,
        equals: Option<&BTreeMap<String, Spanned<String>>>,
        patterns: Option<&BTreeMap<String, Spanned<String>>>,
        texts: Option<&[Spanned<String>]>,
    ) -> Read<Vec<Matcher>> {
        let mut matchers = Vec::new();
        let maps = [(equals, MatchOp::Equal), (patterns, MatchOp::Regex)];
        for (map, op) in maps {
            for (name, value) in map.into_iter().flatten() {
                match Matcher::new(name, op, &value.value) {
                    Ok(matcher) => matchers.push(matcher),
                    Err(error) => return self.refuse(value.referenced, error),
                }
            }
        }
        for text in texts.into_iter().flatten() {
            match parse_matchers(&text.value) {
                Ok(more) => matchers.extend(more),
                Err(error) => return self.refuse(text.referenced, error),
            }
        }
        matchers.sort_by(|a, b| (a.name(), a.op(), a.value()).cmp(&(b.name(), b.op(), b.value())));
        Ok(matchers)
    }

    fn inhibit_rule(&self, raw: RawInhibitRule) -> Read<InhibitRule> {
        let (sources, targets) = (raw.source_matchers.as_deref(), raw.target_matchers.as_deref());
        Ok(InhibitRule {
            source: self.matchers(raw.source_match.as_ref(), raw.source_match_re.as_ref(), sources)?,
            target: self.matchers(raw.target_match.as_ref(), raw.target_match_re.as_ref(), targets)?,
            equal: raw.equal.unwrap_or_default(),
        })
    }

    fn receivers(&self, raw: Vec<RawReceiver>, global: &RawGlobal) -> Read<BTreeMap<String, Receiver>> {
        let mut receivers = BTreeMap::new();
        for receiver in raw {
            let (name, place) = (receiver.name.value.clone(), receiver.name.referenced);
            if name.is_empty() {
                return self.refuse(place, "a receiver has no name");
            }
            let integrations = self.integrations(receiver, global)?;
            if receivers.insert(name.clone(), Receiver { name: name.clone(), integrations }).is_some() {
                return self.refuse(place, format!("there are two receivers {name:?}"));
            }
        }
        Ok(receivers)
    }

    fn integrations(&self, raw: RawReceiver, global: &RawGlobal) -> Read<Vec<Integration>> {
        let language = language_of(&raw.name.value);
        let mut integrations = Vec::new();
        for (index, email) in raw.email_configs.into_iter().flatten().enumerate() {
            integrations.push(self.email(index, email, language, global)?);
        }
        for (index, slack) in raw.slack_configs.into_iter().flatten().enumerate() {
            integrations.push(self.slack(index, slack, language, global)?);
        }
        for (index, webhook) in raw.webhook_configs.into_iter().flatten().enumerate() {
            integrations.push(self.webhook(index, webhook, language)?);
        }
        Ok(integrations)
    }

    fn slack(
        &self,
        index: usize,
        raw: Spanned<RawSlack>,
        language: Option<Language>,
        global: &RawGlobal,
    ) -> Read<Integration> {
        let Some(url) = raw.value.api_url.as_ref().or(global.slack_api_url.as_ref()) else {
            return self.refuse(raw.referenced, "there is no `api_url` here and no `slack_api_url` in `global`");
        };
        let target = Target::Slack(Slack { url: self.url(url)?, channel: raw.value.channel.unwrap_or_default() });
        let send_resolved = raw.value.send_resolved.unwrap_or(false);
        Ok(Integration { key: format!("slack/{index}"), send_resolved, language, target })
    }

    fn webhook(&self, index: usize, raw: Spanned<RawWebhook>, language: Option<Language>) -> Read<Integration> {
        let Some(url) = &raw.value.url else {
            return self.refuse(raw.referenced, "there is no `url`");
        };
        let max_alerts = raw.value.max_alerts.unwrap_or(0);
        let target = Target::Webhook(Webhook { url: self.url(url)?, max_alerts });
        let send_resolved = raw.value.send_resolved.unwrap_or(true);
        Ok(Integration { key: format!("webhook/{index}"), send_resolved, language, target })
    }

    fn email(
        &self,
        index: usize,
        raw: Spanned<RawEmail>,
        language: Option<Language>,
        global: &RawGlobal,
    ) -> Read<Integration> {
        let place = raw.referenced;
        let Some(to) = &raw.value.to else {
            return self.refuse(place, "there is no `to`");
        };
        let Some(from) = raw.value.from.as_ref().or(global.smtp_from.as_ref()) else {
            return self.refuse(place, "there is no `from` here and no `smtp_from` in `global`");
        };
        let smarthost = raw.value.smarthost.as_ref().or(global.smtp_smarthost.as_ref());
        let own_language = self.mail_language(raw.value.headers.as_ref())?;
        let target = Target::Email(Email {
            from: self.mailboxes(from)?.join(", "),
            to: self.mailboxes(to)?,
            smarthost: smarthost.map_or(Ok(None), |smarthost| self.smarthost(smarthost))?,
        });
        let send_resolved = raw.value.send_resolved.unwrap_or(false);
        Ok(Integration { key: format!("email/{index}"), send_resolved, language: own_language.or(language), target })
    }

    fn mail_language(&self, headers: Option<&BTreeMap<String, Spanned<String>>>) -> Read<Option<Language>> {
        let mut language = None;
        for (name, value) in headers.into_iter().flatten() {
            if !name.eq_ignore_ascii_case("content-language") {
                return self.refuse(value.referenced, format!("header `{name}` is not supported yet"));
            }
            language = match value.value.as_str() {
                "ja" => Some(Language::Japanese),
                "en" => Some(Language::English),
                other => return self.refuse(value.referenced, format!("language {other:?} is neither ja nor en")),
            };
        }
        Ok(language)
    }

    fn mailboxes(&self, raw: &Spanned<String>) -> Read<Vec<String>> {
        let boxes: Vec<String> = raw.value.split(',').map(|one| one.trim().to_owned()).collect();
        match boxes.iter().find(|one| !is_mailbox(one)) {
            Some(bad) => self.refuse(raw.referenced, format!("{bad:?} is not a mail address")),
            None => Ok(boxes),
        }
    }

    fn smarthost(&self, raw: &Spanned<String>) -> Read<Option<String>> {
        let text = raw.value.as_str();
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) if text == OUTBOX => Ok(None),
            Some(Ok(_)) => Ok(Some(text.to_owned())),
            Some(Err(_)) | None => self.refuse(raw.referenced, format!("{text:?} is not host:port")),
        }
    }

    fn url(&self, raw: &Spanned<String>) -> Read<Secret> {
        let rest = ["https://", "http://"].iter().find_map(|scheme| raw.value.strip_prefix(scheme));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(Secret::new(raw.value.clone())),
            // The text is not repeated: it may hold a secret.
            Some(_) | None => self.refuse(raw.referenced, "this is not a URL with http:// or https:// and a host"),
        }
    }
}

/// The language that a receiver's name ends in.
fn language_of(receiver: &str) -> Option<Language> {
    match receiver.rsplit_once('.') {
        Some((_, "ja")) => Some(Language::Japanese),
        Some((_, "en")) => Some(Language::English),
        Some(_) | None => None,
    }
}

/// Whether a text looks like `local@domain` or `Name <local@domain>`.
fn is_mailbox(text: &str) -> bool {
    let address = text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')).map_or(text, |(_, address)| address);
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "<>,@".contains(c));
    address.rsplit_once('@').is_some_and(|(local, domain)| plain(local) && plain(domain))
}

/// Matchers as group keys print them: `{a="b",c=~"d"}`.
fn braced(matchers: &[Matcher]) -> String {
    let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", texts.join(","))
}
