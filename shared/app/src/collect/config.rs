//! `cloudwatch.yml`: which metrics are read from CloudWatch, how often, and what that may cost.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::ConfigError;
use model::{MatchOp, Matcher, duration};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use xxhash_rust::xxh3::xxh3_64;

use super::LISTING_DIMENSIONS_MAX;
use super::port::Metric;

/// Most entries of the file, and most regions of one of them.
const ENTRIES_MAX: usize = 100;
/// Most pairs of an entry and one of its regions: all of them stand in one row.
const UNITS_MAX: usize = 200;
/// Most statistics of one metric.
const STATISTICS_MAX: usize = 10;
/// The longest period, interval or delay.
const DURATION_MAX: Duration = Duration::from_secs(3 * 24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

/// What `cloudwatch.yml` says. By default nothing is read, and nothing costs.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudWatchConfig {
    /// What reading may cost in a calendar month (UTC), in dollars.
    pub budget_dollars: f64,
    /// Whether metrics are also read of the accounts that share theirs with this one.
    pub linked_accounts: bool,
    /// What is read.
    pub entries: Vec<Entry>,
}

impl Default for CloudWatchConfig {
    fn default() -> Self {
        Self { budget_dollars: 10.0, linked_accounts: false, entries: Vec::new() }
    }
}

/// Some metrics of one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Such as `AWS/EC2`.
    pub namespace: String,
    /// Names of metrics; all of the namespace when there is none.
    pub metrics: Vec<String>,
    /// What is asked of each.
    pub statistics: Vec<String>,
    /// When given: only metrics with exactly these dimensions, whose values match.
    pub dimensions: Option<Vec<Matcher>>,
    /// Over how long each sample goes.
    pub period: Duration,
    /// How often CloudWatch is asked; at least the period.
    pub every: Duration,
    /// How long after its end a period is taken for complete.
    pub delay: Duration,
    /// Where; the deployment's own region when there is none.
    pub regions: Vec<String>,
    /// Only metrics that had data within the last three hours.
    pub recently_active: bool,
}

impl Entry {
    /// Changes with everything that decides what is asked, so that no state is taken over for other questions.
    pub(super) fn identity(&self) -> u64 {
        let Self { namespace, metrics, statistics, dimensions, period, recently_active, .. } = self;
        xxh3_64(format!("{:?}", (namespace, metrics, statistics, dimensions, period, recently_active)).as_bytes())
    }

    /// Whether a metric that was listed is one that this entry wants.
    pub(super) fn wants(&self, metric: &Metric) -> bool {
        let named = self.metrics.is_empty() || self.metrics.contains(&metric.name);
        let measured = match &self.dimensions {
            None => true,
            Some(wanted) => {
                let value = |name: &str| metric.dimensions.iter().find(|(found, _)| found == name);
                let all = wanted.iter().all(|one| value(one.name()).is_some_and(|(_, value)| one.matches(value)));
                all && wanted.len() == metric.dimensions.len()
            }
        };
        metric.namespace == self.namespace && named && measured
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileYaml {
    max_dollars_per_month: Option<Spanned<f64>>,
    linked_accounts: Option<bool>,
    regions: Option<Vec<Spanned<String>>>,
    namespaces: Option<Vec<Spanned<EntryYaml>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryYaml {
    namespace: Spanned<String>,
    metrics: Option<Vec<Spanned<String>>>,
    statistics: Option<Vec<Spanned<String>>>,
    dimensions: Option<BTreeMap<String, Spanned<String>>>,
    period: Option<Spanned<String>>,
    every: Option<Spanned<String>>,
    delay: Option<Spanned<String>>,
    regions: Option<Vec<Spanned<String>>>,
    recently_active: Option<bool>,
}

impl CloudWatchConfig {
    /// Reads `cloudwatch.yml`.
    ///
    /// # Errors
    /// When it is no YAML, has a field that is none of ours, or asks for something that CloudWatch does not have.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, ConfigError> {
        let read: Option<FileYaml> =
            serde_saphyr::from_str(yaml).map_err(|error| ConfigError::from_yaml(file, &error))?;
        let Some(read) = read else { return Ok(Self::default()) };
        let checked = Checked { file };
        let budget_dollars = match read.max_dollars_per_month {
            None => Self::default().budget_dollars,
            Some(dollars) if dollars.value.is_finite() && dollars.value >= 0.0 => dollars.value,
            Some(dollars) => {
                let reason = format!("max_dollars_per_month: {} is no amount of money", dollars.value);
                return Err(checked.error(dollars.referenced, reason));
            }
        };
        let regions = checked.regions(read.regions)?;
        let entries = read.namespaces.unwrap_or_default();
        if let Some(entry) = entries.get(ENTRIES_MAX) {
            return Err(checked.error(entry.referenced, format!("namespaces: more than {ENTRIES_MAX} entries")));
        }
        let place = entries.first().map_or(Location::UNKNOWN, |entry| entry.referenced);
        let entries: Vec<Entry> =
            entries.into_iter().map(|entry| checked.entry(entry, &regions)).collect::<Result<_, _>>()?;
        let units: usize = entries.iter().map(|entry| entry.regions.len().max(1)).sum();
        if units > UNITS_MAX {
            let reason = format!("namespaces: {units} pairs of an entry and a region, more than {UNITS_MAX}");
            return Err(checked.error(place, reason));
        }
        Ok(Self { budget_dollars, linked_accounts: read.linked_accounts.unwrap_or(false), entries })
    }

    /// Whether anything is read at all.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Turns what stands in a file into what it means.
#[derive(Clone, Copy, Debug)]
struct Checked<'a> {
    file: &'a str,
}

impl Checked<'_> {
    fn error(self, location: Location, reason: impl std::fmt::Display) -> ConfigError {
        ConfigError::at(self.file, location, reason)
    }

    fn entry(self, read: Spanned<EntryYaml>, default_regions: &[String]) -> Result<Entry, ConfigError> {
        let location = read.referenced;
        let read = read.value;
        let namespace = self.text("namespace", read.namespace)?;
        let metrics = self.texts("metrics", read.metrics)?;
        let statistics = self.statistics(read.statistics)?;
        let dimensions = read.dimensions.map(|dimensions| self.dimensions(location, dimensions)).transpose()?;
        let period = self.minutes("period", read.period, Duration::from_secs(300))?;
        if !(24 * 60 * MINUTE).as_secs().is_multiple_of(period.as_secs()) {
            let reason = format!("period: {} does not divide a day", duration::format(period));
            return Err(self.error(location, reason));
        }
        let every = self.minutes("every", read.every, period)?;
        if every < period {
            let reason = format!(
                "every: {} is less than the period of {}, which has nothing new before",
                duration::format(every),
                duration::format(period)
            );
            return Err(self.error(location, reason));
        }
        let delay = self.minutes("delay", read.delay, default_delay(&namespace))?;
        let regions = self.regions(read.regions)?;
        let regions = if regions.is_empty() { default_regions.to_vec() } else { regions };
        let recently_active = read.recently_active.unwrap_or(false);
        Ok(Entry { namespace, metrics, statistics, dimensions, period, every, delay, regions, recently_active })
    }

    /// A name as CloudWatch has them.
    fn text(self, field: &str, text: Spanned<String>) -> Result<String, ConfigError> {
        let fine =
            (1..=255).contains(&text.value.len()) && text.value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if fine {
            return Ok(text.value);
        }
        Err(self.error(text.referenced, format!("{field}: {:?} is not 1 to 255 ASCII characters", text.value)))
    }

    fn texts(self, field: &str, texts: Option<Vec<Spanned<String>>>) -> Result<Vec<String>, ConfigError> {
        let mut texts: Vec<String> =
            texts.unwrap_or_default().into_iter().map(|text| self.text(field, text)).collect::<Result<_, _>>()?;
        texts.sort();
        texts.dedup();
        Ok(texts)
    }

    fn statistics(self, statistics: Option<Vec<Spanned<String>>>) -> Result<Vec<String>, ConfigError> {
        let statistics = statistics.unwrap_or_default();
        if let Some(one) = statistics.get(STATISTICS_MAX) {
            return Err(self.error(one.referenced, format!("statistics: more than {STATISTICS_MAX}")));
        }
        if let Some(unknown) = statistics.iter().find(|statistic| !is_statistic(&statistic.value)) {
            let reason = format!(
                "statistics: {:?} is none of Average, Sum, Minimum, Maximum, SampleCount, IQM, nor a percentile such \
                 as p99.9, nor a trimmed statistic such as tm90",
                unknown.value
            );
            return Err(self.error(unknown.referenced, reason));
        }
        let statistics = self.texts("statistics", Some(statistics))?;
        Ok(if statistics.is_empty() { vec!["Average".to_owned()] } else { statistics })
    }

    fn dimensions(
        self,
        location: Location,
        dimensions: BTreeMap<String, Spanned<String>>,
    ) -> Result<Vec<Matcher>, ConfigError> {
        if dimensions.len() > LISTING_DIMENSIONS_MAX {
            return Err(self.error(location, format!("dimensions: more than {LISTING_DIMENSIONS_MAX}")));
        }
        let matcher = |(name, pattern): (String, Spanned<String>)| {
            Matcher::new(&name, MatchOp::Regex, &pattern.value)
                .map_err(|error| self.error(pattern.referenced, format!("dimensions: {error}")))
        };
        dimensions.into_iter().map(matcher).collect()
    }

    /// A duration of whole minutes.
    fn minutes(self, field: &str, text: Option<Spanned<String>>, default: Duration) -> Result<Duration, ConfigError> {
        let Some(text) = text else { return Ok(default) };
        let read =
            duration::parse(&text.value).map_err(|error| self.error(text.referenced, format!("{field}: {error}")))?;
        if (MINUTE..=DURATION_MAX).contains(&read) && read.as_millis().is_multiple_of(MINUTE.as_millis()) {
            return Ok(read);
        }
        let reason = format!("{field}: {} is not whole minutes from 1m to 3d", text.value);
        Err(self.error(text.referenced, reason))
    }

    fn regions(self, regions: Option<Vec<Spanned<String>>>) -> Result<Vec<String>, ConfigError> {
        let regions = regions.unwrap_or_default();
        if let Some(one) = regions.get(ENTRIES_MAX) {
            return Err(self.error(one.referenced, format!("regions: more than {ENTRIES_MAX}")));
        }
        let is_region = |text: &str| {
            let parts: Vec<&str> = text.split('-').collect();
            let plain = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
            let (last, names) = parts.split_last().expect("a text has a part");
            names.len() >= 2 && names.iter().all(plain) && last.parse::<u8>().is_ok()
        };
        if let Some(unknown) = regions.iter().find(|region| !is_region(&region.value)) {
            let reason = format!("regions: {:?} is not a region such as ap-northeast-1", unknown.value);
            return Err(self.error(unknown.referenced, reason));
        }
        self.texts("regions", Some(regions))
    }
}

/// Basic monitoring of EC2 comes later than anything else; daily storage metrics of S3 come within a day.
fn default_delay(namespace: &str) -> Duration {
    match namespace {
        "AWS/EC2" => 10 * MINUTE,
        _ => 5 * MINUTE,
    }
}

/// Whether CloudWatch has a statistic of that name.
fn is_statistic(text: &str) -> bool {
    if matches!(text, "Average" | "Sum" | "Minimum" | "Maximum" | "SampleCount" | "IQM") {
        return true;
    }
    let rank = |rest: &str| rest.parse::<f64>().is_ok_and(|rank| (0.0..=100.0).contains(&rank));
    let plain = ["p", "tm", "wm", "tc", "ts"].iter().any(|start| text.strip_prefix(start).is_some_and(rank));
    let bounds = ["TM", "WM", "PR", "TC", "TS"].iter().find_map(|start| text.strip_prefix(start));
    let bounds = bounds.and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')')?.split_once(':'));
    let bound = |bound: &str| bound.is_empty() || bound.trim_end_matches('%').parse::<f64>().is_ok();
    plain || bounds.is_some_and(|(low, high)| bound(low) && bound(high) && !(low.is_empty() && high.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<CloudWatchConfig, String> {
        CloudWatchConfig::parse("cloudwatch.yml", yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn the_delivered_file_reads_nothing() {
        let delivered = read(include_str!("../../../../infra/config/cloudwatch.yml")).unwrap();
        assert_eq!(delivered, CloudWatchConfig::default());
        assert!(delivered.is_empty());
        assert_eq!(read("").unwrap(), CloudWatchConfig::default());
    }

    #[test]
    fn the_example_of_the_delivered_file_can_be_read() {
        let text = include_str!("../../../../infra/config/cloudwatch.yml");
        let example = text.split_once("# Example:\n").unwrap().1;
        let yaml: String = example.lines().map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
        let config = read(&yaml).unwrap();
        assert!(config.entries.len() > 2);
        assert!(config.entries.iter().all(|entry| !entry.metrics.is_empty()), "nobody copies an expensive example");
    }

    #[test]
    fn a_file_may_say_everything() {
        let yaml = "
max_dollars_per_month: 2.5
linked_accounts: true
regions: [us-east-1, ap-northeast-1]
namespaces:
- namespace: AWS/ApplicationELB
  metrics: [TargetResponseTime, RequestCount, RequestCount]
  statistics: [Sum, p99.9, 'TM(10%:90%)']
  dimensions: { LoadBalancer: app/.*, TargetGroup: '.+' }
  period: 1m
  every: 15m
  delay: 3m
  regions: [eu-central-1]
  recently_active: true
- namespace: AWS/EC2
";
        let config = read(yaml).unwrap();
        assert_eq!((config.budget_dollars, config.linked_accounts), (2.5, true));
        let minutes = |minutes: u32| minutes * MINUTE;
        let dimension = |name, pattern| Matcher::new(name, MatchOp::Regex, pattern).unwrap();
        let expected = [
            Entry {
                namespace: "AWS/ApplicationELB".to_owned(),
                metrics: vec!["RequestCount".to_owned(), "TargetResponseTime".to_owned()],
                statistics: ["Sum", "TM(10%:90%)", "p99.9"].map(str::to_owned).to_vec(),
                dimensions: Some(vec![dimension("LoadBalancer", "app/.*"), dimension("TargetGroup", ".+")]),
                period: minutes(1),
                every: minutes(15),
                delay: minutes(3),
                regions: vec!["eu-central-1".to_owned()],
                recently_active: true,
            },
            Entry {
                namespace: "AWS/EC2".to_owned(),
                metrics: Vec::new(),
                statistics: vec!["Average".to_owned()],
                dimensions: None,
                period: minutes(5),
                every: minutes(5),
                delay: minutes(10),
                regions: vec!["ap-northeast-1".to_owned(), "us-east-1".to_owned()],
                recently_active: false,
            },
        ];
        assert_eq!(config.entries, expected);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let entry = |field: &str| format!("namespaces:\n- namespace: AWS/EC2\n  {field}\n");
        let cases = [
            ("max_dollars_per_month: -1\n".to_owned(), "cloudwatch.yml:1:24: max_dollars_per_month: -1 is no amount"),
            ("regions: [tokyo]\n".to_owned(), "cloudwatch.yml:1:11: regions: \"tokyo\" is not a region such as"),
            (
                "namespaces: [{ namespace: '' }]\n".to_owned(),
                "cloudwatch.yml:1:27: namespace: \"\" is not 1 to 255 ASCII",
            ),
            ("namespaces: [{ metrics: [a] }]\n".to_owned(), "cloudwatch.yml:1:16: missing field `namespace`"),
            (entry("metric: [a]"), "cloudwatch.yml:3:3: unknown field `metric`"),
            (entry("metrics: [見張り]"), "cloudwatch.yml:3:13: metrics: \"見張り\" is not 1 to 255 ASCII"),
            (entry("statistics: [Avg]"), "cloudwatch.yml:3:16: statistics: \"Avg\" is none of Average, Sum"),
            (entry("statistics: [p101]"), "cloudwatch.yml:3:16: statistics: \"p101\" is none of"),
            (entry("period: 30s"), "cloudwatch.yml:3:11: period: 30s is not whole minutes from 1m to 3d"),
            (entry("period: 7m"), "cloudwatch.yml:2:3: period: 7m does not divide a day"),
            (entry("period: soon"), "cloudwatch.yml:3:11: period: \"soon\" is not a duration"),
            (entry("every: 1m"), "cloudwatch.yml:2:3: every: 1m is less than the period of 5m"),
            (entry("delay: 4d"), "cloudwatch.yml:3:10: delay: 4d is not whole minutes from 1m to 3d"),
            (entry("dimensions: { a: '(' }"), "cloudwatch.yml:3:20: dimensions: "),
            (
                format!("regions: [a-b-1, a-c-1, a-d-1]\nnamespaces:\n{}", "- { namespace: A }\n".repeat(67)),
                "cloudwatch.yml:3:3: namespaces: 201 pairs of an entry and a region, more than 200",
            ),
        ];
        for (yaml, expected) in cases {
            let error = read(&yaml).unwrap_err();
            assert!(error.starts_with(expected), "{yaml:?}: {error}");
        }
    }

    #[test]
    fn an_entry_wants_exactly_its_dimensions() {
        let metric = |name: &str, dimensions: &[(&str, &str)]| Metric {
            namespace: "AWS/EC2".to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            account: None,
        };
        let config =
            read("namespaces:\n- { namespace: AWS/EC2, metrics: [A], dimensions: { I: 'i-[0-9]' } }\n").unwrap();
        let cases = [
            (metric("A", &[("I", "i-1")]), true),
            (metric("B", &[("I", "i-1")]), false),
            (metric("A", &[("I", "i-10")]), false),
            (metric("A", &[("I", "i-1"), ("J", "j")]), false),
            (metric("A", &[]), false),
            (Metric { namespace: "AWS/EBS".to_owned(), ..metric("A", &[("I", "i-1")]) }, false),
        ];
        for (metric, expected) in cases {
            assert_eq!(config.entries[0].wants(&metric), expected, "{metric:?}");
        }
        let all = read("namespaces:\n- { namespace: AWS/EC2 }\n").unwrap();
        assert!(all.entries[0].wants(&metric("B", &[("J", "j")])));
        let none = read("namespaces:\n- { namespace: AWS/EC2, dimensions: {} }\n").unwrap();
        assert!(none.entries[0].wants(&metric("B", &[])) && !none.entries[0].wants(&metric("B", &[("J", "j")])));
    }
}
