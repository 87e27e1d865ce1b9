//! Windows that look beyond themselves: `anchored` takes in the last sample before, `smoothed` interpolates at both ends.

#![expect(clippy::wildcard_enum_match_arm, reason = "only a few functions take such windows")]

use std::sync::Arc;

use model::{Series, Timestamp};

use super::super::select::Windows;
use super::super::vector::{Grid, Vector, is_present};
use super::super::{Evaluator, Result_};
use super::in_seconds;
use crate::ast::{Extent, Selector};
use crate::error::EvalError;
use crate::functions::{Function, FunctionId};
use crate::selection::millis;
use crate::value::Value;

/// The samples that matter for one window, at least one.
#[derive(Clone, Copy)]
struct Extended<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
    /// The sample that stands for the start, and the one that stands for the end.
    ends: [usize; 2],
    /// First and last moment of the window.
    window: [i64; 2],
    smoothed: bool,
}

impl<'a> Extended<'a> {
    fn new(series: &'a Series, window: [i64; 2], lookback: i64, smoothed: bool) -> Option<Self> {
        let [start, end] = window;
        let until = if smoothed { end.saturating_add(lookback) } else { end };
        let from = start.saturating_sub(lookback);
        let first = series.timestamps.partition_point(|time| time.as_millis() <= from);
        let behind = series.timestamps.partition_point(|time| time.as_millis() <= until);
        let times = series.timestamps.get(first..behind).filter(|times| !times.is_empty())?;
        let values = &series.values[first..behind];
        let mut last = times.len() - 1;
        let left = times[..last].partition_point(|time| time.as_millis() <= start).saturating_sub(1);
        if smoothed {
            last = times[..last].partition_point(|time| time.as_millis() < end);
        }
        (times[last].as_millis() > start).then_some(Self { times, values, ends: [left, last], window, smoothed })
    }

    /// The value at the start of the window. Right after a reset a counter was zero there.
    fn left(&self, is_counter: bool) -> f64 {
        let [left, _] = self.ends;
        if !self.smoothed || self.times[left].as_millis() >= self.window[0] {
            return self.values[left];
        }
        let (mut before, after) = (self.values[left], self.values[left + 1]);
        if is_counter && after < before {
            before = 0.0;
        }
        self.interpolated(left, before, after, self.window[0])
    }

    /// The value at the end of the window. Of a counter that is reset there, as if it had gone on counting.
    fn right(&self, is_counter: bool) -> f64 {
        let [_, right] = self.ends;
        if !self.smoothed || right == 0 || self.times[right].as_millis() <= self.window[1] {
            return self.values[right];
        }
        let (before, mut after) = (self.values[right - 1], self.values[right]);
        if is_counter && after < before {
            after += before;
        }
        self.interpolated(right - 1, before, after, self.window[1])
    }

    fn interpolated(&self, index: usize, before: f64, after: f64, at: i64) -> f64 {
        let since = |time: i64| in_seconds(time.saturating_sub(self.times[index].as_millis()));
        before + (after - before) * since(at) / since(self.times[index + 1].as_millis())
    }

    /// The samples strictly within the window.
    fn inner(&self) -> (&'a [Timestamp], &'a [f64]) {
        let [left, right] = self.ends;
        let first = left + usize::from(self.times[left].as_millis() <= self.window[0]);
        let end = right + usize::from(self.times[right].as_millis() < self.window[1]);
        (self.times.get(first..end).unwrap_or_default(), self.values.get(first..end).unwrap_or_default())
    }

    /// The value at the start, those within, the value at the end.
    fn values(&self, is_counter: bool) -> Vec<f64> {
        let inner = self.inner().1.iter().copied();
        std::iter::once(self.left(is_counter)).chain(inner).chain([self.right(is_counter)]).collect()
    }
}

impl Evaluator<'_> {
    /// A function of such windows.
    pub(super) fn over_extended(&mut self, function: &Function, windows: &Windows<'_>, grid: Grid) -> Result_<Vector> {
        check_extent(function, windows)?;
        let smoothed = windows.extent == Some(Extent::Smoothed);
        let lookback = millis(self.params.lookback);
        let mut vector = Vector::new(grid.count);
        self.each_windowed(windows, &mut |evaluator, series, drop_name| {
            refuse_histograms(series)?;
            evaluator.check_live(vector.values.len() + grid.count)?;
            let row = vector.push_absent(series.labels.clone(), drop_name);
            for (slot, end) in row.iter_mut().zip(windows.ends.times()) {
                let window = [end.saturating_sub(windows.range), end];
                if let Some(extended) = Extended::new(series, window, lookback, smoothed) {
                    *slot = of_extended(function.id, &extended, windows.range);
                }
            }
            vector.pop_if_empty();
            Ok(())
        })?;
        Ok(vector)
    }

    /// The points of such windows, with one at each end.
    pub(in crate::eval) fn extended_answer(&mut self, windows: &Windows<'_>, extent: Extent) -> Result_<Value> {
        let lookback = millis(self.params.lookback);
        let window = [windows.ends.start.saturating_sub(windows.range), windows.ends.start];
        let mut answer = Vec::new();
        self.each_windowed(windows, &mut |evaluator, series, _| {
            refuse_histograms(series)?;
            if let Some(extended) = Extended::new(series, window, lookback, extent == Extent::Smoothed) {
                let [start, end] = window.map(Timestamp::from_millis);
                let inner = extended.inner().0.iter().copied();
                let times: Arc<[Timestamp]> = std::iter::once(start).chain(inner).chain([end]).collect();
                evaluator.count_samples(times.len())?;
                let labels = series.labels.clone();
                let values = extended.values(false);
                let (weights, resolution) = (series.weights.clone(), series.resolution);
                answer.push(Series { labels, timestamps: times, values, weights, resolution, histograms: None });
            }
            Ok(())
        })?;
        Ok(Value::Matrix(answer))
    }

    /// An instant selector that interpolates between the samples around each step; behind the last one it stays.
    pub(in crate::eval) fn smoothed_selector(&mut self, selector: &Selector, times: Grid) -> Result_<Vector> {
        let lookback = millis(self.params.lookback);
        let mut vector = Vector::new(times.count);
        self.each_series(selector, &mut |evaluator, series| {
            refuse_histograms(series)?;
            evaluator.check_live(vector.values.len() + times.count)?;
            let row = vector.push_absent(series.labels.clone(), false);
            for (slot, time) in row.iter_mut().zip(times.times()) {
                if let Some(value) = smoothed(series, time, lookback) {
                    *slot = value;
                }
            }
            vector.pop_if_empty();
            Ok(())
        })?;
        Ok(vector)
    }
}

/// The value of a series at a time, from the samples at most a lookback away.
fn smoothed(series: &Series, time: i64, lookback: i64) -> Option<f64> {
    let at = |index: usize| series.timestamps.get(index).map(|time| time.as_millis());
    let is_present = |index: &usize| is_present(series.values[*index]);
    let next = series.timestamps.partition_point(|sample| sample.as_millis() < time);
    let after = (next..series.timestamps.len()).find(is_present);
    let after = after.filter(|index| at(*index).is_some_and(|found| found <= time.saturating_add(lookback)));
    if let Some(after) = after.filter(|index| at(*index) == Some(time)) {
        return Some(series.values[after]);
    }
    let before = (0..next).rev().find(is_present);
    let before = before.filter(|index| at(*index).is_some_and(|found| found > time.saturating_sub(lookback)))?;
    let Some(after) = after else { return Some(series.values[before]) };
    let since = |found: i64| in_seconds(found.saturating_sub(at(before).unwrap_or(found)));
    let (low, high) = (series.values[before], series.values[after]);
    Some(low + (high - low) * since(time) / since(at(after)?))
}

fn of_extended(id: FunctionId, extended: &Extended<'_>, range: i64) -> f64 {
    let is_counter = matches!(id, FunctionId::Rate | FunctionId::Increase);
    let values = extended.values(is_counter);
    match id {
        FunctionId::Changes => super::changes_of(&values),
        FunctionId::Resets => super::resets_of(&values),
        _ => {
            let mut change = values[values.len() - 1] - values[0];
            if is_counter {
                change += values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]).sum::<f64>();
            }
            if id == FunctionId::Rate { change / in_seconds(range) } else { change }
        }
    }
}

/// Refuses windows that look beyond themselves where a function does not take them.
pub(in crate::eval) fn check_extent(function: &Function, windows: &Windows<'_>) -> Result_<()> {
    let (modifier, allowed) = match windows.extent {
        None => return Ok(()),
        Some(Extent::Anchored) => ("anchored", "changes, delta, increase, rate, resets"),
        Some(Extent::Smoothed) => ("smoothed", "delta, increase, rate"),
    };
    if allowed.split(", ").any(|name| name == function.name) {
        return Ok(());
    }
    let name = function.name;
    Err(EvalError::execution(format!("{modifier} modifier can only be used with: {allowed} - not with {name}")))
}

fn refuse_histograms(series: &Series) -> Result_<()> {
    match &series.histograms {
        None => Ok(()),
        Some(_) => Err(EvalError::execution("smoothed and anchored modifiers do not work with native histograms")),
    }
}
