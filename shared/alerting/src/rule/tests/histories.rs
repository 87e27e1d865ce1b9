//! Random histories of one alert against the book: every way a rule can be written, with failed evaluations, lost ticks,
//! outages, data that come and go, and ticks that run twice.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Histories that always run, however others are drawn.
const SEEDS: [u8; 4] = [1, 2, 3, 4];
const RETENTION: i64 = 15;
const GRACE: i64 = 10;
const OUTAGE: i64 = 5;

/// What a rule says, in minutes.
#[derive(Clone, Copy, Debug)]
struct Book {
    hold: i64,
    keep: i64,
    recovers: bool,
    missing: Option<Missing>,
    /// So many evaluations of so many must hold.
    points: Option<(usize, usize)>,
}

/// What a minute brings.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Breach,
    /// Not breaching, and not recovered where a rule asks for that.
    Between,
    Recovered,
    Missing,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stand {
    #[default]
    None,
    Pending {
        since: i64,
    },
    Firing {
        kept: Option<i64>,
    },
    Resolved {
        at: i64,
    },
}

#[derive(Debug, Default)]
struct Model {
    stand: Stand,
    sent: Option<i64>,
    last: Option<i64>,
    /// Whether the condition held at the newest evaluations, the newest first; none where there was no point.
    points: Vec<Option<bool>>,
}

/// What the points say, all in all.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Holds,
    HeldOfLate,
    HoldsNot,
    /// Nothing: everything stays as it is.
    Nothing,
}

/// What can be seen of an evaluation: `alertstate`, the message, why the alert ended.
type Seen = (Option<&'static str>, Option<&'static str>, Option<Reason>);

impl Model {
    fn minute(&mut self, book: Book, now: i64, point: Point) -> Seen {
        let down = self.last.replace(now).filter(|last| now - last > OUTAGE);
        if point == Point::Failed {
            return (None, None, None);
        }
        let says = self.hear(book, point);
        let starts = point == Point::Breach || (book.missing.is_some() && says == Says::Holds);
        let mut ended = None;
        self.stand = match (self.stand, says) {
            (Stand::None | Stand::Resolved { .. }, _) if starts => {
                self.sent = None;
                let fires = book.hold == 0 && says == Says::Holds;
                if fires { Stand::Firing { kept: None } } else { Stand::Pending { since: now } }
            }
            (Stand::Resolved { at }, _) if now - at > RETENTION && self.sent.is_some_and(|sent| sent > at) => {
                Stand::None
            }
            (Stand::Pending { since }, Says::Holds | Says::HeldOfLate) => match down {
                Some(down) => Stand::Pending { since: restored(book, since, down, now) },
                None if says == Says::Holds && now - since >= book.hold => Stand::Firing { kept: None },
                None => Stand::Pending { since },
            },
            (Stand::Pending { .. }, Says::HoldsNot) => Stand::None,
            (Stand::Firing { .. }, Says::Holds) => Stand::Firing { kept: None },
            (Stand::Firing { kept }, Says::HeldOfLate | Says::HoldsNot) => {
                let forgiven = point == Point::Missing && book.missing == Some(Missing::Ok);
                let kept = kept.unwrap_or(now);
                if book.recovers && point != Point::Recovered && !forgiven {
                    Stand::Firing { kept: None }
                } else if now - kept < book.keep {
                    Stand::Firing { kept: Some(kept) }
                } else {
                    ended = Some(if point == Point::Missing { Reason::Vanished } else { Reason::Recovered });
                    Stand::Resolved { at: now }
                }
            }
            (stand, _) => stand,
        };
        let state = match self.stand {
            Stand::Pending { .. } => Some("pending"),
            Stand::Firing { .. } => Some("firing"),
            Stand::None | Stand::Resolved { .. } => None,
        };
        let is_due = self.sent.is_none_or(|sent| sent + 1 < now);
        let message = match self.stand {
            Stand::Firing { .. } if is_due => Some("firing"),
            Stand::Resolved { at } if is_due || self.sent.is_some_and(|sent| at > sent) => Some("resolved"),
            Stand::None | Stand::Pending { .. } | Stand::Firing { .. } | Stand::Resolved { .. } => None,
        };
        if message.is_some() {
            self.sent = Some(now);
        }
        (state, message, ended)
    }

    /// Takes in a point, and says what the newest ones amount to.
    fn hear(&mut self, book: Book, point: Point) -> Says {
        let (least, of) = book.points.unwrap_or((1, 1));
        let is_remembered = self.stand != Stand::None;
        let holds_already = matches!(self.stand, Stand::Pending { .. } | Stand::Firing { .. });
        let Some(missing) = book.missing else {
            // Without a word about missing data, no data is no breach; what no alert stands for is forgotten.
            if !is_remembered {
                self.points.clear();
            }
            self.points.insert(0, Some(point == Point::Breach));
            self.points.truncate(of);
            let breaching = self.points.iter().filter(|point| **point == Some(true)).count();
            return match breaching {
                0 => Says::HoldsNot,
                breaching if breaching >= least => Says::Holds,
                _ => Says::HeldOfLate,
            };
        };
        let range = book.points.map_or(1, |(_, of)| of + 2);
        if self.points.is_empty() {
            if point == Point::Missing {
                return Says::HoldsNot; // Nobody ever heard of it.
            }
            self.points = vec![Some(false); range];
        }
        self.points.insert(0, (point != Point::Missing).then_some(point == Point::Breach));
        self.points.truncate(range);
        let says = cloudwatch(&self.points, (least, of), missing);
        if self.points.iter().all(Option::is_none) && !holds_already && says != Says::Holds {
            self.points.clear();
        }
        says
    }
}

/// CloudWatch's table: so many of the newest real points, and no more made-up ones than are needed.
fn cloudwatch(newest_first: &[Option<bool>], (least, of): (usize, usize), missing: Missing) -> Says {
    let real: Vec<bool> = newest_first.iter().flatten().copied().take(of).collect();
    let breaching = real.iter().filter(|breach| **breach).count();
    let oldest_breach = newest_first.iter().rposition(|point| *point == Some(true));
    let settled = |filled: usize| match breaching + filled {
        sum if sum >= least => Says::Holds,
        _ if breaching > 0 => Says::HeldOfLate,
        _ => Says::HoldsNot,
    };
    let (gaps, is_mixed) = (of - real.len(), breaching < real.len());
    match missing {
        Missing::Alert => settled(gaps),
        Missing::Ok => settled(0),
        Missing::Keep | Missing::Unknown if gaps == 0 || is_mixed || breaching >= least => settled(0),
        Missing::Unknown if oldest_breach.is_some_and(|place| place + 1 >= least) => Says::Holds,
        Missing::Keep | Missing::Unknown => Says::Nothing,
    }
}

/// Since when a pending alert counts after an outage that began after a minute.
fn restored(book: Book, since: i64, down: i64, now: i64) -> i64 {
    let left = book.hold - (down - since);
    if book.hold < GRACE || now - down > 60 {
        now
    } else if left <= 0 {
        since
    } else if left < GRACE {
        now + GRACE - book.hold
    } else {
        since + (now - down)
    }
}

impl Book {
    fn rule(self) -> Rule {
        let mut annotations = vec!["a: '{{ $value }}'".to_owned()];
        annotations.extend(self.recovers.then(|| "mihari/recover_expr: r".to_owned()));
        annotations.extend(self.missing.map(|missing| format!("mihari/missing: {missing:?}").to_lowercase()));
        annotations.extend(self.points.map(|(least, of)| format!("mihari/datapoints: '{least}/{of}'")));
        let Self { hold, keep, .. } = self;
        let annotations = annotations.join(", ");
        rule(&format!("alert: x, expr: e, for: {hold}m, keep_firing_for: {keep}m, annotations: {{ {annotations} }}"))
    }
}

fn evaluate(rule: &Rule, state: RuleState, (last, now): (Option<i64>, i64), point: Point) -> Outcome {
    let vector =
        |is_there: bool| -> RuleVector { is_there.then(|| (labels(&[("instance", "i")]), 1.0)).into_iter().collect() };
    let known = || Some(Ok(vector(point != Point::Missing)));
    let recovered = || Ok(vector(point == Point::Recovered));
    let external_labels = BTreeMap::new();
    let moment = Moment {
        slot: minute(now),
        last_slot: last.map(minute),
        query_offset: Duration::ZERO,
        interval: Duration::from_secs(60),
        resend_delay: Duration::from_secs(60),
        limit: None,
        limit_max: 100,
        external_url: "",
        external_labels: &external_labels,
        query: &|_| Ok(Vec::new()),
        known: &known,
        recovered: &recovered,
    };
    let result = if point == Point::Failed { Err("failed".to_owned()) } else { Ok(vector(point == Point::Breach)) };
    step(rule, state, result, &moment)
}

fn seen(outcome: &Outcome) -> Seen {
    let mut states =
        outcome.samples.iter().filter(|(labels, sample)| labels.metric_name() == "ALERTS" && !is_stale(sample.value));
    let state = states.next_back().and_then(|(labels, _)| labels.get("alertstate")).map(|state| match state {
        "firing" => "firing",
        _ => "pending",
    });
    let message = outcome.alerts.first().map(|alert| if alert.ends_at.is_some() { "resolved" } else { "firing" });
    let ended = outcome.transitions.iter().find(|change| change.to == TransitionState::Resolved);
    (state, message, ended.map(|change| change.reason))
}

/// The state as it is stored: values may be NaN, which is not equal to itself.
fn group(outcome: &Outcome, now: i64) -> Vec<u8> {
    GroupState { slot: Some(minute(now)), rules: BTreeMap::from([("x".to_owned(), outcome.state.clone())]) }.encode()
}

fn books() -> impl Strategy<Value = Book> {
    let missing = [None, Some(Missing::Keep), Some(Missing::Alert), Some(Missing::Ok), Some(Missing::Unknown)];
    let parts = (
        proptest::sample::select(vec![0, 3, 20]),
        proptest::sample::select(vec![0, 2]),
        any::<bool>(),
        proptest::sample::select(missing.to_vec()),
        proptest::sample::select(vec![None, None, Some((1, 1)), Some((2, 3)), Some((3, 3)), Some((3, 5))]),
    );
    parts.prop_map(|(hold, keep, recovers, missing, points)| Book { hold, keep, recovers, missing, points })
}

/// Points, for how many minutes each comes, and how many ticks are lost before the first of them.
fn history() -> impl Strategy<Value = Vec<(Point, i64, i64)>> {
    use Point::{Between, Breach, Failed, Missing, Recovered};
    let points = vec![Breach, Breach, Breach, Between, Recovered, Missing, Missing, Failed];
    let lost = vec![0, 0, 0, 0, 1, 4, 5, 12, 70];
    let minutes = prop_oneof![1..3_i64, 1..14_i64];
    proptest::collection::vec((proptest::sample::select(points), minutes, proptest::sample::select(lost)), 0..24)
}

fn check(book: Book, history: Vec<(Point, i64, i64)>) -> Result<(), TestCaseError> {
    let rule = book.rule();
    let (mut state, mut model, mut now) = (RuleState::default(), Model::default(), 0);
    for (point, minutes, lost) in history {
        now += lost;
        for _ in 0..minutes {
            now += 1;
            let last = model.last;
            let outcome = evaluate(&rule, state.clone(), (last, now), point);
            // A tick that died and comes again decides the same.
            let again = evaluate(&rule, state, (last, now), point);
            prop_assert_eq!((seen(&again), group(&again, now)), (seen(&outcome), group(&outcome, now)));
            prop_assert_eq!(seen(&outcome), model.minute(book, now, point), "{:?} {:?} at {}", book, point, now);
            let bytes = group(&outcome, now);
            prop_assert_eq!(GroupState::decode(&bytes).unwrap().encode(), bytes);
            state = outcome.state;
        }
    }
    // Whatever happened, a rule that is gone takes everything back.
    for _ in 0..40 {
        now += 1;
        let external_labels = BTreeMap::new();
        let moment = reference::moment(now, &external_labels);
        state = retire(state, &moment).state;
    }
    prop_assert!(state.is_settled(), "{:?}", state);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_alert_goes_the_way_of_the_book(book in books(), history in history()) {
        check(book, history)?;
    }
}

#[test]
fn an_alert_goes_the_way_of_the_book_in_histories_that_always_run() {
    for seed in SEEDS {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
        let result = TestRunner::new_with_rng(config, rng).run(&(books(), history()), |(book, past)| check(book, past));
        result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
