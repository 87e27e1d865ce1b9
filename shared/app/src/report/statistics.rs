//! How often and how long alerts fired, from the history of their changes.

use std::collections::BTreeMap;

use alerting::rule::{Transition, TransitionState};
use model::{Labels, TimeRange, Timestamp};
use render::report::{AlertStatistics, RuleStatistics};

/// One alert that fires now, with the time since when its expression holds.
#[derive(Clone, Debug)]
pub(super) struct FiringNow {
    /// The alert.
    pub(super) labels: Labels,
    /// Since when its expression holds.
    pub(super) since: Timestamp,
}

/// The statistics of a period.
///
/// `changes` are those within the period, `before` those of the day before it. An alert that fires now and did not
/// change within the period fired all the way through it, or from its beginning.
pub(super) fn of(
    changes: &[Transition],
    firing_now: &[FiringNow],
    before: Option<&[Transition]>,
    period: TimeRange,
) -> AlertStatistics {
    let mut courses: BTreeMap<&Labels, Vec<&Transition>> = BTreeMap::new();
    for change in changes.iter().filter(|change| period.contains(change.at)) {
        courses.entry(&change.labels).or_default().push(change);
    }
    let mut rules: BTreeMap<(String, String), RuleStatistics> = BTreeMap::new();
    for (labels, mut course) in courses.clone() {
        course.sort_by_key(|change| change.at);
        let stretches = stretches(&course, period);
        add(&mut rules, labels, &stretches, course.iter().filter(|change| begins_to_fire(change)).count(), period);
    }
    for alert in firing_now.iter().filter(|alert| !courses.contains_key(&alert.labels) && alert.since <= period.end) {
        let stretch = TimeRange::new(alert.since.max(period.start), period.end);
        add(&mut rules, &alert.labels, &[stretch], 0, period);
    }
    let mut rules: Vec<RuleStatistics> = rules.into_values().collect();
    rules.sort_by(|a, b| b.firing_seconds.cmp(&a.firing_seconds).then_with(|| a.name.cmp(&b.name)));
    AlertStatistics {
        fired: rules.iter().map(|rule| rule.fired).sum(),
        resolved: count(
            courses
                .values()
                .flatten()
                .filter(|change| change.from == TransitionState::Firing && change.to != TransitionState::Firing),
        ),
        still_firing: rules.iter().map(|rule| rule.still_firing).sum(),
        fired_day_before: before.map(|before| count(before.iter().filter(|change| begins_to_fire(change)))),
        rules,
    }
}

fn begins_to_fire(change: &Transition) -> bool {
    change.to == TransitionState::Firing && change.from != TransitionState::Firing
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

/// The stretches within the period in which the alert fired.
fn stretches(course: &[&Transition], period: TimeRange) -> Vec<TimeRange> {
    let mut stretches = Vec::new();
    let mut firing_since = course.first().filter(|change| change.from == TransitionState::Firing).map(|_| period.start);
    for change in course {
        match (firing_since, change.to) {
            (None, TransitionState::Firing) => firing_since = Some(change.at),
            (Some(since), TransitionState::Resolved | TransitionState::Inactive | TransitionState::Pending) => {
                stretches.push(TimeRange::new(since, change.at));
                firing_since = None;
            }
            (Some(_), TransitionState::Firing)
            | (None, TransitionState::Resolved | TransitionState::Inactive | TransitionState::Pending) => {}
        }
    }
    stretches.extend(firing_since.map(|since| TimeRange::new(since, period.end)));
    stretches
}

fn add(
    rules: &mut BTreeMap<(String, String), RuleStatistics>,
    labels: &Labels,
    stretches: &[TimeRange],
    fired: usize,
    period: TimeRange,
) {
    let fired = u64::try_from(fired).unwrap_or(u64::MAX);
    if stretches.is_empty() && fired == 0 {
        return;
    }
    let label = |name: &str| labels.get(name).unwrap_or("").to_owned();
    let (name, severity) = (label("alertname"), label("severity"));
    let rule = rules.entry((name.clone(), severity.clone())).or_insert_with(|| RuleStatistics {
        name,
        severity,
        ..RuleStatistics::default()
    });
    let seconds = |stretch: &TimeRange| stretch.end.since(stretch.start).as_secs();
    rule.fired += fired;
    rule.firing_seconds += stretches.iter().map(seconds).sum::<u64>();
    rule.longest_seconds = stretches.iter().map(seconds).fold(rule.longest_seconds, u64::max);
    rule.still_firing += count(stretches.iter().filter(|stretch| stretch.end == period.end));
}

#[cfg(test)]
mod tests {
    use TransitionState::{Firing, Inactive, Pending, Resolved};
    use alerting::rule::Reason;

    use super::*;

    fn labels(name: &str, instance: &str) -> Labels {
        Labels::from_pairs([("alertname", name), ("severity", "critical"), ("instance", instance)]).unwrap()
    }

    fn change(instance: &str, at: i64, from: TransitionState, to: TransitionState) -> Transition {
        Transition {
            labels: labels("cpu_usage", instance),
            annotations: BTreeMap::new(),
            value: 95.0,
            at: Timestamp::from_secs(at),
            active_at: Timestamp::from_secs(at),
            from,
            to,
            reason: Reason::Holds,
        }
    }

    fn period() -> TimeRange {
        TimeRange::new(Timestamp::from_secs(1000), Timestamp::from_secs(2000))
    }

    fn rule(changes: &[Transition], firing_now: &[FiringNow]) -> (u64, u64, u64, u64) {
        let statistics = of(changes, firing_now, None, period());
        statistics
            .rules
            .first()
            .map_or((0, 0, 0, 0), |rule| (rule.fired, rule.firing_seconds, rule.longest_seconds, rule.still_firing))
    }

    #[test]
    fn firing_time_is_counted_within_the_period() {
        let whole = [
            change("a", 1100, Inactive, Pending),
            change("a", 1200, Pending, Firing),
            change("a", 1500, Firing, Resolved),
        ];
        assert_eq!(rule(&whole, &[]), (1, 300, 300, 0));
        assert_eq!(rule(&[change("a", 1300, Firing, Resolved)], &[]), (0, 300, 300, 0));
        assert_eq!(rule(&[change("a", 1900, Pending, Firing)], &[]), (1, 100, 100, 1));
        assert_eq!(
            rule(&[change("a", 1100, Inactive, Pending), change("a", 1200, Pending, Inactive)], &[]),
            (0, 0, 0, 0)
        );
        let twice = [whole.to_vec(), vec![change("b", 1900, Pending, Firing)]].concat();
        assert_eq!(rule(&twice, &[]), (2, 400, 300, 1));
        assert_eq!(rule(&[change("a", 900, Pending, Firing), change("a", 2100, Firing, Resolved)], &[]), (0, 0, 0, 0));
    }

    #[test]
    fn an_alert_that_fired_all_day_changed_nothing_and_still_counts() {
        let since = |secs| FiringNow { labels: labels("cpu_usage", "a"), since: Timestamp::from_secs(secs) };
        assert_eq!(rule(&[], &[since(500)]), (0, 1000, 1000, 1));
        assert_eq!(rule(&[], &[since(2500)]), (0, 0, 0, 0));
        assert_eq!(rule(&[change("a", 1400, Pending, Firing)], &[since(1300)]), (1, 600, 600, 1));
    }

    #[test]
    fn the_day_before_is_compared() {
        let before = [change("a", 500, Pending, Firing), change("a", 600, Firing, Resolved)];
        let statistics = of(&[], &[], Some(&before), period());
        assert_eq!((statistics.fired, statistics.resolved, statistics.fired_day_before), (0, 0, Some(1)));
        assert_eq!(of(&[change("a", 1300, Firing, Resolved)], &[], None, period()).resolved, 1);
    }
}
