//! Random histories against a model small enough to be seen right, and the state as bytes.

use proptest::prelude::*;

use super::*;

const HOLD: i64 = 3;
const KEEP: i64 = 2;
const RETENTION: i64 = 15;

/// What a minute brings for one instance: the condition, or a failed expression.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Minute {
    True,
    False,
    Failed,
}

/// One alert by the book, in minutes.
#[derive(Debug, Default)]
struct Model {
    active_since: Option<i64>,
    fired: Option<i64>,
    kept_since: Option<i64>,
    resolved: Option<i64>,
    sent: Option<i64>,
}

impl Model {
    /// The `alertstate` and whether a message goes out, firing or resolved.
    fn minute(&mut self, now: i64, minute: Minute) -> (Option<&'static str>, Option<&'static str>) {
        if minute == Minute::Failed {
            return (None, None);
        }
        let holds = self.active_since.is_some() && self.resolved.is_none();
        match (minute == Minute::True, holds) {
            (true, true) => self.kept_since = None,
            (true, false) => *self = Self { active_since: Some(now), ..Self::default() },
            (false, true) if self.fired.is_none() => *self = Self::default(),
            (false, true) => {
                let kept_since = *self.kept_since.get_or_insert(now);
                if now - kept_since >= KEEP {
                    self.resolved = Some(now);
                }
            }
            (false, false) if self.resolved.is_some_and(|at| now - at > RETENTION) => *self = Self::default(),
            (false, false) => {}
        }
        let holds = self.active_since.is_some() && self.resolved.is_none();
        if holds && self.fired.is_none() && self.active_since.is_some_and(|since| now - since >= HOLD) {
            self.fired = Some(now);
        }
        let state = holds.then_some(if self.fired.is_some() { "firing" } else { "pending" });
        let ended_since = self.resolved.is_some_and(|at| self.sent.is_some_and(|sent| at > sent));
        let due = self.fired.is_some() && self.sent.is_none_or(|sent| sent + 1 < now);
        if !ended_since && !due {
            return (state, None);
        }
        self.sent = Some(now);
        (state, Some(if self.resolved.is_some() { "resolved" } else { "firing" }))
    }
}

pub(super) fn moment<'a>(now: i64, external_labels: &'a BTreeMap<String, String>) -> Moment<'a> {
    Moment {
        slot: minute(now),
        last_slot: (now > 0).then(|| minute(now - 1)),
        query_offset: Duration::ZERO,
        interval: Duration::from_secs(60),
        resend_delay: Duration::from_secs(60),
        limit: None,
        limit_max: 100,
        external_url: "",
        external_labels,
        query: &|_| Ok(Vec::new()),
        known: &|| None,
        recovered: &|| Ok(RuleVector::default()),
    }
}

fn find<'a>(alerts: &'a [Alert], instance: &str) -> Option<&'a Alert> {
    alerts.iter().find(|alert| alert.labels.get("instance") == Some(instance))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_histories_end_where_the_model_ends(
        history in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..12_u8), 0..30)
    ) {
        let rule = rule("alert: x, expr: e, for: 3m, keep_firing_for: 2m, annotations: { a: '{{ $value }}' }");
        let external_labels = BTreeMap::new();
        let mut state = RuleState::default();
        let mut models = [("a", Model::default()), ("b", Model::default())];
        let mut written: Vec<Labels> = Vec::new();
        // Runs of equal minutes, so that alerts have time to fire.
        let minutes = history.iter().flat_map(|&(a, b, run)| std::iter::repeat_n((a, b, run), usize::from(run)));
        for (now, (a, b, run)) in (0..).zip(minutes) {
            let failed = run == 1;
            let present = [("a", a), ("b", b)];
            let vector = present.iter().filter(|(_, on)| *on).map(|(name, _)| (labels(&[("instance", name)]), 1.0));
            let result = if failed { Err("failed".to_owned()) } else { Ok(vector.collect()) };
            let outcome = step(&rule, state, result, &moment(now, &external_labels));
            prop_assert_eq!(outcome.error.is_some(), failed);
            for ((name, model), (_, on)) in models.iter_mut().zip(present) {
                let minute = if failed { Minute::Failed } else if on { Minute::True } else { Minute::False };
                let (expected_state, expected_message) = model.minute(now, minute);
                let series = outcome.samples.iter().find(|(labels, sample)| {
                    labels.metric_name() == "ALERTS" && labels.get("instance") == Some(name) && !is_stale(sample.value)
                });
                prop_assert_eq!(series.and_then(|(labels, _)| labels.get("alertstate")), expected_state, "{} at {}", name, now);
                let message = find(&outcome.alerts, name).map(|alert| if alert.ends_at.is_some() { "resolved" } else { "firing" });
                prop_assert_eq!(message, expected_message, "{} at {}", name, now);
            }
            if !failed {
                // Every series that was written goes on or gets its marker, once.
                let now_written = |labels: &Labels| outcome.samples.iter().filter(|(other, _)| other == labels).count();
                prop_assert!(written.iter().all(|labels| now_written(labels) == 1));
                written = outcome.samples.iter().filter(|(_, s)| !is_stale(s.value)).map(|(l, _)| l.clone()).collect();
            }
            state = outcome.state;
            let group = GroupState { slot: Some(minute(now)), rules: BTreeMap::from([("x".to_owned(), state.clone())]) };
            prop_assert_eq!(GroupState::decode(&group.encode()), Ok(group));
        }
    }

    #[test]
    fn bytes_that_are_no_state_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut versioned = vec![3];
        versioned.extend_from_slice(&bytes);
        if let Ok(state) = GroupState::decode(&versioned) {
            prop_assert_eq!(GroupState::decode(&state.encode()), Ok(state));
        }
    }
}

fn full_state() -> GroupState {
    let annotations = BTreeMap::from([("summary".to_owned(), "見張り".to_owned())]);
    let alert =
        |phase| Active { annotations: annotations.clone(), value: 95.5, active_at: minute(-3), history: 5, phase };
    let phases = [
        Phase::Pending,
        Phase::Firing { since: minute(1), last_sent: None, kept_since: Some(minute(2)), unknown_since: None },
        Phase::Resolved { since: minute(1), at: minute(2), last_sent: Some(minute(2)) },
    ];
    let set = |number: usize| labels(&[("alertname", "x"), ("n", &number.to_string())]);
    let rule = RuleState {
        expr: "up == 0".to_owned(),
        active: (0..).map(set).zip(phases.map(alert)).collect(),
        withdrawn: BTreeMap::from([(
            set(9),
            Withdrawn { annotations: annotations.clone(), since: minute(1), at: minute(2), last_sent: None },
        )]),
        windows: BTreeMap::from([(set(7), Window { held: 5, known: 7 })]),
        series: [set(1), set(2)].into_iter().collect(),
        last_run: Some(LastRun { at: minute(5), error: Some("no answer".to_owned()), duration_seconds: 0.25 }),
    };
    GroupState { slot: Some(minute(5)), rules: BTreeMap::from([("alert x{}".to_owned(), rule)]) }
}

#[test]
fn the_state_reads_back_and_is_compact() {
    let state = full_state();
    let bytes = state.encode();
    assert_eq!(GroupState::decode(&bytes), Ok(state));
    assert!(bytes.len() < 240, "{} bytes", bytes.len());
    for end in 0..bytes.len() {
        assert!(GroupState::decode(&bytes[..end]).is_err(), "{end} bytes");
    }
    let mut newer = bytes;
    newer[0] = 4;
    assert_eq!(GroupState::decode(&newer), Err(StateError::Version { found: 4, known: 3 }));
}

#[test]
fn states_of_older_versions_are_still_read() {
    let of_version_1 = "010609616c65727420787b7d077570203d3d203009616c6572746e616d6501780161016201c0cf24010001010102030104050000000000e05740bffc1501c0a907000180d30e000101020300";
    let of_version_2 = "020609616c65727420787b7d077570203d3d203009616c6572746e616d6501780161016201c0cf24010001010102030104050000000000e05740bffc150501c0a907000180d30e000101020300";
    for (history, text) in [(0, of_version_1), (5, of_version_2)] {
        let bytes: Vec<u8> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
        let phase =
            Phase::Firing { since: minute(1), last_sent: None, kept_since: Some(minute(2)), unknown_since: None };
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let alert = Active { annotations, value: 95.5, active_at: minute(-3), history, phase };
        let set = labels(&[("alertname", "x")]);
        let rule = RuleState {
            expr: "up == 0".to_owned(),
            active: BTreeMap::from([(set.clone(), alert)]),
            series: [set].into_iter().collect(),
            ..RuleState::default()
        };
        let rules = BTreeMap::from([("alert x{}".to_owned(), rule)]);
        assert_eq!(GroupState::decode(&bytes), Ok(GroupState { slot: Some(minute(5)), rules }));
    }
}

#[test]
fn values_survive_bit_by_bit() {
    let mut state = full_state();
    let odd = f64::from_bits(0x7ff8_dead_beef_0001);
    for alert in state.rules.values_mut().flat_map(|rule| rule.active.values_mut()) {
        alert.value = odd;
    }
    let again = GroupState::decode(&state.encode()).unwrap();
    let values = again.rules.values().flat_map(|rule| rule.active.values()).map(|alert| alert.value.to_bits());
    assert!(values.eq([odd.to_bits(); 3]));
}
