//! Parameters of a request: from a form body and from the query string, in this order, as Prometheus reads them.

use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use model::Timestamp;

use crate::AppError;

const ZERO_STEP: &str = "zero or negative query resolution step widths are not accepted. Try a positive integer";

/// The parameters of one request; names may repeat.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the raw query string and, for a form, the body.
    pub fn of(request: &Request<Bytes>) -> Self {
        let mut pairs = if is_form(request) { decode(request.body()) } else { Vec::new() };
        pairs.extend(Self::of_uri(request.uri()).0);
        Self(pairs)
    }

    /// Reads the raw query string alone.
    pub(super) fn of_uri(uri: &Uri) -> Self {
        Self(decode(uri.query().unwrap_or("").as_bytes()))
    }

    /// The first value of a parameter, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// When it is not, or is empty.
    pub fn required(&self, name: &str) -> Result<&str, AppError> {
        self.get(name).ok_or_else(|| AppError::Invalid(format!("invalid parameter {name:?}: it is missing or empty")))
    }

    /// A time, see [`parse_time`].
    ///
    /// # Errors
    /// When it is there and is no time.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, AppError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let what = "a valid timestamp";
        let error = || invalid(name, &format!("invalid time value for '{name}': {}", unreadable(text, what)));
        parse_time(text).map(Some).ok_or_else(error)
    }

    /// A time that must be there.
    ///
    /// # Errors
    /// When it is not, or is no time.
    pub fn required_time(&self, name: &str) -> Result<Timestamp, AppError> {
        let text = self.get(name).unwrap_or("");
        parse_time(text).ok_or_else(|| invalid(name, &unreadable(text, "a valid timestamp")))
    }

    /// From one step to the next, which must be there and more than nothing.
    ///
    /// # Errors
    /// When it is not.
    pub fn step(&self) -> Result<Duration, AppError> {
        let text = self.get("step").unwrap_or("");
        let duration = parse_duration(text);
        if duration.is_some_and(|step| step.is_zero()) || text.parse().is_ok_and(|seconds: f64| seconds < 0.0) {
            return Err(invalid("step", ZERO_STEP));
        }
        duration.ok_or_else(|| invalid("step", &unreadable(text, "a valid duration")))
    }

    /// A duration, see [`parse_duration`].
    ///
    /// # Errors
    /// When it is there and is no duration.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, AppError> {
        self.get(name)
            .map(|text| parse_duration(text).ok_or_else(|| invalid(name, &unreadable(text, "a valid duration"))))
            .transpose()
    }

    /// A number of things; `None` for 0, which means no limit.
    ///
    /// # Errors
    /// When it is there and is no such number.
    pub fn limit(&self) -> Result<Option<usize>, AppError> {
        Ok(self.count("limit")?.filter(|&limit| limit > 0))
    }

    /// A number of things.
    ///
    /// # Errors
    /// When it is there and is no such number.
    pub fn count(&self, name: &str) -> Result<Option<usize>, AppError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number: i64 = text.parse().map_err(|error: ParseIntError| invalid(name, &unparsed(text, &error)))?;
        let error = |_| invalid(name, &format!("{name} must be non-negative"));
        usize::try_from(number).map(Some).map_err(error)
    }
}

/// The failure of a parameter.
pub(super) fn invalid(name: &str, reason: &str) -> AppError {
    AppError::Invalid(format!("invalid parameter {name:?}: {reason}"))
}

fn unreadable(text: &str, what: &str) -> String {
    let shown: String = text.chars().take(100).collect();
    format!("cannot parse {shown:?} to {what}")
}

/// What Prometheus says of a text that is no whole number.
fn unparsed(text: &str, error: &ParseIntError) -> String {
    let is_far = matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
    let shown: String = text.chars().take(100).collect();
    format!("strconv.Atoi: parsing {shown:?}: {}", if is_far { "value out of range" } else { "invalid syntax" })
}

fn decode(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn is_form(request: &Request<Bytes>) -> bool {
    let content_type = request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
    content_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Reads a time: seconds since the epoch with an optional fraction, or RFC 3339. What lies beyond the range of time is
/// its end.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then(|| Timestamp::from_millis(saturating_millis(seconds)));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp::from_millis(time.as_millisecond()));
    }
    out_of_calendar(text)
}

/// The two RFC 3339 times that Prometheus clients send for "since ever" and "for ever": their years have more than
/// four digits, so no calendar reads them.
fn out_of_calendar(text: &str) -> Option<Timestamp> {
    let (year, rest) = text.get(1..)?.split_once('-')?;
    let is_far = year.len() > 4 && year.bytes().all(|byte| byte.is_ascii_digit()) && rest.ends_with('Z');
    match text.as_bytes()[0] {
        b'-' if is_far => Some(Timestamp::MIN),
        b'0'..=b'9' if is_far => Some(Timestamp::MAX),
        _ => None,
    }
}

/// Reads a duration: seconds with an optional fraction, or as Prometheus writes durations.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        let representable = seconds.is_finite() && (0.0..9.2e9).contains(&seconds);
        return representable.then(|| Duration::from_millis(u64::try_from(saturating_millis(seconds)).unwrap_or(0)));
    }
    model::duration::parse(text).ok()
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is what is wanted at the ends of time")]
fn saturating_millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let cases = [
            ("", None),
            ("30s", None),
            ("NaN", None),
            ("123.123", Some(123_123)),
            ("-1.5", Some(-1500)),
            ("1e3", Some(1_000_000)),
            ("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555)),
            ("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555)),
            ("-292273086-05-16T16:47:06Z", Some(i64::MIN)),
            ("292277025-08-18T07:12:54.999999999Z", Some(i64::MAX)),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_time(text), millis.map(Timestamp::from_millis), "{text:?}");
        }
    }

    #[test]
    fn durations_are_seconds_or_prometheus_text() {
        let cases = [
            ("", None),
            ("2015-06-03T13:21:58.555Z", None),
            ("148966367200.372", None),
            ("123.333", Some(123_333)),
            ("5m", Some(300_000)),
            ("15", Some(15_000)),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_form_comes_before_the_query_string_and_names_repeat() {
        let request = Request::post("/api/v1/series?match[]=up&start=&end=9&limit=3")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Bytes::from_static(b"match%5B%5D=%7Bjob%3D%22a+b%22%7D&limit=0&end=5"))
            .unwrap();
        let params = Params::of(&request);
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), [r#"{job="a b"}"#, "up"]);
        assert_eq!(params.get("end"), Some("5"));
        assert_eq!(params.get("start"), None);
        assert_eq!(params.limit().unwrap(), None);
        assert!(params.required("query").unwrap_err().to_string().contains("\"query\""));
    }
}
