//! What comes in: from whom, how fresh, how much.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alerting::rule::RuleKind;
use futures::future::{join_all, try_join};
use model::{Labels, METRIC_NAME, Matcher, TimeRange, Timestamp};
use render::Reader;
use render::page::overview::{Intake, Source};

use super::panels::current;
use crate::access::Viewer;
use crate::load::StorageStats;
use crate::{App, AppError, query};

/// A sender is listed when it sent a sample within this time.
pub(super) const LISTED_FOR: Duration = Duration::from_secs(3600);
/// Most senders that the table lists.
const SOURCES_MAX: usize = 50;
/// Most metrics that are asked for their newest sample: each stands for many senders.
const PROBES_MAX: usize = 12;
/// With more active series than this, only `up` is asked for senders: a page must not weigh on ingest.
const SERIES_COUNTED_MAX: u64 = 200_000;
/// With more active series than this, samples are not counted one by one.
const SAMPLES_COUNTED_MAX: u64 = 50_000;

/// A sender's labels `job` and `instance`.
type Sender = (String, String);

/// Loads what the overview says of the tenant's samples.
pub(super) async fn load(app: &App, viewer: &Viewer, reader: &Reader) -> Result<(Intake, StorageStats), AppError> {
    let stats = app.loader.storage_stats(&viewer.tenant, reader.now).await?;
    let senders = senders(&series(app, viewer, reader, &stats).await?, &recorded(app, viewer));
    let samples_per_second = samples_per_second(app, viewer, reader, &stats);
    let (newest, up) = try_join(newest(app, viewer, reader, &senders), up(app, viewer, reader)).await?;
    let found = |(sender, sent): (&Sender, &Sent)| source(sender, sent, &newest, &up);
    let mut sources: Vec<Source> = senders.iter().filter_map(found).collect();
    let newest = sources.iter().map(|source| source.newest).max();
    sources.sort_by(|a, b| a.newest.cmp(&b.newest).then_with(|| (&a.job, &a.instance).cmp(&(&b.job, &b.instance))));
    let sources_left_out = sources.len().saturating_sub(SOURCES_MAX);
    sources.truncate(SOURCES_MAX);
    let intake = Intake {
        series: Some(number(stats.active_series)),
        samples_per_second: samples_per_second.await?,
        newest,
        storage_bytes: Some(number(stats.bytes())),
        bytes_per_sample: stats.bytes_per_sample(),
        sources,
        sources_left_out,
        write_url: format!("{}/api/v1/write", app.settings.external_url),
    };
    Ok((intake, stats))
}

/// The label sets that tell who sends.
async fn series(app: &App, viewer: &Viewer, reader: &Reader, stats: &StorageStats) -> Result<Vec<Labels>, AppError> {
    let listed = TimeRange::new(reader.now - LISTED_FOR, reader.now);
    let up = vec![Matcher::equal(METRIC_NAME, "up")];
    let selectors = if stats.active_series > SERIES_COUNTED_MAX { vec![up] } else { Vec::new() };
    query::series(app, &viewer.tenant, &selectors, listed, reader.now).await
}

/// The names of the series that rules of the tenant record: they are not sent by anybody.
fn recorded(app: &App, viewer: &Viewer) -> BTreeSet<String> {
    let config = app.config();
    let groups = config.tenants.get(&viewer.tenant).map(|tenant| tenant.rule_groups.as_slice()).unwrap_or_default();
    let rules = groups.iter().flat_map(|group| &group.rules).filter(|rule| matches!(rule.kind, RuleKind::Recording));
    let own = ["ALERTS", "ALERTS_FOR_STATE"].map(str::to_owned);
    rules.map(|rule| rule.name.clone()).chain(own).collect()
}

/// Samples measured within the last minute, by the second; `None` where counting them would cost too much.
async fn samples_per_second(
    app: &App,
    viewer: &Viewer,
    reader: &Reader,
    stats: &StorageStats,
) -> Result<Option<f64>, AppError> {
    if stats.active_series > SAMPLES_COUNTED_MAX {
        return Ok(None);
    }
    let expression = "sum(count_over_time({__name__!=\"\"}[1m])) / 60";
    let found = current(app, &viewer.tenant, expression, reader.now).await?;
    Ok(found.first().map(|(_, sample)| sample.value))
}

/// What a sender sends.
#[derive(Clone, Debug, Default)]
struct Sent {
    series: usize,
    /// A metric that it sends: `up` where it has one, since that never pauses.
    probe: String,
}

fn senders(series: &[Labels], recorded: &BTreeSet<String>) -> BTreeMap<Sender, Sent> {
    let mut senders: BTreeMap<Sender, Sent> = BTreeMap::new();
    for labels in series.iter().filter(|labels| !recorded.contains(labels.metric_name())) {
        let sent = senders.entry(sender(labels)).or_default();
        sent.series += 1;
        let name = labels.metric_name();
        let is_better = sent.probe.is_empty() || (sent.probe != "up" && (name == "up" || name < sent.probe.as_str()));
        if is_better {
            name.clone_into(&mut sent.probe);
        }
    }
    senders.retain(|(job, instance), _| !job.is_empty() || !instance.is_empty());
    senders
}

fn sender(labels: &Labels) -> Sender {
    let label = |name: &str| labels.get(name).unwrap_or("").to_owned();
    (label("job"), label("instance"))
}

/// When each sender's newest sample was measured.
async fn newest(
    app: &App,
    viewer: &Viewer,
    reader: &Reader,
    senders: &BTreeMap<Sender, Sent>,
) -> Result<BTreeMap<Sender, Timestamp>, AppError> {
    let mut probes: BTreeMap<&str, usize> = BTreeMap::new();
    for sent in senders.values() {
        *probes.entry(&sent.probe).or_default() += 1;
    }
    let mut probes: Vec<(&str, usize)> = probes.into_iter().collect();
    probes.sort_by_key(|(_, senders)| std::cmp::Reverse(*senders));
    let ask = |(name, _): (&str, usize)| {
        let expression = newest_of(name);
        async move { current(app, &viewer.tenant, &expression, reader.now).await }
    };
    let mut newest = BTreeMap::new();
    for found in join_all(probes.into_iter().take(PROBES_MAX).map(ask)).await {
        for (labels, sample) in found? {
            newest.insert(sender(&labels), seconds(sample.value));
        }
    }
    Ok(newest)
}

/// The time of the newest sample of a metric, by sender: exact within the lookback, to the minute before it.
fn newest_of(name: &str) -> String {
    let window = model::duration::format(LISTED_FOR);
    let time = format!("timestamp({{__name__={name:?}}})");
    format!("max by (job, instance) ({time}) or max by (job, instance) (max_over_time({time}[{window}:1m]))")
}

/// Whether each sender answers scrapes, as the scraper says.
async fn up(app: &App, viewer: &Viewer, reader: &Reader) -> Result<BTreeMap<Sender, bool>, AppError> {
    let found = current(app, &viewer.tenant, "min by (job, instance) (up)", reader.now).await?;
    Ok(found.into_iter().map(|(labels, sample)| (sender(&labels), sample.value > 0.0)).collect())
}

fn source(
    sender: &Sender,
    sent: &Sent,
    newest: &BTreeMap<Sender, Timestamp>,
    up: &BTreeMap<Sender, bool>,
) -> Option<Source> {
    Some(Source {
        job: sender.0.clone(),
        instance: sender.1.clone(),
        series: number(sent.series as u64),
        newest: *newest.get(sender)?,
        is_up: up.get(sender).copied(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a number for people, with three digits")]
pub(super) const fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is what is wanted at the ends of time")]
fn seconds(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str, job: &str, instance: &str) -> Labels {
        Labels::from_pairs([("__name__", name), ("job", job), ("instance", instance)]).unwrap()
    }

    #[test]
    fn senders_are_known_by_what_they_send_themselves() {
        let series = [
            labels("ALERTS", "node", "a"),
            labels("cpu_usage", "node", "a"),
            labels("node_load1", "node", "a"),
            labels("node_boot_time", "node", "a"),
            labels("up", "api", "b"),
            labels("a_metric", "api", "b"),
            labels("cpu_usage", "gone", "c"),
            labels("no_sender", "", ""),
        ];
        let recorded = ["ALERTS", "cpu_usage"].map(str::to_owned).into();
        let found = senders(&series, &recorded);
        let shown: Vec<_> =
            found.iter().map(|((job, _), sent)| (job.as_str(), sent.probe.as_str(), sent.series)).collect();
        assert_eq!(shown, [("api", "up", 2), ("node", "node_boot_time", 2)]);
    }

    #[test]
    fn probes_are_expressions_whatever_the_name() {
        for name in ["up", "http.server.duration", "a\"b\\c", "見張り"] {
            promql::parse(&newest_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
