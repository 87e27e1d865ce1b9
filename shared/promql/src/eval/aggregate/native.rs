//! Aggregations of native histograms.

#![expect(clippy::wildcard_enum_match_arm, reason = "each function here is about a few of the aggregations")]

use std::collections::BTreeMap;

use model::{Histogram, METRIC_NAME, MixedSchemas};

use super::super::Evaluator;
use super::super::native::{Fold, folded, warn_of_schemas};
use super::super::vector::{ABSENT, Vector, is_present};
use super::Groups;
use crate::ast::{AggregateOp, Aggregation};

impl Evaluator<'_> {
    /// The aggregation of the numbers, and what histograms beside them change about it.
    pub(super) fn with_histograms(
        &mut self,
        aggregation: &Aggregation,
        vector: &Vector,
        groups: &Groups,
        mut result: Vector,
    ) -> Vector {
        match aggregation.op {
            AggregateOp::Sum => self.fold_groups(aggregation, vector, groups, &mut result, Fold::Sum),
            AggregateOp::Avg => self.fold_groups(aggregation, vector, groups, &mut result, Fold::Mean),
            AggregateOp::Count => {
                for (row, step, _) in vector.each_histogram() {
                    let count = &mut result.values[groups.of_row[row] * vector.steps + step];
                    *count = if is_present(*count) { *count + 1.0 } else { 1.0 };
                }
            }
            AggregateOp::Group => {
                for (row, step, _) in vector.each_histogram() {
                    result.values[groups.of_row[row] * vector.steps + step] = 1.0;
                }
            }
            AggregateOp::LimitK | AggregateOp::LimitRatio | AggregateOp::CountValues => {}
            ignores => {
                if vector.each_histogram().next().is_some() {
                    let message = format!("ignored histogram in {} aggregation", ignores.as_str());
                    self.annotations.inform(aggregation.expr.span, &message);
                }
            }
        }
        result
    }

    /// Sums or averages of the histograms of each group; of a group with numbers too there is none.
    fn fold_groups(
        &mut self,
        aggregation: &Aggregation,
        vector: &Vector,
        groups: &Groups,
        result: &mut Vector,
        fold: Fold,
    ) {
        let span = aggregation.expr.span;
        let mut members: BTreeMap<(usize, usize), Vec<(usize, &Histogram)>> = BTreeMap::new();
        for (row, step, histogram) in vector.each_histogram() {
            members.entry((groups.of_row[row], step)).or_default().push((row, histogram));
        }
        for ((group, step), members) in members {
            let number = &mut result.values[group * vector.steps + step];
            if is_present(*number) {
                *number = ABSENT;
                self.annotations.warn(span, "encountered a mix of histograms and floats for aggregation");
                continue;
            }
            let histograms: Vec<&Histogram> = members.iter().map(|(_, histogram)| *histogram).collect();
            match folded(&histograms, fold, &mut self.annotations, span) {
                Ok(histogram) => result.put_histogram(group, step, histogram),
                Err(MixedSchemas) => {
                    let is_custom = histograms[0].schema().is_custom();
                    let other = members.iter().find(|(_, histogram)| histogram.schema().is_custom() != is_custom);
                    let metric = other.and_then(|(row, _)| vector.labels[*row].get(METRIC_NAME)).unwrap_or("");
                    warn_of_schemas(&mut self.annotations, span, metric);
                }
            }
        }
    }
}
