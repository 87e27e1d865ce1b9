//! Aggregations that need all samples of a group at once.

#![expect(clippy::wildcard_enum_match_arm, reason = "each function here is about a few of the aggregations")]

use hashbrown::HashMap;
use model::{General, Labels};
use xxhash_rust::xxh64::xxh64;

use super::super::float::quantile;
use super::super::vector::{ABSENT, Grid, Vector, is_present};
use super::super::{Evaluator, Result_};
use super::Groups;
use crate::ast::{AggregateOp, Aggregation, Grouping};
use crate::error::EvalError;
use crate::value::format_float;

/// Refuses parameters that mean nothing.
pub(super) fn check_parameters(op: AggregateOp, parameters: &[f64]) -> Result_<()> {
    // Where nothing is taken at any step, nothing is too little.
    let takes_none = parameters.iter().all(|parameter| *parameter < 1.0);
    for &parameter in parameters {
        let message = match op {
            AggregateOp::LimitRatio if parameter.is_nan() => "Ratio value is NaN".to_owned(),
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK if parameter.is_nan() => {
                "Parameter value is NaN".to_owned()
            }
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK if parameter >= 9.223_372_036_854_775e18 => {
                format!("Scalar value {} overflows int64", General(parameter))
            }
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK
                if !takes_none && parameter <= -9.223_372_036_854_775e18 =>
            {
                format!("Scalar value {} underflows int64", General(parameter))
            }
            _ => continue,
        };
        return Err(EvalError::execution(message));
    }
    Ok(())
}

/// The quantile of each group at each step.
pub(super) fn quantiles(vector: &Vector, groups: &Groups, parameters: &[f64]) -> Vector {
    let mut result = Vector::new(vector.steps);
    let mut samples: Vec<f64> = Vec::new();
    for ((rows, labels), drop_name) in rows_of(groups).iter().zip(&groups.labels).zip(&groups.drop_names) {
        let row = result.push_absent(labels.clone(), *drop_name);
        for (step, slot) in row.iter_mut().enumerate() {
            samples.clear();
            let column = rows.iter().map(|row| vector.values[row * vector.steps + step]);
            samples.extend(column.filter(|value| is_present(*value)));
            if !samples.is_empty() {
                *slot = quantile(parameters[step], &mut samples);
            }
        }
    }
    result
}

/// `topk`, `bottomk`, `limitk`, `limit_ratio`: some samples of each group, as they are.
pub(super) fn chosen(op: AggregateOp, vector: &Vector, groups: &Groups, parameters: &[f64]) -> Vector {
    let mut kept = vec![false; vector.values.len()];
    // For a single step: the rows in the order to be shown.
    let mut order: Vec<usize> = Vec::new();
    let mut samples: Vec<(f64, usize)> = Vec::new();
    let takes_histograms = matches!(op, AggregateOp::LimitK | AggregateOp::LimitRatio) && vector.has_histograms();
    for rows in rows_of(groups) {
        for (step, &parameter) in parameters.iter().enumerate() {
            samples.clear();
            let column = rows.iter().map(|&row| (vector.values[row * vector.steps + step], row));
            let is_histogram = |row| takes_histograms && vector.full_row(row).histogram(step).is_some();
            samples.extend(column.filter(|(value, row)| is_present(*value) || is_histogram(*row)));
            match op {
                AggregateOp::LimitRatio => samples.retain(|(_, row)| in_ratio(&vector.labels[*row], parameter)),
                _ => take_best(op, parameter, &mut samples),
            }
            for &(_, row) in &samples {
                kept[row * vector.steps + step] = true;
            }
            order.extend(samples.iter().map(|(_, row)| *row).filter(|_| vector.steps == 1));
        }
    }
    if vector.steps != 1 {
        let has_samples = |row: &usize| kept[row * vector.steps..(row + 1) * vector.steps].contains(&true);
        order = (0..vector.rows()).filter(has_samples).collect();
    }
    masked(vector, &kept).select_rows(&order)
}

/// Only the samples that are kept.
fn masked(vector: &Vector, kept: &[bool]) -> Vector {
    let mut masked = vector.clone();
    for (value, kept) in masked.values.iter_mut().zip(kept) {
        *value = if *kept { *value } else { ABSENT };
    }
    for (row, kept) in masked.histograms.iter_mut().zip(kept.chunks_exact(vector.steps.max(1))) {
        for (histogram, kept) in row.iter_mut().flat_map(|row| row.iter_mut()).zip(kept) {
            *histogram = histogram.take().filter(|_| *kept);
        }
    }
    masked
}

/// Leaves the best samples in order. What is not a number is never better.
///
/// Which of equal ones stay is what a binary heap makes of them whose root, the worst, is replaced by a better sample:
/// as in Prometheus, step by step.
#[expect(clippy::cast_possible_truncation, reason = "a number beyond all samples saturates, which takes all")]
#[expect(clippy::cast_sign_loss, reason = "a negative number becomes zero, which takes none")]
fn take_best(op: AggregateOp, parameter: f64, samples: &mut Vec<(f64, usize)>) {
    let wanted = (parameter as usize).min(samples.len());
    if wanted == 0 || op == AggregateOp::LimitK {
        samples.truncate(wanted);
        return;
    }
    let is_worse = |left: &(f64, usize), right: &(f64, usize)| {
        left.0.is_nan() || if op == AggregateOp::TopK { left.0 < right.0 } else { left.0 > right.0 }
    };
    for last in 1..wanted {
        rise(&mut samples[..=last], is_worse);
    }
    for index in wanted..samples.len() {
        let (root, sample) = (samples[0], samples[index]);
        if is_worse(&root, &sample) && !sample.0.is_nan() {
            samples[0] = sample;
            sink(&mut samples[..wanted], is_worse);
        }
    }
    samples.truncate(wanted);
    samples.sort_by(|left, right| {
        let by_value = left.0.partial_cmp(&right.0).unwrap_or(std::cmp::Ordering::Equal);
        let by_value = if op == AggregateOp::TopK { by_value.reverse() } else { by_value };
        left.0.is_nan().cmp(&right.0.is_nan()).then(by_value)
    });
}

type Ranked = (f64, usize);

/// Moves the last element of a heap up to its place.
fn rise(heap: &mut [Ranked], is_before: impl Fn(&Ranked, &Ranked) -> bool) {
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !is_before(&heap[at], &heap[parent]) {
            return;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

/// Moves the first element of a heap down to its place.
fn sink(heap: &mut [Ranked], is_before: impl Fn(&Ranked, &Ranked) -> bool) {
    let mut at = 0;
    loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        if left >= heap.len() {
            return;
        }
        let child = if right < heap.len() && is_before(&heap[right], &heap[left]) { right } else { left };
        if !is_before(&heap[child], &heap[at]) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}

/// Whether a series is among the given share of all, chosen by its hash; a negative share takes the others.
///
/// The hash is the one Prometheus builds use by default, so that the same series are chosen.
#[expect(clippy::cast_precision_loss, reason = "a share of all hashes")]
fn in_ratio(labels: &Labels, ratio: f64) -> bool {
    let mut bytes = Vec::new();
    for (name, value) in labels.iter() {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(length @ 0..=254) => bytes.push(length),
                Ok(_) | Err(_) => {
                    bytes.push(255);
                    bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    let position = xxh64(&bytes, 0) as f64 / u64::MAX as f64;
    if ratio >= 0.0 { position < ratio } else { position >= 1.0 + ratio }
}

fn rows_of(groups: &Groups) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); groups.labels.len()];
    for (row, &group) in groups.of_row.iter().enumerate() {
        rows[group].push(row);
    }
    rows
}

impl Evaluator<'_> {
    /// How often each value occurs; the value becomes a label.
    pub(super) fn count_values(&mut self, aggregation: &Aggregation, grid: Grid) -> Result_<Vector> {
        let Some(parameter) = &aggregation.parameter else {
            return Err(EvalError::execution("count_values needs the name of a label"));
        };
        let bytes = self.text(parameter, grid)?;
        let name = match String::from_utf8(bytes) {
            Ok(name) if !name.is_empty() => name,
            Ok(_) => return Err(EvalError::execution("invalid label name \"\"")),
            Err(error) => {
                let shown = crate::quote::quote_bytes(error.as_bytes());
                return Err(EvalError::execution(format!("invalid label name {shown}")));
            }
        };
        let vector = self.vector(&aggregation.expr, grid)?;
        let groups = Groups::new(&vector, &aggregation.grouping);
        // The values' label is left out like any other.
        let is_left_out = matches!(&aggregation.grouping, Grouping::Without(names) if names.contains(&name));
        let name = if is_left_out { None } else { Some(name) };
        let mut counts = Counts { groups: &groups, name, numbers: HashMap::new(), vector: Vector::new(vector.steps) };
        for row in 0..vector.rows() {
            for (step, &value) in vector.row(row).iter().enumerate().filter(|(_, value)| is_present(**value)) {
                let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                let known = counts.numbers.get(&(groups.of_row[row], bits)).copied();
                let target = match known {
                    Some(target) => target,
                    None => counts.start(row, &format_float(value))?,
                };
                counts.numbers.insert((groups.of_row[row], bits), target);
                counts.add(target, step);
            }
            self.check_size(counts.vector.rows(), vector.steps)?;
        }
        let mut texts: HashMap<(usize, String), usize> = HashMap::new();
        for (row, step, histogram) in vector.each_histogram() {
            let key = (groups.of_row[row], histogram.to_string());
            let target = match texts.get(&key) {
                Some(target) => *target,
                None => counts.start(row, &key.1)?,
            };
            texts.insert(key, target);
            counts.add(target, step);
            self.check_size(counts.vector.rows(), vector.steps)?;
        }
        add_up_same_labels(counts.vector)
    }
}

/// How often each value occurs in each group.
struct Counts<'a> {
    groups: &'a Groups,
    /// The label that says which value, unless it is to be left out.
    name: Option<String>,
    /// Rows by group and bits of the value.
    numbers: HashMap<(usize, u64), usize>,
    vector: Vector,
}

impl Counts<'_> {
    /// The row of a value that occurs for the first time, in the group of a row.
    fn start(&mut self, row: usize, value: &str) -> Result_<usize> {
        let mut labels = self.groups.labels[self.groups.of_row[row]].to_builder();
        if let Some(name) = &self.name {
            labels.set(name, value);
        }
        self.vector.push_absent(labels.build().map_err(|error| EvalError::execution(error.to_string()))?, false);
        Ok(self.vector.rows() - 1)
    }

    fn add(&mut self, target: usize, step: usize) {
        let slot = &mut self.vector.values[target * self.vector.steps + step];
        *slot = if is_present(*slot) { *slot + 1.0 } else { 1.0 };
    }
}

/// The new label may have replaced the one that told two groups apart.
fn add_up_same_labels(vector: Vector) -> Result_<Vector> {
    let mut first_rows: HashMap<Labels, usize> = HashMap::new();
    let mut result = Vector::new(vector.steps);
    for row in 0..vector.rows() {
        let target = *first_rows.entry_ref(&vector.labels[row]).or_insert(result.rows());
        if target == result.rows() {
            result.push(vector.labels[row].clone(), false, vector.row(row));
            continue;
        }
        let start = target * vector.steps;
        for (into, &value) in result.values[start..].iter_mut().zip(vector.row(row)) {
            if is_present(value) {
                *into = if is_present(*into) { *into + value } else { value };
            }
        }
    }
    Ok(result)
}
