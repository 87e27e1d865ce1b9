use proptest::prelude::*;

use super::*;

/// 2026-11-01, and a month of 30 days from there.
const MONTH: Timestamp = Timestamp::from_secs(1_793_491_200);
const MINUTE: Duration = Duration::from_secs(60);

fn config(entries: &str) -> CloudWatchConfig {
    CloudWatchConfig::parse("cloudwatch.yml", &format!("namespaces:\n{entries}")).unwrap()
}

fn mark(until: Option<Timestamp>, questions: u64) -> Mark {
    Mark { until_ms: until.map(Timestamp::as_millis), questions, ..Mark::default() }
}

/// A board on which every unit has this mark.
fn board(config: &CloudWatchConfig, mark: Mark) -> Board {
    let units = units(config, "r").into_iter().map(|unit| (unit.name, mark)).collect();
    Board { month: 202_611, asked: 0, units }
}

/// The namespaces that are due, each with the end of its last complete period as minutes of the month.
fn due(board: &Board, config: &CloudWatchConfig, now: Timestamp) -> Vec<(String, i64)> {
    let due = board.due(units(config, "r"), config.budget_dollars, now);
    due.iter().map(|due| (due.unit.entry.namespace.clone(), due.complete.minute() - MONTH.minute())).collect()
}

#[test]
fn an_entry_is_a_unit_in_each_region() {
    let config =
        config("- { namespace: A, regions: [a-b-1, a-c-1] }\n- { namespace: A }\n- { namespace: A, every: 1h }\n");
    let units = units(&config, "home-region-1");
    let regions: Vec<&str> = units.iter().map(|unit| unit.region).collect();
    assert_eq!(regions, ["a-b-1", "a-c-1", "home-region-1"], "how often is not what: the last one asks the same");
    let linked = CloudWatchConfig { linked_accounts: true, ..config.clone() };
    assert_ne!(super::units(&linked, "home-region-1")[2].name, units[2].name);
}

#[test]
fn only_complete_periods_are_due() {
    let config = config("- { namespace: A, period: 5m, delay: 3m }\n");
    let at = |minutes: u32| MONTH + minutes * MINUTE;
    let never = board(&config, mark(None, 0));
    assert_eq!(due(&never, &config, at(62)), [("A".to_owned(), 55)]);
    let board = board(&config, mark(Some(at(55)), 1));
    for (minute, expected) in [(62, None), (63, Some(60)), (67, Some(60)), (68, Some(65)), (200, Some(195))] {
        let expected: Vec<(String, i64)> = expected.map(|end| ("A".to_owned(), end)).into_iter().collect();
        assert_eq!(due(&board, &config, at(minute)), expected, "minute {minute}");
    }
}

#[test]
fn an_interval_over_the_period_waits_for_several() {
    let config = config("- { namespace: A, period: 1m, every: 15m, delay: 2m }\n");
    let at = |minutes: u32| MONTH + minutes * MINUTE;
    let board = board(&config, mark(Some(at(100)), 1));
    let first = (101..130).find(|minute| !due(&board, &config, at(*minute)).is_empty());
    assert_eq!(first, Some(117));
}

#[test]
fn what_is_claimed_or_failed_waits_and_what_waits_longest_comes_first() {
    let config = config("- { namespace: A }\n- { namespace: B }\n- { namespace: C }\n");
    let now = MONTH + 100 * MINUTE;
    let mut board = board(&config, mark(Some(MONTH), 1));
    let all: Vec<String> = board.units.keys().cloned().collect();
    board.units.get_mut(&all[1]).unwrap().until_ms = Some((MONTH - MINUTE).as_millis());
    assert_eq!(due(&board, &config, now).iter().map(|due| due.0.as_str()).collect::<Vec<_>>(), ["B", "A", "C"]);
    let taken = board.due(units(&config, "r"), 10.0, now);
    board.claim(&taken[..1], &all, now);
    assert_eq!(board.asked, 2, "a question and a page of the listing");
    assert_eq!(due(&board, &config, now + 4 * MINUTE).len(), 2);
    assert_eq!(due(&board, &config, now + 5 * MINUTE).len(), 3, "whoever claimed it has died");
    board.claim(&[], &all[..2], now);
    assert_eq!(board.units.len(), 2, "what is configured no more is forgotten");
}

#[test]
fn failures_wait_twice_as_long_each_time_up_to_an_hour() {
    let waits: Vec<u64> = (1..9).map(|failures| backoff(failures).as_secs() / 60).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
}

#[test]
fn a_short_budget_stretches_the_intervals() {
    let config = config("- { namespace: A, period: 1m, delay: 1m }\n");
    // A question a minute is 43,200 in a month of 30 days: 43 cents.
    let board = board(&config, mark(Some(MONTH - 2000 * MINUTE), 1));
    for (dollars, minutes) in [(1.0, 1), (0.433, 1), (0.431, 2), (0.3, 2), (0.1, 5), (0.01441, 30), (0.000401, 1080)] {
        let every = board.due(units(&config, "r"), dollars, MONTH).first().map(|due| due.every);
        assert_eq!(every, Some(minutes * MINUTE), "{dollars} dollars");
    }
    assert_eq!(due(&board, &CloudWatchConfig { budget_dollars: 0.0, ..config }, MONTH), []);
}

#[test]
fn a_new_month_has_a_new_budget() {
    let config = CloudWatchConfig { budget_dollars: 0.001, ..config("- { namespace: A }\n") };
    let mut board = board(&config, mark(Some(MONTH), 30));
    let last = month_end(MONTH) - MINUTE;
    board.count(80, last);
    assert_eq!(board.left(0.001, last), 20);
    assert_eq!(due(&board, &config, last), []);
    assert_eq!(board.left(0.001, last + MINUTE), 100);
    board.count(7, last + MINUTE);
    assert_eq!((board.month, board.asked), (202_612, 7));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is configured, a month of rounds never costs more than the budget, and the whole month is covered.
    #[test]
    fn a_month_stays_within_its_budget(
        questions in proptest::collection::vec(1_u64..3000, 1..4),
        every in proptest::collection::vec(1_u32..60, 3),
        cents in 1_u32..2000,
    ) {
        let entries: String = (0..questions.len())
            .map(|index| format!("- {{ namespace: N{index}, period: 1m, delay: 1m, every: {}m }}\n", every[index]))
            .collect();
        let config = CloudWatchConfig { budget_dollars: f64::from(cents) / 100.0, ..config(&entries) };
        let mut board = board(&config, mark(Some(MONTH), 0));
        for (mark, questions) in board.units.values_mut().zip(&questions) {
            mark.questions = *questions;
        }
        let all: Vec<String> = board.units.keys().cloned().collect();
        let (end, budget) = (month_end(MONTH), whole(config.budget_dollars / DOLLARS_A_QUESTION));
        let one_round: u64 = questions.iter().sum();
        let mut now = MONTH;
        while now < end {
            let taken = board.due(units(&config, "r"), config.budget_dollars, now);
            board.claim(&taken, &all, now);
            for due in taken {
                let mark = board.units.get_mut(&due.unit.name).unwrap();
                (mark.until_ms, mark.not_before_ms) = (Some(due.complete.as_millis()), 0);
            }
            prop_assert!(board.asked <= budget);
            now = now + 7 * MINUTE;
        }
        // Half of the money is not simply left over while intervals are stretched. A round here is each seventh minute, so
        // an interval that was not stretched is the next multiple of seven.
        let rounds = |every: u32| u64::from(43_200 / (7 * every.div_ceil(7)));
        let wanted: u64 = questions.iter().zip(&every).map(|(questions, every)| questions * rounds(*every)).sum();
        if wanted > 2 * budget && budget > 60 * one_round {
            prop_assert!(board.asked * 2 > budget, "{} of {budget}", board.asked);
        }
    }
}
