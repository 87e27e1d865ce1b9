//! From YAML to [`Config`]: the shape of the file first (`Raw…`, strict), then its meaning.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Language, MatchOp, Matcher};
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::fields::{Fields, Mapping, Notes, Read};
use super::receivers::Global;
use super::{
    Config, GroupBy, Integration, Receiver, Route, Target, TemplateFile, original, receivers, services, template_files,
};
use crate::ConfigError;
use crate::notify::interval::{RawInterval, TimeInterval};
use crate::notify::matchers::parse_matchers;
use crate::notify::mute::InhibitRule;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    global: Option<Spanned<Mapping>>,
    templates: Option<Vec<Spanned<String>>>,
    route: Option<RawRoute>,
    receivers: Option<Vec<RawReceiver>>,
    inhibit_rules: Option<Vec<RawInhibitRule>>,
    mute_time_intervals: Option<Vec<RawNamedIntervals>>,
    time_intervals: Option<Vec<RawNamedIntervals>>,
    tracing: Option<Spanned<Value>>,
    event_recorder: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNamedIntervals {
    name: Spanned<String>,
    time_intervals: Option<Vec<Spanned<RawInterval>>>,
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
    mute_time_intervals: Option<Vec<Spanned<String>>>,
    active_time_intervals: Option<Vec<Spanned<String>>>,
    labels: Option<BTreeMap<String, Spanned<String>>>,
    routes: Option<Vec<RawRoute>>,
}

type RawIntegrations = Option<Vec<Option<Spanned<Mapping>>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceiver {
    name: Spanned<String>,
    labels: Option<BTreeMap<String, String>>,
    discord_configs: RawIntegrations,
    email_configs: RawIntegrations,
    incidentio_configs: RawIntegrations,
    jira_configs: RawIntegrations,
    mattermost_configs: RawIntegrations,
    msteams_configs: RawIntegrations,
    msteamsv2_configs: RawIntegrations,
    opsgenie_configs: RawIntegrations,
    pagerduty_configs: RawIntegrations,
    pushover_configs: RawIntegrations,
    rocketchat_configs: RawIntegrations,
    slack_configs: RawIntegrations,
    sns_configs: RawIntegrations,
    telegram_configs: RawIntegrations,
    victorops_configs: RawIntegrations,
    webex_configs: RawIntegrations,
    webhook_configs: RawIntegrations,
    wechat_configs: RawIntegrations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInhibitRule {
    #[expect(dead_code, reason = "a name is for the reader of the file")]
    name: Option<String>,
    source_match: Option<BTreeMap<String, Spanned<String>>>,
    source_match_re: Option<BTreeMap<String, Spanned<String>>>,
    source_matchers: Option<Vec<Spanned<String>>>,
    target_match: Option<BTreeMap<String, Spanned<String>>>,
    target_match_re: Option<BTreeMap<String, Spanned<String>>>,
    target_matchers: Option<Vec<Spanned<String>>>,
    equal: Option<Vec<String>>,
}

/// Reads the whole file.
pub(super) fn config(file: &str, yaml: &str, templates: &[TemplateFile<'_>]) -> Result<Config, ConfigError> {
    let raw: RawConfig = serde_saphyr::from_str(yaml).map_err(|error| ConfigError::from_yaml(file, &error))?;
    let notes = Notes { file, unheeded: RefCell::default() };
    let found = template_files::read(&notes, raw.templates.as_deref().unwrap_or_default(), templates)?;
    let mut config = Reader { notes: &notes, templates: &found }.config(raw)?;
    config.unheeded = notes.unheeded.into_inner();
    config.original = original::shown(yaml);
    Ok(config)
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
    labels: BTreeMap<String, String>,
}

/// What routes may name.
struct Known {
    receivers: BTreeMap<String, Receiver>,
    time_intervals: BTreeMap<String, Vec<TimeInterval>>,
}

struct Reader<'a> {
    notes: &'a Notes<'a>,
    templates: &'a template_files::Found,
}

impl Reader<'_> {
    fn refuse<T>(&self, location: Location, reason: impl std::fmt::Display) -> Read<T> {
        self.notes.refuse(location, reason)
    }

    fn config(&self, raw: RawConfig) -> Read<Config> {
        let (place, mapping) =
            raw.global.map_or((Location::UNKNOWN, Mapping::new()), |raw| (raw.referenced, raw.value));
        let global = Global::read(Fields::new(self.notes, "`global`", place, mapping))?;
        let mail_sender = global.mail_sender(&Fields::new(self.notes, "`global`", place, Mapping::new()))?;
        for (name, block) in [("tracing", &raw.tracing), ("event_recorder", &raw.event_recorder)] {
            if let Some(block) = block.as_ref().filter(|block| !block.value.is_null()) {
                self.notes.unheeded(block.referenced, format!("`{name}` is not heeded"));
            }
        }
        let intervals = raw.mute_time_intervals.into_iter().chain(raw.time_intervals).flatten();
        let known = Known {
            receivers: self.receivers(raw.receivers.unwrap_or_default(), &global)?,
            time_intervals: self.time_intervals(intervals)?,
        };
        let Some(route) = raw.route else {
            return Err(ConfigError::whole(self.notes.file, "there is no route"));
        };
        let route = self.root(route, &known)?;
        let inhibit_rules = raw.inhibit_rules.unwrap_or_default();
        let inhibit_rules = inhibit_rules.into_iter().map(|rule| self.inhibit_rule(rule)).collect::<Read<_>>()?;
        Ok(Config {
            resolve_timeout: global.resolve_timeout,
            route,
            receivers: known.receivers,
            inhibit_rules,
            time_intervals: known.time_intervals,
            library: self.templates.library.clone(),
            mail_sender,
            unheeded: Vec::new(),
            original: String::new(),
        })
    }

    fn time_intervals(
        &self,
        raw: impl Iterator<Item = RawNamedIntervals>,
    ) -> Read<BTreeMap<String, Vec<TimeInterval>>> {
        let mut named = BTreeMap::new();
        for raw in raw {
            let (name, place) = (raw.name.value, raw.name.referenced);
            if name.is_empty() {
                return self.refuse(place, "a time interval has no name");
            }
            let read = |raw: Spanned<RawInterval>| {
                TimeInterval::read(raw.value).or_else(|error| self.refuse(raw.referenced, error))
            };
            let intervals = raw.time_intervals.unwrap_or_default().into_iter().map(read).collect::<Read<Vec<_>>>()?;
            if named.insert(name.clone(), intervals).is_some() {
                return self.refuse(place, format!("there are two time intervals {name:?}"));
            }
        }
        Ok(named)
    }

    fn root(&self, raw: RawRoute, known: &Known) -> Read<Route> {
        let Some(receiver) = &raw.receiver else {
            return Err(ConfigError::whole(self.notes.file, "the root route has no receiver"));
        };
        let place = receiver.referenced;
        let names = |map: &Option<BTreeMap<String, Spanned<String>>>| map.as_ref().is_some_and(|map| !map.is_empty());
        let lists = |list: &Option<Vec<Spanned<String>>>| list.as_ref().is_some_and(|list| !list.is_empty());
        if names(&raw.equals) || names(&raw.match_re) || lists(&raw.matchers) {
            return self.refuse(place, "the root route must match all alerts: it cannot have matchers");
        }
        if let Some(goes_on) = raw.goes_on.as_ref().filter(|goes_on| goes_on.value) {
            return self.refuse(goes_on.referenced, "the root route cannot have `continue`");
        }
        if lists(&raw.mute_time_intervals) || lists(&raw.active_time_intervals) {
            return self.refuse(place, "the root route cannot have time intervals");
        }
        let defaults = Inherited {
            key: "{}".to_owned(),
            receiver: receiver.value.clone(),
            group_by: GroupBy::Labels(BTreeSet::new()),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: Duration::from_secs(4 * 3600),
            labels: BTreeMap::new(),
        };
        self.route(raw, Vec::new(), defaults, known)
    }

    fn child(&self, raw: RawRoute, parent: &Inherited, known: &Known) -> Read<Route> {
        let matchers = self.matchers(raw.equals.as_ref(), raw.match_re.as_ref(), raw.matchers.as_deref())?;
        let inherited = Inherited { key: format!("{}/{}", parent.key, braced(&matchers)), ..parent.clone() };
        self.route(raw, matchers, inherited, known)
    }

    fn route(&self, raw: RawRoute, matchers: Vec<Matcher>, above: Inherited, known: &Known) -> Read<Route> {
        if let Some(receiver) = raw.receiver.as_ref().filter(|receiver| !known.receivers.contains_key(&receiver.value))
        {
            return self.refuse(receiver.referenced, format!("there is no receiver {:?}", receiver.value));
        }
        let here = Inherited {
            key: above.key,
            receiver: raw.receiver.map_or(above.receiver, |receiver| receiver.value),
            group_by: raw.group_by.map_or(Ok(above.group_by), |group_by| self.group_by(group_by))?,
            group_wait: self.duration(raw.group_wait.as_ref(), above.group_wait)?,
            group_interval: self.interval(raw.group_interval.as_ref(), above.group_interval)?,
            repeat_interval: self.interval(raw.repeat_interval.as_ref(), above.repeat_interval)?,
            labels: self.route_labels(raw.labels, above.labels)?,
        };
        let mute_time_intervals = self.interval_names(raw.mute_time_intervals, known)?;
        let active_time_intervals = self.interval_names(raw.active_time_intervals, known)?;
        let children = raw.routes.unwrap_or_default();
        let routes = children.into_iter().map(|child| self.child(child, &here, known)).collect::<Read<_>>()?;
        Ok(Route {
            key: here.key,
            matchers,
            goes_on: raw.goes_on.is_some_and(|goes_on| goes_on.value),
            receiver: here.receiver,
            group_by: here.group_by,
            group_wait: here.group_wait,
            group_interval: here.group_interval,
            repeat_interval: here.repeat_interval,
            mute_time_intervals,
            active_time_intervals,
            labels: here.labels,
            routes,
        })
    }

    fn interval_names(&self, raw: Option<Vec<Spanned<String>>>, known: &Known) -> Read<Vec<String>> {
        let known_name = |name: Spanned<String>| match known.time_intervals.contains_key(&name.value) {
            true => Ok(name.value),
            false => self.refuse(name.referenced, format!("there is no time interval {:?}", name.value)),
        };
        raw.into_iter().flatten().map(known_name).collect()
    }

    /// The labels of a route: its own over those above it.
    fn route_labels(
        &self,
        raw: Option<BTreeMap<String, Spanned<String>>>,
        mut labels: BTreeMap<String, String>,
    ) -> Read<BTreeMap<String, String>> {
        for (name, value) in raw.into_iter().flatten() {
            if name.is_empty() {
                return self.refuse(value.referenced, "a label of a route has no name");
            }
            labels.insert(name, value.value);
        }
        Ok(labels)
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
                if !is_legacy_name(name) {
                    return self.refuse(value.referenced, format!("{name:?} is not the name of a label"));
                }
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

    fn receivers(&self, raw: Vec<RawReceiver>, global: &Global) -> Read<BTreeMap<String, Receiver>> {
        let mut receivers = BTreeMap::new();
        for mut receiver in raw {
            let (name, place) = (receiver.name.value.clone(), receiver.name.referenced);
            if name.is_empty() {
                return self.refuse(place, "a receiver has no name");
            }
            let mut labels = receiver.labels.take().unwrap_or_default();
            if labels.insert("name".to_owned(), name.clone()).is_some_and(|given| given != name) {
                return self.refuse(place, "the label `name` of a receiver is its name");
            }
            let integrations = self.integrations(receiver, global)?;
            if receivers.insert(name.clone(), Receiver { name: name.clone(), labels, integrations }).is_some() {
                return self.refuse(place, format!("there are two receivers {name:?}"));
            }
        }
        Ok(receivers)
    }

    fn integrations(&self, raw: RawReceiver, global: &Global) -> Read<Vec<Integration>> {
        let language = language_of(&raw.name.value);
        let kinds = [
            ("email", raw.email_configs),
            ("slack", raw.slack_configs),
            ("webhook", raw.webhook_configs),
            ("sns", raw.sns_configs),
            ("pagerduty", raw.pagerduty_configs),
            ("opsgenie", raw.opsgenie_configs),
            ("msteams", raw.msteams_configs),
            ("msteamsv2", raw.msteamsv2_configs),
            ("discord", raw.discord_configs),
            ("telegram", raw.telegram_configs),
            ("incidentio", raw.incidentio_configs),
            ("jira", raw.jira_configs),
            ("mattermost", raw.mattermost_configs),
            ("pushover", raw.pushover_configs),
            ("rocketchat", raw.rocketchat_configs),
            ("victorops", raw.victorops_configs),
            ("webex", raw.webex_configs),
            ("wechat", raw.wechat_configs),
        ];
        let mut integrations = Vec::new();
        for (kind, list) in kinds {
            for (index, one) in list.into_iter().flatten().enumerate() {
                let Some(one) = one else {
                    return self.refuse(raw.name.referenced, format!("an item of `{kind}_configs` is empty"));
                };
                let fields = Fields::new(self.notes, "this receiver", one.referenced, one.value);
                let integration = integration(kind, index, fields, language, global)?;
                self.check_texts(&raw.name.value, one.referenced, &integration)?;
                integrations.push(integration);
            }
        }
        Ok(integrations)
    }

    /// Refuses templates that cannot be read, and those that call one that nobody defines.
    fn check_texts(&self, receiver: &str, place: Location, integration: &Integration) -> Read<()> {
        let at = format!("receiver {receiver:?}, {}", integration.key);
        if let Err(error) = integration.target.check_texts() {
            return self.refuse(place, format!("{at}: {error}"));
        }
        match integration.target.missing_template(&self.templates.library) {
            None => Ok(()),
            Some((field, name)) if self.templates.is_complete => {
                self.refuse(place, format!("{at}: `{field}` calls the template {name:?}, which nobody defines"))
            }
            Some((field, name)) => {
                let what = format!("{at}: `{field}` calls the template {name:?}, which no file that was found defines");
                self.notes.unheeded(place, format!("{what}: the message of the house goes out"));
                Ok(())
            }
        }
    }
}

fn integration(
    kind: &'static str,
    index: usize,
    mut fields: Fields<'_>,
    language: Option<Language>,
    global: &Global,
) -> Read<Integration> {
    let tells_the_end = !matches!(kind, "email" | "slack" | "wechat" | "rocketchat");
    let send_resolved = fields.flag("send_resolved")?.unwrap_or(tells_the_end);
    let mut own_language = None;
    let target = match kind {
        "email" => {
            let (target, language) = receivers::email(&mut fields, global)?;
            own_language = language;
            target
        }
        "slack" => receivers::slack(&mut fields, global)?,
        "webhook" => receivers::webhook(&mut fields, global)?,
        "sns" => receivers::sns(&mut fields)?,
        "pagerduty" => services::pagerduty(&mut fields, global)?,
        "opsgenie" => services::opsgenie(&mut fields, global)?,
        "msteams" => services::teams(&mut fields, global, false)?,
        "msteamsv2" => services::teams(&mut fields, global, true)?,
        "discord" => services::discord(&mut fields, global)?,
        "telegram" => services::telegram(&mut fields, global)?,
        other => services::undelivered(other, &mut fields, global)?,
    };
    if matches!(target, Target::Undelivered(_)) {
        fields.notes.unheeded(fields.place, "nothing is delivered to this service");
    }
    fields.end()?;
    debug_assert!(!matches!(target, Target::Undelivered(name) if name != kind), "the kinds are those of the table");
    Ok(Integration { key: format!("{kind}/{index}"), send_resolved, language: own_language.or(language), target })
}

/// Whether a name is one that `match` and `match_re` take.
fn is_legacy_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
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
