//! What the templates of a rule ask: `{{ query "up" }}`.
//!
//! Templates are expanded where nothing can be loaded. What one asks for that is not there is noted, and the evaluation
//! counts for nothing: it comes again once the series are loaded. A query inside the result of another one is known only
//! then, so there may be several rounds. What cannot be loaded or is over a limit becomes the failure of the template
//! that asks, never of its alert.

use std::ops::{ControlFlow, Range};

use alerting::rule::{Rule, RuleKind};
use model::{Limits, Series};
use promql::{Expr, Params, Profile, Selection, Source, SourceError};

/// Most different queries that the templates of one evaluation may ask.
const QUERIES_MAX: usize = 100;
/// Most rounds: queries that depend on each other's results.
const ROUNDS_MAX: usize = 8;

/// What the templates of one evaluation have asked so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries {
    may_come: bool,
    asked: Vec<Asked>,
    rounds: usize,
    /// How many selections the rule's own expression has; those of the queries lie behind.
    own: Option<usize>,
}

/// One query.
#[derive(Clone, Debug)]
struct Asked {
    text: String,
    /// In which round it was asked first.
    round: usize,
    /// The expression and its place among the selections, or why there is no answer.
    query: Result<(Expr, Range<usize>), String>,
}

impl Queries {
    /// Those of a rule, none of which was asked yet.
    pub(super) fn of(rule: &Rule) -> Self {
        let asks = |kind: &RuleKind| match kind {
            RuleKind::Recording => false,
            RuleKind::Alerting { annotations, .. } => {
                rule.labels.values().chain(annotations.values()).any(alerting::template::Template::may_query)
            }
        };
        Self { may_come: asks(&rule.kind), ..Self::default() }
    }

    /// Whether there are templates that may ask.
    pub(super) const fn may_come(&self) -> bool {
        self.may_come
    }

    /// The expression of a query that was asked, and where its selections lie; or why it has no answer. `None` when it
    /// is asked for the first time.
    pub(super) fn find(&self, text: &str) -> Option<Result<(&Expr, Range<usize>), String>> {
        let asked = self.asked.iter().find(|asked| asked.text == text)?;
        Some(asked.query.as_ref().map(|(expr, place)| (expr, place.clone())).map_err(Clone::clone))
    }

    /// Notes a new query.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn note(&self, text: &str, noted: &mut Vec<String>) -> Result<(), String> {
        if noted.iter().any(|known| known == text) {
            return Ok(());
        }
        if self.asked.len() + noted.len() >= QUERIES_MAX {
            return Err(format!("the templates of the rule ask more than {QUERIES_MAX} queries"));
        }
        if self.rounds >= ROUNDS_MAX {
            return Err(format!(
                "the queries of the rule's templates depend on each other more than {ROUNDS_MAX} deep"
            ));
        }
        noted.push(text.to_owned());
        Ok(())
    }

    /// Takes what one evaluation noted.
    pub(super) fn ask(&mut self, noted: Vec<String>, profile: Profile, limits: &Limits) {
        self.rounds += 1;
        let round = self.rounds;
        self.asked.extend(noted.into_iter().map(|text| {
            let query =
                promql::parse_as(&text, profile, limits).map(|expr| (expr, 0..0)).map_err(|error| error.to_string());
            Asked { text, round, query }
        }));
    }

    /// The queries of the newest round fail, since their series cannot be loaded; false when there are none, and the
    /// rule's own cannot be loaded.
    pub(super) fn refuse(&mut self, error: &str) -> bool {
        let newest = self.asked.iter_mut().filter(|asked| asked.round == self.rounds && asked.query.is_ok());
        newest.map(|asked| asked.query = Err(error.to_owned())).count() > 0
    }

    /// Sets what the queries select behind what the rule's expression does.
    pub(super) fn select(&mut self, params: &Params, selections: &mut Vec<Selection>) {
        selections.truncate(*self.own.get_or_insert(selections.len()));
        for (expr, place) in self.asked.iter_mut().filter_map(|asked| asked.query.as_mut().ok()) {
            let first = selections.len();
            selections.extend(promql::selections(expr, params));
            *place = first..selections.len();
        }
    }
}

/// The series of some selections that lie side by side in a source.
pub(super) struct Part<'a, S> {
    source: &'a S,
    first: usize,
    selections: &'a [Selection],
}

impl<'a, S> Part<'a, S> {
    /// Those at a place among all selections of the source.
    pub(super) fn new(source: &'a S, place: Range<usize>, all: &'a [Selection]) -> Self {
        Self { source, first: place.start, selections: &all[place] }
    }

    pub(super) const fn selections(&self) -> &'a [Selection] {
        self.selections
    }
}

impl<S: Source> Source for Part<'_, S> {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        self.source.series(self.first + selection)
    }

    fn series_count(&self, selection: usize) -> usize {
        self.source.series_count(self.first + selection)
    }

    fn each(&self, selection: usize, visit: &mut dyn FnMut(&Series) -> ControlFlow<()>) -> Result<(), SourceError> {
        self.source.each(self.first + selection, visit)
    }
}
