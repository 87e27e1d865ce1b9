//! The configuration files: which rules run, and who is told.
//!
//! A folder of configuration holds `rules/*.yml` (Prometheus rule files) and `alertmanager.yml` (an Alertmanager
//! configuration file) with its templates (`*.tmpl`), `oncall.yml` (who is called, and when) and `forward.yml` (the
//! Alertmanagers outside that alerts are handed on to) of the default tenant, the same below `tenants/<id>/` for every
//! other tenant, and for all
//! `reports.yml` and `cloudwatch.yml` (what is read from CloudWatch into the default tenant). What the folder
//! `infra/config` of the repository holds is in the binary: [`Config::defaults`].

use std::collections::BTreeMap;

use alerting::ConfigError;
use alerting::notify::{self, Forwarding, TemplateFile};
use alerting::oncall::OnCall;
use alerting::rule::{self, RuleGroup, RuleKind};
use model::{Limits, TenantId};
use promql::{Expr, Profile};

use crate::collect::config::CloudWatchConfig;
use crate::report::Schedule;

/// The default files by their names in a folder of configuration.
const DEFAULT_FILES: [(&str, &str); 9] = [
    (NOTIFY_FILE, include_str!("../../../infra/config/alertmanager.yml")),
    (CLOUDWATCH_FILE, include_str!("../../../infra/config/cloudwatch.yml")),
    (ON_CALL_FILE, include_str!("../../../infra/config/oncall.yml")),
    (REPORTS_FILE, include_str!("../../../infra/config/reports.yml")),
    ("rules/application.yml", include_str!("../../../infra/config/rules/application.yml")),
    ("rules/errors.yml", include_str!("../../../infra/config/rules/errors.yml")),
    ("rules/infrastructure.yml", include_str!("../../../infra/config/rules/infrastructure.yml")),
    ("rules/network.yml", include_str!("../../../infra/config/rules/network.yml")),
    ("rules/storage.yml", include_str!("../../../infra/config/rules/storage.yml")),
];

const NOTIFY_FILE: &str = "alertmanager.yml";
/// How the names of files with templates of receivers end.
const TEMPLATE_END: &str = ".tmpl";
const ON_CALL_FILE: &str = "oncall.yml";
const FORWARD_FILE: &str = "forward.yml";
const REPORTS_FILE: &str = "reports.yml";
const CLOUDWATCH_FILE: &str = "cloudwatch.yml";

/// The configuration of all tenants, checked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// By tenant; a tenant without files of its own has no rules.
    pub tenants: BTreeMap<TenantId, TenantConfig>,
    /// When reports are written, and for whom.
    pub reports: Schedule,
    /// What is read from CloudWatch.
    pub cloudwatch: CloudWatchConfig,
}

/// The configuration of one tenant, checked.
#[derive(Clone, Debug)]
pub struct TenantConfig {
    /// The rule groups, in order of file and place.
    pub rule_groups: Vec<RuleGroup>,
    /// Who is told.
    pub notify: notify::Config,
    /// Who is called, and what happens when nobody answers; nobody without a file that says it.
    pub on_call: OnCall,
    /// Whom alerts are handed on to; nobody without a file that says it.
    pub forwarding: Forwarding,
    /// Every expression of the rules, parsed.
    exprs: BTreeMap<String, Expr>,
}

/// What a file configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Rules,
    Notify,
    /// Of receivers.
    Templates,
    OnCall,
    Forward,
}

impl Config {
    /// Reads configuration files, given by their paths in the folder and their contents; files that configure something
    /// else are left alone. A tenant without an `alertmanager.yml` has the default one, which writes to the outbox.
    ///
    /// # Errors
    /// All that is wrong with any of the files.
    pub fn parse<P: AsRef<str>, T: AsRef<str>>(files: &[(P, T)]) -> Result<Self, Vec<ConfigError>> {
        Self::parse_as(Profile::Extended, files)
    }

    /// Reads configuration files whose rules are written in a profile of PromQL.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_as<P: AsRef<str>, T: AsRef<str>>(
        profile: Profile,
        files: &[(P, T)],
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut config = Self::default();
        for (path, text) in files {
            let (path, text) = (path.as_ref(), text.as_ref());
            if path == REPORTS_FILE {
                match Schedule::parse(path, text) {
                    Ok(reports) => config.reports = reports,
                    Err(error) => errors.push(error),
                }
                continue;
            }
            if path == CLOUDWATCH_FILE {
                match CloudWatchConfig::parse(path, text) {
                    Ok(cloudwatch) => config.cloudwatch = cloudwatch,
                    Err(error) => errors.push(error),
                }
                continue;
            }
            match place(path) {
                Ok(Some((tenant, Part::Templates))) => drop(tenant),
                Ok(Some((tenant, part))) => {
                    let templates = templates_of(&tenant, files);
                    let tenant = config.tenants.entry(tenant).or_insert_with(TenantConfig::empty);
                    tenant.add(profile, part, (path, text), &templates, &mut errors);
                }
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        for (path, _) in files {
            let path = path.as_ref();
            if let Ok(Some((tenant, Part::OnCall))) = place(path)
                && let Some(tenant) = config.tenants.get(&tenant)
                && let Err(missing) = tenant.on_call.check_receivers(path, &tenant.notify)
            {
                errors.extend(missing);
            }
        }
        for tenant in config.tenants.values_mut() {
            tenant.rule_groups.sort_by(|one, two| one.file.cmp(&two.file));
        }
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// Says in the log what the files ask for and do not get.
    pub fn log_unheeded(&self) {
        for (tenant, config) in &self.tenants {
            for what in config.notify.unheeded.iter().chain(&config.forwarding.unheeded) {
                tracing::warn!(%tenant, what, "the configuration asks for more than is done");
            }
        }
    }

    /// Whether a file of that name in a folder of configuration configures something.
    pub fn reads(path: &str) -> bool {
        matches!(path, REPORTS_FILE | CLOUDWATCH_FILE) || matches!(place(path), Ok(Some(_)) | Err(_))
    }

    /// The configuration that is in the binary: the default rules and the outbox.
    pub fn defaults() -> Self {
        Self::parse(&DEFAULT_FILES).expect("the files in the binary are read by a test")
    }

    /// The default files by their names in a folder of configuration, for those who want to change them.
    pub const fn default_files() -> &'static [(&'static str, &'static str)] {
        &DEFAULT_FILES
    }
}

impl TenantConfig {
    fn empty() -> Self {
        let (file, text) = DEFAULT_FILES[0];
        let notify = notify::parse(file, text).expect("the file in the binary is read by a test");
        Self {
            rule_groups: Vec::new(),
            notify,
            on_call: OnCall::default(),
            forwarding: Forwarding::default(),
            exprs: BTreeMap::new(),
        }
    }

    fn add(
        &mut self,
        profile: Profile,
        part: Part,
        (path, text): (&str, &str),
        templates: &[TemplateFile<'_>],
        errors: &mut Vec<ConfigError>,
    ) {
        match part {
            Part::Rules => match rule::parse(path, text, &|expr| check_expr(profile, expr)) {
                Ok(mut groups) => {
                    self.keep_exprs(&mut groups);
                    self.rule_groups.extend(groups);
                }
                Err(found) => errors.extend(found),
            },
            Part::Templates => {}
            Part::Notify => match notify::parse_with(path, text, templates) {
                Ok(notify) => self.notify = notify,
                Err(error) => errors.push(error),
            },
            Part::OnCall => match OnCall::parse(path, text) {
                Ok(on_call) => self.on_call = on_call,
                Err(error) => errors.push(error),
            },
            Part::Forward => match Forwarding::parse(path, text) {
                Ok(forwarding) => self.forwarding = forwarding,
                Err(error) => errors.push(error),
            },
        }
    }

    /// Keeps the expressions parsed, and their texts in the form in which they are printed everywhere.
    fn keep_exprs(&mut self, groups: &mut [RuleGroup]) {
        for rule in groups.iter_mut().flat_map(|group| &mut group.rules) {
            let recover_expr = match &mut rule.kind {
                RuleKind::Recording => None,
                RuleKind::Alerting { recover_expr, .. } => recover_expr.as_mut(),
            };
            for text in std::iter::once(&mut rule.expr).chain(recover_expr) {
                let expr = promql::parse(text).expect("the rule's expressions were parsed when the file was checked");
                *text = expr.to_string();
                self.exprs.insert(text.clone(), expr);
            }
        }
    }

    /// The expression of one of the rules.
    pub fn expr(&self, text: &str) -> Option<&Expr> {
        self.exprs.get(text)
    }
}

fn check_expr(profile: Profile, text: &str) -> Result<(), String> {
    promql::parse_as(text, profile, &Limits::default()).map(|_| ()).map_err(|error| error.to_string())
}

/// The files of templates of a tenant, by their paths from its folder.
fn templates_of<'a, P: AsRef<str>, T: AsRef<str>>(tenant: &TenantId, files: &'a [(P, T)]) -> Vec<TemplateFile<'a>> {
    let own = files
        .iter()
        .map(|(path, text)| (path.as_ref(), text.as_ref()))
        .filter(|(path, _)| place(path).is_ok_and(|place| place == Some((tenant.clone(), Part::Templates))));
    let inside = |path: &'a str| path.strip_prefix("tenants/").and_then(|rest| rest.split_once('/'));
    own.map(|(path, text)| (inside(path).map_or(path, |(_, rest)| rest), text)).collect()
}

/// Whose configuration a file is, and of what.
fn place(path: &str) -> Result<Option<(TenantId, Part)>, ConfigError> {
    let (tenant, rest) = match path.strip_prefix("tenants/").and_then(|rest| rest.split_once('/')) {
        Some((name, rest)) => (TenantId::new(name).map_err(|error| ConfigError::whole(path, error)), rest),
        None => (Ok(TenantId::default_tenant()), path),
    };
    let rules = rest.strip_prefix("rules/").filter(|name| !name.contains('/'));
    let part = if rules.is_some_and(|name| name.ends_with(".yml") || name.ends_with(".yaml")) {
        Part::Rules
    } else if rest == NOTIFY_FILE {
        Part::Notify
    } else if rest == ON_CALL_FILE {
        Part::OnCall
    } else if rest == FORWARD_FILE {
        Part::Forward
    } else if rest.ends_with(TEMPLATE_END) {
        Part::Templates
    } else {
        return Ok(None);
    };
    Ok(Some((tenant?, part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNBOOKS: &str = include_str!("../../../infra/config/RUNBOOKS.md");

    #[test]
    fn the_binary_holds_every_file_of_the_repository() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/config/rules");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".yml"))
            .map(|name| format!("rules/{name}"))
            .collect();
        names.sort();
        let embedded: Vec<&str> =
            DEFAULT_FILES.iter().map(|(name, _)| *name).filter(|name| name.starts_with("rules/")).collect();
        assert_eq!(embedded, names);
    }

    #[test]
    fn a_stock_server_takes_the_default_rules_and_refuses_experiments() {
        assert!(Config::parse_as(Profile::Prometheus, &DEFAULT_FILES).is_ok());
        let file = [("rules/a.yml", "groups: [{ name: g, rules: [{ record: a, expr: 'limitk(1, b)' }] }]")];
        assert!(Config::parse(&file).is_ok());
        let errors = Config::parse_as(Profile::Prometheus, &file).unwrap_err();
        assert!(errors[0].reason.contains("--enable-feature=promql-experimental-functions"), "{}", errors[0]);
    }

    #[test]
    fn the_default_rules_cover_the_plan() {
        let config = Config::defaults();
        let tenant = &config.tenants[&TenantId::default_tenant()];
        let mut alerts = Vec::new();
        for rule in tenant.rule_groups.iter().flat_map(|group| &group.rules) {
            assert!(tenant.expr(&rule.expr).is_some(), "{}", rule.expr);
            if let RuleKind::Alerting { annotations, .. } = &rule.kind {
                let label = |name: &str| rule.labels[name].source().to_owned();
                assert!(["infra", "app", "db", "network", "storage"].contains(&label("scope").as_str()));
                assert!(!label("team").is_empty());
                let runbook = annotations["runbook"].source();
                let section = runbook.strip_prefix("infra/config/RUNBOOKS.md#").expect("a runbook is a section");
                assert!(RUNBOOKS.lines().any(|line| line == format!("## {section}")), "{runbook}");
                for name in ["summary", "description", "impact", "action"] {
                    let both = [annotations[name].source(), annotations[format!("{name}_en").as_str()].source()];
                    assert!(both.iter().all(|text| !text.is_empty()), "{} {name}", rule.name);
                }
                alerts.push(format!("{} {}: {}", rule.name, label("severity"), annotations["description"].source()));
            }
        }
        for expected in [
            "cpu_usage critical: CPU使用率が90%を超えています",
            "memory_usage warning: メモリ使用率が85%を超えています",
            "response_time critical: 応答時間が500msを超えています",
            "error_rate critical: エラー率が5%を超えています",
        ] {
            assert!(alerts.iter().any(|alert| alert == expected), "{expected} is not among {alerts:?}");
        }
        for family in [
            "cpu_usage",
            "cpu_throttling",
            "cpu_credit_usage",
            "memory_usage",
            "swap_usage",
            "cache_usage",
            "disk_usage",
            "disk_iops_usage",
            "disk_latency_usage",
            "network_usage",
            "packet_loss",
            "network_latency_usage",
            "connections",
            "connection_errors",
            "connection_error_rate",
            "connection_timeouts",
            "connection_timeout_rate",
            "response_time",
            "response_time_average",
            "response_time_p99",
            "request_rate",
            "error_rate",
            "timeout_rate",
            "exception_rate",
            "http_errors",
            "application_errors",
            "database_errors",
        ] {
            for severity in ["warning", "critical"] {
                let start = format!("{family} {severity}: ");
                assert!(alerts.iter().any(|alert| alert.starts_with(&start)), "{start}");
            }
        }
    }

    #[test]
    fn who_is_on_call_stands_beside_the_routes() {
        let config = Config::defaults();
        let on_call = &config.tenants[&TenantId::default_tenant()].on_call;
        let promise = |severity: &str| on_call.policies[severity].respond_within.unwrap().as_secs();
        assert_eq!(["critical", "warning", "info"].map(promise), [900, 3600, 86_400]);
        let on_call = "escalation: { critical: { tiers: [{ after: 0s, receivers: [pager] }] } }";
        let errors = Config::parse(&[("tenants/shop/oncall.yml", on_call)]).unwrap_err();
        let expected = "tenants/shop/oncall.yml:1:60: receiver \"pager\" is none of the Alertmanager configuration";
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        let routes = "route: { receiver: pager }\nreceivers: [{ name: pager }]";
        let both = [("tenants/shop/oncall.yml", on_call), ("tenants/shop/alertmanager.yml", routes)];
        assert!(Config::parse(&both).is_ok());
    }

    #[test]
    fn files_belong_to_tenants() {
        let rules = "groups: [{ name: g, rules: [{ record: a, expr: b }] }]";
        let files = [
            ("rules/b.yml", rules),
            ("rules/a.yaml", rules),
            ("rules/tests/a.yml", "not: rules"),
            ("notes.yml", "not: rules"),
            ("tenants/shop/rules/a.yml", rules),
        ];
        let config = Config::parse(&files).unwrap();
        let keys = |tenant: &str| {
            let groups = &config.tenants[&TenantId::new(tenant).unwrap()].rule_groups;
            groups.iter().map(RuleGroup::key).collect::<Vec<_>>()
        };
        assert_eq!(keys("default"), ["rules/a.yaml;g", "rules/b.yml;g"]);
        assert_eq!(keys("shop"), ["tenants/shop/rules/a.yml;g"]);
        assert_eq!(config.tenants.len(), 2);
    }

    #[test]
    fn expressions_are_kept_in_the_form_in_which_they_are_printed() {
        let rules = "groups: [{ name: g, rules: [{ record: a, expr: \"sum(b{c='d'})by(e)>1\" }] }]";
        let config = Config::parse(&[("rules/a.yml", rules)]).unwrap();
        let tenant = &config.tenants[&TenantId::default_tenant()];
        let text = &tenant.rule_groups[0].rules[0].expr;
        assert_eq!(text, "sum by (e) (b{c=\"d\"}) > 1");
        assert_eq!(tenant.expr(text).unwrap().to_string(), *text);
    }

    #[test]
    fn all_faults_of_all_files_are_told_at_once() {
        let files = [
            ("rules/a.yml", "groups:\n- name: g\n  rules:\n  - { record: a, expr: 'rate(b)' }\n  - { alert: c }\n"),
            ("tenants/a b/rules/a.yml", "groups: []"),
            ("alertmanager.yml", "route: []"),
        ];
        let errors = Config::parse(&files).unwrap_err();
        let places: Vec<String> = errors.iter().map(|e| format!("{}:{}:{}", e.file, e.line, e.column)).collect();
        assert_eq!(places[..3], ["rules/a.yml:4:24", "rules/a.yml:5:5", "tenants/a b/rules/a.yml:0:0"]);
        assert!(places[3].starts_with("alertmanager.yml:1:"), "{places:?}");
        assert!(errors[0].reason.contains("could not parse expression: 1:"), "{}", errors[0]);
    }
}
