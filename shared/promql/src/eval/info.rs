//! `info`: labels of info metrics, such as `target_info`, on the series of the same target.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME, Matcher, Series, is_stale};

use super::select::Layouts;
use super::vector::{Grid, Vector};
use super::{Evaluator, Result_, misplaced};
use crate::ast::{Call, ExprKind, Selector};
use crate::error::EvalError;
use crate::selection::{info_matchers, millis};

/// The labels by which series and info metrics find each other.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The series of info metrics.
struct InfoSeries {
    labels: Vec<Labels>,
    /// For each series and step when the sample there was taken.
    times: Vec<Vec<Option<i64>>>,
    /// Series by their identifying labels.
    by_target: HashMap<Labels, Vec<usize>>,
}

/// What a call asks for.
struct Wanted<'a> {
    /// Conditions on the names of info metrics.
    names: Vec<Matcher>,
    /// Conditions on their other labels; none means all labels are wanted.
    data: Vec<&'a Matcher>,
}

impl Evaluator<'_> {
    pub(super) fn info(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let [base, second] = &call.arguments[..] else {
            return Err(EvalError::execution("info needs a selector of info metrics"));
        };
        let ExprKind::Selector(selector) = &second.without_parens().kind else {
            return Err(misplaced(second, "a label selector"));
        };
        let base = self.vector(base, grid)?;
        let found = self.info_series(selector, grid)?;
        let names = info_matchers(selector).into_iter().filter(|matcher| matcher.name() == METRIC_NAME).collect();
        let data = selector.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME).collect();
        let wanted = Wanted { names, data };
        let mut enriched = Enriched { rows: HashMap::new(), vector: Vector::new(grid.count) };
        for row in 0..base.rows() {
            self.check_deadline(row)?;
            let name = base.labels[row].metric_name();
            if wanted.names.iter().any(|matcher| matcher.matches(name)) {
                // Info metrics themselves stay as they are.
                enriched.vector.push_row(base.labels[row].clone(), base.drop_names[row], base.full_row(row));
                continue;
            }
            enriched.add(&base, row, &found, &wanted)?;
        }
        enriched.vector.merge_same_labels()
    }

    fn info_series(&mut self, selector: &Selector, grid: Grid) -> Result_<InfoSeries> {
        let times = self.shifted(grid, &selector.shift)?;
        let mut layouts = Layouts::default();
        let mut found = InfoSeries { labels: Vec::new(), times: Vec::new(), by_target: HashMap::new() };
        self.each_series(selector, &mut |evaluator, series| {
            refuse_histograms(series)?;
            let layout = layouts.of(&series.timestamps, times, millis(evaluator.params.lookback));
            let newest = |&(first, end): &(u32, u32)| {
                let index = (first < end).then(|| end as usize - 1)?;
                (!is_stale(series.values[index])).then(|| series.timestamps[index].as_millis())
            };
            found.times.push(layout.bounds.iter().map(newest).collect());
            let target = series.labels.with_only(&IDENTIFYING);
            found.by_target.entry(target).or_default().push(found.labels.len());
            found.labels.push(series.labels.clone());
            evaluator.check_live(found.labels.len().saturating_mul(grid.count))
        })?;
        Ok(found)
    }
}

/// The result: a row for each set of labels.
struct Enriched {
    rows: HashMap<Labels, usize>,
    vector: Vector,
}

impl Enriched {
    /// Adds the samples of a row, each with the labels of its step.
    fn add(&mut self, base: &Vector, row: usize, found: &InfoSeries, wanted: &Wanted<'_>) -> Result_<()> {
        let target = base.labels[row].with_only(&IDENTIFYING);
        let none = Vec::new();
        let candidates = if target.is_empty() { &none } else { found.by_target.get(&target).unwrap_or(&none) };
        let mut known: HashMap<Vec<usize>, Option<usize>> = HashMap::new();
        for step in (0..base.steps).filter(|step| base.full_row(row).has_sample(*step)) {
            let newest = newest_of_each(candidates, found, step)?;
            let place = match known.get(&newest) {
                Some(place) => *place,
                None => {
                    let labels = with_data(&base.labels[row], &newest, found, wanted)?;
                    let place = labels.map(|labels| self.row_of(labels, base.drop_names[row]));
                    known.insert(newest, place);
                    place
                }
            };
            let Some(place) = place else { continue };
            match base.full_row(row).histogram(step) {
                Some(histogram) => self.vector.put_histogram(place, step, histogram.clone()),
                None => self.vector.values[place * base.steps + step] = base.row(row)[step],
            }
        }
        self.rows.clear();
        Ok(())
    }

    fn row_of(&mut self, labels: Labels, drop_name: bool) -> usize {
        let next = self.vector.rows();
        let row = *self.rows.entry(labels.clone()).or_insert(next);
        if row == next {
            self.vector.push_absent(labels, drop_name);
        }
        row
    }
}

/// Of each info metric the series with the newest sample.
fn newest_of_each(candidates: &[usize], found: &InfoSeries, step: usize) -> Result_<Vec<usize>> {
    let mut newest: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
    for &index in candidates {
        let Some(time) = found.times[index][step] else { continue };
        let known = newest.entry(found.labels[index].metric_name()).or_insert((time, index));
        if known.1 != index && known.0 == time {
            let (existing, new) = (&found.labels[known.1], &found.labels[index]);
            return Err(EvalError::execution(format!(
                "found duplicate series for info metric: existing {existing} @ {time}, new {new} @ {time}"
            )));
        }
        if time > known.0 {
            *known = (time, index);
        }
    }
    Ok(newest.into_values().map(|(_, index)| index).collect())
}

/// The labels of a series with those of info metrics; `None` when labels are asked for that must be there and are not.
fn with_data(base: &Labels, newest: &[usize], found: &InfoSeries, wanted: &Wanted<'_>) -> Result_<Option<Labels>> {
    let mut data: BTreeMap<&str, &str> = BTreeMap::new();
    for &index in newest {
        for (name, value) in found.labels[index].iter().filter(|(name, _)| *name != METRIC_NAME) {
            let is_wanted = wanted.data.is_empty() || wanted.data.iter().any(|matcher| matcher.name() == name);
            if !is_wanted || base.get(name).is_some() {
                continue;
            }
            if *data.entry(name).or_insert(value) != value {
                return Err(EvalError::execution(format!("conflicting label: {name}")));
            }
        }
    }
    if data.is_empty() && !wanted.data.iter().all(|matcher| matcher.matches_empty()) {
        return Ok(None);
    }
    let mut builder = base.to_builder();
    for (name, value) in data {
        builder.set(name, value);
    }
    builder.build().map(Some).map_err(|error| EvalError::execution(error.to_string()))
}

fn refuse_histograms(series: &Series) -> Result_<()> {
    match &series.histograms {
        None => Ok(()),
        Some(_) => Err(EvalError::execution(format!("{} should be an info metric, with float samples", series.labels))),
    }
}
