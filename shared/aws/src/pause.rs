//! How long to wait before trying again what the SDK does not try again by itself.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::client::Clients;

/// Most tries of a call that met others at the same rows, or of what is left of a batch.
pub(crate) const TRIES_MAX: u32 = 8;
/// The longest first wait.
const FIRST_MAX: Duration = Duration::from_millis(25);
/// The longest wait of all.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Waits before the next try, `tries` of which have failed: at random below a limit that doubles each time, so that
/// those who met do not meet again.
pub(crate) async fn pause(clients: &Clients, tries: u32) {
    tokio::time::sleep(wait(tries, clients.clock_micros())).await;
}

/// A wait between a tenth and the whole of its limit; the seed decides where.
fn wait(tries: u32, seed: u64) -> Duration {
    let limit = FIRST_MAX.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(WAIT_MAX);
    let tenths_of_thousands = 1000 + xxh3_64(&seed.to_le_bytes()) % 9001;
    limit.mul_f64(f64::from(u32::try_from(tenths_of_thousands).expect("at most 10,000")) / 10_000.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_differ() {
        for (tries, limit_ms) in [(1, 25), (2, 50), (3, 100), (6, 800), (7, 1000), (40, 1000)] {
            let limit = Duration::from_millis(limit_ms);
            let waits: BTreeSet<Duration> = (0..100).map(|seed| wait(tries, seed)).collect();
            assert!(waits.iter().all(|wait| *wait >= limit / 10 && *wait <= limit), "{tries}: {waits:?}");
            assert!(waits.len() > 90, "{tries}: {} different waits", waits.len());
        }
    }
}
