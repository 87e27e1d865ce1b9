//! What is shown of a system: one table of panels for the overview and the reports.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use model::{Labels, Language, Sample, TenantId, TimeRange, Timestamp};
use promql::Value;
use render::chart::{Chart, LINES_MAX, Line, Stats, Threshold};
use render::page::overview::Tile;
use render::state::State;
use render::{Reader, Text, Unit};

use crate::query::{self, Options};
use crate::{App, AppError};

/// One thing that is measured, with the expressions that measure it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    /// Names it in pages and in the JSON of reports.
    pub(crate) key: &'static str,
    /// Its title.
    pub(crate) title: Text,
    /// What its values measure.
    pub(crate) unit: Unit,
    /// Its expressions.
    targets: &'static [Target],
    /// Above which values it is worrying and critical, from the plan's table of metrics.
    pub(crate) limits: Option<(f64, f64)>,
    /// The value axis reaches at least up to here.
    pub(crate) reach: Option<f64>,
    /// Which part of a page or report it belongs to.
    pub(crate) part: Part,
    /// How its current value becomes a tile; `None` for no tile.
    tile: Option<Pick>,
}

/// Which part of a page or report a panel belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// How much of the machine is used.
    Resources,
    /// How well the work goes.
    Performance,
}

/// One expression of a panel.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// The series' name, where the panel has more than one expression.
    name: Option<Name>,
    /// The expression; `$window` stands for the window of rates.
    expression: &'static str,
    /// The labels that tell its series apart.
    by: &'static [&'static str],
}

/// A name of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// In the reader's language.
    Text(Text),
    /// The same in every language.
    Plain(&'static str),
}

/// How the current values of several machines become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pick {
    /// The highest, with its name.
    Highest,
    /// Their sum.
    Sum,
}

const fn target(expression: &'static str, by: &'static [&'static str]) -> Target {
    Target { name: None, expression, by }
}

const fn named(name: Text, expression: &'static str, by: &'static [&'static str]) -> Target {
    Target { name: Some(Name::Text(name)), expression, by }
}

const fn plain(name: &'static str, expression: &'static str, by: &'static [&'static str]) -> Target {
    Target { name: Some(Name::Plain(name)), expression, by }
}

const INSTANCE: &[&str] = &["instance"];

/// A panel without thresholds, axis reach or tile.
const fn panel(key: &'static str, title: Text, unit: Unit, part: Part, targets: &'static [Target]) -> Panel {
    Panel { key, title, unit, targets, limits: None, reach: None, part, tile: None }
}

/// Shares of idle time are taken of all time measured, so that they are right from the second collection on.
const CPU: Panel = Panel {
    limits: Some((70.0, 90.0)),
    tile: Some(Pick::Highest),
    ..panel(
        "cpu",
        Text::Cpu,
        Unit::Percent,
        Part::Resources,
        &[target(
            "100 * (1 - sum by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[$window])) \
         / sum by (instance) (rate(node_cpu_seconds_total[$window])))",
            INSTANCE,
        )],
    )
};
const MEMORY: Panel = Panel {
    limits: Some((80.0, 95.0)),
    reach: Some(100.0),
    tile: Some(Pick::Highest),
    ..panel(
        "memory",
        Text::Memory,
        Unit::Percent,
        Part::Resources,
        &[target("100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)", INSTANCE)],
    )
};
const SWAP: Panel = Panel {
    limits: Some((80.0, 95.0)),
    reach: Some(100.0),
    ..panel(
        "swap",
        Text::Swap,
        Unit::Percent,
        Part::Resources,
        &[target("100 * (1 - node_memory_SwapFree_bytes / (node_memory_SwapTotal_bytes > 0))", INSTANCE)],
    )
};
const DISK: Panel = Panel {
    limits: Some((75.0, 90.0)),
    reach: Some(100.0),
    tile: Some(Pick::Highest),
    ..panel(
        "disk",
        Text::Disk,
        Unit::Percent,
        Part::Resources,
        &[target(
            "100 * (1 - node_filesystem_avail_bytes{fstype!~\"tmpfs|ramfs|devtmpfs|squashfs|iso9660|erofs|autofs\"} \
         / (node_filesystem_size_bytes > 0)) unless node_filesystem_readonly == 1",
            &["instance", "mountpoint"],
        )],
    )
};
const NETWORK: Panel = Panel {
    tile: Some(Pick::Sum),
    ..panel(
        "network",
        Text::Network,
        Unit::BytesPerSecond,
        Part::Resources,
        &[
            named(
                Text::Receive,
                "sum by (instance) (rate(node_network_receive_bytes_total{device!~\"lo|veth.*|docker.*|br-.*\"}[$window]))",
                INSTANCE,
            ),
            named(
                Text::Transmit,
                "sum by (instance) (rate(node_network_transmit_bytes_total{device!~\"lo|veth.*|docker.*|br-.*\"}[$window]))",
                INSTANCE,
            ),
        ],
    )
};
const DISK_THROUGHPUT: Panel = Panel {
    tile: Some(Pick::Sum),
    ..panel(
        "disk_throughput",
        Text::DiskThroughput,
        Unit::BytesPerSecond,
        Part::Resources,
        &[
            named(Text::Read, "sum by (instance) (rate(node_disk_read_bytes_total[$window]))", INSTANCE),
            named(Text::Write, "sum by (instance) (rate(node_disk_written_bytes_total[$window]))", INSTANCE),
        ],
    )
};
const LOAD: Panel = Panel {
    tile: Some(Pick::Highest),
    ..panel("load", Text::Load, Unit::Count, Part::Resources, &[target("node_load1", INSTANCE)])
};
const CONNECTIONS: Panel = Panel {
    limits: Some((1000.0, 2000.0)),
    ..panel(
        "connections",
        Text::Connections,
        Unit::Count,
        Part::Performance,
        &[target("node_netstat_Tcp_CurrEstab", INSTANCE)],
    )
};
const SAMPLES: Panel = panel(
    "samples",
    Text::SamplesReceived,
    Unit::PerSecond,
    Part::Performance,
    &[target("sum by (instance) (rate(mihari_ingest_samples_total[$window]))", INSTANCE)],
);
/// The labels of the series that the normalising rules record for services.
const SERVICE: &[&str] = &["job", "service"];
const RESPONSE_TIME: Panel = Panel {
    limits: Some((0.2, 0.5)),
    ..panel(
        "response_time",
        Text::ResponseTime,
        Unit::Seconds,
        Part::Performance,
        &[
            plain("p99", "response_time_seconds{stat=\"p99\"}", SERVICE),
            plain("p95", "response_time_seconds{stat=\"p95\"}", SERVICE),
            named(Text::Average, "response_time_seconds{stat=\"avg\"}", SERVICE),
        ],
    )
};
const ERROR_RATE: Panel = Panel {
    limits: Some((1.0, 5.0)),
    ..panel("error_rate", Text::ErrorRate, Unit::Percent, Part::Performance, &[target("error_rate", SERVICE)])
};
const REQUESTS: Panel =
    panel("requests", Text::Requests, Unit::PerSecond, Part::Performance, &[target("request_rate", SERVICE)]);

/// All panels, in the order of pages and reports.
pub(crate) const PANELS: [Panel; 12] = [
    CPU,
    MEMORY,
    DISK,
    NETWORK,
    DISK_THROUGHPUT,
    LOAD,
    SWAP,
    RESPONSE_TIME,
    ERROR_RATE,
    REQUESTS,
    CONNECTIONS,
    SAMPLES,
];

/// The shortest window of rates: it holds two samples of a sender that sends once a minute.
const WINDOW_MIN: Duration = Duration::from_secs(120);

/// One series of a panel, before it has a name in a language.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    name: Option<Name>,
    /// The values of the labels that tell the series apart.
    labels: Vec<(&'static str, String)>,
    /// Its values at the steps.
    pub(crate) points: Vec<(Timestamp, f64)>,
}

impl Found {
    /// Whether it is the same series, in another range.
    pub(crate) fn is_same_series(&self, other: &Self) -> bool {
        self.name == other.name && self.labels == other.labels
    }
}

/// What a panel shows over a range: the most important series, and how many were left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    /// The series with the highest means, at most [`LINES_MAX`].
    pub(crate) series: Vec<Found>,
    /// How many further series there are.
    pub(crate) left_out: usize,
}

/// The step of a range: about 200 steps, on round times.
pub(crate) fn step(range: TimeRange) -> Duration {
    const STEPS: [u64; 15] = [5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200];
    let wanted = range.end.since(range.start).as_secs() / 240;
    let days = wanted.div_ceil(86_400).max(1) * 86_400;
    Duration::from_secs(STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(days))
}

/// Loads a panel over a range at steps that lie on multiples of `step`, so that a refresh moves no point.
pub(crate) async fn course(
    app: &App,
    tenant: &TenantId,
    panel: &Panel,
    range: TimeRange,
    step: Duration,
    now: Timestamp,
) -> Result<Course, AppError> {
    let grid =
        TimeRange::new((range.start + step - Duration::from_millis(1)).align_down(step), range.end.align_down(step));
    if grid.end < grid.start {
        return Ok(Course::default());
    }
    let load = |target: &'static Target| async move {
        let expression = with_window(target.expression, step);
        let output = query::range(app, tenant, &expression, (grid, step), Options::default(), now).await?;
        Ok::<_, AppError>(found(target, output.value))
    };
    let mut series = Vec::new();
    for loaded in join_all(panel.targets.iter().map(load)).await {
        series.extend(loaded?);
    }
    Ok(most_important(series))
}

/// The panel's chart over the range.
pub(crate) fn chart(panel: &Panel, course: &Course, range: TimeRange, step: Duration, reader: &Reader) -> Chart {
    let names = names(course, reader.language);
    let lines = course.series.iter().zip(names);
    Chart {
        id: panel.key.replace('_', "-"),
        title: reader.text(panel.title).to_owned(),
        unit: panel.unit,
        range,
        gap: step + step / 2,
        lines: lines.map(|(found, name)| Line { name, points: found.points.clone(), is_ghost: false }).collect(),
        thresholds: thresholds(panel),
        reach: panel.reach,
        note: (course.left_out > 0).then(|| reader.fill(Text::SeriesLeftOut, &[&course.left_out.to_string()])),
    }
}

/// The names of the series in a language; a label that all of them share says nothing and is left out.
pub(crate) fn names(course: &Course, language: Language) -> Vec<String> {
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in course.series.iter().flat_map(|found| &found.labels) {
        values.entry(name).or_default().push(value);
    }
    let is_shared = |name: &str| {
        let all = values.get(name).map_or(&[][..], Vec::as_slice);
        all.len() == course.series.len() && all.windows(2).all(|pair| pair[0] == pair[1])
    };
    let name = |found: &Found| {
        let own = found.name.map(|name| match name {
            Name::Text(key) => key.in_language(language),
            Name::Plain(text) => text,
        });
        let telling = found.labels.iter().filter(|(name, _)| !is_shared(name)).map(|(_, value)| value.as_str());
        let parts: Vec<&str> = own.into_iter().chain(telling).collect();
        if parts.is_empty() {
            found.labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
        } else {
            parts.join(" · ")
        }
    };
    course.series.iter().map(name).collect()
}

/// The current values of a panel as a tile; `None` for a panel that has none.
pub(crate) async fn tile(
    app: &App,
    tenant: &TenantId,
    panel: &Panel,
    reader: &Reader,
) -> Result<Option<Tile>, AppError> {
    let Some(pick) = panel.tile else { return Ok(None) };
    let mut readings = Vec::new();
    let mut detail = String::new();
    for target in panel.targets {
        let vector = current(app, tenant, &with_window(target.expression, WINDOW_MIN), reader.now).await?;
        let Some((labels, value)) = picked(&vector, pick) else { continue };
        let name = match target.name {
            Some(Name::Text(key)) => reader.text(key),
            Some(Name::Plain(text)) => text,
            None => "",
        };
        readings.push((name.to_owned(), value));
        if pick == Pick::Highest {
            detail = target.by.iter().filter_map(|name| labels.get(name)).collect::<Vec<_>>().join(" ");
        }
    }
    if panel.key == MEMORY.key {
        detail = memory_amounts(app, tenant, reader).await?.unwrap_or(detail);
    }
    Ok(Some(Tile {
        label: reader.text(panel.title).to_owned(),
        unit: panel.unit,
        readings,
        full: (panel.unit == Unit::Percent).then_some(100.0),
        thresholds: thresholds(panel),
        detail,
    }))
}

/// An expression's value at `now`, as a vector.
pub(crate) async fn current(
    app: &App,
    tenant: &TenantId,
    expression: &str,
    now: Timestamp,
) -> Result<Vec<(Labels, Sample)>, AppError> {
    match query::instant(app, tenant, expression, now, Options::default(), now).await?.value {
        Value::Vector(vector) => Ok(vector),
        Value::Scalar(sample) => Ok(vec![(Labels::empty(), sample)]),
        Value::String(_) | Value::Matrix(_) => Ok(Vec::new()),
    }
}

/// The thresholds of a panel, the worst last.
pub(crate) fn thresholds(panel: &Panel) -> Vec<Threshold> {
    let Some((warning, critical)) = panel.limits else { return Vec::new() };
    let threshold = |severity, value| Threshold { severity, value };
    vec![threshold(State::Warning, warning), threshold(State::Critical, critical)]
}

fn with_window(expression: &str, step: Duration) -> String {
    expression.replace("$window", &model::duration::format(step.max(WINDOW_MIN)))
}

fn found(target: &'static Target, value: Value) -> Vec<Found> {
    let Value::Matrix(matrix) = value else { return Vec::new() };
    let label = |labels: &Labels, name: &'static str| Some((name, labels.get(name)?.to_owned()));
    let one = |series: model::Series| Found {
        name: target.name,
        labels: target.by.iter().filter_map(|name| label(&series.labels, name)).collect(),
        points: series.samples().map(|sample| (sample.timestamp, sample.value)).collect(),
    };
    matrix.into_iter().map(one).collect()
}

/// The series with the highest means; the order of the panel's expressions stays where they have one series each.
fn most_important(mut series: Vec<Found>) -> Course {
    let left_out = series.len().saturating_sub(LINES_MAX);
    let mean = |found: &Found| Stats::of(&found.points).map_or(f64::NEG_INFINITY, |stats| stats.mean);
    if series.iter().any(|found| found.name.is_none()) || left_out > 0 {
        series.sort_by(|a, b| mean(b).total_cmp(&mean(a)).then_with(|| a.labels.cmp(&b.labels)));
    }
    series.truncate(LINES_MAX);
    Course { series, left_out }
}

fn picked(vector: &[(Labels, Sample)], pick: Pick) -> Option<(Labels, f64)> {
    let finite = vector.iter().filter(|(_, sample)| sample.value.is_finite());
    match pick {
        Pick::Highest => finite
            .max_by(|(_, a), (_, b)| a.value.total_cmp(&b.value))
            .map(|(labels, sample)| (labels.clone(), sample.value)),
        Pick::Sum if vector.is_empty() => None,
        Pick::Sum => Some((Labels::empty(), finite.map(|(_, sample)| sample.value).sum())),
    }
}

/// Used and total memory, where there is one machine.
async fn memory_amounts(app: &App, tenant: &TenantId, reader: &Reader) -> Result<Option<String>, AppError> {
    let total = current(app, tenant, "node_memory_MemTotal_bytes", reader.now).await?;
    let used = "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes";
    let used = current(app, tenant, used, reader.now).await?;
    let ([(_, total)], [(_, used)]) = (&total[..], &used[..]) else { return Ok(None) };
    let amount = |sample: &Sample| Unit::Bytes.format(sample.value);
    Ok(Some(reader.fill(Text::Of, &[&amount(used), &amount(total)])))
}

#[cfg(test)]
mod tests {
    use model::Limits;
    use promql::Profile;

    use super::*;

    #[test]
    fn every_expression_is_one() {
        for panel in &PANELS {
            for target in panel.targets {
                let text = with_window(target.expression, Duration::from_secs(15));
                assert!(text.contains("[2m]") || !target.expression.contains("$window"), "{text}");
                promql::parse_as(&text, Profile::Prometheus, &Limits::default())
                    .unwrap_or_else(|error| panic!("{}: {error}: {text}", panel.key));
            }
        }
    }

    #[test]
    fn steps_are_round_and_about_two_hundred() {
        for (secs, expected) in
            [(900, 5), (3600, 15), (21_600, 120), (86_400, 600), (604_800, 3600), (31_622_400, 172_800)]
        {
            let range = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(secs));
            assert_eq!(step(range), Duration::from_secs(expected), "{secs}");
        }
    }

    fn found_with(name: Option<Name>, labels: &[(&'static str, &str)], value: f64) -> Found {
        let labels = labels.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        Found { name, labels, points: vec![(Timestamp::from_secs(0), value)] }
    }

    #[test]
    fn names_say_what_differs() {
        let check = |series: Vec<Found>, expected: &[&str]| {
            assert_eq!(names(&Course { series, left_out: 0 }, Language::English), expected);
        };
        check(vec![found_with(None, &[("instance", "a")], 1.0)], &["a"]);
        let read = Some(Name::Text(Text::Read));
        let write = Some(Name::Text(Text::Write));
        check(
            vec![found_with(read, &[("instance", "a")], 1.0), found_with(write, &[("instance", "a")], 1.0)],
            &["read", "write"],
        );
        let both = vec![found_with(read, &[("instance", "a")], 1.0), found_with(read, &[("instance", "b")], 1.0)];
        check(both, &["read · a", "read · b"]);
        let disks = vec![
            found_with(None, &[("instance", "a"), ("mountpoint", "/")], 1.0),
            found_with(None, &[("instance", "a"), ("mountpoint", "/var")], 1.0),
        ];
        check(disks, &["/", "/var"]);
    }

    #[test]
    fn the_highest_series_are_shown_and_the_rest_is_counted() {
        let series = (0..11_u32).map(|n| found_with(None, &[], f64::from(n))).collect();
        let course = most_important(series);
        assert_eq!((course.series.len(), course.left_out), (LINES_MAX, 3));
        assert_eq!(course.series[0].points, [(Timestamp::from_secs(0), 10.0)]);
    }
}
