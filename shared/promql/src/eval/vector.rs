//! The values that evaluation works on: columns over the steps of a query.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME, STALE_NAN_BITS, is_stale};

use crate::error::EvalError;

/// What stands in a column where a series has no sample: the staleness marker, which no selector ever gives and no
/// calculation ever makes.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether there is a sample.
#[inline]
pub(crate) fn is_present(value: f64) -> bool {
    !is_stale(value)
}

/// The times at which an expression is evaluated, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) start: i64,
    /// Zero when all times are the same one.
    pub(crate) step: i64,
    pub(crate) count: usize,
}

impl Grid {
    /// The time of a step.
    #[expect(clippy::cast_possible_wrap, reason = "the number of steps is limited far below that")]
    pub(crate) const fn time(&self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(step as i64))
    }

    /// The times of all steps.
    pub(crate) fn times(&self) -> impl Iterator<Item = i64> {
        (0..self.count).map(|step| self.time(step))
    }

    /// Seconds of all steps, as numbers of the language.
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
    pub(crate) fn seconds(&self) -> Vec<f64> {
        self.times().map(|time| time as f64 / 1000.0).collect()
    }
}

/// Series over the steps of a grid: one row a series, one column a step, [`ABSENT`] where there is no sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vector {
    /// Which series, row by row.
    pub(crate) labels: Vec<Labels>,
    /// Whether the metric name is to be dropped from a row's labels at the end.
    pub(crate) drop_names: Vec<bool>,
    /// How many columns there are.
    pub(crate) steps: usize,
    /// Row after row.
    pub(crate) values: Vec<f64>,
}

impl Vector {
    /// No series over so many steps.
    pub(crate) fn new(steps: usize) -> Self {
        Self { steps, ..Self::default() }
    }

    /// How many series there are.
    pub(crate) fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The column values of one series.
    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.steps..(row + 1) * self.steps]
    }

    /// Appends a series without samples and gives its row to be filled.
    pub(crate) fn push_absent(&mut self, labels: Labels, drop_name: bool) -> &mut [f64] {
        self.labels.push(labels);
        self.drop_names.push(drop_name);
        let start = self.values.len();
        self.values.resize(start + self.steps, ABSENT);
        &mut self.values[start..]
    }

    /// Appends a series.
    pub(crate) fn push(&mut self, labels: Labels, drop_name: bool, row: &[f64]) {
        self.labels.push(labels);
        self.drop_names.push(drop_name);
        self.values.extend_from_slice(row);
    }

    /// Takes back the series appended last when it has no sample.
    pub(crate) fn pop_if_empty(&mut self) {
        let start = self.values.len() - self.steps;
        if !self.values[start..].iter().copied().any(is_present) {
            self.values.truncate(start);
            self.labels.pop();
            self.drop_names.pop();
        }
    }

    /// Appends all series of another vector.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.labels.append(&mut other.labels);
        self.drop_names.append(&mut other.drop_names);
        self.values.append(&mut other.values);
    }

    /// Changes each sample; the name goes.
    pub(crate) fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        for value in &mut self.values {
            *value = if is_present(*value) { change(*value) } else { ABSENT };
        }
        self.drop_all_names();
        self
    }

    /// Changes each sample, given its step; the name goes.
    pub(crate) fn map_with_step(mut self, change: impl Fn(f64, usize) -> f64) -> Self {
        for row in self.values.chunks_exact_mut(self.steps.max(1)) {
            for (step, value) in row.iter_mut().enumerate() {
                *value = if is_present(*value) { change(*value, step) } else { ABSENT };
            }
        }
        self.drop_all_names();
        self
    }

    pub(crate) fn drop_all_names(&mut self) {
        self.drop_names.fill(true);
    }

    /// The same series in another order, or only some of them.
    pub(crate) fn select_rows(&self, order: &[usize]) -> Self {
        let mut selected = Self::new(self.steps);
        for &row in order {
            selected.push(self.labels[row].clone(), self.drop_names[row], self.row(row));
        }
        selected
    }

    /// Repeats the only column.
    pub(crate) fn broadcast(self, steps: usize) -> Self {
        let values = self.values.iter().flat_map(|value| std::iter::repeat_n(*value, steps)).collect();
        Self { steps, values, ..self }
    }

    /// Drops the names that are to be dropped, then merges what has become the same series.
    pub(crate) fn drop_names_now(mut self) -> Result<Self, EvalError> {
        for (labels, drop_name) in self.labels.iter_mut().zip(&mut self.drop_names) {
            if std::mem::take(drop_name) && labels.get(METRIC_NAME).is_some() {
                *labels = labels.without(&[METRIC_NAME]);
            }
        }
        self.merge_same_labels()
    }

    /// Makes one row of rows with the same labels.
    ///
    /// # Errors
    /// When two of them have a sample at the same step.
    pub(crate) fn merge_same_labels(self) -> Result<Self, EvalError> {
        let mut first_rows: HashMap<Labels, usize> = HashMap::with_capacity(self.rows());
        let targets: Vec<usize> = (0..self.rows())
            .map(|row| {
                let next = first_rows.len();
                *first_rows.entry_ref(&self.labels[row]).or_insert(next)
            })
            .collect();
        if first_rows.len() == self.rows() {
            return Ok(self);
        }
        let mut merged = Self::new(self.steps);
        for (row, &target) in targets.iter().enumerate() {
            if target == merged.rows() {
                merged.push(self.labels[row].clone(), self.drop_names[row], self.row(row));
                continue;
            }
            merged.drop_names[target] |= self.drop_names[row];
            let start = target * self.steps;
            for (into, &value) in merged.values[start..start + self.steps].iter_mut().zip(self.row(row)) {
                if is_present(value) {
                    if is_present(*into) {
                        return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
                    }
                    *into = value;
                }
            }
        }
        Ok(merged)
    }
}
