//! Bodies of Alertmanager's API, as its OpenAPI description has them.

use std::collections::BTreeMap;

use alerting::notify::{Receiver, Silence, SilenceState};
use jiff::civil;
use jiff::tz::TimeZone;
use model::{MatchOp, Matcher, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::notify::{self, AlertGroupView, SentAlert, SentAlertState, SentAlertView};

/// The Alertmanager whose API this is: amtool warns of any other one than its own, and our version stands beside it.
const SPOKEN_VERSION: &str = "0.34.0";

/// A time as the API writes it: UTC with milliseconds.
fn written(time: Timestamp) -> String {
    let zero = || "0001-01-01T00:00:00.000Z".to_owned();
    jiff::Timestamp::from_millisecond(time.as_millis()).map_or_else(|_| zero(), |time| format!("{time:.3}"))
}

/// A time as a client writes it, in UTC where it names no zone, as upstream has it; Go's zero time and the empty text
/// are none.
fn read_time(text: &str) -> Result<Option<Timestamp>, String> {
    if text.is_empty() || text.starts_with("0001-01-01") {
        return Ok(None);
    }
    let in_utc = |_| text.parse::<civil::DateTime>()?.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let time = text.parse::<jiff::Timestamp>().or_else(in_utc);
    let time = time.map_err(|_| format!("{text:?} is not a time as RFC 3339 writes it"))?;
    Ok(Some(Timestamp::from_millis(time.as_millisecond())))
}

/// Texts by name; null is the empty text.
#[derive(Deserialize)]
#[serde(transparent)]
struct Texts(BTreeMap<String, Option<String>>);

impl Texts {
    fn filled(self) -> BTreeMap<String, String> {
        self.0.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect()
    }
}

#[derive(Serialize)]
pub(super) struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusBody {
    cluster: ClusterBody,
    version_info: VersionBody,
    config: ConfigBody,
    uptime: String,
}

#[derive(Serialize)]
struct ClusterBody {
    status: &'static str,
    peers: [(); 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionBody {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

#[derive(Serialize)]
struct ConfigBody {
    original: String,
}

impl StatusBody {
    pub(super) fn of(app: &App, tenant: &TenantId, now: Timestamp) -> Self {
        let config = app.config();
        let running_ms = i64::try_from(app.stopwatch.read().as_millis()).unwrap_or(0);
        Self {
            cluster: ClusterBody { status: "disabled", peers: [] },
            version_info: VersionBody {
                version: SPOKEN_VERSION,
                revision: env!("CARGO_PKG_VERSION"),
                branch: "mihari",
                build_user: "",
                build_date: "",
                go_version: "",
            },
            config: ConfigBody { original: notify::routes(&config, tenant).original.clone() },
            uptime: written(Timestamp::from_millis(now.as_millis() - running_ms)),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ReceiverBody<'a> {
    name: &'a str,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> ReceiverBody<'a> {
    pub(super) fn of(receiver: &'a Receiver) -> Self {
        Self { name: &receiver.name, labels: &receiver.labels }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertBody<'a> {
    annotations: &'a BTreeMap<String, String>,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Name<'a>>,
    starts_at: String,
    status: AlertStatusBody<'a>,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertStatusBody<'a> {
    inhibited_by: Vec<String>,
    muted_by: &'a [String],
    silenced_by: &'a [String],
    state: &'static str,
}

impl<'a> AlertBody<'a> {
    pub(super) fn of(view: &'a SentAlertView) -> Self {
        let alert = &view.held.alert;
        Self {
            annotations: &alert.annotations,
            // One of our own rules vouches for its alerts for a while, as Prometheus does.
            ends_at: written(alert.ends_at.or(alert.valid_until).unwrap_or(alert.updated_at)),
            fingerprint: alert.fingerprint().to_string(),
            receivers: view.receivers.iter().map(|name| Name { name }).collect(),
            starts_at: written(alert.starts_at),
            status: AlertStatusBody {
                inhibited_by: view.inhibited_by.iter().map(ToString::to_string).collect(),
                muted_by: &view.muted_by,
                silenced_by: &view.silenced_by,
                state: match view.state() {
                    SentAlertState::Active => "active",
                    SentAlertState::Suppressed => "suppressed",
                },
            },
            updated_at: written(alert.updated_at),
            generator_url: &alert.generator_url,
            labels: alert.labels.iter().collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupBody<'a> {
    alerts: Vec<AlertBody<'a>>,
    labels: BTreeMap<&'a str, &'a str>,
    receiver: Name<'a>,
    route_labels: &'a BTreeMap<String, String>,
}

impl<'a> GroupBody<'a> {
    pub(super) fn of(group: &'a AlertGroupView) -> Self {
        Self {
            alerts: group.alerts.iter().map(AlertBody::of).collect(),
            labels: group.key.labels.iter().collect(),
            receiver: Name { name: &group.key.receiver },
            route_labels: &group.route_labels,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostedAlert {
    labels: Texts,
    #[serde(default)]
    annotations: Option<Texts>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

impl PostedAlert {
    pub(super) fn sent(self) -> Result<SentAlert, String> {
        let time = |text: Option<String>| read_time(text.as_deref().unwrap_or(""));
        Ok(SentAlert {
            labels: self.labels.filled(),
            annotations: self.annotations.map(Texts::filled).unwrap_or_default(),
            starts_at: time(self.starts_at)?,
            ends_at: time(self.ends_at)?,
            generator_url: self.generator_url.unwrap_or_default(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MatcherBody {
    /// Equal unless it says otherwise.
    is_equal: Option<bool>,
    is_regex: bool,
    name: String,
    value: String,
}

impl MatcherBody {
    fn of(matcher: &Matcher) -> Self {
        Self {
            is_equal: Some(matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex)),
            is_regex: matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
            name: matcher.name().to_owned(),
            value: matcher.value().to_owned(),
        }
    }

    fn matcher(&self) -> Result<Matcher, String> {
        let op = match (self.is_equal.unwrap_or(true), self.is_regex) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (false, true) => MatchOp::NotRegex,
        };
        if self.name.is_empty() {
            return Err("invalid silence: a matcher has no label name".to_owned());
        }
        Matcher::new(&self.name, op, &self.value).map_err(|error| format!("invalid silence: {error}"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostedSilence {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<MatcherBody>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
    #[serde(default)]
    annotations: Option<Texts>,
}

impl PostedSilence {
    pub(super) fn silence(self, now: Timestamp) -> Result<Silence, String> {
        if self.matchers.is_empty() {
            return Err("matchers in body should have at least 1 items".to_owned());
        }
        Ok(Silence {
            id: self.id.unwrap_or_default(),
            matchers: self.matchers.iter().map(MatcherBody::matcher).collect::<Result<_, _>>()?,
            starts_at: read_time(&self.starts_at)?.unwrap_or(now),
            ends_at: read_time(&self.ends_at)?.ok_or("a silence needs an end")?,
            updated_at: now,
            created_by: self.created_by,
            comment: self.comment,
            annotations: self.annotations.map(Texts::filled).unwrap_or_default(),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SilenceBody<'a> {
    id: &'a str,
    status: SilenceStatusBody,
    updated_at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    comment: &'a str,
    created_by: &'a str,
    ends_at: String,
    matchers: Vec<MatcherBody>,
    starts_at: String,
}

#[derive(Serialize)]
struct SilenceStatusBody {
    state: &'static str,
}

impl<'a> SilenceBody<'a> {
    pub(super) fn of(silence: &'a Silence, now: Timestamp) -> Self {
        let state = match silence.state(now) {
            SilenceState::Active => "active",
            SilenceState::Pending => "pending",
            SilenceState::Expired => "expired",
        };
        Self {
            id: &silence.id,
            status: SilenceStatusBody { state },
            updated_at: written(silence.updated_at),
            annotations: &silence.annotations,
            comment: &silence.comment,
            created_by: &silence.created_by,
            ends_at: written(silence.ends_at),
            matchers: silence.matchers.iter().map(MatcherBody::of).collect(),
            starts_at: written(silence.starts_at),
        }
    }
}
