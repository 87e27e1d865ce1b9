//! View models with invented figures, for snapshots and for looking at the pages without a server.

use std::f64::consts::TAU;
use std::time::Duration;

use model::{Language, TimeRange, Timestamp};
use render::chart::{Chart, Line, Stats, Threshold};
use render::page::alerts::{ActiveAlert, Alerts, Change, Group, Rule};
use render::page::answers::{Answers, EventRow, RuleRow, WatchedAlert, content};
use render::page::deliveries::{self, Deliveries, Explained, Way};
use render::page::explore::{Explore, Outcome};
use render::page::overview::{Intake, Overview, Source, Tile};
use render::page::reports::{ReportRow, Reports};
use render::page::status::{Cost, DetectionRow, Status, StorageRow};
use render::page::{Frame, Page, Span};
use render::report::{
    AlertStatistics, DailyReport, OnCallStatistics, Panel, PanelSeries, ResponseStatistics, RuleStatistics, RuleWorth,
};
use render::state::State;
use render::{Reader, Text, Unit, Zone};

/// 2026-11-22 13:30:05 in Tokyo.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_321_805);

pub(crate) fn reader(language: Language) -> Reader {
    let zone = Zone::named("Asia/Tokyo").expect("the tz database has Tokyo");
    Reader { language, zone, now: NOW }
}

pub(crate) fn frame(page: Page, language: Language) -> Frame {
    Frame {
        reader: reader(language),
        page,
        pages: Page::ALL.to_vec(),
        span: matches!(page, Page::Overview | Page::Alerts | Page::Explore).then_some(Span::Last1h),
        keep: Vec::new(),
        tenant: "default".to_owned(),
        name: "aiko".to_owned(),
        csrf: Some("c5rf".to_owned()),
        zones: ["Asia/Tokyo", "UTC", "Europe/Berlin", "America/New_York"].map(str::to_owned).to_vec(),
        is_live: matches!(page, Page::Overview | Page::Alerts | Page::Status),
    }
}

/// A wave with some roughness, from `base` up by at most `height`.
fn wave(range: TimeRange, count: u32, base: f64, height: f64, turns: f64) -> Vec<(Timestamp, f64)> {
    let span = u32::try_from(range.end.since(range.start).as_secs()).expect("a sample is shorter than a century");
    let point = |index: u32| {
        let part = f64::from(index) / f64::from(count);
        let rough = (f64::from(index * index % 97) / 97.0 - 0.5) * 0.25;
        let value = base + height * (0.5 + 0.4 * (TAU * turns * part).sin() + rough);
        (range.start + Duration::from_secs(u64::from(span / count * index)), value.max(0.0))
    };
    (0..=count).map(point).collect()
}

fn without(points: Vec<(Timestamp, f64)>, gap: std::ops::Range<usize>) -> Vec<(Timestamp, f64)> {
    points.into_iter().enumerate().filter(|(index, _)| !gap.contains(index)).map(|(_, point)| point).collect()
}

fn line(name: &str, points: Vec<(Timestamp, f64)>) -> Line {
    Line { name: name.to_owned(), points, is_ghost: false }
}

fn limits(warning: f64, critical: f64) -> Vec<Threshold> {
    let threshold = |severity, value| Threshold { severity, value };
    vec![threshold(State::Warning, warning), threshold(State::Critical, critical)]
}

fn chart(id: &str, title: &str, unit: Unit, lines: Vec<Line>) -> Chart {
    let range = Span::Last1h.range(NOW);
    let gap = Duration::from_secs(60);
    let (id, title) = (id.to_owned(), title.to_owned());
    Chart { id, title, unit, range, gap, lines, thresholds: Vec::new(), reach: None, note: None }
}

fn tile(label: &str, unit: Unit, readings: &[(&str, f64)], detail: &str) -> Tile {
    Tile {
        label: label.to_owned(),
        unit,
        readings: readings.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
        full: (unit == Unit::Percent).then_some(100.0),
        thresholds: if unit == Unit::Percent { limits(75.0, 90.0) } else { Vec::new() },
        detail: detail.to_owned(),
    }
}

pub(crate) fn overview(reader: &Reader, points: u32) -> Overview {
    let range = Span::Last1h.range(NOW);
    let text = |key: Text| reader.text(key);
    let cpu = Chart {
        thresholds: limits(70.0, 90.0),
        ..chart(
            "cpu",
            text(Text::Cpu),
            Unit::Percent,
            vec![
                line("web-1", wave(range, points, 20.0, 60.0, 2.0)),
                line(
                    "web-2",
                    without(wave(range, points, 12.0, 30.0, 3.0), (points as usize / 3)..(points as usize / 2)),
                ),
            ],
        )
    };
    let memory = Chart {
        reach: Some(100.0),
        thresholds: limits(80.0, 95.0),
        ..chart("memory", text(Text::Memory), Unit::Percent, vec![line("web-1", wave(range, points, 48.0, 9.0, 1.0))])
    };
    let network = chart(
        "network",
        text(Text::Network),
        Unit::BytesPerSecond,
        vec![
            line(text(Text::Receive), wave(range, points, 2e6, 6e6, 4.0)),
            line(text(Text::Transmit), wave(range, points, 1e6, 2e6, 2.5)),
        ],
    );
    let many =
        (1..=8).map(|n| line(&format!("db-{n}"), wave(range, points, f64::from(n) * 40.0, 60.0, f64::from(n) / 2.0)));
    let mut connections = chart("connections", text(Text::Connections), Unit::Count, many.collect());
    connections.note = Some(reader.fill(Text::SeriesLeftOut, &["3"]));
    let response = Chart {
        thresholds: limits(0.2, 0.5),
        ..chart(
            "response",
            text(Text::ResponseTime),
            Unit::Seconds,
            vec![
                line("p99", wave(range, points, 0.11, 0.15, 2.0)),
                line("p95", wave(range, points, 0.06, 0.08, 2.0)),
                line(text(Text::Average), wave(range, points, 0.02, 0.02, 2.0)),
            ],
        )
    };
    let errors = chart("errors", text(Text::ErrorRate), Unit::Percent, Vec::new());
    Overview {
        firing: vec![firing()],
        pending_count: 1,
        rule_count: 38,
        failing_count: 0,
        tiles: tiles(reader),
        intake: intake(),
        resources: vec![cpu, memory, network],
        performance: vec![connections, response, errors],
        config_errors: vec!["rules/app.yml:12:5: unknown field `exprr`".to_owned()],
        failures: Vec::new(),
    }
}

fn tiles(reader: &Reader) -> Vec<Tile> {
    let text = |key: Text| reader.text(key);
    vec![
        tile(text(Text::Cpu), Unit::Percent, &[("", 42.3)], "web-1"),
        tile(text(Text::Memory), Unit::Percent, &[("", 52.9)], &reader.fill(Text::Of, &["8.25 GiB", "15.6 GiB"])),
        tile(text(Text::Disk), Unit::Percent, &[("", 91.7)], "/var/lib/postgresql"),
        tile(
            text(Text::Network),
            Unit::BytesPerSecond,
            &[(text(Text::Receive), 5.2e6), (text(Text::Transmit), 1.4e6)],
            "",
        ),
        tile(text(Text::DiskThroughput), Unit::BytesPerSecond, &[], ""),
        tile(text(Text::Load), Unit::Count, &[("", 1.37)], "web-1"),
    ]
}

/// Who answers, what was told and done.
pub(crate) fn deliveries(reader: &Reader) -> render::Markup {
    let since = reader.zone.date_time(NOW - Duration::from_secs(1200));
    let reason = reader.text(Text::QuietNothingNew);
    let told = reader.fill(Text::WhyToldFiring, &[&since, reader.text(Text::ReasonFirst)]);
    let alert = Explained {
        name: "cpu_usage".to_owned(),
        severity: "critical".to_owned(),
        labels: vec![("instance".to_owned(), "web-1".to_owned())],
        state: State::Firing,
        sentences: vec![reader.fill(Text::WhyFires, &[&since])],
        routes: vec![Way {
            receiver: "desk".to_owned(),
            sentences: vec![reader.fill(Text::WhyGroup, &["{}:{alertname=\"cpu_usage\"}", "1"])],
            channels: vec![("slack/0".to_owned(), vec![reader.fill(Text::WhyNotTold, &[reason]), told])],
        }],
    };
    deliveries::content(&Deliveries { alerts: vec![alert], more: 3 }, reader)
}

pub(crate) fn answers(frame: &Frame) -> render::Markup {
    let watched = WatchedAlert {
        name: "cpu_usage".to_owned(),
        fingerprint: "cbf29ce484222325".to_owned(),
        severity: "critical".to_owned(),
        labels: vec![("instance".to_owned(), "web-1".to_owned())],
        since: NOW - Duration::from_secs(1200),
        answered_by: None,
        assigned_to: Some("aiko".to_owned()),
        is_breached: true,
    };
    let event = EventRow {
        time: NOW - Duration::from_secs(300),
        kind: "escalated".to_owned(),
        rules: "cpu_usage".to_owned(),
        author: "aiko".to_owned(),
        text: "tier 2: 1 called".to_owned(),
    };
    let record = RuleRow {
        name: "cpu_usage".to_owned(),
        counts: [4, 1, 1],
        actionable_share: 0.5,
        acknowledge: Some(Duration::from_secs(90)),
        resolve: None,
    };
    let answers = Answers {
        watched: vec![watched],
        people: vec![("aiko".to_owned(), "佐藤 愛子".to_owned())],
        may_answer: true,
        events: vec![event],
        search: ["instance=web-1".to_owned(), String::new(), String::new()],
        records: vec![record],
    };
    content(&answers, "/alerts/answer", frame)
}

fn firing() -> ActiveAlert {
    ActiveAlert {
        name: "disk_usage".to_owned(),
        state: State::Firing,
        severity: "critical".to_owned(),
        labels: pairs(&[("instance", "db-1"), ("mountpoint", "/var/lib/postgresql")]),
        description: "ディスク使用率が90%を超えています".to_owned(),
        since: NOW - Duration::from_secs(754),
        value: Some(91.7),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) fn intake() -> Intake {
    let source = |job: &str, instance: &str, series: f64, age: u64, is_up: Option<bool>| Source {
        job: job.to_owned(),
        instance: instance.to_owned(),
        series,
        newest: NOW - Duration::from_secs(age),
        is_up,
    };
    Intake {
        series: Some(1842.0),
        samples_per_second: Some(122.8),
        newest: Some(NOW - Duration::from_secs(3)),
        storage_bytes: Some(4.1 * 1024.0 * 1024.0),
        bytes_per_sample: Some(1.27),
        sources: vec![
            source("postgres", "db-2:9187", 412.0, 900, Some(false)),
            source("node", "web-2", 610.0, 190, Some(true)),
            source("node", "web-1", 604.0, 5, Some(true)),
            source("mihari", "web-1", 216.0, 3, None),
        ],
        sources_left_out: 2,
        write_url: "http://127.0.0.1:9099/api/v1/write".to_owned(),
    }
}

pub(crate) fn alerts() -> Alerts {
    let labels = pairs(&[("instance", "web-1")]);
    let change = |age: u64, from: State, to: State, value: f64| Change {
        time: NOW - Duration::from_secs(age),
        name: "cpu_usage".to_owned(),
        severity: "critical".to_owned(),
        labels: labels.clone(),
        from,
        to,
        value: Some(value),
    };
    let pending = ActiveAlert {
        name: "memory_usage".to_owned(),
        state: State::Pending,
        severity: "warning".to_owned(),
        labels: labels.clone(),
        description: "メモリ使用率が85%を超えています".to_owned(),
        since: NOW - Duration::from_secs(130),
        value: Some(86.2),
    };
    Alerts {
        active: vec![firing(), pending],
        history: vec![
            change(1200, State::Firing, State::Resolved, 62.0),
            change(2100, State::Pending, State::Firing, 96.1),
            change(2400, State::Inactive, State::Pending, 93.4),
        ],
        range: Span::Last1h.range(NOW),
        groups: groups(),
    }
}

fn groups() -> Vec<Group> {
    let rule = |name: &str, state: State, severity: &str, expression: &str, error: &str| Rule {
        name: name.to_owned(),
        is_recording: severity.is_empty(),
        state,
        severity: severity.to_owned(),
        expression: expression.to_owned(),
        hold: Duration::from_secs(if severity.is_empty() { 0 } else { 300 }),
        description: if severity.is_empty() { "" } else { "CPU使用率が90%を超えています" }.to_owned(),
        error: error.to_owned(),
    };
    let group = |name: &str, rules: Vec<Rule>| Group {
        name: name.to_owned(),
        file: "rules/infrastructure.yml".to_owned(),
        interval: Duration::from_secs(60),
        last_evaluation: Some(NOW - Duration::from_secs(5)),
        rules,
    };
    vec![
        group(
            "infrastructure",
            vec![
                rule("cpu_usage", State::Inactive, "critical", "instance:cpu_usage:percent > 90", ""),
                rule("disk_usage", State::Firing, "critical", "instance:disk_usage:percent > 90", ""),
                rule("broken", State::Failing, "warning", "a / on(x) b", "many-to-many matching not allowed"),
            ],
        ),
        group(
            "normalise",
            vec![rule(
                "instance:cpu_usage:percent",
                State::Inactive,
                "",
                "100 * (1 - avg(rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))",
                "",
            )],
        ),
    ]
}

pub(crate) fn explore() -> Explore {
    let range = Span::Last1h.range(NOW);
    let lines = vec![
        line("{mode=\"user\"}", wave(range, 40, 1.0, 3.0, 2.0)),
        line("{mode=\"system\"}", wave(range, 40, 0.5, 1.0, 3.0)),
    ];
    let rows = vec![("{mode=\"user\"}".to_owned(), 2.5), ("{mode=\"system\"}".to_owned(), 0.75)];
    let chart = Box::new(chart("result", "sum by (mode) (rate(node_cpu_seconds_total[2m]))", Unit::Count, lines));
    Explore {
        query: "sum by (mode) (rate(node_cpu_seconds_total[2m]))".to_owned(),
        outcome: Some(Outcome::Found { chart, rows, series_count: 2, quantile: None, warnings: Vec::new() }),
    }
}

pub(crate) fn refused() -> Explore {
    let message = "1:5: unexpected \")\" <script>alert(1)</script>".to_owned();
    Explore { query: "sum()".to_owned(), outcome: Some(Outcome::Refused(message)) }
}

pub(crate) fn reports() -> Reports {
    let row = |date: &str, is_final: bool| ReportRow {
        date: date.to_owned(),
        time_zone: "Asia/Tokyo".to_owned(),
        made_at: (!is_final).then_some(NOW - Duration::from_secs(3600)),
        is_final,
        address: format!("/reports/daily/{date}/Asia.Tokyo/final"),
        link: format!("/r/default/{date}/Asia.Tokyo/final.ja.html?e=1795928400&s=c2lnbmF0dXJl"),
    };
    let daily = vec![row("2026-11-22", false), row("2026-11-21", true)];
    Reports { daily, daily_at: Some("00:15".to_owned()), is_for_others: false }
}

pub(crate) fn status() -> Status {
    let row = |kind: &str, samples: f64, size_bytes: f64| StorageRow {
        kind: kind.to_owned(),
        series: Some(1842.0),
        samples: Some(samples),
        size_bytes: Some(size_bytes),
    };
    Status {
        storage: vec![row("先行書き込みログ", 42_000.0, 512_000.0), row("時間ブロック", 3_200_000.0, 3_900_000.0)],
        config_errors: Vec::new(),
        intake: intake(),
        cost: Some(cost()),
        detection: vec![DetectionRow {
            source: "node".to_owned(),
            count: 12,
            median: Duration::from_secs(42),
            longest: Duration::from_secs(95),
        }],
        retention: pairs(&[("生データ", "7 d"), ("ロールアップ", "366 d")]),
        process: pairs(&[("バージョン", "0.1.0"), ("アドレス", "http://127.0.0.1:9099")]),
    }
}

/// One alert that was answered at once, one too late, one not at all.
fn on_call() -> OnCallStatistics {
    let promise = |severity: &str, promised: u64, later: &[u64]| ResponseStatistics {
        severity: severity.to_owned(),
        promised_seconds: Some(promised),
        escalates_after_seconds: later.to_vec(),
        ..ResponseStatistics::default()
    };
    let critical = ResponseStatistics {
        fired: 1,
        answered: 1,
        in_time: 1,
        acknowledge_seconds_mean: Some(264),
        acknowledge_seconds_max: Some(264),
        resolve_seconds_mean: Some(2820),
        resolve_seconds_max: Some(2820),
        ..promise("critical", 900, &[900])
    };
    let warning = ResponseStatistics {
        fired: 3,
        answered: 2,
        in_time: 1,
        breaches: 2,
        escalated: 1,
        acknowledge_seconds_mean: Some(5400),
        acknowledge_seconds_max: Some(9000),
        resolve_seconds_mean: Some(14_700),
        resolve_seconds_max: Some(21_600),
        ..promise("warning", 3600, &[14_400])
    };
    let rule = |name: &str, fired, actionable_share, flaps, breaches, acknowledge, resolve| RuleWorth {
        name: name.to_owned(),
        fired,
        actionable_share,
        flaps,
        breaches,
        acknowledge_seconds_mean: Some(acknowledge),
        resolve_seconds_mean: resolve,
    };
    OnCallStatistics {
        responses: vec![critical, warning, promise("info", 86_400, &[])],
        rules: vec![
            rule("cpu_usage", 3, 2.0 / 3.0, 1, 2, 5400, Some(14_700)),
            rule("disk_usage", 1, 1.0, 0, 0, 264, None),
        ],
    }
}

fn cost() -> Cost {
    let amounts = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, dollars)| ((*name).to_owned(), *dollars)).collect();
    Cost {
        region: "us-east-1".to_owned(),
        since: Some(NOW - Duration::from_secs(20 * 86_400)),
        month_to_date: 12.36,
        forecast: Some(17.8),
        thirty_days: Some(1234.5),
        per_million_samples: Some(0.002_134),
        services: amounts(&[("DynamoDB", 9.1), ("API Gateway", 2.5), ("CloudWatch", 0.5), ("SQS", 0.26)]),
        functions: amounts(&[("ingest", 9.8), ("evaluate", 1.8), ("待機時の固定費", 0.76)]),
    }
}

pub(crate) fn report(points: u32, made_at: Timestamp) -> DailyReport {
    let zone = Zone::named("Asia/Tokyo").expect("the tz database has Tokyo");
    let day = zone.day("2026-11-21".parse().expect("a date")).expect("a day");
    let reach = Some(100.0);
    DailyReport {
        format: render::report::FORMAT,
        tenant: "default".to_owned(),
        date: "2026-11-21".to_owned(),
        time_zone: "Asia/Tokyo".to_owned(),
        start_ms: day.start.as_millis(),
        end_ms: day.end.as_millis(),
        made_at_ms: made_at.as_millis(),
        is_final: made_at > day.end,
        alerts: AlertStatistics {
            fired: 4,
            resolved: 3,
            still_firing: 1,
            fired_day_before: Some(1),
            rules: vec![
                rule_statistics("disk_usage", "critical", 1, 30_120),
                rule_statistics("cpu_usage", "warning", 3, 1500),
            ],
        },
        on_call: on_call(),
        resources: vec![
            panel("cpu", Text::Cpu, (70.0, 90.0), None, wave(day, points, 15.0, 80.0, 1.0)),
            panel("memory", Text::Memory, (80.0, 95.0), reach, wave(day, points, 50.0, 8.0, 2.0)),
        ],
        metrics: vec![panel("error_rate", Text::ErrorRate, (1.0, 5.0), None, wave(day, points, 0.1, 0.4, 5.0))],
    }
}

fn rule_statistics(name: &str, severity: &str, fired: u64, firing_seconds: u64) -> RuleStatistics {
    RuleStatistics {
        name: name.to_owned(),
        severity: severity.to_owned(),
        fired,
        firing_seconds,
        longest_seconds: firing_seconds / fired,
        still_firing: u64::from(severity == "critical"),
    }
}

fn panel(key: &str, title: Text, limits: (f64, f64), reach: Option<f64>, points: Vec<(Timestamp, f64)>) -> Panel {
    let as_json = |factor: f64| points.iter().map(|(time, value)| (time.as_millis(), Some(value * factor))).collect();
    let over = |limit: f64| points.iter().filter(|(_, value)| *value > limit).count() as u64 * 300;
    Panel {
        key: key.to_owned(),
        title_ja: title.in_language(Language::Japanese).to_owned(),
        title_en: title.in_language(Language::English).to_owned(),
        unit: Unit::Percent,
        gap_ms: 4_000_000,
        reach,
        warning: Some(limits.0),
        critical: Some(limits.1),
        series: vec![PanelSeries {
            name_ja: "web-1".to_owned(),
            name_en: "web-1".to_owned(),
            points: as_json(1.0),
            stats: Stats::of(&points),
            mean_day_before: Stats::of(&points).map(|stats| stats.mean * 0.9),
            over_warning_seconds: Some(over(limits.0)),
            over_critical_seconds: Some(over(limits.1)),
            points_day_before: as_json(0.9),
        }],
        series_left_out: 0,
    }
}
