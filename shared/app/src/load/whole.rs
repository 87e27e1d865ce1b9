//! Metrics that several rules of a tick ask for: read and decoded whole, once, and picked from by each of them.
//!
//! A hundred rules about a hundred hosts would each look through the same labels, and decode the same frames, for a few
//! of their series. Read [`Wholes::of`] first.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hashbrown::HashMap;
use model::{METRIC_NAME, MatchOp, Matcher, Series, TimeRange, Timestamp, matches_all};
use promql::Selection;

use super::loaded::SelectionParts;

/// Selections of more time are loaded by themselves.
const RANGE_MAX: Duration = Duration::from_secs(3600);
/// As many selections that name the value of a label, which may be few of the series, weigh as one that does not.
const WHOLE_WEIGHT: usize = 4;
/// So many samples are held decoded for the rules of a tenant; metrics beyond are loaded for each rule.
pub(super) const SAMPLES_MAX: usize = 1 << 21;

/// What the rules of a tenant share in a tick.
#[derive(Debug, Default)]
pub(super) struct Wholes {
    /// The metrics that several selections name, and all the time that these look at.
    planned: BTreeMap<String, TimeRange>,
    /// Those that were asked for; none where a metric is too large.
    loaded: BTreeMap<String, Option<Arc<Whole>>>,
    pub(super) samples: usize,
}

/// How a selection may be answered.
pub(super) enum Share {
    /// By itself.
    Not,
    /// From a metric that is there.
    From(Arc<Whole>),
    /// From a metric that is to be loaded over a range and handed to [`Wholes::put`].
    Load(Matcher, TimeRange),
}

/// All series of a metric over a range.
#[derive(Debug)]
pub(super) struct Whole {
    range: TimeRange,
    parts: SelectionParts,
    decoded: OnceLock<tsdb::Result<Vec<Series>>>,
    /// For label names that were asked for: the places of the series by value.
    places: Mutex<BTreeMap<String, Places>>,
}

/// Places among the series of a metric by the value of a label.
type Places = HashMap<String, Arc<[usize]>>;

fn places(name: &str, series: &[Series]) -> Places {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, series) in series.iter().enumerate() {
        places.entry(series.labels.get(name).unwrap_or("")).or_default().push(place);
    }
    places.into_iter().map(|(value, places)| (value.to_owned(), places.into())).collect()
}

/// Some series of a metric.
#[derive(Debug)]
pub(super) struct Picked {
    whole: Arc<Whole>,
    matchers: Vec<Matcher>,
    range: TimeRange,
}

impl Wholes {
    /// Finds out what selections have in common. Each comes with the range that is to be read for it, or none where that
    /// is not raw samples.
    pub(super) fn plan<'a>(selections: impl Iterator<Item = (&'a Selection, Option<TimeRange>)>) -> Self {
        let mut asked: BTreeMap<&str, (usize, TimeRange)> = BTreeMap::new();
        for (selection, range) in selections {
            let Some((metric, range)) = metric(&selection.matchers).zip(range.filter(is_short)) else { continue };
            let (weight, joined) = asked.entry(metric.value()).or_insert((0, range));
            *weight += if equalities(&selection.matchers).next().is_some() { 1 } else { WHOLE_WEIGHT };
            *joined = joined.union(&range);
        }
        let shared = asked.into_iter().filter(|(_, (weight, range))| *weight > WHOLE_WEIGHT && is_short(range));
        Self { planned: shared.map(|(metric, (_, range))| (metric.to_owned(), range)).collect(), ..Self::default() }
    }

    /// Where the series of a selection come from.
    pub(super) fn of(&self, selection: &Selection, range: TimeRange) -> Share {
        let Some(metric) = metric(&selection.matchers) else { return Share::Not };
        let Some(whole) = self.planned.get(metric.value()) else { return Share::Not };
        if range.start < whole.start || range.end > whole.end {
            return Share::Not;
        }
        match self.loaded.get(metric.value()) {
            Some(Some(loaded)) => Share::From(Arc::clone(loaded)),
            Some(None) => Share::Not,
            None => Share::Load(metric.clone(), *whole),
        }
    }

    /// Takes a metric that was loaded with so many samples at most; none when it is too large to be held.
    pub(super) fn put(&mut self, metric: &Matcher, range: TimeRange, found: Option<(SelectionParts, usize)>) {
        let whole = found.map(|(parts, samples)| {
            self.samples += samples;
            Arc::new(Whole { range, parts, decoded: OnceLock::new(), places: Mutex::default() })
        });
        self.loaded.insert(metric.value().to_owned(), whole);
    }
}

/// The matcher that names the metric.
fn metric(matchers: &[Matcher]) -> Option<&Matcher> {
    matchers.iter().find(|matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal)
}

/// The matchers that name the value of a label other than the metric's name.
fn equalities(matchers: &[Matcher]) -> impl Iterator<Item = &Matcher> {
    matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME && matcher.op() == MatchOp::Equal)
}

fn is_short(range: &TimeRange) -> bool {
    range.start <= range.end && range.end.since(range.start) <= RANGE_MAX
}

impl Whole {
    fn series(&self) -> tsdb::Result<&[Series]> {
        let decoded = self.decoded.get_or_init(|| self.parts.series());
        decoded.as_deref().map_err(Clone::clone)
    }

    /// The places of the series with the value of a label that a matcher names.
    fn places_of(&self, matcher: &Matcher, series: &[Series]) -> Arc<[usize]> {
        let mut known = self.places.lock().expect("nothing panics while it holds the lock");
        if !known.contains_key(matcher.name()) {
            known.insert(matcher.name().to_owned(), places(matcher.name(), series));
        }
        known[matcher.name()].get(matcher.value()).map_or_else(Arc::default, Arc::clone)
    }
}

impl Picked {
    pub(super) const fn new(whole: Arc<Whole>, matchers: Vec<Matcher>, range: TimeRange) -> Self {
        Self { whole, matchers, range }
    }

    /// Shows the series in the order of their labels until `visit` has seen enough.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&Series) -> ControlFlow<()>) -> tsdb::Result<()> {
        let all = self.whole.series()?;
        let mut cut = Cut { range: self.range, last: None };
        let mut show = |series: &Series| {
            if !matches_all(&self.matchers, series.labels.as_ref()) {
                return ControlFlow::Continue(());
            }
            if self.range == self.whole.range {
                return visit(series);
            }
            cut.of(series).map_or(ControlFlow::Continue(()), |series| visit(&series))
        };
        let candidates = equalities(&self.matchers).map(|matcher| self.whole.places_of(matcher, all));
        let _seen_enough = match candidates.min_by_key(|places| places.len()) {
            Some(places) => places.iter().try_for_each(|&place| show(&all[place])),
            None => all.iter().try_for_each(show),
        };
        Ok(())
    }

    pub(super) fn series(&self) -> tsdb::Result<Vec<Series>> {
        let mut found = Vec::new();
        self.each(&mut |series| {
            found.push(series.clone());
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}

/// Cuts series to a range; neighbours that share their times share the cut ones, too.
struct Cut {
    range: TimeRange,
    /// The times that were cut last, which of them remain, and these.
    last: Option<CutTimes>,
}

type CutTimes = (Arc<[Timestamp]>, Range<usize>, Arc<[Timestamp]>);

impl Cut {
    /// A series with the samples that lie in the range; `None` when there are none.
    fn of(&mut self, series: &Series) -> Option<Series> {
        let (place, timestamps) = self.times(&series.timestamps);
        let histograms = series.histograms.as_ref().and_then(|samples| {
            let (place, timestamps) = self.times(&samples.timestamps);
            let values = samples.values[place].to_vec();
            (!values.is_empty()).then(|| Box::new(model::HistogramSamples::new(timestamps, values)))
        });
        let (labels, values) = (series.labels.clone(), series.values[place].to_vec());
        let cut = Series { labels, timestamps, values, weights: None, resolution: None, histograms };
        (!cut.is_empty()).then_some(cut)
    }

    fn times(&mut self, all: &Arc<[Timestamp]>) -> (Range<usize>, Arc<[Timestamp]>) {
        if let Some((known, place, cut)) = &self.last
            && Arc::ptr_eq(known, all)
        {
            return (place.clone(), Arc::clone(cut));
        }
        let start = all.partition_point(|time| *time < self.range.start);
        let end = all.partition_point(|time| *time <= self.range.end).max(start);
        let cut: Arc<[Timestamp]> = all[start..end].into();
        self.last = Some((Arc::clone(all), start..end, Arc::clone(&cut)));
        (start..end, cut)
    }
}

#[cfg(test)]
mod tests {
    use model::{Batch, Labels, Sample};
    use tsdb::Head;

    use super::*;
    use crate::load::testing::bits;

    const START: Timestamp = Timestamp::from_secs(1_795_046_400);

    fn selection(matchers: Vec<Matcher>, first: i64, last: i64) -> Selection {
        let range = TimeRange::new(minute(first), minute(last));
        let (window, step) = (Duration::from_secs(300), Duration::ZERO);
        Selection { matchers, range, aggregate: model::Aggregate::Last, window, step, newest_only: false }
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_secs(START.as_millis() / 1000 + minute * 60)
    }

    fn named(metric: &str) -> Matcher {
        Matcher::equal(METRIC_NAME, metric)
    }

    /// Two metrics of three hosts, one of which stopped early and one of which is scraped at times of its own.
    fn head() -> Arc<Head> {
        let mut batch = Batch::new();
        for (host, minutes, shift) in [("a", 60, 0), ("b", 10, 0), ("c", 60, 7)] {
            for metric in ["cpu", "load"] {
                for mode in ["idle", "user"] {
                    let labels = [(METRIC_NAME, metric), ("host", host), ("mode", mode)];
                    let labels = Labels::from_pairs(labels).unwrap();
                    let sample = |at: i64| Sample { timestamp: minute(at) + Duration::from_secs(shift), value: 2.5 };
                    batch.push(labels.as_ref(), (0..minutes).map(sample));
                }
            }
        }
        let mut head = Head::new();
        head.append(&batch);
        Arc::new(head)
    }

    fn planned(wholes: &Wholes) -> Vec<&str> {
        wholes.planned.keys().map(String::as_str).collect()
    }

    #[test]
    fn what_several_ask_for_is_shared_and_what_few_ask_for_of_is_not() {
        let host = |host: &str| Matcher::equal("host", host);
        let plan = |asked: &[Selection]| Wholes::plan(asked.iter().map(|selection| (selection, Some(selection.range))));
        let all = selection(vec![named("cpu")], 5, 10);
        assert_eq!(planned(&plan(std::slice::from_ref(&all))), [""; 0], "one");
        assert_eq!(planned(&plan(&[all.clone(), all.clone()])), ["cpu"], "two");
        let one = |name: &str| selection(vec![named("cpu"), host(name)], 5, 10);
        assert_eq!(planned(&plan(&[one("a"), one("b"), one("c"), one("d")])), [""; 0], "few of the series");
        assert_eq!(planned(&plan(&[one("a"), one("b"), one("c"), one("d"), one("e")])), ["cpu"], "many of them");
        let long = selection(vec![named("cpu")], -300, 10);
        assert_eq!(planned(&plan(&[all.clone(), long])), [""; 0], "one that is too long has no part in it");
        let early = selection(vec![named("cpu")], -80, -75);
        assert_eq!(planned(&plan(&[all.clone(), early])), [""; 0], "together they are too long");
        let any = selection(vec![host("a")], 5, 10);
        assert_eq!(planned(&plan(&[any.clone(), any])), [""; 0], "no metric");
        let rollups = [&all, &all].into_iter().map(|selection| (selection, None));
        assert_eq!(planned(&Wholes::plan(rollups)), [""; 0], "not of raw samples");
    }

    #[test]
    fn a_metric_is_loaded_once_or_never_again() {
        let asked = [selection(vec![named("cpu")], 5, 10), selection(vec![named("cpu")], 0, 5)];
        let mut wholes = Wholes::plan(asked.iter().map(|selection| (selection, Some(selection.range))));
        let Share::Load(metric, range) = wholes.of(&asked[0], asked[0].range) else { panic!("it is not loaded yet") };
        assert_eq!((metric.value(), range), ("cpu", TimeRange::new(minute(0), minute(10))));
        let wider = selection(vec![named("cpu")], -1, 10);
        assert!(matches!(wholes.of(&wider, wider.range), Share::Not));
        let parts = SelectionParts::raw(Vec::new(), vec![head()], vec![metric.clone()], range);
        wholes.put(&metric, range, Some((parts, 60)));
        assert_eq!(wholes.samples, 60);
        assert!(matches!(wholes.of(&asked[1], asked[1].range), Share::From(_)));
        wholes.put(&metric, range, None);
        assert!(matches!(wholes.of(&asked[1], asked[1].range), Share::Not));
    }

    #[test]
    fn what_is_picked_is_what_would_have_been_selected() {
        let (head, all) = (head(), TimeRange::new(minute(0), minute(30)));
        let parts = SelectionParts::raw(Vec::new(), vec![Arc::clone(&head)], vec![named("cpu")], all);
        let (decoded, places) = (OnceLock::new(), Mutex::default());
        let whole = Arc::new(Whole { range: all, parts, decoded, places });
        let regex = |name, pattern| Matcher::new(name, MatchOp::Regex, pattern).unwrap();
        let unlike = |name, value| Matcher::new(name, MatchOp::NotEqual, value).unwrap();
        let conditions = [
            vec![],
            vec![Matcher::equal("host", "a")],
            vec![Matcher::equal("host", "b"), Matcher::equal("mode", "user")],
            vec![Matcher::equal("mode", "idle"), unlike("host", "a")],
            vec![Matcher::equal("zone", "")],
            vec![Matcher::equal("host", "unknown")],
            vec![regex("host", "a|c")],
            vec![named("load")],
        ];
        for conditions in conditions {
            for (first, last) in [(0, 30), (5, 10), (20, 25), (10, 10), (25, 30)] {
                let matchers: Vec<Matcher> = [named("cpu")].into_iter().chain(conditions.clone()).collect();
                let range = TimeRange::new(minute(first), minute(last));
                let picked = Picked::new(Arc::clone(&whole), matchers.clone(), range);
                let found = bits(&picked.series().unwrap());
                let expected = head.select(&matchers, range);
                assert_eq!(found, bits(&expected), "{conditions:?} {first} {last}");
            }
        }
    }
}
