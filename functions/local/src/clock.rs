//! The only clock of the process: everything else gets `now` as an argument.

use std::time::{Duration, Instant, SystemTime};

use app::Stopwatch;
use model::Timestamp;

/// The time of this machine's clock.
#[expect(clippy::disallowed_methods, reason = "the host owns the clock")]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// A stopwatch that was started now.
#[expect(clippy::disallowed_methods, reason = "the host owns the clock")]
pub(crate) fn stopwatch() -> Stopwatch {
    let started = Instant::now();
    Stopwatch::new(move || started.elapsed())
}

/// How long until the next multiple of `step` since the epoch; never zero.
pub(crate) fn until_next(step: Duration, now: Timestamp) -> Duration {
    (now.align_down(step) + step).since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_multiples_of_their_step() {
        let step = Duration::from_secs(15);
        let cases = [(0, 15_000), (1, 14_999), (14_999, 1), (15_000, 15_000)];
        for (now, wait) in cases {
            assert_eq!(until_next(step, Timestamp::from_millis(now)), Duration::from_millis(wait));
        }
    }
}
