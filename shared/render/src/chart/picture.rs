//! A chart as one SVG of fixed size, with its colours inside: for mails and chats, which know no style sheet.

use std::fmt::Write as _;

use super::axis::Axis;
use super::{Chart, FIELD_WIDTH, HEIGHT, LINES_MAX, curve, part_of, short};
use crate::Reader;
use crate::state::State;

/// Its size, in pixels.
const WIDTH: f64 = 640.0;
const TOP: f64 = 34.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const LEGEND_LINE: f64 = 18.0;
/// Marks of the time axis.
const TIME_MARKS_MAX: usize = 6;
/// Most characters of a title and of a name in the legend.
const TITLE_CHARS_MAX: usize = 56;
const NAME_CHARS_MAX: usize = 70;

/// The colours of the series, each dark enough on white.
const COLOURS: [&str; LINES_MAX] =
    ["#1f5fa8", "#b35900", "#1d7044", "#8e3b9c", "#9a2a2a", "#4a5464", "#00707a", "#6b6000"];
const DASHES: [&str; 4] = ["none", "6 3", "2 3", "8 3 2 3"];

/// The picture: title, axes, curves, thresholds, legend.
pub fn svg(chart: &Chart, reader: &Reader) -> String {
    let axis = Axis::of(chart);
    let lines = chart.lines.iter().take(LINES_MAX).count();
    let plot_width = WIDTH - LEFT - RIGHT;
    #[expect(clippy::cast_precision_loss, reason = "at most eight")]
    let height = TOP + HEIGHT + 30.0 + LEGEND_LINE * lines as f64 + 8.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"Noto Sans JP\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
         <text x=\"{}\" y=\"20\" font-size=\"15\" fill=\"#1d2430\">{}</text>",
        short(height),
        8,
        escaped(&crate::notification::cut(&chart.title, TITLE_CHARS_MAX)),
    );
    for (value, label) in axis.ticks.iter().zip(&axis.labels) {
        let y = TOP + axis.y(*value);
        write(
            &mut text,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dde1e7\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#4a5464\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                escaped(label),
            ),
        );
    }
    for tick in reader.zone.ticks(chart.range, TIME_MARKS_MAX) {
        let x = LEFT + plot_width * part_of(chart.range, tick.time);
        write(
            &mut text,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#4a5464\">{}</text>",
                TOP + HEIGHT + 18.0,
                escaped(&tick.label),
            ),
        );
    }
    write(
        &mut text,
        format_args!(
            "<text x=\"{}\" y=\"20\" text-anchor=\"end\" fill=\"#4a5464\">{}</text>",
            WIDTH - RIGHT,
            escaped(&reader.zone.offset(chart.range.end)),
        ),
    );
    for (index, line) in chart.lines.iter().enumerate().take(LINES_MAX).rev() {
        write(
            &mut text,
            format_args!(
                "<path transform=\"translate({LEFT} {TOP}) scale({:.4} 1)\" d=\"{}\" fill=\"none\" stroke=\"{}\" \
             stroke-width=\"2\" stroke-dasharray=\"{}\" stroke-linecap=\"round\"/>",
                plot_width / FIELD_WIDTH,
                curve::path(chart, line, &axis) + &curve::dots(chart, line, &axis),
                COLOURS[index],
                DASHES[index % DASHES.len()],
            ),
        );
    }
    for threshold in chart.thresholds.iter().filter(|threshold| axis.holds(threshold.value)) {
        let y = TOP + axis.y(threshold.value);
        let colour = colour(threshold.severity);
        write(
            &mut text,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\" \
             stroke-dasharray=\"5 3\"/><text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">{} {}</text>",
                WIDTH - RIGHT,
                LEFT + 4.0,
                y - 4.0,
                escaped(threshold.severity.text(reader.language)),
                escaped(&chart.unit.format_round(threshold.value)),
            ),
        );
    }
    let mut y = TOP + HEIGHT + 30.0;
    for (index, line) in chart.lines.iter().enumerate().take(LINES_MAX) {
        y += LEGEND_LINE;
        write(
            &mut text,
            format_args!(
                "<line x1=\"8\" x2=\"34\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"/>\
             <text x=\"42\" y=\"{y:.1}\" fill=\"#1d2430\">{}</text>",
                y - 4.0,
                y - 4.0,
                COLOURS[index],
                DASHES[index % DASHES.len()],
                escaped(&crate::notification::cut(&line.name, NAME_CHARS_MAX)),
            ),
        );
    }
    text + "</svg>"
}

const fn colour(severity: State) -> &'static str {
    match severity {
        State::Warning | State::Pending => "#9a5b00",
        State::Info | State::Ok | State::Unknown | State::Inactive | State::Resolved => "#1f5fa8",
        State::Critical | State::Firing | State::Failing => "#b3261e",
    }
}

fn write(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("writing to a text cannot fail");
}

fn escaped(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control()).collect();
    kept.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
