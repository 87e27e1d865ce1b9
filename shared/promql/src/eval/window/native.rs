//! Windows of series that have native histograms, perhaps beside numbers.

#![expect(clippy::wildcard_enum_match_arm, reason = "each function here is about a few of all functions")]

use std::sync::Arc;

use model::{CounterReset, Histogram, METRIC_NAME, MixedSchemas, Series, Timestamp};

use super::super::native::{Fold, Operand, Outcome, Purpose, combined, folded, remark, warn_of_mix, warn_of_schemas};
use super::super::select::{Layouts, Windows, twice};
use super::super::vector::Vector;
use super::super::{Evaluator, Result_, room};
use super::in_seconds;
use crate::ast::Span;
use crate::functions::FunctionId;
use crate::quote::quote;

/// The samples of one series in one window.
#[derive(Clone, Copy)]
struct Mixed<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
    histogram_times: &'a [Timestamp],
    histograms: &'a [Arc<Histogram>],
    /// Of rollups: how many raw histograms each stands for.
    weights: Option<&'a [f64]>,
    /// Of rollups: how many raw numbers each number stands for.
    number_weights: Option<&'a [f64]>,
    /// Whether each is a reset since the one before it in the series; of counters only.
    resets: &'a [bool],
    /// The last millisecond of the window.
    end: i64,
    /// Its length.
    range: i64,
    /// The part of that length that was asked for.
    asked: f64,
    metric: &'a str,
    span: Span,
}

impl<'a> Mixed<'a> {
    /// All samples in the order of time.
    fn samples(self) -> Vec<(Timestamp, Operand<'a>)> {
        let numbers = self.times.iter().zip(self.values).map(|(time, value)| (*time, Operand::Number(*value)));
        let histograms = self.histogram_times.iter().zip(self.histograms);
        let histograms = histograms.map(|(time, histogram)| (*time, Operand::Histogram(histogram)));
        let mut samples: Vec<(Timestamp, Operand<'a>)> = numbers.chain(histograms).collect();
        samples.sort_by_key(|(time, _)| *time);
        samples
    }

    /// How many raw samples there are.
    fn count(&self) -> f64 {
        let of = |weights: Option<&[f64]>, len| weights.map_or(counted(len), |weights| weights.iter().sum());
        of(self.number_weights, self.values.len()) + of(self.weights, self.histograms.len())
    }

    const fn has_both(&self) -> bool {
        !self.values.is_empty() && !self.histograms.is_empty()
    }
}

impl Evaluator<'_> {
    /// What the histograms of a series change about the only row of a vector, which holds what its numbers alone give.
    pub(super) fn add_mixed(
        &mut self,
        id: FunctionId,
        windows: &Windows<'_>,
        series: &Series,
        vector: &mut Vector,
    ) -> Result_<()> {
        let Some(samples) = &series.histograms else { return Ok(()) };
        let range = windows.range.max(twice(series.resolution));
        let mut layouts = Layouts::default();
        let of_numbers = layouts.of(&series.timestamps, windows.ends, range);
        let of_histograms = layouts.of(&samples.timestamps, windows.ends, range);
        let is_counter = matches!(id, FunctionId::Rate | FunctionId::Increase);
        let resets = if is_counter { resets(&samples.values) } else { Vec::new() };
        for (step, (numbers, histograms)) in of_numbers.bounds.iter().zip(&of_histograms.bounds).enumerate() {
            if histograms.0 == histograms.1 {
                continue;
            }
            let [numbers, histograms] = [numbers, histograms].map(|(first, end)| *first as usize..*end as usize);
            self.params.deadline.check()?;
            let mixed = Mixed {
                times: &series.timestamps[numbers.clone()],
                values: &series.values[numbers.clone()],
                histogram_times: &samples.timestamps[histograms.clone()],
                weights: samples.weights.as_ref().map(|weights| &weights[histograms.clone()]),
                number_weights: series.weights.as_ref().map(|weights| &weights[numbers.clone()]),
                resets: resets.get(histograms.clone()).unwrap_or_default(),
                histograms: &samples.values[histograms],
                end: windows.ends.time(step),
                range,
                asked: in_seconds(windows.range) / in_seconds(range),
                metric: series.labels.get(METRIC_NAME).unwrap_or(""),
                span: windows.span,
            };
            if let Some(outcome) = self.of_mixed(id, mixed) {
                if let Outcome::Histogram(histogram) = &outcome {
                    self.count_samples(room(histogram))?;
                }
                vector.put_outcome(0, step, outcome);
            }
        }
        Ok(())
    }

    /// What a function gives for a window with at least one histogram; `None` where only its numbers matter.
    fn of_mixed(&mut self, id: FunctionId, mixed: Mixed<'_>) -> Option<Outcome> {
        Some(match id {
            FunctionId::Rate | FunctionId::Increase | FunctionId::Delta => self.extrapolated_histogram(id, mixed),
            FunctionId::Irate | FunctionId::Idelta => self.instant_histogram(id == FunctionId::Irate, mixed),
            FunctionId::SumOverTime => self.folded_window(Fold::Sum, mixed),
            FunctionId::AvgOverTime => self.folded_window(Fold::Mean, mixed),
            FunctionId::LastOverTime => outcome(mixed.samples().last()?.1),
            FunctionId::FirstOverTime => outcome(mixed.samples().first()?.1),
            FunctionId::CountOverTime => Outcome::Number(mixed.count() * mixed.asked),
            FunctionId::PresentOverTime => Outcome::Number(1.0),
            FunctionId::TsOfFirstOverTime => Outcome::Number(mixed.samples().first()?.0.as_secs_f64()),
            FunctionId::TsOfLastOverTime => Outcome::Number(mixed.samples().last()?.0.as_secs_f64()),
            FunctionId::Changes => Outcome::Number(count_pairs(mixed, is_change)),
            FunctionId::Resets => Outcome::Number(count_pairs(mixed, is_reset)),
            _ => {
                if mixed.has_both() {
                    let message = "ignored histograms in a range containing both floats and histograms for metric name";
                    self.annotations.inform(mixed.span, &format!("{message} {}", quote(mixed.metric)));
                }
                return None;
            }
        })
    }

    fn folded_window(&mut self, fold: Fold, mixed: Mixed<'_>) -> Outcome {
        if mixed.has_both() {
            warn_of_mix(&mut self.annotations, mixed.span, mixed.metric);
            return Outcome::Absent;
        }
        let folded = if let Some(weights) = mixed.weights {
            // Each is the mean of the histograms it stands for.
            let whole = if fold == Fold::Mean { weights.iter().sum() } else { 1.0 / mixed.asked };
            let scaled = mixed.histograms.iter().zip(weights);
            let scaled: Vec<Histogram> =
                scaled.map(|(one, weight)| one.map(|number| number * weight / whole)).collect();
            folded(&scaled.iter().collect::<Vec<_>>(), Fold::Sum, &mut self.annotations, mixed.span)
        } else if let [histogram] = mixed.histograms {
            return Outcome::Histogram(Arc::clone(histogram));
        } else {
            let histograms: Vec<&Histogram> = mixed.histograms.iter().map(AsRef::as_ref).collect();
            folded(&histograms, fold, &mut self.annotations, mixed.span)
        };
        match folded {
            Ok(histogram) => Outcome::Histogram(histogram),
            Err(MixedSchemas) => {
                warn_of_schemas(&mut self.annotations, mixed.span, mixed.metric);
                Outcome::Absent
            }
        }
    }

    /// `rate`, `increase` and `delta`: the difference of first and last, extrapolated to the window as numbers are.
    fn extrapolated_histogram(&mut self, id: FunctionId, mixed: Mixed<'_>) -> Outcome {
        if mixed.has_both() {
            warn_of_mix(&mut self.annotations, mixed.span, mixed.metric);
            return Outcome::Absent;
        }
        let ([first, .., _], [from, .., to]) = (mixed.histograms, mixed.histogram_times) else {
            return Outcome::Absent;
        };
        let is_counter = id != FunctionId::Delta;
        let Ok(increase) = self.difference(is_counter, mixed) else {
            warn_of_schemas(&mut self.annotations, mixed.span, mixed.metric);
            return Outcome::Absent;
        };
        let sampled = in_seconds(to.as_millis().saturating_sub(from.as_millis()));
        let mean_distance = sampled / counted(mixed.histograms.len() - 1);
        let limited = |distance: f64| if distance >= mean_distance * 1.1 { mean_distance / 2.0 } else { distance };
        let start = mixed.end.saturating_sub(mixed.range);
        let mut to_start = limited(in_seconds(from.as_millis().saturating_sub(start)));
        if is_counter && increase.count() > 0.0 && first.count() >= 0.0 {
            to_start = to_start.min(sampled * (first.count() / increase.count()));
        }
        let to_end = limited(in_seconds(mixed.end.saturating_sub(to.as_millis())));
        let factor = (sampled + to_start + to_end) / sampled;
        let factor = if id == FunctionId::Rate { factor / in_seconds(mixed.range) } else { factor };
        Outcome::Histogram(Arc::new(increase.map(|number| number * factor)))
    }

    /// The last histogram of a window less the first; of a counter, with what was counted before each reset.
    fn difference(&mut self, is_counter: bool, mixed: Mixed<'_>) -> Result<Histogram, MixedSchemas> {
        let histograms = mixed.histograms;
        let (first, last) = (&histograms[0], &histograms[histograms.len() - 1]);
        let is_gauge = |histogram: &Arc<Histogram>| histogram.counter_reset() == CounterReset::Gauge;
        if is_counter && histograms.iter().any(is_gauge) {
            self.warn_of_kind(mixed, "counter");
        }
        if !(is_counter || is_gauge(first) && is_gauge(last)) {
            self.warn_of_kind(mixed, "gauge");
        }
        let is_custom = |histogram: &Arc<Histogram>| histogram.schema().is_custom();
        // What was counted before a reset right after the first does not matter, however it was counted.
        let starts_anew = is_counter && mixed.resets[1];
        let relevant = &histograms[usize::from(starts_anew)..];
        if is_counter && relevant.iter().any(|histogram| is_custom(histogram) != is_custom(last)) {
            return Err(MixedSchemas);
        }
        let mut increase = last.as_ref().clone();
        if !starts_anew {
            let folded = combined(&increase, first, Purpose::Subtraction)?;
            self.remark_bounds(&folded, Purpose::Subtraction, mixed.span);
            increase = folded.histogram;
        }
        if is_counter {
            let later = usize::from(starts_anew) + 1;
            for index in (later..histograms.len()).filter(|index| mixed.resets[*index]) {
                let folded = combined(&increase, &histograms[index - 1], Purpose::Addition)?;
                self.remark_bounds(&folded, Purpose::Addition, mixed.span);
                increase = folded.histogram;
            }
            increase = coarsened(increase, relevant)?;
        }
        Ok(increase.with_counter_reset(CounterReset::Gauge).compact())
    }

    /// `irate` and `idelta`: of the last two samples.
    fn instant_histogram(&mut self, is_rate: bool, mixed: Mixed<'_>) -> Outcome {
        let samples = mixed.samples();
        let [.., (from, before), (to, last)] = samples[..] else { return Outcome::Absent };
        let interval = in_seconds(to.as_millis().saturating_sub(from.as_millis()));
        let (before, last) = match (before, last) {
            (Operand::Histogram(before), Operand::Histogram(last)) => (before, last),
            (Operand::Number(before), Operand::Number(last)) => {
                let change = if is_rate && last < before { last } else { last - before };
                return Outcome::Number(if is_rate { change / interval } else { change });
            }
            _ => {
                warn_of_mix(&mut self.annotations, mixed.span, mixed.metric);
                return Outcome::Absent;
            }
        };
        let gauges = [before, last].map(|histogram| histogram.counter_reset() == CounterReset::Gauge);
        if is_rate && gauges.contains(&true) {
            self.warn_of_kind(mixed, "counter");
        }
        if !is_rate && gauges != [true, true] {
            self.warn_of_kind(mixed, "gauge");
        }
        let change = if is_rate && last.is_reset_since(before) {
            last.as_ref().clone()
        } else {
            match combined(last, before, Purpose::Subtraction) {
                Ok(folded) => {
                    self.remark_bounds(&folded, Purpose::Subtraction, mixed.span);
                    folded.histogram
                }
                Err(MixedSchemas) => {
                    warn_of_schemas(&mut self.annotations, mixed.span, mixed.metric);
                    return Outcome::Absent;
                }
            }
        };
        let change = change.with_counter_reset(CounterReset::Gauge).compact();
        Outcome::Histogram(Arc::new(if is_rate { change.map(|number| number / interval) } else { change }))
    }

    fn warn_of_kind(&mut self, mixed: Mixed<'_>, kind: &str) {
        let message = format!("this native histogram metric is not a {kind}: {}", quote(mixed.metric));
        self.annotations.warn(mixed.span, &message);
    }

    /// Counter resets are dealt with here: only about bounds is there anything to say.
    fn remark_bounds(&mut self, folded: &model::Folded, purpose: Purpose, span: Span) {
        let folded = model::Folded { resets_conflict: false, ..folded.clone() };
        remark(&folded, purpose, &mut self.annotations, span);
    }
}

/// Whether each histogram is a reset since the one before, found out once for all windows.
fn resets(histograms: &[Arc<Histogram>]) -> Vec<bool> {
    let first = histograms.iter().take(1).map(|_| false);
    first.chain(histograms.windows(2).map(|pair| pair[1].is_reset_since(&pair[0]))).collect()
}

/// The histogram in the coarsest schema of all in the window, so that windows with the same samples in the middle give
/// the same buckets.
fn coarsened(histogram: Histogram, all: &[Arc<Histogram>]) -> Result<Histogram, MixedSchemas> {
    let number = |histogram: &Histogram| histogram.schema().number();
    let coarsest = all.iter().filter(|other| !other.schema().is_custom()).min_by_key(|other| number(other));
    match coarsest {
        Some(coarsest) if number(coarsest) < number(&histogram) => {
            let empty = coarsest.map(|_| 0.0);
            Ok(combined(&histogram, &empty, Purpose::Addition)?.histogram)
        }
        Some(_) | None => Ok(histogram),
    }
}

fn outcome(operand: Operand<'_>) -> Outcome {
    match operand {
        Operand::Number(value) => Outcome::Number(value),
        Operand::Histogram(histogram) => Outcome::Histogram(Arc::clone(histogram)),
    }
}

fn count_pairs(mixed: Mixed<'_>, counts: fn(&Operand<'_>, &Operand<'_>) -> bool) -> f64 {
    counted(mixed.samples().windows(2).filter(|pair| counts(&pair[0].1, &pair[1].1)).count())
}

#[expect(clippy::float_cmp, reason = "a change is any difference")]
fn is_change(before: &Operand<'_>, now: &Operand<'_>) -> bool {
    match (before, now) {
        (Operand::Number(before), Operand::Number(now)) => before != now && !(before.is_nan() && now.is_nan()),
        (Operand::Histogram(before), Operand::Histogram(now)) => before != now,
        _ => true,
    }
}

fn is_reset(before: &Operand<'_>, now: &Operand<'_>) -> bool {
    match (before, now) {
        (Operand::Number(before), Operand::Number(now)) => now < before,
        (Operand::Histogram(before), Operand::Histogram(now)) => now.is_reset_since(before),
        _ => true,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of samples in memory")]
const fn counted(count: usize) -> f64 {
    count as f64
}
