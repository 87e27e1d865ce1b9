//! Rule files as Prometheus reads them (`model/rulefmt`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::{METRIC_NAME, duration};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{DEFAULT_INTERVAL, Datapoints, Missing, RECOVER_ANNOTATION, Rule, RuleGroup, RuleKind};
use crate::ConfigError;
use crate::template::{Template, template_name};

/// Says whether a text is an expression, or why it is none, with the place in the text.
pub type CheckExpr<'a> = &'a dyn Fn(&str) -> Result<(), String>;

type Texts = BTreeMap<String, Option<Spanned<String>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    groups: Option<Vec<Spanned<RawGroup>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: Option<Spanned<String>>,
    interval: Option<Spanned<String>>,
    query_offset: Option<Spanned<String>>,
    limit: Option<i64>,
    labels: Option<Texts>,
    rules: Option<Vec<Spanned<RawRule>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    record: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    expr: Option<Spanned<String>>,
    #[serde(rename = "for")]
    hold: Option<Spanned<String>>,
    keep_firing_for: Option<Spanned<String>>,
    labels: Option<Texts>,
    annotations: Option<Texts>,
}

/// Reads a rule file. Only the first document of the file counts.
///
/// # Errors
/// Everything that is wrong with the file: bad YAML and unknown fields alone, since nothing behind them can be trusted;
/// otherwise all faults of all groups and rules.
pub fn parse(file: &str, yaml: &str, check_expr: CheckExpr<'_>) -> Result<Vec<RuleGroup>, Vec<ConfigError>> {
    parse_with(file, yaml, check_expr, UnknownFields::Refused)
}

/// What is done with fields that rule files do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// They are mistakes, as for a server.
    Refused,
    /// They are notes of somebody else's; faults of a file that has them have no place.
    Ignored,
}

/// As [`parse`]; unknown fields may be ignored.
///
/// # Errors
/// As for [`parse`].
pub fn parse_with(
    file: &str,
    yaml: &str,
    check_expr: CheckExpr<'_>,
    unknown: UnknownFields,
) -> Result<Vec<RuleGroup>, Vec<ConfigError>> {
    let raw = match read(yaml) {
        Ok(raw) => Ok(raw),
        Err(error) if unknown == UnknownFields::Refused => Err(error),
        Err(_) => known_fields(yaml).and_then(|yaml| read(&yaml)),
    };
    let raw = raw.map_err(|error| vec![ConfigError::from_yaml(file, &error)])?;
    let mut check = Check { file, check_expr, errors: Vec::new(), context: String::new(), rule_name: String::new() };
    let mut groups: Vec<RuleGroup> = Vec::new();
    for raw in raw.and_then(|raw| raw.groups).unwrap_or_default() {
        let at = raw.referenced;
        let name_at = raw.value.name.as_ref().map_or(at, |name| name.referenced);
        let group = check.group(raw.value, at);
        if groups.iter().any(|known| known.name == group.name) {
            check.fault(name_at, format!("groupname: {:?} is repeated in the same file", group.name));
        }
        groups.push(group);
    }
    if check.errors.is_empty() { Ok(groups) } else { Err(check.errors) }
}

fn read(yaml: &str) -> Result<Option<RawFile>, serde_saphyr::Error> {
    let mut input = yaml.as_bytes();
    let mut documents = serde_saphyr::read::<_, Option<RawFile>>(&mut input);
    documents.next().transpose().map(Option::flatten)
}

/// The file with nothing but the fields that rule files have, as JSON, which is YAML.
fn known_fields(yaml: &str) -> Result<String, serde_saphyr::Error> {
    const GROUP: [&str; 6] = ["name", "interval", "query_offset", "limit", "labels", "rules"];
    const RULE: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];
    let mut file: serde_json::Value = serde_saphyr::from_str(yaml)?;
    retain(&mut file, &["groups"]);
    for group in file.get_mut("groups").and_then(serde_json::Value::as_array_mut).into_iter().flatten() {
        retain(group, &GROUP);
        let rules = group.get_mut("rules").and_then(serde_json::Value::as_array_mut);
        rules.into_iter().flatten().for_each(|rule| retain(rule, &RULE));
    }
    Ok(file.to_string())
}

fn retain(value: &mut serde_json::Value, fields: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|field, _| fields.contains(&field.as_str()));
    }
}

struct Check<'a> {
    file: &'a str,
    check_expr: CheckExpr<'a>,
    errors: Vec<ConfigError>,
    /// Which rule is read, for messages: `group "g", rule 1, "name": `, or nothing.
    context: String,
    /// The name of that rule.
    rule_name: String,
}

impl Check<'_> {
    fn fault(&mut self, at: Location, reason: impl std::fmt::Display) {
        let reason = format!("{}{reason}", self.context);
        self.errors.push(ConfigError::at(self.file, at, reason));
    }

    fn group(&mut self, raw: RawGroup, at: Location) -> RuleGroup {
        let name = raw.name.map_or_else(String::new, |name| name.value);
        if name.is_empty() {
            self.fault(at, "Groupname must not be empty");
        }
        let group_labels = self.labels(raw.labels, at, TemplateUse::Plain);
        let interval = self.duration(raw.interval).filter(|interval| !interval.is_zero());
        let mut rules = Vec::new();
        for (index, rule) in raw.rules.unwrap_or_default().into_iter().enumerate() {
            let at = rule.referenced;
            let named =
                [&rule.value.alert, &rule.value.record].into_iter().flatten().find(|name| !name.value.is_empty());
            let rule_name = named.map_or("", |name| name.value.as_str());
            self.context = format!("group {name:?}, rule {}, {rule_name:?}: ", index + 1);
            self.rule_name = rule_name.to_owned();
            rules.extend(self.rule(rule.value, at, &group_labels));
        }
        self.context.clear();
        RuleGroup {
            file: self.file.to_owned(),
            name,
            interval: interval.unwrap_or(DEFAULT_INTERVAL),
            query_offset: self.duration(raw.query_offset),
            limit: raw.limit.and_then(|limit| usize::try_from(limit).ok()).filter(|&limit| limit > 0),
            rules,
        }
    }

    fn rule(&mut self, raw: RawRule, at: Location, group_labels: &BTreeMap<String, Template>) -> Option<Rule> {
        let given = |text: &Option<Spanned<String>>| text.as_ref().is_some_and(|text| !text.value.is_empty());
        let (is_record, is_alert) = (given(&raw.record), given(&raw.alert));
        match (is_record, is_alert) {
            (true, true) => self.fault(at, "only one of 'record' and 'alert' must be set"),
            (false, false) => self.fault(at, "one of 'record' or 'alert' must be set"),
            (true, false) => self.recording_only(&raw),
            (false, true) => {}
        }
        let expr = self.expr(raw.expr, at);
        let uses = if is_alert { TemplateUse::Expanded } else { TemplateUse::Plain };
        let mut labels = group_labels.clone();
        labels.extend(self.labels(raw.labels, at, uses));
        let mut annotations = self.annotations(raw.annotations, at);
        let datapoints = self.extension(&mut annotations, Datapoints::ANNOTATION, Datapoints::parse, at);
        let missing = self.extension(&mut annotations, Missing::ANNOTATION, Missing::parse, at);
        let check_expr = self.check_expr;
        let checked = |text: &str| match check_expr(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(reason) => Err(format!("could not parse expression: {reason}")),
        };
        let recover_expr = self.extension(&mut annotations, RECOVER_ANNOTATION, checked, at);
        let hold = self.duration(raw.hold).unwrap_or_default();
        let keep_firing_for = self.duration(raw.keep_firing_for).unwrap_or_default();
        let kind = if is_alert {
            RuleKind::Alerting { hold, keep_firing_for, annotations, datapoints, missing, recover_expr }
        } else {
            RuleKind::Recording
        };
        let name = if is_alert { raw.alert } else { raw.record };
        Some(Rule { name: name?.value, expr: expr?, labels, kind })
    }

    /// Takes an annotation that asks for more than Prometheus does.
    fn extension<T>(
        &mut self,
        annotations: &mut BTreeMap<String, Template>,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
        at: Location,
    ) -> Option<T> {
        let read = read(annotations.remove(name)?.source());
        read.map_err(|reason| self.fault(at, format!("{name}: {reason}"))).ok()
    }

    fn recording_only(&mut self, raw: &RawRule) {
        if let Some(name) = &raw.record
            && name.value.contains(['{', '}'])
        {
            self.fault(
                name.referenced,
                format!("braces present in the recording rule name; should it be in expr?: {}", name.value),
            );
        }
        for (field, text) in [("for", &raw.hold), ("keep_firing_for", &raw.keep_firing_for)] {
            let wait = text.as_ref().filter(|text| duration::parse(&text.value).is_ok_and(|wait| !wait.is_zero()));
            if let Some(text) = wait {
                self.fault(text.referenced, format!("invalid field '{field}' in recording rule"));
            }
        }
        if let Some(first) = raw.annotations.iter().flat_map(BTreeMap::values).flatten().next() {
            self.fault(first.referenced, "invalid field 'annotations' in recording rule");
        }
    }

    fn expr(&mut self, expr: Option<Spanned<String>>, at: Location) -> Option<String> {
        let Some(expr) = expr.filter(|expr| !expr.value.trim().is_empty()) else {
            self.fault(at, "field 'expr' must be set in rule");
            return None;
        };
        if let Err(reason) = (self.check_expr)(&expr.value) {
            self.fault(expr.referenced, format!("could not parse expression: {reason}"));
        }
        Some(expr.value)
    }

    fn duration(&mut self, text: Option<Spanned<String>>) -> Option<Duration> {
        let text = text?;
        match duration::parse(&text.value) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.fault(text.referenced, error);
                None
            }
        }
    }

    fn labels(&mut self, raw: Option<Texts>, at: Location, uses: TemplateUse) -> BTreeMap<String, Template> {
        let forbidden = |name: &str| name.is_empty() || name == METRIC_NAME;
        self.texts("label", raw, at, uses, forbidden)
    }

    fn annotations(&mut self, raw: Option<Texts>, at: Location) -> BTreeMap<String, Template> {
        self.texts("annotation", raw, at, TemplateUse::Expanded, str::is_empty)
    }

    fn texts(
        &mut self,
        what: &str,
        raw: Option<Texts>,
        at: Location,
        uses: TemplateUse,
        forbidden: fn(&str) -> bool,
    ) -> BTreeMap<String, Template> {
        let mut templates = BTreeMap::new();
        for (name, text) in raw.unwrap_or_default() {
            let place = text.as_ref().map_or(at, |text| text.referenced);
            if forbidden(&name) {
                self.fault(place, format!("invalid {what} name: {name}"));
                continue;
            }
            let source = text.map_or_else(String::new, |text| text.value);
            let template = match uses {
                TemplateUse::Plain => Ok(Template::plain(&source)),
                TemplateUse::Expanded => Template::parse(&source),
            };
            match template {
                Ok(template) => {
                    templates.insert(name, template);
                }
                Err(error) => {
                    let error = error.in_go_words(&template_name(&self.rule_name));
                    self.fault(place, format!("{what} {name:?}: {error}"));
                }
            }
        }
        templates
    }
}

/// Whether a text is expanded or taken as it is.
#[derive(Clone, Copy)]
enum TemplateUse {
    Plain,
    Expanded,
}
