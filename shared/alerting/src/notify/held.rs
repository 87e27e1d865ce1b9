//! An alert as the notifications hold it, and how a message changes it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Alert;

/// What is known of one alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The alert as its messages add up.
    pub alert: Alert,
    /// Whether its end was assumed by us, because an outside sender named none.
    #[serde(default)]
    pub end_assumed: bool,
}

impl Held {
    /// An alert of our own rules, which ends only by a message that says so.
    pub const fn of_rule(alert: Alert) -> Self {
        Self { alert, end_assumed: false }
    }

    /// An alert of an outside sender, who may leave out when it starts (it started when it ends, or now) and when it
    /// ends (assumed to be after `resolve_timeout`).
    pub fn of_sender(
        labels: Labels,
        annotations: BTreeMap<String, String>,
        times: (Option<Timestamp>, Option<Timestamp>),
        generator_url: String,
        resolve_timeout: Duration,
        now: Timestamp,
    ) -> Self {
        let (starts_at, ends_at) = times;
        let alert = Alert {
            labels,
            annotations,
            starts_at: starts_at.or(ends_at).unwrap_or(now),
            ends_at: Some(ends_at.unwrap_or(now + resolve_timeout)),
            valid_until: None,
            sampled_at: None,
            generator_url,
            updated_at: now,
        };
        Self { alert, end_assumed: ends_at.is_none() }
    }

    /// What is known after another message about the same alert; which of the two came first does not matter.
    ///
    /// The younger one counts. Where their times overlap they are one occurrence: it started at the earlier start; when
    /// both have ended, the later end holds; when the younger has not ended, a later end of the older holds, unless it
    /// was only assumed (Alertmanager `alert/alert.go`).
    #[must_use]
    pub fn merge(self, other: Self, now: Timestamp) -> Self {
        let (older, mut younger) =
            if self.alert.updated_at <= other.alert.updated_at { (self, other) } else { (other, self) };
        if !overlap(&older.alert, &younger.alert) {
            return younger;
        }
        younger.alert.starts_at = younger.alert.starts_at.min(older.alert.starts_at);
        let sampled_at = [older.alert.sampled_at, younger.alert.sampled_at].into_iter().flatten().min();
        younger.alert.sampled_at = sampled_at;
        let older_resolved = older.alert.is_resolved(now);
        let older_end_counts =
            if younger.alert.is_resolved(now) { older_resolved } else { !older.end_assumed && !older_resolved };
        if older_end_counts && is_later(older.alert.ends_at, younger.alert.ends_at) {
            younger.alert.ends_at = older.alert.ends_at;
            younger.end_assumed = older.end_assumed;
        }
        younger
    }

    /// Whether two say the same to a person: all but when they were sent.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let timeless = |held: &Self| {
            let mut alert = held.alert.clone();
            alert.updated_at = Timestamp::default();
            alert.valid_until = None;
            (alert, held.end_assumed)
        };
        timeless(self) == timeless(other)
    }
}

/// What a message changes about an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The alert as it is now.
    pub held: Held,
    /// Whether it is new, or turned from firing to resolved or back, or is another occurrence.
    pub turned: bool,
    /// Whether there is anything new about it for a person.
    pub changed: bool,
}

impl Arrival {
    /// Adds a message to what is known.
    pub fn of(known: Option<&Held>, message: Held, now: Timestamp) -> Self {
        let Some(known) = known else {
            return Self { held: message, turned: true, changed: true };
        };
        let held = known.clone().merge(message, now);
        let turned =
            held.alert.is_resolved(now) != known.alert.is_resolved(now) || held.alert.starts_at > known.alert.starts_at;
        let changed = !held.says_the_same(known);
        Self { held, turned, changed }
    }
}

/// Whether two occurrences share a moment; one without an end lasts forever.
fn overlap(a: &Alert, b: &Alert) -> bool {
    let end = |alert: &Alert| alert.ends_at.unwrap_or(Timestamp::MAX);
    a.starts_at < end(b) && b.starts_at < end(a) || a.starts_at == b.starts_at
}

/// Whether an end is later than another; no end is the latest.
fn is_later(a: Option<Timestamp>, b: Option<Timestamp>) -> bool {
    a.unwrap_or(Timestamp::MAX) > b.unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// An alert from `start` to `end`, sent at `sent`.
    fn held(start: i64, end: Option<i64>, end_assumed: bool, sent: i64) -> Held {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "a")]).unwrap(),
            annotations: BTreeMap::from([("sent".to_owned(), sent.to_string())]),
            starts_at: secs(start),
            ends_at: end.map(secs),
            valid_until: None,
            sampled_at: None,
            generator_url: String::new(),
            updated_at: secs(sent),
        };
        Held { alert, end_assumed }
    }

    #[test]
    fn when_it_was_measured_outlives_messages_that_do_not_say_it() {
        let sampled = |start: i64, sent: i64, at: Option<i64>| {
            let mut held = held(start, None, false, sent);
            held.alert.sampled_at = at.map(secs);
            held
        };
        let cases = [
            (sampled(10, 10, Some(7)), sampled(10, 70, None), Some(7)),
            (sampled(10, 10, Some(7)), sampled(20, 70, Some(18)), Some(7)),
            (sampled(10, 10, None), sampled(10, 70, None), None),
        ];
        for (one, two, expected) in cases {
            for (first, second) in [(one.clone(), two.clone()), (two.clone(), one)] {
                assert_eq!(first.merge(second, secs(100)).alert.sampled_at, expected.map(secs));
            }
        }
        let mut over = sampled(10, 10, Some(7));
        over.alert.ends_at = Some(secs(20));
        let again = sampled(50, 50, None);
        assert_eq!(over.merge(again, secs(100)).alert.sampled_at, None, "another occurrence");
    }

    fn check(name: &str, one: Held, two: Held, start: i64, end: Option<i64>) {
        for (first, second) in [(one.clone(), two.clone()), (two.clone(), one)] {
            let merged = first.merge(second, secs(100));
            assert_eq!((merged.alert.starts_at, merged.alert.ends_at), (secs(start), end.map(secs)), "{name}");
            assert_eq!(merged.alert.annotations, two.alert.annotations, "{name}: the younger one's text");
        }
    }

    #[test]
    fn two_messages_add_up_whichever_comes_first() {
        // At 100: what was sent earlier, what was sent later, and what they make.
        check("a resolved ends our own", held(10, None, false, 20), held(10, Some(90), false, 90), 10, Some(90));
        check(
            "an older firing opens nothing again",
            held(10, None, false, 50),
            held(10, Some(90), false, 90),
            10,
            Some(90),
        );
        check("a new occurrence is a new one", held(10, Some(50), false, 90), held(80, None, false, 95), 80, None);
        check("the earlier start holds", held(10, Some(200), true, 20), held(30, Some(220), true, 40), 10, Some(220));
        check("both ended: the later end", held(10, Some(95), false, 20), held(10, Some(60), false, 99), 10, Some(95));
        check(
            "a later end that was named holds",
            held(10, Some(300), false, 20),
            held(10, Some(200), true, 40),
            10,
            Some(300),
        );
        check(
            "a later end that was assumed does not",
            held(10, Some(300), true, 20),
            held(10, Some(200), false, 40),
            10,
            Some(200),
        );
        check(
            "an end in time ends an assumed one",
            held(10, Some(300), true, 20),
            held(10, Some(60), false, 60),
            10,
            Some(60),
        );
    }

    #[test]
    fn a_senders_gaps_are_filled() {
        let read = |times| {
            Held::of_sender(Labels::empty(), BTreeMap::new(), times, String::new(), Duration::from_secs(300), secs(100))
        };
        let shape = |held: Held| (held.alert.starts_at, held.alert.ends_at, held.end_assumed);
        assert_eq!(shape(read((None, None))), (secs(100), Some(secs(400)), true));
        assert_eq!(shape(read((None, Some(secs(90))))), (secs(90), Some(secs(90)), false));
        assert_eq!(shape(read((Some(secs(50)), None))), (secs(50), Some(secs(400)), true));
        assert_eq!(shape(read((Some(secs(50)), Some(secs(60))))), (secs(50), Some(secs(60)), false));
    }

    #[test]
    fn when_it_was_sent_says_nothing_to_a_person() {
        let mut later = held(10, None, false, 20);
        later.alert.updated_at = secs(30);
        later.alert.valid_until = Some(secs(270));
        assert!(later.says_the_same(&held(10, None, false, 20)));
        assert!(!later.says_the_same(&held(11, None, false, 20)));
    }
}
