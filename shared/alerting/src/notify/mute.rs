//! What keeps an alert from being announced: silences, which people make, and other alerts that fire.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{Labels, MatchOp, Matcher, Timestamp, matches_all};
use serde::{Deserialize, Serialize};

use super::held::Held;
use crate::Fingerprint;

/// Why an alert is muted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mute {
    /// By another alert that fires.
    Inhibited {
        /// The alert that mutes it.
        by: Fingerprint,
    },
    /// By the calendars of its route.
    OutOfHours {
        /// Those that mute it, or all of which none is active.
        by: Vec<String>,
    },
    /// By a person.
    Silenced {
        /// The silence.
        by: String,
    },
}

impl fmt::Display for Mute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inhibited { by } => write!(f, "inhibited by alert {by}"),
            Self::OutOfHours { by } => write!(f, "muted by time interval {}", by.join(", ")),
            Self::Silenced { by } => write!(f, "silenced by {by}"),
        }
    }
}

/// Alerts that fulfil `target` are muted while another one fires that fulfils `source` and has equal values in `equal`.
#[derive(Clone, Debug)]
pub struct InhibitRule {
    /// What mutes.
    pub source: Vec<Matcher>,
    /// What is muted.
    pub target: Vec<Matcher>,
    /// Labels that must be equal in both; a missing label is an empty one.
    pub equal: Vec<String>,
}

/// All inhibition of one moment: the rules with the alerts that fire.
#[derive(Debug)]
pub struct Inhibitor<'a> {
    rules: Vec<(&'a InhibitRule, Sources<'a>)>,
}

/// The alerts that mute by one rule, by their values of the rule's equal labels.
type Sources<'a> = BTreeMap<Vec<&'a str>, Vec<Source>>;

#[derive(Debug)]
struct Source {
    fingerprint: Fingerprint,
    /// Whether it fulfils the target's matchers, too.
    is_target: bool,
}

impl<'a> Inhibitor<'a> {
    /// Finds what mutes among all alerts of a tenant. Silenced and muted alerts mute others all the same.
    pub fn new(rules: &'a [InhibitRule], alerts: &'a BTreeMap<Fingerprint, Held>, now: Timestamp) -> Self {
        let firing = || alerts.iter().filter(|(_, held)| !held.alert.is_resolved(now));
        let sources_of = |rule: &'a InhibitRule| {
            let mut sources = Sources::new();
            for (&fingerprint, held) in
                firing().filter(|(_, held)| matches_all(&rule.source, held.alert.labels.as_ref()))
            {
                let is_target = matches_all(&rule.target, held.alert.labels.as_ref());
                sources.entry(rule.values(&held.alert.labels)).or_default().push(Source { fingerprint, is_target });
            }
            (rule, sources)
        };
        Self { rules: rules.iter().map(sources_of).collect() }
    }

    /// The alert that mutes another one, if any does. Where a target is a source of the same rule, sources that are
    /// targets as well do not count: nothing mutes itself, and no two mute each other.
    pub fn source_of(&self, labels: &Labels) -> Option<Fingerprint> {
        self.rules.iter().find_map(|(rule, sources)| {
            if !matches_all(&rule.target, labels.as_ref()) {
                return None;
            }
            let is_source = matches_all(&rule.source, labels.as_ref());
            let candidates = sources.get(&rule.values(labels))?;
            candidates.iter().find(|source| !(is_source && source.is_target)).map(|source| source.fingerprint)
        })
    }
}

impl InhibitRule {
    fn values<'a>(&self, labels: &'a Labels) -> Vec<&'a str> {
        self.equal.iter().map(|name| labels.get(name).unwrap_or("")).collect()
    }
}

/// Mutes matching alerts for a time, made by a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its identity.
    pub id: String,
    /// Which alerts: all matchers must hold.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Further texts about it.
    pub annotations: BTreeMap<String, String>,
}

/// Where a silence stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceState {
    /// It has not begun.
    Pending,
    /// It mutes.
    Active,
    /// It is over.
    Expired,
}

/// Why a silence was refused, or could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// Without an end after its start it would mute nothing.
    #[error("a silence must end after it starts")]
    EndsBeforeStart,
    /// It would mute alerts by what they lack.
    #[error("a silence needs a matcher that does not match the empty value")]
    MatchesEverything,
    /// Stored bytes that are no silence.
    #[error("stored silence cannot be read: {reason}")]
    Unreadable {
        /// What the reader said.
        reason: String,
    },
}

impl Silence {
    /// Checks what a person wrote.
    ///
    /// # Errors
    /// When it ends before it starts, or has no matcher that needs a value.
    pub fn check(&self) -> Result<(), SilenceError> {
        if self.ends_at <= self.starts_at {
            return Err(SilenceError::EndsBeforeStart);
        }
        // As upstream: a matcher that excludes values is taken for one that needs some.
        let needs_value = |matcher: &Matcher| {
            !matcher.matches_empty() || matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex)
        };
        if !self.matchers.iter().any(needs_value) {
            return Err(SilenceError::MatchesEverything);
        }
        Ok(())
    }

    /// Whether this one may take the place of another one under the same id: it mutes the same, and does not change
    /// what was in force before `now`.
    pub fn may_replace(&self, known: &Self, now: Timestamp) -> bool {
        let texts = |silence: &Self| silence.matchers.iter().map(stored_matcher).collect::<Vec<_>>();
        let second = |time: Timestamp| time.as_millis().div_euclid(1000);
        texts(self) == texts(known)
            && match known.state(now) {
                SilenceState::Active => second(self.starts_at) == second(known.starts_at) && self.ends_at >= now,
                SilenceState::Pending => self.starts_at >= now,
                SilenceState::Expired => false,
            }
    }

    /// The silence as it is when somebody ends it now; what has not begun never will have.
    #[must_use]
    pub fn expired(mut self, now: Timestamp) -> Self {
        if self.state(now) == SilenceState::Pending {
            self.starts_at = now;
        }
        if self.state(now) != SilenceState::Expired {
            self.ends_at = now;
            self.updated_at = now;
        }
        self
    }

    /// Where it stands.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        match (self.starts_at <= now, now < self.ends_at) {
            (false, _) => SilenceState::Pending,
            (true, true) => SilenceState::Active,
            (true, false) => SilenceState::Expired,
        }
    }

    /// Whether it mutes an alert now.
    pub fn mutes(&self, labels: &Labels, now: Timestamp) -> bool {
        self.state(now) == SilenceState::Active && matches_all(&self.matchers, labels.as_ref())
    }

    /// The stored form: a version byte and JSON.
    pub fn encode(&self) -> Vec<u8> {
        let stored = StoredSilence {
            id: self.id.clone(),
            matchers: self.matchers.iter().map(stored_matcher).collect(),
            starts_at: self.starts_at.as_millis(),
            ends_at: self.ends_at.as_millis(),
            updated_at: self.updated_at.as_millis(),
            created_by: self.created_by.clone(),
            comment: self.comment.clone(),
            annotations: self.annotations.clone(),
        };
        let mut bytes = vec![SILENCE_VERSION];
        serde_json::to_writer(&mut bytes, &stored).expect("texts and numbers become JSON");
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are of another version or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, SilenceError> {
        let unreadable = |reason: String| SilenceError::Unreadable { reason };
        let Some((&SILENCE_VERSION, json)) = bytes.split_first() else {
            return Err(unreadable("unknown format version".to_owned()));
        };
        let stored: StoredSilence = serde_json::from_slice(json).map_err(|error| unreadable(error.to_string()))?;
        let matchers = stored.matchers.iter().map(read_matcher).collect::<Option<Vec<Matcher>>>();
        Ok(Self {
            id: stored.id,
            matchers: matchers.ok_or_else(|| unreadable("a matcher is none".to_owned()))?,
            starts_at: Timestamp::from_millis(stored.starts_at),
            ends_at: Timestamp::from_millis(stored.ends_at),
            updated_at: Timestamp::from_millis(stored.updated_at),
            created_by: stored.created_by,
            comment: stored.comment,
            annotations: stored.annotations,
        })
    }
}

const SILENCE_VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct StoredSilence {
    id: String,
    /// Name, operator, value.
    matchers: Vec<(String, String, String)>,
    starts_at: i64,
    ends_at: i64,
    updated_at: i64,
    created_by: String,
    comment: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

fn stored_matcher(matcher: &Matcher) -> (String, String, String) {
    (matcher.name().to_owned(), matcher.op().as_str().to_owned(), matcher.value().to_owned())
}

fn read_matcher((name, op, value): &(String, String, String)) -> Option<Matcher> {
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let op = ops.into_iter().find(|candidate| candidate.as_str() == op)?;
    Matcher::new(name, op, value).ok()
}

/// The silences that mute an alert now, by id.
pub fn silenced_by(silences: &[Silence], labels: &Labels, now: Timestamp) -> Vec<String> {
    silences.iter().filter(|silence| silence.mutes(labels, now)).map(|silence| silence.id.clone()).collect()
}

/// Which alerts are muted, and by what: inhibition first, then the calendars of the route, then silences.
pub(super) fn mutes<'a>(
    alerts: impl Iterator<Item = &'a Held>,
    inhibitor: &Inhibitor<'_>,
    intervals: &[String],
    silences: &[Silence],
    now: Timestamp,
) -> BTreeMap<Fingerprint, Mute> {
    let out_of_hours = (!intervals.is_empty()).then(|| Mute::OutOfHours { by: intervals.to_vec() });
    let mute_of = |labels: &Labels| {
        let inhibited = inhibitor.source_of(labels).map(|by| Mute::Inhibited { by });
        inhibited.or_else(|| out_of_hours.clone()).or_else(|| {
            let silence = silences.iter().find(|silence| silence.mutes(labels, now))?;
            Some(Mute::Silenced { by: silence.id.clone() })
        })
    };
    let muted = alerts.filter_map(|held| Some((held.alert.fingerprint(), mute_of(&held.alert.labels)?)));
    muted.collect()
}

/// The parts of a group that can be heard: which fire and which have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) firing: BTreeSet<Fingerprint>,
    pub(super) resolved: BTreeSet<Fingerprint>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Alert;
    use crate::notify::parse_matchers;

    fn alert(pairs: &[(&str, &str)], ends_at: Option<i64>) -> Held {
        Held::of_rule(Alert {
            labels: Labels::from_pairs(pairs.iter().copied()).unwrap(),
            annotations: BTreeMap::new(),
            starts_at: Timestamp::from_secs(1),
            ends_at: ends_at.map(Timestamp::from_secs),
            valid_until: None,
            sampled_at: None,
            generator_url: String::new(),
            updated_at: Timestamp::from_secs(1),
        })
    }

    fn rule(source: &str, target: &str, equal: &[&str]) -> InhibitRule {
        InhibitRule {
            source: parse_matchers(source).unwrap(),
            target: parse_matchers(target).unwrap(),
            equal: equal.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn check(rule: &InhibitRule, sources: &[Held], target: &[(&str, &str)], expected: bool) {
        let target = alert(target, None);
        let all = sources.iter().chain([&target]).map(|held| (held.alert.fingerprint(), held.clone())).collect();
        let inhibitor = Inhibitor::new(std::slice::from_ref(rule), &all, Timestamp::from_secs(100));
        assert_eq!(
            inhibitor.source_of(&target.alert.labels).is_some(),
            expected,
            "{sources:?} {:?}",
            target.alert.labels
        );
    }

    #[test]
    fn a_source_mutes_targets_with_equal_labels_while_it_fires() {
        let by_host = rule("s=crit", "s=warn", &["host"]);
        let crit = |end| alert(&[("s", "crit"), ("host", "a")], end);
        check(&by_host, &[crit(None)], &[("s", "warn"), ("host", "a")], true);
        check(&by_host, &[crit(None)], &[("s", "warn"), ("host", "b")], false);
        check(&by_host, &[crit(None)], &[("s", "info"), ("host", "a")], false);
        check(&by_host, &[crit(Some(99))], &[("s", "warn"), ("host", "a")], false);
        check(&by_host, &[crit(Some(101))], &[("s", "warn"), ("host", "a")], true);
        // A missing label equals an empty one.
        check(&by_host, &[alert(&[("s", "crit")], None)], &[("s", "warn"), ("job", "x")], true);
        check(&by_host, &[alert(&[("s", "crit")], None)], &[("s", "warn"), ("host", "a")], false);
    }

    #[test]
    fn nothing_mutes_itself_and_no_two_mute_each_other() {
        let all = rule("s=~crit|warn", "s=~warn|info", &[]);
        let warn = alert(&[("s", "warn"), ("n", "1")], None);
        check(&all, &[], &[("s", "warn")], false);
        check(&all, std::slice::from_ref(&warn), &[("s", "warn"), ("n", "2")], false);
        check(&all, &[warn], &[("s", "info")], true);
        check(&all, &[alert(&[("s", "crit")], None)], &[("s", "warn")], true);
    }

    #[test]
    fn of_several_sources_any_one_that_counts_is_enough() {
        let all = rule("s=~crit|warn", "s=~warn|info", &[]);
        let sources = [alert(&[("s", "warn"), ("n", "1")], None), alert(&[("s", "crit"), ("n", "2")], None)];
        check(&all, &sources, &[("s", "warn"), ("n", "3")], true);
    }

    fn silence(matchers: &str, start: i64, end: i64) -> Silence {
        Silence {
            id: "s1".to_owned(),
            matchers: parse_matchers(matchers).unwrap(),
            starts_at: Timestamp::from_secs(start),
            ends_at: Timestamp::from_secs(end),
            updated_at: Timestamp::from_secs(start),
            created_by: "当番".to_owned(),
            comment: "deploy".to_owned(),
            annotations: BTreeMap::from([("ticket".to_owned(), "42".to_owned())]),
        }
    }

    #[test]
    fn a_silence_mutes_from_its_start_until_its_end() {
        let labels = Labels::from_pairs([("a", "1")]).unwrap();
        let muted = |matchers: &str, now: i64| silence(matchers, 10, 20).mutes(&labels, Timestamp::from_secs(now));
        assert_eq!([9, 10, 19, 20].map(|now| muted("a=1", now)), [false, true, true, false]);
        assert!(!muted("a=2", 15));
        assert!(!muted("a=~\"1.\"", 15), "patterns are anchored");
        assert_eq!(silence("a=1", 10, 20).state(Timestamp::from_secs(5)), SilenceState::Pending);
        assert_eq!(silence("a=1", 10, 20).state(Timestamp::from_secs(25)), SilenceState::Expired);
    }

    #[test]
    fn a_silence_of_everything_or_of_nothing_is_refused() {
        assert_eq!(silence("a=1", 10, 20).check(), Ok(()));
        assert_eq!(silence("a=1", 20, 20).check(), Err(SilenceError::EndsBeforeStart));
        assert_eq!(silence("a=~\".*\",b=\"\"", 10, 20).check(), Err(SilenceError::MatchesEverything));
        assert_eq!(silence("b!=c", 10, 20).check(), Ok(()));
        assert_eq!(silence("", 10, 20).check(), Err(SilenceError::MatchesEverything));
    }

    #[test]
    fn a_silence_is_changed_in_place_only_where_nothing_in_the_past_changes() {
        let known = silence("a=1", 10, 20);
        let may = |matchers: &str, start, end, now| {
            silence(matchers, start, end).may_replace(&known, Timestamp::from_secs(now))
        };
        assert!(may("a=1", 10, 30, 15) && may("a=1", 10, 15, 15), "its end may move");
        assert!(!may("a=1", 10, 14, 15), "but not into the past");
        assert!(!may("a=1", 11, 30, 15), "it began when it began");
        assert!(!may("a=2", 10, 30, 15), "it mutes what it mutes");
        assert!(may("a=1", 7, 9, 6) && !may("a=1", 5, 30, 6), "what has not begun may begin at another time to come");
        assert!(!may("a=1", 10, 30, 20), "what is over is over");
        let secs = Timestamp::from_secs;
        let ended = |now| {
            let one = known.clone().expired(secs(now));
            (one.starts_at, one.ends_at, one.state(secs(now)))
        };
        assert_eq!(ended(15), (secs(10), secs(15), SilenceState::Expired));
        assert_eq!(ended(5), (secs(5), secs(5), SilenceState::Expired));
        assert_eq!(ended(25), (secs(10), secs(20), SilenceState::Expired));
    }

    #[test]
    fn a_silence_reads_back() {
        let one = silence("a=~\"x|y\",b!=z", 10, 20);
        assert_eq!(Silence::decode(&one.encode()), Ok(one));
        assert!(Silence::decode(b"\x02{}").is_err());
        assert!(Silence::decode(b"").is_err());
    }
}
