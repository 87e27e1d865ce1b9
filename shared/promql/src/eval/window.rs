//! Functions over windows of samples.

#![expect(clippy::wildcard_enum_match_arm, reason = "each function here is about a few of all functions")]

mod counter;
mod extended;
mod native;
mod sums;
mod trend;

use std::collections::VecDeque;

use model::{General, Labels, METRIC_NAME, Series, Timestamp};

pub(super) use self::counter::Reach;
use self::counter::{Counter, extrapolated, instant};
pub(super) use self::extended::check_extent;
use super::float::{Sum, quantile};
use super::select::{Layout, Layouts, Windows, twice};
use super::stream::Sink;
use super::vector::{ABSENT, Grid, Row, Vector, is_present};
use super::{Evaluator, Result_};
use crate::ast::{Call, ExprKind, Span};
use crate::error::EvalError;
use crate::functions::FunctionId;
use crate::selection::{Deadline, millis};

/// The samples of one series in one window, at least one; times in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Window<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
    /// How many raw samples each value stands for.
    weights: Option<&'a [f64]>,
    /// The step it belongs to.
    step: usize,
    /// When the step is evaluated.
    evaluated_at: i64,
}

/// One series with its windows.
struct Windowed<'a> {
    series: &'a Series,
    /// The index range of each step's samples.
    layout: &'a Layout,
    /// The last moment of each window.
    ends: Grid,
    /// The length of the windows: the one asked for, or twice the span of a rollup if that is longer.
    range: i64,
    /// The part of that length that was asked for.
    asked: f64,
    /// When each step is evaluated.
    grid: Grid,
    deadline: &'a Deadline,
}

/// How many samples windows may visit until the deadline is looked at again.
const VISITS_MAX: usize = 1 << 16;

impl Windowed<'_> {
    /// Fills a row window by window; without samples there is no value. Stops when the deadline has passed.
    fn fill(&self, row: &mut [f64], mut value: impl FnMut(Window<'_>) -> f64) {
        let weights = self.series.weights.as_deref();
        let mut visited = 0;
        for (step, (slot, &(first, end))) in row.iter_mut().zip(&self.layout.bounds).enumerate() {
            let (first, end) = (first as usize, end as usize);
            if first < end {
                visited += end - first;
                if visited > VISITS_MAX {
                    visited = 0;
                    if self.deadline.check().is_err() {
                        return;
                    }
                }
                *slot = value(Window {
                    times: &self.series.timestamps[first..end],
                    values: &self.series.values[first..end],
                    weights: weights.map(|weights| &weights[first..end]),
                    step,
                    evaluated_at: self.grid.time(step),
                });
            }
        }
    }
}

/// Whether a function is one of a window of samples and perhaps numbers.
pub(super) fn is_over_time(id: FunctionId) -> bool {
    simple(id).is_some()
        || matches!(
            id,
            FunctionId::Rate
                | FunctionId::Increase
                | FunctionId::Delta
                | FunctionId::Irate
                | FunctionId::Idelta
                | FunctionId::MinOverTime
                | FunctionId::MaxOverTime
                | FunctionId::SumOverTime
                | FunctionId::AvgOverTime
                | FunctionId::CountOverTime
                | FunctionId::QuantileOverTime
                | FunctionId::PredictLinear
                | FunctionId::DoubleExponentialSmoothing
        )
}

/// Fills the row of a series from its windows.
type Filler<'p> = Box<dyn FnMut(&Windowed<'_>, &mut [f64]) + 'p>;

impl<'a> Evaluator<'a> {
    /// A function of a window.
    pub(super) fn over_time(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let range = call.arguments.iter().find_map(|argument| match &argument.without_parens().kind {
            ExprKind::Range(range) => Some(range.selector.index),
            _ => None,
        });
        let count = range.map_or(0, |index| self.source.series_count(index));
        let vector = self.collect(grid, count, |evaluator, sink| evaluator.over_time_rows(call, grid, sink))?;
        self.named(vector)
    }

    /// As [`Self::over_time`], row by row, with names still to be dropped.
    pub(super) fn over_time_rows(&mut self, call: &Call, grid: Grid, sink: &mut Sink<'_, 'a>) -> Result_<()> {
        let (mut windows, parameters) = self.window_arguments(call, grid)?;
        let id = call.function.id;
        if id == FunctionId::QuantileOverTime {
            // Prometheus points at the first argument, whatever it is.
            windows.span = call.arguments[0].span;
        }
        let keeps_names = matches!(id, FunctionId::LastOverTime | FunctionId::FirstOverTime);
        let is_counter = matches!(id, FunctionId::Rate | FunctionId::Increase);
        let mut previous = None;
        let sink: &mut Sink<'_, 'a> = &mut |evaluator, labels, drop_name, row| {
            if is_counter {
                evaluator.check_counter(labels, row, windows.span, &mut previous);
            }
            sink(evaluator, labels, drop_name || !keeps_names, row)
        };
        if windows.extent.is_none() {
            return self.over_windows(id, &windows, &parameters, grid, sink);
        }
        let vector = self.over_extended(call.function, &windows, grid)?;
        for row in 0..vector.rows() {
            sink(self, &vector.labels[row], vector.drop_names[row], vector.full_row(row))?;
        }
        Ok(())
    }

    fn window_arguments<'e>(&mut self, call: &'e Call, grid: Grid) -> Result_<(Windows<'e>, Vec<Vec<f64>>)> {
        let (window_at, parameters_at): (usize, &[usize]) = match call.function.id {
            FunctionId::QuantileOverTime => (1, &[0]),
            FunctionId::PredictLinear => (0, &[1]),
            FunctionId::DoubleExponentialSmoothing => (0, &[1, 2]),
            _ => (0, &[]),
        };
        let mut parameters = Vec::new();
        for &index in parameters_at {
            parameters.push(self.scalar(&call.arguments[index], grid)?);
        }
        Ok((self.windows(&call.arguments[window_at], grid)?, parameters))
    }

    /// One row a series that has a value anywhere.
    fn over_windows(
        &mut self,
        id: FunctionId,
        windows: &Windows<'_>,
        parameters: &[Vec<f64>],
        grid: Grid,
        sink: &mut Sink<'_, 'a>,
    ) -> Result_<()> {
        let is_checked = matches!(id, FunctionId::QuantileOverTime | FunctionId::DoubleExponentialSmoothing);
        let mut used = vec![false; if is_checked { grid.count } else { 0 }];
        // The factors of a smoothing are looked at even where there are histograms alone.
        let mut smooths_histograms = vec![false; if id == FunctionId::QuantileOverTime { 0 } else { used.len() }];
        let mut fill = filler(id, parameters, &mut used)?;
        let mut layouts = Layouts::default();
        let mut scratch = Vector::of_one_row(grid.count);
        let deadline = &self.params.deadline;
        self.each_windowed(windows, &mut |evaluator, series, drop_name| {
            let range = windows.range.max(twice(series.resolution));
            let layout = layouts.of(&series.timestamps, windows.ends, range);
            #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
            let asked = windows.range as f64 / range as f64;
            scratch.values.fill(ABSENT);
            let windowed = Windowed { series, layout: &layout, ends: windows.ends, range, asked, grid, deadline };
            fill(&windowed, &mut scratch.values);
            if series.len().saturating_mul(grid.count) > VISITS_MAX {
                deadline.check()?;
            }
            if let Some(histograms) = &series.histograms {
                let bounds = &layouts.of(&histograms.timestamps, windows.ends, range).bounds;
                let steps = smooths_histograms.iter_mut().zip(bounds);
                steps.for_each(|(smooths, (first, end))| *smooths |= first < end);
                evaluator.add_mixed(id, windows, series, &mut scratch)?;
            }
            let row = scratch.full_row(0);
            if row.has_samples() {
                sink(evaluator, &series.labels, drop_name, row)?;
            }
            scratch.histograms[0] = None;
            Ok(())
        })?;
        drop(fill);
        used.iter_mut().zip(smooths_histograms).for_each(|(used, smooths)| *used |= smooths);
        self.check_used(id, parameters, &used, windows.span)
    }

    /// Looks at the parameters of the steps whose windows have samples, and at no others.
    fn check_used(&mut self, id: FunctionId, parameters: &[Vec<f64>], used: &[bool], span: Span) -> Result_<()> {
        let only = |numbers: &[f64]| -> Vec<f64> {
            numbers.iter().zip(used).filter(|(_, used)| **used).map(|(number, _)| *number).collect()
        };
        match (id, parameters) {
            (FunctionId::QuantileOverTime, [asked]) => self.check_quantiles(&only(asked), span),
            (FunctionId::DoubleExponentialSmoothing, [smoothing, trend]) => {
                check_factor(&only(smoothing), "smoothing", "sf")?;
                check_factor(&only(trend), "trend", "tf")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Warns of quantiles that are none.
    pub(super) fn check_quantiles(&mut self, quantiles: &[f64], span: Span) {
        for &quantile in quantiles {
            if !(0.0..=1.0).contains(&quantile) {
                let shown = General(quantile);
                self.annotations.warn(span, &format!("quantile value should be between 0 and 1, got {shown}"));
            }
        }
    }

    /// Informs of metrics whose names no counter has.
    fn check_counter(&mut self, labels: &Labels, row: Row<'_>, span: Span, previous: &mut Option<String>) {
        let name = labels.get(METRIC_NAME).unwrap_or("");
        let has_numbers = || row.values.iter().copied().any(is_present);
        if previous.as_deref().unwrap_or("") == name || (row.histograms.is_some() && !has_numbers()) {
            return;
        }
        *previous = Some(name.to_owned());
        if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
            let quoted = crate::quote::quote(name);
            let message = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
            self.annotations.inform(span, &format!("{message}: {quoted}"));
        }
    }

    /// For each step, whether any series has a sample in its window.
    pub(super) fn any_in_windows(&mut self, windows: &Windows<'_>, grid: Grid) -> Result_<Vec<bool>> {
        let mut any = vec![false; grid.count];
        let mut layouts = Layouts::default();
        self.each_windowed(windows, &mut |_, series, _| {
            let range = windows.range.max(twice(series.resolution));
            let histograms = series.histograms.as_ref().map(|histograms| &histograms.timestamps);
            for times in [Some(&series.timestamps), histograms].into_iter().flatten() {
                let layout = layouts.of(times, windows.ends, range);
                for (any, (first, end)) in any.iter_mut().zip(&layout.bounds) {
                    *any |= first < end;
                }
            }
            Ok(())
        })?;
        Ok(any)
    }
}

/// What fills the rows of a function. Notes the steps whose parameters it used, where those are checked.
fn filler<'p>(id: FunctionId, parameters: &'p [Vec<f64>], used: &'p mut [bool]) -> Result_<Filler<'p>> {
    Ok(match id {
        FunctionId::Rate => counter(Counter::Rate),
        FunctionId::Increase => counter(Counter::Increase),
        FunctionId::Delta => counter(Counter::Delta),
        FunctionId::Irate => each(|window| instant(window, true)),
        FunctionId::Idelta => each(|window| instant(window, false)),
        FunctionId::MinOverTime => extreme(|new, old| new <= old),
        FunctionId::MaxOverTime => extreme(|new, old| new >= old),
        FunctionId::SumOverTime => {
            Box::new(|windowed, row| sums::fill(windowed, row, |sum, _| sum.total() * windowed.asked))
        }
        FunctionId::AvgOverTime => Box::new(|windowed, row| sums::fill(windowed, row, sums::mean)),
        FunctionId::CountOverTime => {
            Box::new(|windowed, row| windowed.fill(row, |window| count(window) * windowed.asked))
        }
        FunctionId::QuantileOverTime => {
            let mut sorted = Vec::new();
            each(move |window| {
                used[window.step] = true;
                sorted.clear();
                sorted.extend_from_slice(window.values);
                quantile(parameters[0][window.step], &mut sorted)
            })
        }
        FunctionId::PredictLinear => each(|window| trend::predict(window, parameters[0][window.step])),
        FunctionId::DoubleExponentialSmoothing => {
            let [smoothing, trend] = [&parameters[0], &parameters[1]];
            each(|window| {
                used[window.step] = true;
                trend::double_exponential(window, smoothing[window.step], trend[window.step])
            })
        }
        _ => match simple(id) {
            Some(function) => each(function),
            None => return Err(EvalError::execution("no function of a window")),
        },
    })
}

fn each<'p>(mut value: impl FnMut(Window<'_>) -> f64 + 'p) -> Filler<'p> {
    Box::new(move |windowed, row| windowed.fill(row, &mut value))
}

fn counter(kind: Counter) -> Filler<'static> {
    Box::new(move |windowed, row| extrapolated(windowed, kind, row))
}

/// The least or greatest value of each window, kept while the window moves on.
fn extreme(displaces: impl Fn(f64, f64) -> bool + 'static) -> Filler<'static> {
    // Indices of candidates, the best one first; each is displaced by a better one that comes later.
    let mut candidates: VecDeque<usize> = VecDeque::new();
    Box::new(move |windowed, row| {
        candidates.clear();
        let values = &windowed.series.values;
        let mut taken = 0;
        for (slot, &(first, end)) in row.iter_mut().zip(&windowed.layout.bounds) {
            let (first, end) = (first as usize, end as usize);
            for index in taken.max(first)..end {
                let new = values[index];
                // What is not a number counts only while there is nothing else.
                while let Some(&last) = candidates.back()
                    && (displaces(new, values[last]) || values[last].is_nan())
                {
                    candidates.pop_back();
                }
                candidates.push_back(index);
            }
            taken = taken.max(end);
            while candidates.front().is_some_and(|&index| index < first) {
                candidates.pop_front();
            }
            if let Some(&index) = candidates.front() {
                *slot = values[index];
            }
        }
    })
}

/// The functions that need nothing but the window.
fn simple(id: FunctionId) -> Option<fn(Window<'_>) -> f64> {
    Some(match id {
        FunctionId::LastOverTime => |window| window.values[window.values.len() - 1],
        FunctionId::FirstOverTime => |window| window.values[0],
        FunctionId::PresentOverTime => |_| 1.0,
        FunctionId::StdvarOverTime => variance,
        FunctionId::StddevOverTime => |window| variance(window).sqrt(),
        FunctionId::MadOverTime => median_deviation,
        FunctionId::Changes => changes,
        FunctionId::Resets => resets,
        FunctionId::Deriv => trend::slope,
        FunctionId::TsOfFirstOverTime => |window| seconds(window.times[0]),
        FunctionId::TsOfLastOverTime => |window| seconds(window.times[window.times.len() - 1]),
        FunctionId::TsOfMinOverTime => |window| time_of(window, |new, old| new <= old),
        FunctionId::TsOfMaxOverTime => |window| time_of(window, |new, old| new >= old),
        _ => return None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a number of samples in memory")]
fn count(window: Window<'_>) -> f64 {
    match window.weights {
        None => window.values.len() as f64,
        Some(weights) => weights.iter().sum(),
    }
}

/// The population variance, by Welford's method.
fn variance(window: Window<'_>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for &value in window.values {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count
}

fn median_deviation(window: Window<'_>) -> f64 {
    if window.values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = window.values.to_vec();
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    quantile(0.5, &mut values)
}

fn changes(window: Window<'_>) -> f64 {
    changes_of(window.values)
}

#[expect(clippy::float_cmp, reason = "a change is any difference")]
#[expect(clippy::cast_precision_loss, reason = "a number of samples in memory")]
fn changes_of(values: &[f64]) -> f64 {
    let changed = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
    values.windows(2).filter(changed).count() as f64
}

fn resets(window: Window<'_>) -> f64 {
    resets_of(window.values)
}

#[expect(clippy::cast_precision_loss, reason = "a number of samples in memory")]
fn resets_of(values: &[f64]) -> f64 {
    values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64
}

fn time_of(window: Window<'_>, displaces: fn(f64, f64) -> bool) -> f64 {
    let mut best = 0;
    for (index, &value) in window.values.iter().enumerate() {
        if displaces(value, window.values[best]) || window.values[best].is_nan() {
            best = index;
        }
    }
    seconds(window.times[best])
}

fn seconds(time: Timestamp) -> f64 {
    time.as_secs_f64()
}

fn check_factor(factors: &[f64], kind: &str, symbol: &str) -> Result_<()> {
    match factors.iter().find(|factor| !(**factor > 0.0 && **factor < 1.0)) {
        None => Ok(()),
        Some(factor) => {
            Err(EvalError::execution(format!("invalid {kind} factor. Expected: 0 < {symbol} < 1, got: {factor:.6}")))
        }
    }
}

/// Milliseconds of a window as seconds.
#[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
const fn in_seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// The length of a rollup's spans in seconds; zero for raw samples.
fn span_seconds(series: &Series) -> f64 {
    series.resolution.map_or(0.0, |resolution| in_seconds(millis(resolution)))
}
