//! The query flow: parse, load what the expression selects, evaluate.

#[cfg(test)]
mod placement;
mod samples;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Labels, Matcher, TenantId, TimeRange, Timestamp};
use promql::{Deadline, Output, Params, Stop};

pub use samples::SamplesSeen;

use crate::{App, AppError};

/// What may be chosen for one query; the settings and limits hold otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How far back an instant selector looks.
    pub lookback: Option<Duration>,
    /// When to give up; never later than the limit `query_timeout`.
    pub timeout: Option<Duration>,
    /// Whether to count the samples that are looked at, which reads them a second time.
    pub counts_samples: bool,
}

/// When a query is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At one time.
    At(Timestamp),
    /// At every step of a range.
    Over(TimeRange, Duration),
}

/// An answer, and what it took to find it.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub output: Output,
    /// From the start until all was fetched.
    pub preparation: Duration,
    /// From then on until the answer was there.
    pub evaluation: Duration,
    /// The samples that were looked at; `None` unless they were to be counted.
    pub samples: Option<SamplesSeen>,
}

/// Answers an expression at one time.
///
/// # Errors
/// When the text is no expression, a limit is reached, or data cannot be loaded.
pub async fn instant(
    app: &App,
    tenant: &TenantId,
    text: &str,
    time: Timestamp,
    options: Options,
    now: Timestamp,
) -> Result<Output, AppError> {
    Ok(answer(app, tenant, text, When::At(time), options, now).await?.output)
}

/// Answers an expression at every step from `start` to `end`.
///
/// # Errors
/// When the text is no expression, the range is none, a limit is reached, or data cannot be loaded.
pub async fn range(
    app: &App,
    tenant: &TenantId,
    text: &str,
    (range, step): (TimeRange, Duration),
    options: Options,
    now: Timestamp,
) -> Result<Output, AppError> {
    Ok(answer(app, tenant, text, When::Over(range, step), options, now).await?.output)
}

/// Answers an expression, and says what that took.
///
/// # Errors
/// As [`instant`] and [`range`].
pub async fn answer(
    app: &App,
    tenant: &TenantId,
    text: &str,
    when: When,
    options: Options,
    now: Timestamp,
) -> Result<Answer, AppError> {
    let params = match when {
        When::At(time) => Params::instant(time),
        When::Over(range, step) => {
            check_steps(app, range, step)?;
            Params::range(range.start, range.end, step)
        }
    };
    run(app, tenant, text, params, options, now).await
}

fn check_steps(app: &App, range: TimeRange, step: Duration) -> Result<(), AppError> {
    if step < Duration::from_millis(1) {
        let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(AppError::Invalid(message.to_owned()));
    }
    if range.end < range.start {
        return Err(AppError::Invalid("end timestamp must not be before start time".to_owned()));
    }
    let points = range.end.since(range.start).as_millis() / step.as_millis();
    if points > app.limits.query_points_max as u128 {
        return Err(AppError::Invalid(format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution \
             (?step=XX) (query_points_max, --query-points-max)",
            thousands(app.limits.query_points_max)
        )));
    }
    Ok(())
}

/// The label sets of all series that match one of the selectors and have a sample in the range; all series for none.
///
/// # Errors
/// When data cannot be loaded.
pub async fn series(
    app: &App,
    tenant: &TenantId,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    now: Timestamp,
) -> Result<Vec<Labels>, AppError> {
    app.loader.series(tenant, selectors, range, now).await
}

async fn run(
    app: &App,
    tenant: &TenantId,
    text: &str,
    params: Params,
    options: Options,
    now: Timestamp,
) -> Result<Answer, AppError> {
    let started = app.stopwatch.read();
    let expr = promql::parse_as(text, app.settings.promql_profile, &app.limits)?;
    let waiting = Waiting::default();
    let params = Params {
        lookback: options.lookback.unwrap_or(app.settings.lookback),
        limits: app.limits.clone(),
        profile: app.settings.promql_profile,
        deadline: deadline(app, options.timeout, &waiting),
        ..params
    };
    let selections = promql::selections(&expr, &params);
    let loaded = app.loader.load(tenant, &selections, now).await?;
    let preparation = app.stopwatch.read().saturating_sub(started);
    let evaluation = tokio::task::spawn_blocking(move || {
        let output = promql::evaluate(&expr, &loaded, &params)?;
        let samples = options.counts_samples.then(|| SamplesSeen::count(&selections, &loaded, &params)).transpose()?;
        Ok::<_, AppError>((output, samples))
    });
    let (output, samples) = evaluation.await.map_err(|error| AppError::Bug(format!("evaluation ended: {error}")))??;
    let evaluation = app.stopwatch.read().saturating_sub(started + preparation);
    Ok(Answer { output, preparation, evaluation, samples })
}

/// Somebody waits for the answer: dropped together with the future of the request.
#[derive(Debug, Default)]
struct Waiting {
    is_over: Arc<AtomicBool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn deadline(app: &App, timeout: Option<Duration>, waiting: &Waiting) -> Deadline {
    let allowed = timeout.unwrap_or(Duration::MAX).min(app.limits.query_timeout);
    let stopwatch = app.stopwatch.clone();
    let end = stopwatch.read() + allowed;
    let is_over = Arc::clone(&waiting.is_over);
    Deadline::stopping(move || {
        if is_over.load(Ordering::Relaxed) {
            return Some(Stop::Canceled);
        }
        (stopwatch.read() > end).then_some(Stop::TimedOut)
    })
}

/// A number with commas, as Prometheus writes it in the message that users search for.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (11_000, "11,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
