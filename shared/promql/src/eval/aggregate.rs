//! Aggregations: many series become one a group.

mod collect;
mod native;

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME};

use super::float::{Mean, Sum};
use super::vector::{ABSENT, Grid, Vector, is_present};
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
        if matches!(grouping, Grouping::By(names) if names.is_empty()) {
            let labels = if vector.rows() == 0 { Vec::new() } else { vec![Labels::empty()] };
            let drop_names = vec![false; labels.len()];
            return Self { of_row: vec![0; vector.rows()], labels, drop_names };
        }
        let names: Vec<&str> = match grouping {
            Grouping::By(names) => names.iter().map(String::as_str).collect(),
            Grouping::Without(names) => names.iter().map(String::as_str).chain([METRIC_NAME]).collect(),
        };
        let mut known: HashMap<Labels, usize> = HashMap::new();
        let of_row = Vec::with_capacity(vector.rows());
        let mut groups = Self { of_row, labels: Vec::new(), drop_names: Vec::new() };
        for (labels, drop_name) in vector.labels.iter().zip(&vector.drop_names) {
            let key = match grouping {
                Grouping::By(_) => labels.with_only(&names),
                Grouping::Without(_) => labels.without(&names),
            };
            let group = *known.entry_ref(&key).or_insert(groups.labels.len());
            if group == groups.labels.len() {
                groups.labels.push(key);
                groups.drop_names.push(*drop_name);
            }
            groups.of_row.push(group);
        }
        groups
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
        collect::check_parameters(op, &parameters)?;
        if let (AggregateOp::Quantile, Some(parameter)) = (op, &aggregation.parameter) {
            self.check_quantiles(&parameters, parameter.span);
        }
        let vector = self.vector(&aggregation.expr, grid)?;
        let groups = Groups::new(&vector, &aggregation.grouping);
        if op == AggregateOp::LimitRatio
            && let Some(parameter) = &aggregation.parameter
        {
            self.check_ratios(&parameters, parameter.span);
        }
        let result = match op {
            AggregateOp::Sum => sums(&vector, &groups),
            AggregateOp::Avg => fold(&vector, &groups, Mean::of, Mean::add, Mean::value),
            AggregateOp::Min => fold(&vector, &groups, same, least, same),
            AggregateOp::Max => fold(&vector, &groups, same, greatest, same),
            AggregateOp::Count => fold(&vector, &groups, |_| 1.0, |count, _| *count += 1.0, same),
            AggregateOp::Group => fold(&vector, &groups, |_| 1.0, |_, _| {}, same),
            AggregateOp::Stdvar => fold(&vector, &groups, Spread::of, Spread::add, Spread::variance),
            AggregateOp::Stddev => fold(&vector, &groups, Spread::of, Spread::add, |spread| spread.variance().sqrt()),
            AggregateOp::Quantile => collect::quantiles(&vector, &groups, &parameters),
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
                collect::chosen(op, &vector, &groups, &parameters)
            }
            AggregateOp::CountValues => Vector::new(vector.steps),
        };
        let takes_none = matches!(op, AggregateOp::TopK | AggregateOp::BottomK) && parameters.iter().all(|k| *k < 1.0);
        if takes_none || !vector.has_histograms() {
            return Ok(result);
        }
        Ok(self.with_histograms(aggregation, &vector, &groups, result))
    }

    /// Warns of shares beyond all series.
    fn check_ratios(&mut self, ratios: &[f64], span: Span) {
        for &ratio in ratios.iter().filter(|ratio| ratio.abs() > 1.0) {
            let shown = crate::value::format_float(ratio);
            let message = format!("ratio value should be between -1 and 1, got {shown}, capping to {}", ratio.signum());
            self.annotations.warn(span, &message);
        }
    }
}

/// The sums of each group at each step. As [`fold`], but without branches, so that several steps are added at once.
fn sums(vector: &Vector, groups: &Groups) -> Vector {
    let steps = vector.steps;
    let size = groups.labels.len() * steps;
    let (mut sums, mut any) = (vec![Sum::default(); size], vec![false; size]);
    for (row, &group) in groups.of_row.iter().enumerate() {
        let columns = group * steps..(group + 1) * steps;
        let states = sums[columns.clone()].iter_mut().zip(&mut any[columns]);
        for ((sum, any), &value) in states.zip(vector.row(row)) {
            let present = is_present(value);
            sum.add(if present { value } else { 0.0 });
            *any |= present;
        }
    }
    let values = sums.into_iter().zip(any).map(|(sum, any)| if any { sum.total() } else { ABSENT }).collect();
    of_groups(groups, steps, values)
}

/// Folds the samples of each group at each step, in the order of the rows.
fn fold<State: Copy>(
    vector: &Vector,
    groups: &Groups,
    start: impl Fn(f64) -> State,
    add: impl Fn(&mut State, f64),
    finish: impl Fn(State) -> f64,
) -> Vector {
    let steps = vector.steps;
    let mut states: Vec<Option<State>> = vec![None; groups.labels.len() * steps];
    for (row, &group) in groups.of_row.iter().enumerate() {
        let states = &mut states[group * steps..(group + 1) * steps];
        for (state, &value) in states.iter_mut().zip(vector.row(row)) {
            if is_present(value) {
                match state {
                    Some(state) => add(state, value),
                    None => *state = Some(start(value)),
                }
            }
        }
    }
    let values = states.into_iter().map(|state| state.map_or(ABSENT, &finish)).collect();
    of_groups(groups, steps, values)
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
