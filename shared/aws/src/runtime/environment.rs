//! What the template says to a function, by environment variables, read and checked once.

use std::fmt;

use app::Settings;
use aws_credential_types::Credentials;
use aws_smithy_async::time::SharedTimeSource;
use jiff::tz::TimeZone;
use model::{Language, Limits};
use std::time::Duration;
use tracing::level_filters::LevelFilter;

use crate::client::AwsSettings;

/// How long a revoked token still sends samples. Looking one up is a read a request, and a round trip.
const SENDER_MEMORY: Duration = Duration::from_secs(30);

/// API Gateway waits for 30 s at most; a query that takes longer is answered by ours, which says why.
const QUERY_TIME_MAX: Duration = Duration::from_secs(25);

/// The environment of a function.
///
/// | variable | what it says | default |
/// |---|---|---|
/// | `MIHARI_TABLE`, `MIHARI_BUCKET` | the table and the bucket | must be set |
/// | `MIHARI_EXTERNAL_URL` | where people reach the pages | must be set |
/// | `MIHARI_TOPIC_ARN` | the alert topic | must be set for `evaluate` |
/// | `MIHARI_QUEUE_URL` | the queue behind it | must be set for `notify` and `query` |
/// | `MIHARI_TIME_ZONE` | IANA name of the zone of notifications, reports and pages | `Asia/Tokyo` |
/// | `MIHARI_LANGUAGE` | `ja` or `en`, where nothing else says | `ja` |
/// | `MIHARI_PROMQL_PROFILE` | the PromQL of queries and rules: `extended` or `prometheus` | `extended` |
/// | `MIHARI_MAIL_FROM` | sender of mail, verified in SES | no mail by SES |
/// | `MIHARI_SMS_SENDER_ID` | sender of text messages, where countries show one | none |
/// | `MIHARI_SMS_MAX_PRICE` | most USD one text message may cost | the account's limit |
/// | `MIHARI_RAW_RETENTION` | how long raw samples are kept | `7d` |
/// | `MIHARI_MAX_SAMPLE_AGE` | the oldest sample that is taken | `7d`, the raw retention if that is less |
/// | `MIHARI_ALLOW_LOOPBACK` | `true` where webhooks may go to the machine itself: for emulators | `false` |
/// | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | set by Lambda | must be set |
/// | `AWS_ENDPOINT_URL` | an emulator in place of AWS | AWS |
/// | `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` | the function's memory in MB, set by Lambda | must be set |
/// | `AWS_LAMBDA_LOG_STREAM_NAME` | the name of the process in the cost ledger, set by Lambda | `local` |
/// | `AWS_LAMBDA_LOG_LEVEL` | `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `FATAL` | `INFO` |
#[derive(Clone)]
pub struct Environment {
    /// Where the deployment is.
    pub aws: AwsSettings,
    /// What the operator chose.
    pub settings: Settings,
    /// What is too much.
    pub limits: Limits,
    /// How people are told.
    pub messages: MessageSettings,
    /// The function's memory.
    pub memory_mb: u32,
    /// A name that no other process of the function has.
    pub instance: String,
    topic_arn: Option<String>,
    queue_url: Option<String>,
}

/// How people are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageSettings {
    /// Sender of mail, verified in SES; replaces what the configuration says, which cannot know.
    pub mail_from: Option<String>,
    /// Sender of text messages, where countries show one.
    pub sms_sender_id: Option<String>,
    /// Most USD that one text message may cost.
    pub sms_max_price: Option<f64>,
    /// Whether webhooks may go to the machine itself.
    pub allow_loopback: bool,
}

/// Why a function cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A variable that must be set.
    #[error("the environment variable {0} is missing")]
    Missing(&'static str),
    /// A variable that says nothing.
    #[error("the environment variable {name} is {value:?}, not {expected}")]
    Invalid {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
}

impl fmt::Debug for Environment {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("aws", &self.aws).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Looks a variable up; an empty one is none.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Environment {
    /// Reads the environment.
    ///
    /// # Errors
    /// When a variable is missing or says nothing.
    pub fn read(get: Lookup<'_>, clock: SharedTimeSource) -> Result<Self, EnvironmentError> {
        let memory = required(get, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?;
        let memory_mb = memory
            .parse()
            .map_err(|_| invalid("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory, "a number of megabytes such as 512"))?;
        Ok(Self {
            aws: aws(get, clock)?,
            settings: Settings { cache_bytes: cache_bytes(memory_mb), ..settings(get)? },
            limits: limits(get, memory_mb)?,
            messages: messages(get)?,
            memory_mb,
            instance: get("AWS_LAMBDA_LOG_STREAM_NAME").unwrap_or_else(|| "local".to_owned()),
            topic_arn: get("MIHARI_TOPIC_ARN"),
            queue_url: get("MIHARI_QUEUE_URL"),
        })
    }

    /// The alert topic.
    ///
    /// # Errors
    /// When it is not named.
    pub fn topic_arn(&self) -> Result<String, EnvironmentError> {
        self.topic_arn.clone().ok_or(EnvironmentError::Missing("MIHARI_TOPIC_ARN"))
    }

    /// The queue behind the alert topic.
    ///
    /// # Errors
    /// When it is not named.
    pub fn queue_url(&self) -> Result<String, EnvironmentError> {
        self.queue_url.clone().ok_or(EnvironmentError::Missing("MIHARI_QUEUE_URL"))
    }

    /// The number of the account that the deployment is in: that of its topic.
    pub fn account(&self) -> Option<String> {
        let account = self.topic_arn.as_deref()?.split(':').nth(4)?;
        (!account.is_empty()).then(|| account.to_owned())
    }
}

/// The level of a name; a name that is none means `INFO`.
pub(super) fn level(name: &str) -> LevelFilter {
    match name.to_ascii_uppercase().as_str() {
        "FATAL" => LevelFilter::ERROR,
        name => name.parse().unwrap_or(LevelFilter::INFO),
    }
}

fn aws(get: Lookup<'_>, clock: SharedTimeSource) -> Result<AwsSettings, EnvironmentError> {
    let key = required(get, "AWS_ACCESS_KEY_ID")?;
    let secret = required(get, "AWS_SECRET_ACCESS_KEY")?;
    Ok(AwsSettings {
        region: required(get, "AWS_REGION")?,
        endpoint: get("AWS_ENDPOINT_URL"),
        credentials: Credentials::new(key, secret, get("AWS_SESSION_TOKEN"), None, "environment"),
        table: required(get, "MIHARI_TABLE")?,
        bucket: required(get, "MIHARI_BUCKET")?,
        clock,
    })
}

/// A query's samples take at most half of a function's memory: 16 bytes each, and as much again while they are merged.
const fn query_samples_max(memory_mb: u32) -> usize {
    (memory_mb as usize) << (20 - 1 - 5)
}

/// A quarter of a function's memory is for what it keeps: the rest is for what it works on.
const fn cache_bytes(memory_mb: u32) -> usize {
    (memory_mb as usize) << 18
}

fn settings(get: Lookup<'_>) -> Result<Settings, EnvironmentError> {
    let defaults = Settings::default();
    let external_url = required(get, "MIHARI_EXTERNAL_URL")?;
    if !external_url.starts_with("http://") && !external_url.starts_with("https://") {
        return Err(invalid("MIHARI_EXTERNAL_URL", &external_url, "an address that starts with https://"));
    }
    let time_zone = match get("MIHARI_TIME_ZONE") {
        None => defaults.time_zone,
        Some(name) => TimeZone::get(&name)
            .map_err(|_| invalid("MIHARI_TIME_ZONE", &name, "an IANA time zone such as Asia/Tokyo"))?,
    };
    let language = match get("MIHARI_LANGUAGE") {
        None => defaults.language,
        Some(tag) => Language::from_tag(&tag).ok_or_else(|| invalid("MIHARI_LANGUAGE", &tag, "ja or en"))?,
    };
    let promql_profile = match get("MIHARI_PROMQL_PROFILE") {
        None => defaults.promql_profile,
        Some(name) => name.parse().map_err(|_| invalid("MIHARI_PROMQL_PROFILE", &name, "extended or prometheus"))?,
    };
    let external_url = external_url.trim_end_matches('/').to_owned();
    Ok(Settings {
        external_url,
        language,
        time_zone,
        promql_profile,
        takes_pushed_config: true,
        sender_memory: SENDER_MEMORY,
        ..Settings::default()
    })
}

fn limits(get: Lookup<'_>, memory_mb: u32) -> Result<Limits, EnvironmentError> {
    let defaults = Limits::default();
    let raw_retention = duration(get, "MIHARI_RAW_RETENTION")?.unwrap_or(defaults.raw_retention);
    let sample_age_max = match duration(get, "MIHARI_MAX_SAMPLE_AGE")? {
        None => defaults.sample_age_max.min(raw_retention),
        Some(age) if age <= raw_retention => age,
        Some(age) => {
            let value = model::duration::format(age);
            return Err(invalid("MIHARI_MAX_SAMPLE_AGE", &value, "at most MIHARI_RAW_RETENTION"));
        }
    };
    Ok(Limits {
        sample_age_max,
        raw_retention,
        rollup_retention: defaults.rollup_retention.max(raw_retention),
        query_timeout: QUERY_TIME_MAX,
        query_samples_max: defaults.query_samples_max.min(query_samples_max(memory_mb)),
        ..defaults
    })
}

fn messages(get: Lookup<'_>) -> Result<MessageSettings, EnvironmentError> {
    let sms_max_price = match get("MIHARI_SMS_MAX_PRICE") {
        None => None,
        Some(text) => match text.parse::<f64>() {
            Ok(price) if price.is_finite() && price > 0.0 => Some(price),
            Ok(_) | Err(_) => return Err(invalid("MIHARI_SMS_MAX_PRICE", &text, "a price in USD such as 0.5")),
        },
    };
    let allow_loopback = match get("MIHARI_ALLOW_LOOPBACK").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(invalid("MIHARI_ALLOW_LOOPBACK", other, "true or false")),
    };
    Ok(MessageSettings {
        mail_from: get("MIHARI_MAIL_FROM"),
        sms_sender_id: get("MIHARI_SMS_SENDER_ID"),
        sms_max_price,
        allow_loopback,
    })
}

fn duration(get: Lookup<'_>, name: &'static str) -> Result<Option<Duration>, EnvironmentError> {
    let Some(text) = get(name) else { return Ok(None) };
    match model::duration::parse(&text) {
        Ok(duration) if !duration.is_zero() => Ok(Some(duration)),
        Ok(_) | Err(_) => Err(invalid(name, &text, "a duration such as 7d")),
    }
}

fn required(get: Lookup<'_>, name: &'static str) -> Result<String, EnvironmentError> {
    get(name).ok_or(EnvironmentError::Missing(name))
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> EnvironmentError {
    EnvironmentError::Invalid { name, value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_smithy_async::time::SystemTimeSource;

    use super::*;

    const LEAST: [(&str, &str); 7] = [
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_REGION", "ap-northeast-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "very secret"),
        ("MIHARI_TABLE", "mihari-table"),
        ("MIHARI_BUCKET", "mihari-bucket"),
        ("MIHARI_EXTERNAL_URL", "https://m.example.com/"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        let variables: BTreeMap<&str, &str> = LEAST.iter().chain(changes).copied().collect();
        let get = |name: &str| variables.get(name).filter(|value| !value.is_empty()).map(|&value| value.to_owned());
        Environment::read(&get, SharedTimeSource::new(SystemTimeSource::new()))
    }

    #[test]
    fn the_least_is_enough() {
        let found = read(&[]).unwrap();
        assert_eq!((found.memory_mb, found.aws.table.as_str()), (512, "mihari-table"));
        assert_eq!(found.settings.external_url, "https://m.example.com");
        assert_eq!(found.settings.time_zone.iana_name(), Some("Asia/Tokyo"));
        assert!(found.settings.takes_pushed_config && found.settings.layouts);
        assert_eq!(found.settings.sender_memory, SENDER_MEMORY);
        assert_eq!(found.settings.cache_bytes, 128 << 20);
        let limits = Limits { query_timeout: QUERY_TIME_MAX, query_samples_max: 8 << 20, ..Limits::default() };
        assert_eq!(found.limits, limits);
        assert_eq!(found.messages, MessageSettings::default());
        assert_eq!(found.topic_arn(), Err(EnvironmentError::Missing("MIHARI_TOPIC_ARN")));
        assert_eq!(found.queue_url(), Err(EnvironmentError::Missing("MIHARI_QUEUE_URL")));
        assert!(!format!("{found:?}").contains("very secret"));
    }

    #[test]
    fn what_is_said_counts() {
        let found = read(&[
            ("MIHARI_TOPIC_ARN", "arn:aws:sns:ap-northeast-1:123456789012:t"),
            ("MIHARI_QUEUE_URL", "https://sqs.ap-northeast-1.amazonaws.com/123456789012/q"),
            ("MIHARI_TIME_ZONE", "Europe/Berlin"),
            ("MIHARI_LANGUAGE", "en"),
            ("MIHARI_PROMQL_PROFILE", "prometheus"),
            ("MIHARI_RAW_RETENTION", "3d"),
            ("MIHARI_MAIL_FROM", "mihari@example.com"),
            ("MIHARI_SMS_MAX_PRICE", "0.25"),
            ("MIHARI_ALLOW_LOOPBACK", "true"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.topic_arn().unwrap(), "arn:aws:sns:ap-northeast-1:123456789012:t");
        assert_eq!(found.queue_url().unwrap(), "https://sqs.ap-northeast-1.amazonaws.com/123456789012/q");
        assert_eq!(found.account().as_deref(), Some("123456789012"));
        assert_eq!(found.settings.language, Language::English);
        assert_eq!(found.settings.promql_profile.as_str(), "prometheus");
        let three_days = Duration::from_secs(3 * 24 * 3600);
        assert_eq!((found.limits.raw_retention, found.limits.sample_age_max), (three_days, three_days));
        assert_eq!(found.messages.mail_from.as_deref(), Some("mihari@example.com"));
        assert_eq!((found.messages.sms_max_price, found.messages.allow_loopback), (Some(0.25), true));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let cases = [
            (("MIHARI_TABLE", ""), "the environment variable MIHARI_TABLE is missing"),
            (("AWS_REGION", ""), "AWS_REGION is missing"),
            (("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much"), "is \"much\", not a number of megabytes"),
            (("MIHARI_EXTERNAL_URL", "m.example.com"), "not an address that starts with https://"),
            (("MIHARI_TIME_ZONE", "Nowhere"), "not an IANA time zone"),
            (("MIHARI_LANGUAGE", "fr"), "not ja or en"),
            (("MIHARI_PROMQL_PROFILE", "stock"), "not extended or prometheus"),
            (("MIHARI_RAW_RETENTION", "0s"), "not a duration"),
            (("MIHARI_MAX_SAMPLE_AGE", "8d"), "not at most MIHARI_RAW_RETENTION"),
            (("MIHARI_SMS_MAX_PRICE", "-1"), "not a price in USD"),
            (("MIHARI_ALLOW_LOOPBACK", "yes"), "not true or false"),
        ];
        for (change, expected) in cases {
            let error = read(&[change]).unwrap_err().to_string();
            assert!(error.contains(expected), "{change:?}: {error}");
        }
    }

    #[test]
    fn levels_are_those_of_lambda() {
        let cases = [("WARN", LevelFilter::WARN), ("FATAL", LevelFilter::ERROR), ("debug", LevelFilter::DEBUG)];
        for (name, expected) in cases.into_iter().chain([("loud", LevelFilter::INFO)]) {
            assert_eq!(level(name), expected, "{name}");
        }
    }
}
