//! The report for pages, which ask for it every few seconds.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use model::Timestamp;

use super::{Prices, Report, report};
use crate::ports::Minute;
use crate::{App, AppError};

/// The table that is counted with.
static PRICES: LazyLock<Prices> = LazyLock::new(Prices::us_east_1);

/// The newest report, for the rest of the minute it was made in.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Option<(Minute, Arc<Report>)>>);

/// What this month costs, read at most once a minute.
///
/// # Errors
/// As [`report()`].
pub async fn current(app: &App, now: Timestamp) -> Result<Arc<Report>, AppError> {
    let known = app.cost.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, report)) = known.filter(|(minute, _)| *minute == now.minute()) {
        return Ok(report);
    }
    let report = Arc::new(report(app, &PRICES, now).await?);
    *app.cost.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now.minute(), Arc::clone(&report)));
    Ok(report)
}
