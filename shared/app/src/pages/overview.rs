//! The overview: alerts first, then current values, courses and what comes in.

use std::time::Duration;

use futures::future::{join, join_all, try_join};
use model::TimeRange;
use render::chart::Chart;
use render::page::Frame;
use render::page::overview::{Overview, Tile, content as render};
use render::{Markup, Reader};

use super::panels::{self, PANELS, Panel, Part};
use super::{alerts, intake};
use crate::access::Viewer;
use crate::load::Pin;
use crate::{App, AppError};

/// No expression of the page looks back further from a step, be it for spans of rollups and what they increased from.
const LOOK_BACK_MAX: Duration = Duration::from_secs(3 * 3600);

/// What a panel gives, or why it gives nothing.
type Loaded = (&'static Panel, Result<(Option<Tile>, Chart), AppError>);

pub(super) async fn content(app: &App, viewer: &Viewer, frame: &Frame) -> Result<Markup, AppError> {
    let _pin = pin(app, viewer, frame).await?;
    let summary = try_join(alerts::summary(app, viewer, &frame.reader), intake::load(app, viewer, &frame.reader));
    let panels = join_all(PANELS.iter().map(|panel| load(app, viewer, frame, panel)));
    let (summary, panels) = join(summary, panels).await;
    let (alerts, (intake, _)) = summary?;
    let mut overview = Overview {
        firing: alerts.firing,
        pending_count: alerts.pending_count,
        rule_count: alerts.rule_count,
        failing_count: alerts.failing_count,
        config_errors: app.config_errors(&viewer.tenant),
        intake,
        ..Overview::default()
    };
    for loaded in panels {
        add(&mut overview, loaded, &frame.reader);
    }
    Ok(render(&overview, frame))
}

/// All that the page asks for is answered from one look at the log: the charts' span, and who sent in the last hour.
async fn pin<'a>(app: &'a App, viewer: &Viewer, frame: &Frame) -> Result<Pin<'a>, AppError> {
    let now = frame.reader.now;
    let shown = frame.span.unwrap_or(render::page::Span::Last1h).range(now);
    let listed = now - intake::LISTED_FOR;
    let start = if shown.end < listed { listed } else { shown.start.min(listed) };
    app.loader.pin(&viewer.tenant, TimeRange::new(start - LOOK_BACK_MAX, now + LOOK_BACK_MAX), now).await
}

async fn load(app: &App, viewer: &Viewer, frame: &Frame, panel: &'static Panel) -> Loaded {
    let reader = &frame.reader;
    let range = frame.span.unwrap_or(render::page::Span::Last1h).range(reader.now);
    let step = panels::step(range);
    let course = panels::course(app, &viewer.tenant, panel, range, step, reader.now);
    let loaded = try_join(panels::tile(app, &viewer.tenant, panel, reader), course).await;
    (panel, loaded.map(|(tile, course)| (tile, panels::chart(panel, &course, range, step, reader))))
}

/// Adds a panel; a chart without any value says nothing and is left out, a panel that cannot be loaded is named.
fn add(overview: &mut Overview, (panel, loaded): Loaded, reader: &Reader) {
    match loaded {
        Ok((tile, chart)) => {
            overview.tiles.extend(tile);
            let part = match panel.part {
                Part::Resources => &mut overview.resources,
                Part::Performance => &mut overview.performance,
            };
            part.extend((!chart.is_empty()).then_some(chart));
        }
        Err(error) => {
            crate::http::log(crate::http::Route::Page, &error);
            overview.failures.push((reader.text(panel.title).to_owned(), error.public_message()));
        }
    }
}
