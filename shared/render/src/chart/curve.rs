//! The path of one series.

use std::fmt::Write as _;

use model::{TimeRange, Timestamp};

use super::axis::Axis;
use super::{Chart, FIELD_WIDTH, Line, part_of};

/// A run of points without a gap, in the field's coordinates.
type Run = Vec<(f64, f64)>;

/// The line: one stroke for each run of two points or more.
pub(super) fn path(chart: &Chart, line: &Line, axis: &Axis) -> String {
    let mut path = String::new();
    for run in runs(chart, line, axis).iter().filter(|run| run.len() > 1) {
        stroke(&mut path, run);
    }
    path
}

/// The points that stand alone between two gaps: strokes without length, which round ends make into dots.
pub(super) fn dots(chart: &Chart, line: &Line, axis: &Axis) -> String {
    let mut path = String::new();
    for run in runs(chart, line, axis) {
        if let [only] = run[..] {
            write_point(&mut path, 'M', only);
            write_point(&mut path, 'L', only);
        }
    }
    path
}

/// The area between the line and the lower end of the axis (zero, where the axis has it).
pub(super) fn area(chart: &Chart, line: &Line, axis: &Axis) -> String {
    let floor = axis.y(axis.min().max(0.0).min(axis.max()));
    let mut path = String::new();
    for run in runs(chart, line, axis) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        stroke(&mut path, &run);
        write_point(&mut path, 'L', (last.0, floor));
        write_point(&mut path, 'L', (first.0, floor));
        path.push('Z');
    }
    path
}

fn runs(chart: &Chart, line: &Line, axis: &Axis) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut previous: Option<Timestamp> = None;
    for &(time, value) in &line.points {
        if !value.is_finite() || !within(chart.range, time) {
            previous = None;
            continue;
        }
        let joined = previous.is_some_and(|before| time.since(before) <= chart.gap);
        let point = (FIELD_WIDTH * part_of(chart.range, time), axis.y(value));
        match runs.last_mut() {
            Some(run) if joined => run.push(point),
            _ => runs.push(vec![point]),
        }
        previous = Some(time);
    }
    runs
}

fn within(range: TimeRange, time: Timestamp) -> bool {
    range.contains(time)
}

fn stroke(path: &mut String, run: &[(f64, f64)]) {
    for (index, &point) in run.iter().enumerate() {
        write_point(path, if index == 0 { 'M' } else { 'L' }, point);
    }
}

fn write_point(path: &mut String, command: char, (x, y): (f64, f64)) {
    write!(path, "{command}{} {}", tenths(x), tenths(y)).expect("writing to a string never fails");
}

/// A coordinate to a tenth, which is finer than a pixel.
fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
