//! Whether a condition holds where data may be missing.
//!
//! An expression such as `cpu > 90` gives nothing both when all is well and when nobody sends `cpu` any more. A rule may
//! say what it makes of the difference ([`Missing`]). Then each of its series has a [`Window`]: at which of the newest
//! evaluations there were data, and at which the condition held. What follows is decided as CloudWatch decides for its
//! alarms: points that are there count before points that are made up.
//!
//! Series are told apart by the labels that the rule does not set itself, so that values in labels do not matter.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, METRIC_NAME};

use super::state::RuleState;
use super::step::{Moment, Policy};
use super::transition::Reason;
use super::{ALERT_NAME, Datapoints, Rule, RuleVector};

/// `mihari/missing: keep|alert|ok|unknown`: what it means that a series has no data.
///
/// An annotation, so that every reader of rule files accepts it; it does not become one of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Whatever was the case goes on (CloudWatch: ignore).
    Keep,
    /// The condition holds (CloudWatch: breaching).
    Alert,
    /// The condition does not hold (CloudWatch: notBreaching).
    Ok,
    /// Nobody knows: an alert goes on and says so (CloudWatch: missing).
    Unknown,
}

impl Missing {
    /// The annotation that asks for it.
    pub const ANNOTATION: &str = "mihari/missing";

    /// Reads one of the four words.
    ///
    /// # Errors
    /// When the text is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "alert" => Ok(Self::Alert),
            "ok" => Ok(Self::Ok),
            "unknown" => Ok(Self::Unknown),
            text => Err(format!("{text:?} is none of keep, alert, ok and unknown")),
        }
    }
}

/// What the newest evaluations gave for one series: one bit each, the newest one lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// At which the condition held.
    pub held: u64,
    /// At which there were data; everywhere the condition held.
    pub known: u64,
}

/// Whether a condition holds, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does.
    Holds,
    /// It held at some of the newest evaluations, but not at enough.
    HeldOfLate,
    /// It does not.
    HoldsNot,
    /// What was the case goes on.
    Keeps,
    /// Nobody knows.
    Unknown,
}

impl Window {
    /// Before its first data nothing of a series was missing, and its condition did not hold.
    const NEW: Self = Self { held: 0, known: u64::MAX };

    /// The window once one more evaluation has come.
    fn after(self, points: Option<Datapoints>, held: bool, known: bool) -> Self {
        let mask = u64::MAX >> (u64::BITS - range(points));
        Self { held: ((self.held << 1) | u64::from(held)) & mask, known: ((self.known << 1) | u64::from(known)) & mask }
    }

    /// What the points say (CloudWatch, "Configuring how alarms treat missing data"): the newest that are there, and as
    /// few others as possible.
    pub(super) fn verdict(self, points: Option<Datapoints>, missing: Missing) -> Verdict {
        let Datapoints { least, of } = points.unwrap_or(Datapoints { least: 1, of: 1 });
        let newest_known = (0..range(points)).filter(|place| self.known >> place & 1 == 1).take(of as usize);
        let (mut there, mut breaching) = (0, 0);
        for place in newest_known {
            there += 1;
            breaching += u32::from(self.held >> place & 1 == 1);
        }
        let made_up = if missing == Missing::Alert { of - there } else { 0 };
        if breaching + made_up >= least {
            return Verdict::Holds;
        }
        let says_enough = there == of || breaching < there || missing == Missing::Ok || missing == Missing::Alert;
        // All points there are breach, and the oldest of them is old enough for the others to have come since.
        let is_old = self.held != 0 && u64::BITS - self.held.leading_zeros() >= least;
        match missing {
            _ if says_enough && breaching > 0 => Verdict::HeldOfLate,
            _ if says_enough => Verdict::HoldsNot,
            Missing::Keep => Verdict::Keeps,
            Missing::Unknown if is_old => Verdict::Holds,
            Missing::Unknown | Missing::Alert | Missing::Ok => Verdict::Unknown,
        }
    }
}

/// How many evaluations are looked at: two more than are asked for, since a point may come late. Without
/// `mihari/datapoints` the newest one alone.
fn range(points: Option<Datapoints>) -> u32 {
    points.map_or(1, |points| (points.of + 2).min(u64::BITS))
}

/// What an evaluation knows of the series of an alert rule.
pub(super) struct Evidence<'a> {
    rule: &'a Rule,
    moment: &'a Moment<'a>,
    missing: Option<Missing>,
    /// By key; none when the rule does not say what missing data mean.
    verdicts: BTreeMap<Labels, Verdict>,
    /// The keys for which the condition holds.
    fresh: BTreeSet<Labels>,
    /// The keys of alerts that were pending or firing before; none when the rule does not say what missing data mean.
    holding: BTreeSet<Labels>,
    /// The keys of series with data; `None` when that cannot be told.
    known: OnceCell<Option<BTreeSet<Labels>>>,
    /// The keys that `recover_expr` gave; `None` when there is none, or nothing to recover.
    recovered: Option<BTreeSet<Labels>>,
}

impl<'a> Evidence<'a> {
    /// Gathers it, given the alerts for which the condition holds, and moves the windows of the state on.
    ///
    /// # Errors
    /// When an expression that is needed fails.
    pub(super) fn gather<'f>(
        rule: &'a Rule,
        policy: Policy,
        fresh: impl Iterator<Item = &'f Labels>,
        state: &mut RuleState,
        moment: &'a Moment<'a>,
    ) -> Result<Self, String> {
        let mut evidence = Self {
            rule,
            moment,
            missing: policy.missing,
            verdicts: BTreeMap::new(),
            fresh: fresh.map(|labels| key(rule, labels)).collect(),
            holding: BTreeSet::new(),
            known: OnceCell::new(),
            recovered: None,
        };
        if policy.recovers && state.holding().next().is_some() {
            evidence.recovered = Some(evidence.keys(&(moment.recovered)()?));
        }
        match policy.missing {
            Some(missing) => evidence.judge(missing, policy.datapoints, state)?,
            None => state.windows.clear(),
        }
        Ok(evidence)
    }

    /// Moves the windows on and decides for each series.
    fn judge(&mut self, missing: Missing, points: Option<Datapoints>, state: &mut RuleState) -> Result<(), String> {
        let known = match (self.moment.known)() {
            Some(vector) => Some(self.keys(&vector?)),
            None => None,
        };
        let holding: BTreeSet<Labels> = state.holding().map(|(labels, _)| key(self.rule, labels)).collect();
        for key in self.fresh.iter().chain(&holding).chain(known.iter().flatten()) {
            state.windows.entry(key.clone()).or_insert(Window::NEW);
        }
        self.moment.check_count(state.windows.len(), "series")?;
        for (key, window) in &mut state.windows {
            let held = self.fresh.contains(key);
            let is_known = held || known.as_ref().is_none_or(|known| known.contains(key));
            *window = window.after(points, held, is_known);
            self.verdicts.insert(key.clone(), window.verdict(points, missing));
        }
        let seen = |window: &Window| if known.is_some() { window.known != 0 } else { window.held != 0 };
        state.windows.retain(|key, window| {
            seen(window) || holding.contains(key) || self.verdicts.get(key) == Some(&Verdict::Holds)
        });
        self.holding = holding;
        self.known = OnceCell::from(known);
        Ok(())
    }

    /// The verdict on the series of an alert; `None` when the rule does not say what missing data mean.
    pub(super) fn verdict(&self, labels: &Labels) -> Option<Verdict> {
        if self.verdicts.is_empty() { None } else { self.verdicts.get(&key(self.rule, labels)).copied() }
    }

    /// The keys of series for which missing data alone raise an alert.
    pub(super) fn breaching_without_data(&self) -> impl Iterator<Item = &Labels> {
        let holds = self.verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Holds).map(|(key, _)| key);
        holds.filter(|key| !self.fresh.contains(key) && !self.holding.contains(key))
    }

    /// Whether an alert may resolve once its condition no longer holds.
    pub(super) fn is_recovered(&self, labels: &Labels) -> bool {
        let Some(recovered) = &self.recovered else { return true };
        let key = key(self.rule, labels);
        recovered.contains(&key) || (self.missing == Some(Missing::Ok) && !self.is_known(&key).unwrap_or(true))
    }

    /// Why an alert resolves.
    pub(super) fn why_ended(&self, labels: &Labels) -> Reason {
        let key = key(self.rule, labels);
        if self.recovered.as_ref().is_some_and(|recovered| recovered.contains(&key)) {
            return Reason::Recovered;
        }
        match self.is_known(&key) {
            Some(true) => Reason::Recovered,
            Some(false) => Reason::Vanished,
            None => Reason::Ended,
        }
    }

    fn is_known(&self, key: &Labels) -> Option<bool> {
        let known = self.known.get_or_init(|| (self.moment.known)()?.ok().map(|vector| self.keys(&vector)));
        known.as_ref().map(|known| known.contains(key))
    }

    fn keys(&self, vector: &RuleVector) -> BTreeSet<Labels> {
        let numbers = vector.numbers.iter().map(|(labels, _)| labels);
        numbers.chain(vector.histograms.iter().map(|(labels, _)| labels)).map(|labels| key(self.rule, labels)).collect()
    }
}

/// What tells the series of a rule apart: the labels that the rule does not set.
fn key(rule: &Rule, labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    builder.remove(METRIC_NAME).remove(ALERT_NAME);
    for name in rule.labels.keys() {
        builder.remove(name);
    }
    builder.build().expect("labels without some of them are labels")
}
