//! The values that evaluation works on: columns over the steps of a query.

use std::sync::Arc;

use model::{Histogram, Labels, METRIC_NAME, STALE_NAN_BITS, is_stale};

use super::interner::Interner;
use super::native::Outcome;
use crate::error::EvalError;

/// What stands in a column where a series has no sample: the staleness marker, which no selector ever gives and no
/// calculation ever makes.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether there is a sample.
#[inline]
pub(crate) fn is_present(value: f64) -> bool {
    !is_stale(value)
}

/// Whether there is a sample everywhere: without branches, so that several are looked at at once.
pub(crate) fn all_present(values: &[f64]) -> bool {
    values.iter().fold(true, |all, value| all & is_present(*value))
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

/// The histograms of a row, one place a step; `None` when there is none at all, as in nearly all rows.
pub(crate) type HistogramRow = Option<Box<[Option<Arc<Histogram>>]>>;

/// Series over the steps of a grid: one row a series, one column a step, [`ABSENT`] where there is no sample.
///
/// Histograms stand beside the numbers: a step has a number, a histogram or nothing, and where it has a histogram its
/// number is absent. What knows numbers only, as most functions do, sees no histograms and needs only to drop them.
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
    /// Histograms, row by row.
    pub(crate) histograms: Vec<HistogramRow>,
}

/// One row of a vector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// The numbers.
    pub(crate) values: &'a [f64],
    /// The histograms, if there are any.
    pub(crate) histograms: Option<&'a [Option<Arc<Histogram>>]>,
}

impl<'a> Row<'a> {
    /// A row of numbers.
    pub(crate) const fn of_values(values: &'a [f64]) -> Self {
        Self { values, histograms: None }
    }

    /// The histogram of a step.
    pub(crate) fn histogram(&self, step: usize) -> Option<&'a Arc<Histogram>> {
        self.histograms.and_then(|histograms| histograms[step].as_ref())
    }

    /// Whether a step has a number or a histogram.
    pub(crate) fn has_sample(&self, step: usize) -> bool {
        is_present(self.values[step]) || self.histogram(step).is_some()
    }

    /// Whether any step has.
    pub(crate) fn has_samples(&self) -> bool {
        self.values.iter().copied().any(is_present)
            || self.histograms.is_some_and(|row| row.iter().any(Option::is_some))
    }
}

impl Vector {
    /// No series over so many steps.
    pub(crate) fn new(steps: usize) -> Self {
        Self { steps, ..Self::default() }
    }

    /// A row without labels, to be filled again and again.
    pub(crate) fn of_one_row(steps: usize) -> Self {
        let mut vector = Self::new(steps);
        vector.push_absent(Labels::empty(), false);
        vector
    }

    /// Makes room for so many series.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.labels.reserve(rows);
        self.drop_names.reserve(rows);
        self.histograms.reserve(rows);
        self.values.reserve(rows * self.steps);
    }

    /// How many series there are.
    pub(crate) fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The column values of one series.
    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.steps..(row + 1) * self.steps]
    }

    /// The columns of one series, histograms among them.
    pub(crate) fn full_row(&self, row: usize) -> Row<'_> {
        Row { values: self.row(row), histograms: self.histograms[row].as_deref() }
    }

    /// Whether any series has a histogram.
    pub(crate) fn has_histograms(&self) -> bool {
        self.histograms.iter().any(Option::is_some)
    }

    /// Each histogram with its row and step.
    pub(crate) fn each_histogram(&self) -> impl Iterator<Item = (usize, usize, &Arc<Histogram>)> {
        let rows = self.histograms.iter().enumerate().filter_map(|(row, of_row)| Some((row, of_row.as_ref()?)));
        rows.flat_map(|(row, of_row)| {
            of_row.iter().enumerate().filter_map(move |(step, histogram)| Some((row, step, histogram.as_ref()?)))
        })
    }

    /// Puts a histogram to a step, in the place of a number if there was one.
    pub(crate) fn put_histogram(&mut self, row: usize, step: usize, histogram: Arc<Histogram>) {
        let steps = self.steps;
        self.histograms[row].get_or_insert_with(|| vec![None; steps].into())[step] = Some(histogram);
        self.values[row * steps + step] = ABSENT;
    }

    /// Puts what a calculation gave to a step, in the place of what was there.
    pub(crate) fn put_outcome(&mut self, row: usize, step: usize, outcome: Outcome) {
        if let Some(histograms) = &mut self.histograms[row] {
            histograms[step] = None;
        }
        let slot = &mut self.values[row * self.steps + step];
        match outcome {
            Outcome::Absent => *slot = ABSENT,
            Outcome::Number(value) => *slot = value,
            Outcome::Histogram(histogram) => self.put_histogram(row, step, histogram),
        }
    }

    /// The numbers alone.
    pub(crate) fn without_histograms(mut self) -> Self {
        self.histograms.fill(None);
        self
    }

    /// Appends a series without samples and gives its row to be filled.
    pub(crate) fn push_absent(&mut self, labels: Labels, drop_name: bool) -> &mut [f64] {
        self.labels.push(labels);
        self.drop_names.push(drop_name);
        self.histograms.push(None);
        let start = self.values.len();
        self.values.resize(start + self.steps, ABSENT);
        &mut self.values[start..]
    }

    /// Appends a series of numbers.
    pub(crate) fn push(&mut self, labels: Labels, drop_name: bool, row: &[f64]) {
        self.push_row(labels, drop_name, Row::of_values(row));
    }

    /// Appends a series.
    pub(crate) fn push_row(&mut self, labels: Labels, drop_name: bool, row: Row<'_>) {
        self.labels.push(labels);
        self.drop_names.push(drop_name);
        self.values.extend_from_slice(row.values);
        self.histograms.push(row.histograms.map(Into::into));
    }

    /// Takes back the series appended last when it has no sample.
    pub(crate) fn pop_if_empty(&mut self) {
        let start = self.values.len() - self.steps;
        if !self.values[start..].iter().copied().any(is_present) && !self.full_row(self.rows() - 1).has_samples() {
            self.values.truncate(start);
            self.labels.pop();
            self.drop_names.pop();
            self.histograms.pop();
        }
    }

    /// Leaves only series that have a sample.
    pub(crate) fn without_empty_rows(mut self) -> Self {
        let steps = self.steps;
        let mut kept = 0;
        for row in 0..self.rows() {
            if !self.full_row(row).has_samples() {
                continue;
            }
            if kept < row {
                self.labels.swap(kept, row);
                self.histograms.swap(kept, row);
                self.drop_names[kept] = self.drop_names[row];
                self.values.copy_within(row * steps..(row + 1) * steps, kept * steps);
            }
            kept += 1;
        }
        self.labels.truncate(kept);
        self.histograms.truncate(kept);
        self.drop_names.truncate(kept);
        self.values.truncate(kept * steps);
        self
    }

    /// Appends all series of another vector.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.labels.append(&mut other.labels);
        self.drop_names.append(&mut other.drop_names);
        self.values.append(&mut other.values);
        self.histograms.append(&mut other.histograms);
    }

    /// Changes each number; histograms and the name go.
    pub(crate) fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        for value in &mut self.values {
            *value = if is_present(*value) { change(*value) } else { ABSENT };
        }
        self.drop_all_names();
        self.without_histograms()
    }

    /// Changes each number, given its step; histograms and the name go.
    pub(crate) fn map_with_step(mut self, change: impl Fn(f64, usize) -> f64) -> Self {
        for row in self.values.chunks_exact_mut(self.steps.max(1)) {
            for (step, value) in row.iter_mut().enumerate() {
                *value = if is_present(*value) { change(*value, step) } else { ABSENT };
            }
        }
        self.drop_all_names();
        self.without_histograms()
    }

    pub(crate) fn drop_all_names(&mut self) {
        self.drop_names.fill(true);
    }

    /// The same series in another order, or only some of them.
    pub(crate) fn select_rows(&self, order: &[usize]) -> Self {
        let mut selected = Self::new(self.steps);
        for &row in order {
            selected.push_row(self.labels[row].clone(), self.drop_names[row], self.full_row(row));
        }
        selected
    }

    /// Repeats the only column.
    pub(crate) fn broadcast(self, steps: usize) -> Self {
        let values = self.values.iter().flat_map(|value| std::iter::repeat_n(*value, steps)).collect();
        let repeat = |row: HistogramRow| row.map(|row| vec![row[0].clone(); steps].into());
        let histograms = self.histograms.into_iter().map(repeat).collect();
        Self { steps, values, histograms, ..self }
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

    /// Makes one row of rows with the same labels. A row whose name is to be dropped stays beside one whose name stays:
    /// what they have at a step must be what an instant query has there.
    ///
    /// # Errors
    /// When two of them have a sample at the same step.
    pub(crate) fn merge_same_labels(self) -> Result<Self, EvalError> {
        let mut sets = Interner::default();
        let numbers: Vec<usize> = self.labels.iter().map(|labels| sets.number_shared(labels)).collect();
        if sets.count() == self.rows() {
            return Ok(self);
        }
        let mut merged = Self::new(self.steps);
        // The rows of each set: one with its name, one whose name is to be dropped.
        let mut targets = vec![[None::<usize>; 2]; sets.count()];
        for (row, &number) in numbers.iter().enumerate() {
            let drop_name = self.drop_names[row];
            let [own, other] = [drop_name, !drop_name].map(|dropped| targets[number][usize::from(dropped)]);
            if let Some(other) = other {
                merged.check_apart(other, self.full_row(row))?;
            }
            if let Some(target) = own {
                merged.merge_row(target, self.full_row(row))?;
            } else {
                targets[number][usize::from(drop_name)] = Some(merged.rows());
                merged.push_row(self.labels[row].clone(), drop_name, self.full_row(row));
            }
        }
        Ok(merged)
    }

    /// Refuses a row that has a sample where another one of the same labels has one.
    fn check_apart(&self, other: usize, row: Row<'_>) -> Result<(), EvalError> {
        let other = self.full_row(other);
        if (0..self.steps).any(|step| row.has_sample(step) && other.has_sample(step)) {
            return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
        }
        Ok(())
    }

    /// Adds the samples of a row to one that has none at the same steps.
    fn merge_row(&mut self, target: usize, row: Row<'_>) -> Result<(), EvalError> {
        self.check_apart(target, row)?;
        for step in 0..self.steps {
            if !row.has_sample(step) {
                continue;
            }
            match row.histogram(step) {
                Some(histogram) => self.put_histogram(target, step, Arc::clone(histogram)),
                None => self.values[target * self.steps + step] = row.values[step],
            }
        }
        Ok(())
    }
}
