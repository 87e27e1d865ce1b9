//! The picture of what a notification is about: the series behind its alerts over the last hour, with the threshold.
//!
//! The rule's expression stands in the alert's link to its graph. Of an expression that compares with a number, the other
//! side is drawn and the number is the threshold; of all series, those of the notification's alerts.

use std::time::Duration;

use alerting::notify::{Held, Notification};
use model::{Labels, Series, TenantId, TimeRange, Timestamp};
use promql::{Expr, ExprKind, Value};
use render::chart::{Chart, LINES_MAX, Line, Threshold};
use render::state::State;
use render::{Reader, Unit, Zone};

use super::Desk;
use crate::query::{self, Options};

/// How much of the past is drawn, and in which steps.
const SHOWN: Duration = Duration::from_secs(3600);
const STEP: Duration = Duration::from_secs(60);
/// A picture that takes longer is left out: people are waiting for the message.
const TIME_MAX: Duration = Duration::from_secs(5);

impl Desk<'_> {
    /// The picture as SVG; `None` where there is nothing to draw, or not in time.
    pub(super) async fn chart(&self, tenant: &TenantId, notification: &Notification) -> Option<String> {
        let app = self.app?;
        let first = notification.firing.first().or(notification.resolved.first())?;
        let (expr, thresholds) = shown(&expression(&first.alert.generator_url)?)?;
        let end = self.now.align_down(STEP);
        let range = TimeRange::new(end - SHOWN, end);
        let options = Options { timeout: Some(TIME_MAX), ..Options::default() };
        let asked = query::range(app, tenant, &expr, (range, STEP), options, self.now);
        let output = match tokio::time::timeout(TIME_MAX, asked).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                tracing::debug!(%tenant, %error, "a notification goes out without its picture");
                return None;
            }
            Err(_) => return None,
        };
        let Value::Matrix(series) = output.value else { return None };
        let alerts = || notification.firing.iter().chain(&notification.resolved);
        let is_meant = |one: &&Series| alerts().any(|held| is_of(&one.labels, held));
        let lines: Vec<Line> = series.iter().filter(is_meant).take(LINES_MAX).map(line).collect();
        let severity = State::of_severity(first.alert.labels.get("severity").unwrap_or(""));
        let chart = Chart {
            id: "chart".to_owned(),
            title: expr,
            unit: Unit::Count,
            range: TimeRange::new(range.start, range.end + STEP),
            gap: STEP * 3,
            lines,
            thresholds: thresholds.into_iter().map(|value| Threshold { severity, value }).collect(),
            reach: None,
            note: None,
        };
        let language = notification.integration.language.unwrap_or(self.settings.language);
        let reader = Reader { language, zone: Zone::of(&self.settings.time_zone), now: self.now };
        (!chart.is_empty()).then(|| render::chart::picture::svg(&chart, &reader))
    }
}

/// The expression that a link to a graph is for: `http://.../graph?g0.expr=...`.
fn expression(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "g0.expr").map(|(_, expr)| expr.into_owned())
}

/// What of an expression is drawn, and the numbers that it is compared with.
fn shown(expr: &str) -> Option<(String, Vec<f64>)> {
    let expr = promql::parse(expr).ok()?;
    let (side, threshold) = compared(&expr).unwrap_or((&expr, None));
    Some((side.to_string(), threshold.into_iter().collect()))
}

/// Both sides of the first comparison with a number; of several conditions the first counts.
fn compared(expr: &Expr) -> Option<(&Expr, Option<f64>)> {
    if let ExprKind::Paren(inner) = &expr.kind {
        return compared(inner);
    }
    let ExprKind::Binary(binary) = &expr.kind else { return None };
    if binary.op.is_set() {
        return compared(&binary.left);
    }
    binary.op.is_comparison().then(|| match (number(&binary.left), number(&binary.right)) {
        (Some(value), None) => (&binary.right, Some(value)),
        (None, value) => (&binary.left, value),
        (Some(_), Some(_)) => (&binary.left, None),
    })
}

fn number(expr: &Expr) -> Option<f64> {
    if let ExprKind::Paren(inner) = &expr.kind {
        return number(inner);
    }
    if let ExprKind::Unary { negative, operand } = &expr.kind {
        return number(operand).map(|value| if *negative { -value } else { value });
    }
    if let ExprKind::Number(number) = &expr.kind { Some(number.value) } else { None }
}

/// Whether an alert is about a series: it has all its labels, but the name, which rules leave out, and those that the
/// rule sets itself.
fn is_of(series: &Labels, held: &Held) -> bool {
    series.iter().filter(|(name, _)| *name != "__name__").all(|(name, value)| {
        held.alert.labels.get(name) == Some(value) || matches!(name, "severity" | "team" | "scope")
    })
}

fn line(series: &Series) -> Line {
    let labels: Vec<String> = series
        .labels
        .iter()
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let points: Vec<(Timestamp, f64)> = series.samples().map(|sample| (sample.timestamp, sample.value)).collect();
    Line { name: labels.join(" "), points, is_ghost: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_is_drawn_with_its_threshold() {
        let cases = [
            ("cpu_usage > 90", "cpu_usage", Some(90.0)),
            ("90 < cpu_usage", "cpu_usage", Some(90.0)),
            ("(rate(a[5m]) >= -1.5) and on(x) b > 3", "rate(a[5m])", Some(-1.5)),
            ("a > b", "a", None),
            ("absent(up)", "absent(up)", None),
        ];
        for (expr, side, threshold) in cases {
            assert_eq!(shown(expr), Some((side.to_owned(), threshold.into_iter().collect())), "{expr}");
        }
        assert_eq!(shown("a >"), None);
        let link = "http://x/graph?g0.expr=cpu_usage+%3E+90&g0.tab=1";
        assert_eq!(expression(link).as_deref(), Some("cpu_usage > 90"));
        assert_eq!(expression(""), None);
    }
}
