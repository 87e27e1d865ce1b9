//! Aggregations: many series become one a group.

mod collect;
mod native;

use model::{General, Labels, LabelsBuffer, METRIC_NAME};

use super::float::{Mean, Sum};
use super::interner::Interner;
use super::vector::{ABSENT, Grid, Vector, all_present, is_present};
use super::{Evaluator, Result_};
use crate::ast::{AggregateOp, Aggregation, Grouping, Span};

/// Which group each row belongs to.
pub(super) struct Groups {
    /// By row.
    pub(super) of_row: Vec<usize>,
    /// By group.
    pub(super) labels: Vec<Labels>,
    /// By group: whether the name is to be dropped at the end, as of the first series of the group. Until then it tells
    /// groups apart like any label.
    pub(super) drop_names: Vec<bool>,
}

impl Groups {
    fn new(vector: &Vector, grouping: &Grouping) -> Self {
        let mut grouper = Grouper::new(grouping);
        let rows = vector.labels.iter().zip(&vector.drop_names);
        let of_row = rows.map(|(labels, drop_name)| grouper.group(labels, *drop_name)).collect();
        grouper.finish(of_row)
    }
}

/// Finds the group of one row after the other.
struct Grouper<'g> {
    /// Whether the names are those to keep.
    keeps: bool,
    names: Vec<&'g str>,
    known: Interner,
    drop_names: Vec<bool>,
    buffer: LabelsBuffer,
}

impl<'g> Grouper<'g> {
    fn new(grouping: &'g Grouping) -> Self {
        let (keeps, names): (bool, Vec<&str>) = match grouping {
            Grouping::By(names) => (true, names.iter().map(String::as_str).collect()),
            Grouping::Without(names) => (false, names.iter().map(String::as_str).chain([METRIC_NAME]).collect()),
        };
        Self { keeps, names, known: Interner::default(), drop_names: Vec::new(), buffer: LabelsBuffer::default() }
    }

    fn group(&mut self, labels: &Labels, drop_name: bool) -> usize {
        if self.keeps && self.names.is_empty() && self.known.count() > 0 {
            return 0;
        }
        let set = match self.keeps {
            true => self.buffer.with_only(labels.as_ref(), &self.names),
            false => self.buffer.without(labels.as_ref(), &self.names),
        };
        let group = self.known.number(set);
        if group == self.drop_names.len() {
            self.drop_names.push(drop_name);
        }
        group
    }

    fn finish(self, of_row: Vec<usize>) -> Groups {
        Groups { of_row, labels: self.known.into_sets(), drop_names: self.drop_names }
    }
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&mut self, aggregation: &Aggregation, grid: Grid) -> Result_<Vector> {
        let op = aggregation.op;
        if op == AggregateOp::CountValues {
            return self.count_values(aggregation, grid);
        }
        let parameters = match &aggregation.parameter {
            Some(parameter) => self.scalar(parameter, grid)?,
            None => Vec::new(),
        };
        if let Err(refused) = collect::check_parameters(op, &parameters) {
            // What is wrong with what is aggregated is said first.
            self.vector(&aggregation.expr, grid)?;
            return Err(refused);
        }
        if let (AggregateOp::Quantile, Some(parameter)) = (op, &aggregation.parameter) {
            // Of many that are none, those that are farthest off are named.
            let known = || parameters.iter().copied().filter(|quantile| !quantile.is_nan());
            let nan = parameters.iter().copied().find(|quantile| quantile.is_nan());
            let least = known().reduce(f64::min).filter(|least| *least < 0.0);
            let extremes = [nan, least, known().reduce(f64::max).filter(|greatest| *greatest > 1.0)];
            self.check_quantiles(&extremes.into_iter().flatten().collect::<Vec<f64>>(), parameter.span);
        }
        match op {
            AggregateOp::Sum => self.fold(aggregation, grid, Sums::default()),
            AggregateOp::Avg => self.fold(aggregation, grid, Fold::new(Mean::of, Mean::add, Mean::value)),
            AggregateOp::Min => self.fold(aggregation, grid, Fold::new(same, least, same)),
            AggregateOp::Max => self.fold(aggregation, grid, Fold::new(same, greatest, same)),
            AggregateOp::Count => self.fold(aggregation, grid, Fold::new(|_| 1.0, |count, _| *count += 1.0, same)),
            AggregateOp::Group => self.fold(aggregation, grid, Fold::new(|_| 1.0, |_, _| {}, same)),
            AggregateOp::Stdvar => self.fold(aggregation, grid, Fold::new(Spread::of, Spread::add, Spread::variance)),
            AggregateOp::Stddev => {
                self.fold(aggregation, grid, Fold::new(Spread::of, Spread::add, |spread| spread.variance().sqrt()))
            }
            AggregateOp::Quantile
            | AggregateOp::TopK
            | AggregateOp::BottomK
            | AggregateOp::LimitK
            | AggregateOp::LimitRatio
            | AggregateOp::CountValues => self.of_all(aggregation, &parameters, grid),
        }
    }

    /// The aggregations that need all samples of a group at once.
    fn of_all(&mut self, aggregation: &Aggregation, parameters: &[f64], grid: Grid) -> Result_<Vector> {
        let op = aggregation.op;
        let vector = self.vector(&aggregation.expr, grid)?;
        let groups = Groups::new(&vector, &aggregation.grouping);
        if op == AggregateOp::LimitRatio
            && let Some(parameter) = &aggregation.parameter
        {
            self.check_ratios(parameters, parameter.span);
        }
        let result = if op == AggregateOp::Quantile {
            collect::quantiles(&vector, &groups, parameters)
        } else {
            collect::chosen(op, &vector, &groups, parameters)
        };
        let takes_none = matches!(op, AggregateOp::TopK | AggregateOp::BottomK) && parameters.iter().all(|k| *k < 1.0);
        if takes_none || !vector.has_histograms() {
            return Ok(result);
        }
        Ok(self.with_histograms(aggregation, &vector, &groups, result))
    }

    /// The aggregations that take in one row after the other and forget it.
    fn fold(&mut self, aggregation: &Aggregation, grid: Grid, mut states: impl States) -> Result_<Vector> {
        let steps = grid.count;
        let mut grouper = Grouper::new(&aggregation.grouping);
        // Rows with histograms stay.
        let (mut natives, mut groups_of_natives) = (Vector::new(steps), Vec::new());
        self.stream(&aggregation.expr, grid, &mut |evaluator, labels, drop_name, row| {
            let known = grouper.known.count();
            let group = grouper.group(labels, drop_name);
            if group == known {
                // A state takes as much room as a few samples.
                evaluator.count_samples(steps.saturating_mul(2))?;
                states.resize((group + 1) * steps);
            }
            states.add(group * steps, row.values);
            if row.histograms.is_some() {
                natives.push_row(labels.clone(), drop_name, row);
                groups_of_natives.push(group);
                evaluator.check_live(natives.values.len().saturating_mul(8))?;
            }
            Ok(())
        })?;
        let groups = grouper.finish(groups_of_natives);
        let result = of_groups(&groups, steps, states.finish());
        Ok(match natives.has_histograms() {
            true => self.with_histograms(aggregation, &natives, &groups, result),
            false => result,
        })
    }

    /// Warns of shares beyond all series.
    fn check_ratios(&mut self, ratios: &[f64], span: Span) {
        for &ratio in ratios.iter().filter(|ratio| ratio.abs() > 1.0) {
            let shown = General(ratio);
            let message = format!("ratio value should be between -1 and 1, got {shown}, capping to {}", ratio.signum());
            self.annotations.warn(span, &message);
        }
    }
}

/// What is known of each group and step so far, group after group.
trait States {
    /// Makes room for so many.
    fn resize(&mut self, count: usize);

    /// Takes in a row, from a place on.
    fn add(&mut self, first: usize, row: &[f64]);

    /// The results.
    fn finish(self) -> Vec<f64>;
}

/// Sums: as [`Fold`], but without branches and in columns, so that several steps are added at once.
#[derive(Default)]
struct Sums {
    values: Vec<f64>,
    compensations: Vec<f64>,
    any: Vec<bool>,
}

impl States for Sums {
    fn resize(&mut self, count: usize) {
        self.values.resize(count, 0.0);
        self.compensations.resize(count, 0.0);
        self.any.resize(count, false);
    }

    fn add(&mut self, first: usize, row: &[f64]) {
        let columns = first..first + row.len();
        let any = &mut self.any[columns.clone()];
        let sums = self.values[columns.clone()].iter_mut().zip(&mut self.compensations[columns]).zip(row);
        if all_present(row) {
            sums.for_each(|((value, compensation), added)| Sum::add_to(value, compensation, *added));
            any.fill(true);
            return;
        }
        for (((value, compensation), &added), any) in sums.zip(any) {
            let present = is_present(added);
            Sum::add_to(value, compensation, if present { added } else { 0.0 });
            *any |= present;
        }
    }

    fn finish(self) -> Vec<f64> {
        let sums = self.values.into_iter().zip(self.compensations).zip(self.any);
        sums.map(|((value, compensation), any)| if any { Sum::total_of(value, compensation) } else { ABSENT }).collect()
    }
}

/// A state for each group and step that has a sample, made from its first one.
struct Fold<State, Start, Add, Finish> {
    states: Vec<Option<State>>,
    start: Start,
    add: Add,
    finish: Finish,
}

impl<State, Start, Add, Finish> Fold<State, Start, Add, Finish>
where
    State: Copy,
    Start: Fn(f64) -> State,
    Add: Fn(&mut State, f64),
    Finish: Fn(State) -> f64,
{
    const fn new(start: Start, add: Add, finish: Finish) -> Self {
        Self { states: Vec::new(), start, add, finish }
    }
}

impl<State, Start, Add, Finish> States for Fold<State, Start, Add, Finish>
where
    State: Copy,
    Start: Fn(f64) -> State,
    Add: Fn(&mut State, f64),
    Finish: Fn(State) -> f64,
{
    fn resize(&mut self, count: usize) {
        self.states.resize(count, None);
    }

    fn add(&mut self, first: usize, row: &[f64]) {
        for (state, &value) in self.states[first..first + row.len()].iter_mut().zip(row) {
            if is_present(value) {
                match state {
                    Some(state) => (self.add)(state, value),
                    None => *state = Some((self.start)(value)),
                }
            }
        }
    }

    fn finish(self) -> Vec<f64> {
        self.states.into_iter().map(|state| state.map_or(ABSENT, &self.finish)).collect()
    }
}

/// A vector with one row a group.
fn of_groups(groups: &Groups, steps: usize, values: Vec<f64>) -> Vector {
    let count = groups.labels.len();
    let labels = groups.labels.clone();
    Vector { labels, drop_names: groups.drop_names.clone(), steps, values, histograms: vec![None; count] }
}

const fn same(value: f64) -> f64 {
    value
}

fn least(least: &mut f64, value: f64) {
    if value < *least || least.is_nan() {
        *least = value;
    }
}

fn greatest(greatest: &mut f64, value: f64) {
    if value > *greatest || greatest.is_nan() {
        *greatest = value;
    }
}

/// Mean and squared distances from it, by Welford's method.
#[derive(Clone, Copy, Debug)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn of(value: f64) -> Self {
        let squares = if value.is_finite() { 0.0 } else { f64::NAN };
        Self { count: 1.0, mean: value, squares }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn variance(self) -> f64 {
        self.squares / self.count
    }
}
