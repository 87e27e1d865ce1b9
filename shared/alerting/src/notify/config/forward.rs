//! Whom alerts are handed on to: the `alerting` block of a Prometheus configuration file, from text.

use std::cell::RefCell;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Http;
use super::fields::{Fields, Mapping, Notes, Read};
use super::http::inlined;
use crate::ConfigError;

/// Most Alertmanagers of one tenant.
const ALERTMANAGERS_MAX: usize = 16;
/// How long an Alertmanager may take where the file does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that it may take, so that other work need not wait.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Whom alerts are handed on to, beside being notified here.
#[derive(Clone, Debug, Default)]
pub struct Forwarding {
    /// The Alertmanagers, in order; each gets every alert.
    pub alertmanagers: Vec<Alertmanager>,
    /// What the file asks for and does not get, one line each, with its place.
    pub unheeded: Vec<String>,
}

/// An Alertmanager outside.
#[derive(Clone, Debug)]
pub struct Alertmanager {
    /// Where it takes alerts: `https://alertmanager.example:9093/am/api/v2/alerts`.
    pub url: String,
    /// How long it may take to take them.
    pub timeout: Duration,
    /// How it is asked.
    pub http: Http,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    alerting: Option<Spanned<Mapping>>,
}

impl Forwarding {
    /// Reads a file with the block `alerting` of a Prometheus configuration file, strictly.
    ///
    /// # Errors
    /// When it is no YAML, has an unknown field, or asks for what is not done: other ways than `static_configs` to find
    /// Alertmanagers, relabelling, another version of the API than v2.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, ConfigError> {
        let raw: RawFile = serde_saphyr::from_str(yaml).map_err(|error| ConfigError::from_yaml(file, &error))?;
        let notes = Notes { file, unheeded: RefCell::default() };
        let mut forwarding = Self::default();
        if let Some(raw) = raw.alerting {
            let mut fields = Fields::new(&notes, "`alerting`", raw.referenced, raw.value);
            no_relabelling(&mut fields, "alert_relabel_configs")?;
            for one in fields.objects("alertmanagers", "an item of `alertmanagers`")? {
                forwarding.alertmanagers.extend(alertmanagers(one)?);
            }
            if forwarding.alertmanagers.len() > ALERTMANAGERS_MAX {
                return fields.refuse(format!("there are more than {ALERTMANAGERS_MAX} Alertmanagers"));
            }
            fields.end()?;
        }
        forwarding.unheeded = notes.unheeded.into_inner();
        Ok(forwarding)
    }
}

fn alertmanagers(mut fields: Fields<'_>) -> Read<Vec<Alertmanager>> {
    if let Some(name) = fields.names().iter().find(|name| name.ends_with("_sd_configs")) {
        return fields.refuse(format!("`{name}` is not done: name the Alertmanagers in `static_configs`"));
    }
    no_relabelling(&mut fields, "relabel_configs")?;
    no_relabelling(&mut fields, "alert_relabel_configs")?;
    if fields.text("api_version")?.is_some_and(|version| version != "v2") {
        return fields.refuse("`api_version` is not v2");
    }
    let scheme = fields.text("scheme")?.unwrap_or_else(|| "http".to_owned());
    if !matches!(scheme.as_str(), "http" | "https") {
        return fields.refuse("`scheme` is neither http nor https");
    }
    let prefix = fields.text("path_prefix")?.unwrap_or_default();
    let prefix = prefix.trim_matches('/');
    let timeout = fields.duration("timeout", TIMEOUT)?;
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return fields.refuse(format!("`timeout` is not between 1ms and {}s", TIMEOUT_MAX.as_secs()));
    }
    let http = inlined(&mut fields)?;
    let mut all = Vec::new();
    for mut list in fields.objects("static_configs", "an item of `static_configs`")? {
        // Labels of a target tell it apart where it is relabelled, which is not done.
        list.ignore(&["labels"]);
        for target in list.list("targets")?.unwrap_or_default() {
            if target.is_empty() || target.contains(|c: char| c.is_whitespace() || "/@?#".contains(c)) {
                return list.refuse(format!("{target:?} is not a target of the form host:port"));
            }
            let slash = if prefix.is_empty() { "" } else { "/" };
            let url = format!("{scheme}://{target}{slash}{prefix}/api/v2/alerts");
            all.push(Alertmanager { url, timeout, http: http.clone() });
        }
        list.end()?;
    }
    fields.end()?;
    Ok(all)
}

/// Relabelling is refused rather than left out: alerts would go out with labels that nobody wanted.
fn no_relabelling(fields: &mut Fields<'_>, name: &str) -> Read<()> {
    if fields.objects(name, "an item of relabelling")?.is_empty() {
        return Ok(());
    }
    fields.refuse(format!("`{name}` is not done: alerts are handed on with the labels that they have"))
}

#[cfg(test)]
mod tests {
    use super::super::Authorization;
    use super::*;

    #[test]
    fn the_block_of_a_prometheus_is_read() {
        let yaml = "
alerting:
  alertmanagers:
  - scheme: https
    path_prefix: /am/
    timeout: 5s
    api_version: v2
    basic_auth: { username: mihari, password_file: /run/secrets/am }
    static_configs:
    - targets: ['am-1.example:9093', am-2.example]
      labels: { zone: a }
  - authorization: { credentials: geheim }
    tls_config: { insecure_skip_verify: true }
    static_configs: [{ targets: ['127.0.0.1:9093'] }]
";
        let read = Forwarding::parse("forward.yml", yaml).unwrap();
        let urls: Vec<&str> = read.alertmanagers.iter().map(|one| one.url.as_str()).collect();
        let expected = [
            "https://am-1.example:9093/am/api/v2/alerts",
            "https://am-2.example/am/api/v2/alerts",
            "http://127.0.0.1:9093/api/v2/alerts",
        ];
        assert_eq!(urls, expected);
        let timeouts: Vec<u64> = read.alertmanagers.iter().map(|one| one.timeout.as_secs()).collect();
        assert_eq!(timeouts, [5, 5, 10]);
        let is_basic = |one: &Alertmanager| matches!(one.http.authorization, Some(Authorization::Basic { .. }));
        assert_eq!(read.alertmanagers.iter().map(is_basic).collect::<Vec<_>>(), [true, true, false]);
        let skips = |one: &Alertmanager| one.http.connection.tls.skips_verification;
        assert_eq!(read.alertmanagers.iter().map(skips).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(read.unheeded, [""; 0]);
        assert!(!format!("{read:?}").contains("geheim"));
    }

    #[test]
    fn nothing_is_handed_on_where_nobody_is_named() {
        for yaml in ["", "alerting:", "alerting: {}", "alerting: { alertmanagers: [] }"] {
            assert!(Forwarding::parse("forward.yml", yaml).unwrap().alertmanagers.is_empty(), "{yaml:?}");
        }
    }

    #[test]
    fn what_is_not_done_is_refused_by_name_and_place() {
        let many = format!("static_configs: [{{ targets: [{}] }}]", "a, ".repeat(17));
        let cases = [
            ("dns_sd_configs: [{ names: [a] }]", "`dns_sd_configs` is not done"),
            ("relabel_configs: [{ action: drop }]", "`relabel_configs` is not done"),
            ("alert_relabel_configs: [{ action: drop }]", "`alert_relabel_configs` is not done"),
            ("api_version: v1", "not v2"),
            ("scheme: ftp", "neither http nor https"),
            ("timeout: 1m", "not between 1ms and 30s"),
            ("static_configs: [{ targets: ['http://a'] }]", "not a target of the form host:port"),
            ("static_configs: [{ target: [a] }]", "has no field `target`"),
            ("bearer_token: x, basic_auth: {}", "may be there"),
            ("strange: 1", "has no field `strange`"),
            (many.as_str(), "more than 16"),
        ];
        for (text, expected) in cases {
            let yaml = format!("alerting:\n  alertmanagers: [{{ {text} }}]\n");
            let error = Forwarding::parse("forward.yml", &yaml).unwrap_err().to_string();
            assert!(error.starts_with("forward.yml:") && error.contains(expected), "{text}: {error}");
        }
        assert!(Forwarding::parse("forward.yml", "global: {}").is_err());
    }
}
