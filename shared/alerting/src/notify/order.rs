//! The order in which Alertmanager shows alerts and groups: in messages, their templates, and its API.

use std::cmp::Ordering;

use model::Labels;

/// Alerts by job, then by instance, then by all labels; those without a job, or without an instance, come last
/// (Alertmanager `alert/alert.go`).
pub fn order_of_alerts(one: &Labels, two: &Labels) -> Ordering {
    let by = |name: &str| match (one.get(name), two.get(name)) {
        (Some(one), Some(two)) => one.cmp(two),
        (one, two) => two.is_some().cmp(&one.is_some()),
    };
    by("job").then_with(|| by("instance")).then_with(|| order_of_labels(one, two))
}

/// Fewer labels come first. Of as many, the first name that only one set has puts that one last; else the first value
/// that differs decides (`model.LabelSet.Before` of Prometheus).
pub fn order_of_labels(one: &Labels, two: &Labels) -> Ordering {
    let by_pairs = || {
        let mut pairs = one.iter().zip(two.iter());
        let differing = pairs.find(|(one, two)| one != two);
        differing.map_or(Ordering::Equal, |(one, two)| two.0.cmp(one.0).then_with(|| one.1.cmp(two.1)))
    };
    one.iter().count().cmp(&two.iter().count()).then_with(by_pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    /// Every set comes before all that follow it.
    fn check(sets: &[&[(&str, &str)]], order: impl Fn(&Labels, &Labels) -> Ordering) {
        for (place, one) in sets.iter().enumerate() {
            for (other, two) in sets.iter().enumerate() {
                assert_eq!(order(&labels(one), &labels(two)), place.cmp(&other), "{one:?} and {two:?}");
            }
        }
    }

    #[test]
    fn fewer_labels_come_first_then_those_that_lack_the_first_name() {
        check(
            &[
                &[],
                &[("z", "1")],
                &[("b", "1")],
                &[("b", "2")],
                &[("b", "0"), ("c", "0")],
                &[("a", "0"), ("d", "9")],
                &[("a", "0"), ("c", "1")],
                &[("a", "1"), ("c", "0")],
                &[("a", "0"), ("b", "0"), ("c", "0")],
            ],
            order_of_labels,
        );
    }

    #[test]
    fn alerts_stand_by_job_and_instance_before_all_else() {
        check(
            &[
                &[("instance", "1"), ("job", "a"), ("x", "1"), ("y", "1")],
                &[("instance", "10"), ("job", "a")],
                &[("instance", "9"), ("job", "a")],
                &[("job", "a")],
                &[("job", "b")],
                &[("instance", "0")],
                &[("x", "1")],
                &[("a", "1"), ("x", "0")],
            ],
            order_of_alerts,
        );
    }
}
