//! Mihari itself: what it keeps and for how long.

use std::time::Duration;

use model::{TimeRange, Timestamp};
use render::page::Frame;
use render::page::status::{Cost, DetectionRow, Status, StorageRow, content as render};
use render::{Markup, Reader, Text};

use super::intake::{self, number};
use crate::access::Viewer;
use crate::load::{PieceStats, StorageStats};
use crate::{App, AppError, cost, notify};

pub(super) async fn content(app: &App, viewer: &Viewer, frame: &Frame) -> Result<Markup, AppError> {
    let reader = &frame.reader;
    let text = |key: Text| reader.text(key).to_owned();
    let (intake, stats) = intake::load(app, viewer, reader).await?;
    let status = Status {
        storage: storage(&stats, reader),
        config_errors: app.config_errors(&viewer.tenant),
        intake,
        cost: if viewer.tenant == app.settings.default_tenant {
            Some(costs(&*cost::current(app, reader.now).await?, reader))
        } else {
            None
        },
        detection: detection(app, viewer, reader).await?,
        retention: vec![
            (text(Text::RetentionRaw), reader.span(app.limits.raw_retention)),
            (text(Text::RetentionRollups), reader.span(app.limits.rollup_retention)),
        ],
        process: vec![
            (text(Text::Version), env!("CARGO_PKG_VERSION").to_owned()),
            (text(Text::Address), app.settings.external_url.clone()),
        ],
    };
    Ok(render(&status, frame))
}

/// How fast people were told of alerts within the last day, by source.
async fn detection(app: &App, viewer: &Viewer, reader: &Reader) -> Result<Vec<DetectionRow>, AppError> {
    let range = TimeRange::new(reader.now - Duration::from_secs(86_400), reader.now);
    let by_source = notify::detections(app, &viewer.tenant, range, reader.now).await?;
    let millis = |ms: i64| Duration::from_millis(ms.unsigned_abs());
    let row = |(source, all): (String, Vec<i64>)| DetectionRow {
        source,
        count: all.len(),
        median: millis(all[all.len() / 2]),
        longest: millis(all[all.len() - 1]),
    };
    Ok(by_source.into_iter().map(row).collect())
}

/// The bill as the page shows it: a line a service.
fn costs(report: &cost::Report, reader: &Reader) -> Cost {
    let mut services: Vec<(String, f64)> = Vec::new();
    for line in &report.lines {
        match services.iter_mut().find(|(service, _)| *service == line.service) {
            Some((_, dollars)) => *dollars += line.dollars,
            None => services.push((line.service.clone(), line.dollars)),
        }
    }
    services.sort_by(|a, b| b.1.total_cmp(&a.1));
    let name = |function: &str| match function {
        cost::STANDING => reader.text(Text::CostStanding).to_owned(),
        _ => function.to_owned(),
    };
    Cost {
        region: report.region.clone(),
        since: report.since_ms.map(Timestamp::from_millis),
        month_to_date: report.month_to_date,
        forecast: report.forecast,
        thirty_days: report.thirty_days,
        per_million_samples: report.per_million_samples,
        services,
        functions: report.functions.iter().map(|cost| (name(&cost.function), cost.dollars)).collect(),
    }
}

fn storage(stats: &StorageStats, reader: &Reader) -> Vec<StorageRow> {
    let log = StorageRow {
        kind: reader.text(Text::KindWal).to_owned(),
        series: Some(number(stats.active_series)),
        samples: Some(number(stats.log_samples)),
        size_bytes: None,
    };
    let rollups = stats
        .rollups
        .iter()
        .map(|(resolution, pieces)| row(reader.fill(Text::KindRollups, &[resolution.as_str()]), pieces));
    let raw = [(Text::KindChunks, &stats.chunks), (Text::KindBlocks, &stats.hours)];
    let raw = raw.map(|(key, pieces)| row(reader.text(key).to_owned(), pieces));
    [log].into_iter().chain(raw).chain(rollups).collect()
}

fn row(kind: String, pieces: &PieceStats) -> StorageRow {
    StorageRow {
        kind,
        series: (pieces.pieces > 0).then(|| number(pieces.series_max)),
        samples: Some(number(pieces.samples)),
        size_bytes: Some(number(pieces.bytes)),
    }
}
