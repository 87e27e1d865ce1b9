//! Silences: made, changed and ended as Alertmanager does it (`silence/silence.go`).
//!
//! A change that would alter what was in force before it ends the old silence and makes a new one, so that the history
//! stays true. Rows are kept for a year after the end.

use std::time::Duration;

use alerting::notify::{Silence, SilenceState};
use model::{ErrorKind, TenantId, Timestamp};

use super::acts::{Act, ActKind};
use super::{load_silences, rows};
use crate::ports::{Expect, RowWrite};
use crate::{App, AppError};

/// How long a silence is kept after its end.
const KEPT: Duration = Duration::from_secs(366 * 24 * 3600);
/// How often a change that met another one is decided anew.
const TRIES_MAX: usize = 4;

/// Stores a silence and gives its id. One without an id is new; one with the id of another changes that one, under the
/// same id where nothing in the past changes, else under a new one. `new_id` is what a new one is called. It mutes from
/// the next look of each group on.
///
/// # Errors
/// `Invalid` when it would mute everything or nothing, or has ended; `NotFound` when the id is unknown; otherwise when
/// it cannot be stored.
pub async fn put_silence(
    app: &App,
    tenant: &TenantId,
    silence: &Silence,
    new_id: &str,
    now: Timestamp,
) -> Result<String, AppError> {
    silence.check().map_err(|error| AppError::Invalid(format!("invalid silence: {error}")))?;
    if silence.ends_at < now {
        return Err(AppError::Invalid("a silence cannot end in the past".to_owned()));
    }
    for try_number in 1.. {
        let (id, writes) = plan(app, tenant, silence, new_id, now).await?;
        match app.ports.state.write(writes, now).await {
            Ok(_) => return Ok(id),
            Err(error) if error.kind() == ErrorKind::Conflict && try_number < TRIES_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppError::Bug("the tries are bounded".to_owned()))
}

/// The id under which a silence is stored, and what is written.
async fn plan(
    app: &App,
    tenant: &TenantId,
    silence: &Silence,
    new_id: &str,
    now: Timestamp,
) -> Result<(String, Vec<RowWrite>), AppError> {
    let mut writes = Vec::new();
    if !silence.id.is_empty() {
        let (known, version) = find(app, tenant, &silence.id, now).await?;
        if silence.may_replace(&known, now) {
            let changed = Silence { updated_at: now, ..silence.clone() };
            let act = Act::of_silence(ActKind::Silenced, &changed, &silence.created_by, now);
            return Ok((known.id, vec![row(tenant, &changed, Expect::Version(version)), act.row(tenant)]));
        }
        if known.state(now) != SilenceState::Expired {
            writes.push(row(tenant, &known.expired(now), Expect::Version(version)));
        }
    }
    let starts_at = silence.starts_at.max(now);
    let new = Silence { id: new_id.to_owned(), starts_at, updated_at: now, ..silence.clone() };
    writes.push(row(tenant, &new, Expect::Absent));
    writes.push(Act::of_silence(ActKind::Silenced, &new, &new.created_by, now).row(tenant));
    Ok((new.id, writes))
}

/// Ends a silence now, by somebody; one that is over stays as it is.
///
/// # Errors
/// `NotFound` when the id is unknown; otherwise when it cannot be stored.
pub async fn expire_silence(app: &App, tenant: &TenantId, id: &str, by: &str, now: Timestamp) -> Result<(), AppError> {
    for try_number in 1.. {
        let (known, version) = find(app, tenant, id, now).await?;
        if known.state(now) == SilenceState::Expired {
            return Ok(());
        }
        let act = Act::of_silence(ActKind::Unsilenced, &known, by, now).row(tenant);
        let write = row(tenant, &known.expired(now), Expect::Version(version));
        match app.ports.state.write(vec![write, act], now).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Conflict && try_number < TRIES_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AppError::Bug("the tries are bounded".to_owned()))
}

/// One silence.
///
/// # Errors
/// `NotFound` when the id is unknown; otherwise when it cannot be read.
pub async fn silence(app: &App, tenant: &TenantId, id: &str, now: Timestamp) -> Result<Silence, AppError> {
    find(app, tenant, id, now).await.map(|(silence, _)| silence)
}

/// All silences of a tenant: those in force by their end, those to come by their start, those that are over by their
/// end, the latest first.
///
/// # Errors
/// When they cannot be read.
pub async fn silences(app: &App, tenant: &TenantId, now: Timestamp) -> Result<Vec<Silence>, AppError> {
    let mut all = load_silences(app.ports.state.as_ref(), tenant, now).await?;
    all.sort_by_key(|silence| match silence.state(now) {
        SilenceState::Active => (0, silence.ends_at.as_millis(), silence.id.clone()),
        SilenceState::Pending => (1, silence.starts_at.as_millis(), silence.id.clone()),
        SilenceState::Expired => (2, -silence.ends_at.as_millis(), silence.id.clone()),
    });
    Ok(all)
}

async fn find(app: &App, tenant: &TenantId, id: &str, now: Timestamp) -> Result<(Silence, u64), AppError> {
    let row = app.ports.state.get(&rows::silence_key(tenant, id), now).await?;
    let row = row.ok_or_else(|| AppError::NotFound(format!("there is no silence {id:?}")))?;
    let silence = Silence::decode(&row.value).map_err(|error| rows::corrupt("silence", error))?;
    Ok((silence, row.version))
}

fn row(tenant: &TenantId, silence: &Silence, expect: Expect) -> RowWrite {
    RowWrite::put(rows::silence_key(tenant, &silence.id), expect, silence.encode()).expiring(silence.ends_at + KEPT)
}
