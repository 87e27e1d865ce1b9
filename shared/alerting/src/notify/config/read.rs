//! From YAML to [`Config`]: the shape of the file first (`Raw…`, strict), then its meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Language, MatchOp, Matcher};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::not_yet::NOT_YET;
use super::{Config, Email, GroupBy, Integration, MailSender, Receiver, Route, Secret, Slack, Sns, Target, Webhook};
use crate::ConfigError;
use crate::notify::matchers::parse_matchers;
use crate::notify::mute::InhibitRule;

/// The mail server that stands for the outbox folder. `.invalid` is reserved: no such host can ever exist (RFC 2606).
const OUTBOX: &str = "outbox.invalid:25";

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
    slack_api_url_file: Option<Spanned<String>>,
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
    sns_configs: Option<Vec<Spanned<RawSns>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlack {
    api_url: Option<Spanned<String>>,
    api_url_file: Option<Spanned<String>>,
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
    url_file: Option<Spanned<String>>,
    send_resolved: Option<bool>,
    max_alerts: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSns {
    phone_number: Option<Spanned<String>>,
    topic_arn: Option<Spanned<String>>,
    target_arn: Option<Spanned<String>>,
    send_resolved: Option<bool>,
    #[expect(dead_code, reason = "Alertmanager needs it; here the deployment's own region and rights count")]
    sigv4: Option<RawSigv4>,
}

/// How to sign requests to AWS: a region may be named, and does not count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSigv4 {
    #[expect(dead_code, reason = "the deployment's own region counts")]
    region: Option<String>,
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
        let mail_sender = self.mail_sender(&global)?;
        let Some(route) = raw.route else {
            return Err(ConfigError::whole(self.file, "there is no route"));
        };
        let route = self.root(route, &receivers)?;
        let inhibit_rules = raw.inhibit_rules.unwrap_or_default();
        let inhibit_rules = inhibit_rules.into_iter().map(|rule| self.inhibit_rule(rule)).collect::<Read<_>>()?;
        Ok(Config { resolve_timeout, route, receivers, inhibit_rules, mail_sender })
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
        for (index, sns) in raw.sns_configs.into_iter().flatten().enumerate() {
            integrations.push(self.sns(index, &sns, language)?);
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
        let own = self.secret_url(raw.value.api_url.as_ref(), raw.value.api_url_file.as_ref())?;
        let inherited = self.secret_url(global.slack_api_url.as_ref(), global.slack_api_url_file.as_ref())?;
        let Some(url) = own.or(inherited) else {
            return self.refuse(raw.referenced, "there is no `api_url` here and no `slack_api_url` in `global`");
        };
        let target = Target::Slack(Slack { url, channel: raw.value.channel.unwrap_or_default() });
        let send_resolved = raw.value.send_resolved.unwrap_or(false);
        Ok(Integration { key: format!("slack/{index}"), send_resolved, language, target })
    }

    fn webhook(&self, index: usize, raw: Spanned<RawWebhook>, language: Option<Language>) -> Read<Integration> {
        let Some(url) = self.secret_url(raw.value.url.as_ref(), raw.value.url_file.as_ref())? else {
            return self.refuse(raw.referenced, "there is no `url`");
        };
        let max_alerts = raw.value.max_alerts.unwrap_or(0);
        let target = Target::Webhook(Webhook { url, max_alerts });
        let send_resolved = raw.value.send_resolved.unwrap_or(true);
        Ok(Integration { key: format!("webhook/{index}"), send_resolved, language, target })
    }

    fn sns(&self, index: usize, raw: &Spanned<RawSns>, language: Option<Language>) -> Read<Integration> {
        if let Some(target) = &raw.value.target_arn {
            let reason = "`target_arn` is one device of a mobile app, which is not supported: use `topic_arn` or \
                          `phone_number`";
            return self.refuse(target.referenced, reason);
        }
        let sns = match (&raw.value.phone_number, &raw.value.topic_arn) {
            (Some(number), None) => Sns::Phone(self.phone_number(number)?),
            (None, Some(arn)) => Sns::Topic(self.topic_arn(arn)?),
            (None, None) => return self.refuse(raw.referenced, "there is neither `phone_number` nor `topic_arn`"),
            (Some(_), Some(arn)) => {
                return self.refuse(arn.referenced, "there is a `phone_number` already: make two of them");
            }
        };
        let send_resolved = raw.value.send_resolved.unwrap_or(true);
        Ok(Integration { key: format!("sns/{index}"), send_resolved, language, target: Target::Sns(sns) })
    }

    fn phone_number(&self, raw: &Spanned<String>) -> Read<String> {
        let digits = raw.value.strip_prefix('+').unwrap_or("");
        let is_number = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if is_number {
            return Ok(raw.value.clone());
        }
        // The number is not repeated: it is somebody's.
        self.refuse(raw.referenced, "this is not a telephone number like +819012345678, with the country's code")
    }

    fn topic_arn(&self, raw: &Spanned<String>) -> Read<String> {
        let parts: Vec<&str> = raw.value.split(':').collect();
        let is_topic = matches!(parts[..], ["arn", partition, "sns", region, account, name]
            if partition.starts_with("aws") && ![region, account, name].contains(&""));
        if is_topic {
            return Ok(raw.value.clone());
        }
        let reason = format!("{:?} is not a topic like arn:aws:sns:us-east-1:123456789012:name", raw.value);
        self.refuse(raw.referenced, reason)
    }

    fn mail_sender(&self, global: &RawGlobal) -> Read<Option<MailSender>> {
        let Some(from) = &global.smtp_from else { return Ok(None) };
        let smarthost = global.smtp_smarthost.as_ref().map_or(Ok(None), |smarthost| self.smarthost(smarthost))?;
        Ok(Some(MailSender { from: self.mailboxes(from)?.join(", "), smarthost }))
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

    /// A URL that stands in the file, or in another that is named; only one of them may be there.
    fn secret_url(&self, inline: Option<&Spanned<String>>, file: Option<&Spanned<String>>) -> Read<Option<Secret>> {
        match (inline, file) {
            (None, None) => Ok(None),
            (Some(url), None) => self.url(url).map(Some),
            (None, Some(file)) => self.secret_file(file).map(Some),
            (Some(_), Some(file)) => self.refuse(file.referenced, "the URL itself stands beside it: leave one out"),
        }
    }

    /// Where a secret is kept. A path counts from the root: a configuration that was pushed lies in no folder.
    fn secret_file(&self, raw: &Spanned<String>) -> Read<Secret> {
        let path = raw.value.strip_prefix("ssm:").unwrap_or(&raw.value);
        if path.len() > 1 && path.starts_with('/') && !path.contains(char::is_control) {
            return Ok(Secret::File(raw.value.clone()));
        }
        let reason = format!("{:?} is neither a path from the root nor ssm:/name of a parameter", raw.value);
        self.refuse(raw.referenced, reason)
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
pub(super) fn is_mailbox(text: &str) -> bool {
    let address = text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')).map_or(text, |(_, address)| address);
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "<>,@".contains(c));
    address.rsplit_once('@').is_some_and(|(local, domain)| plain(local) && plain(domain))
}

/// Matchers as group keys print them: `{a="b",c=~"d"}`.
fn braced(matchers: &[Matcher]) -> String {
    let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", texts.join(","))
}
