//! Links at which one person answers for one page, without a token: `/a/<token>`.
//!
//! The token is a signature under the deployment's key over what the link is about, which stands in a row under the hash
//! of the token: partition `j#`, value a format version byte and JSON. Looking at a link does nothing, so that a mail
//! scanner answers nothing; it acts once, and ends after a day.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use alerting::Fingerprint;
use alerting::oncall::{Escalation, Page};
use model::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::SessionKey;
use crate::ports::{Expect, RowKey, RowWrite};
use crate::{App, AppError};

/// What the path of every link starts with.
pub const PREFIX: &str = "/a/";
/// How long a link works.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How long after that it is still known that it has expired.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
const VERSION: u8 = 1;

/// What a link is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whose alerts.
    tenant: String,
    /// Which page: the escalation, when it was first made, the page's number.
    about: (String, i64, u64),
    /// Who answers, by short name.
    pub person: String,
    /// The fingerprints of the alerts.
    alerts: Vec<String>,
    /// When it ends, in milliseconds since the epoch.
    ends_ms: i64,
    /// What it was used for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    used: Option<String>,
}

/// Why a link does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkProblem {
    /// It is not one that we made, or one that was forgotten.
    #[error("the link is not whole, or was changed on its way")]
    Altered,
    /// It worked until some time ago.
    #[error("the link has expired")]
    Expired,
    /// It acted already.
    #[error("the link was used already")]
    Used,
}

impl Link {
    pub(super) fn new(tenant: &TenantId, escalation: &Escalation, page: &Page, person: &str, now: Timestamp) -> Self {
        let ends = page.decided_at.max(now) + LIFETIME;
        Self {
            tenant: tenant.to_string(),
            about: (escalation.key.id(), escalation.born_at.as_millis(), page.sequence),
            person: person.to_owned(),
            alerts: page.alerts.iter().map(ToString::to_string).collect(),
            ends_ms: ends.as_millis(),
            used: None,
        }
    }

    /// Whose alerts it is about.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn tenant(&self) -> Result<TenantId, AppError> {
        TenantId::new(&self.tenant).map_err(|error| AppError::Corrupt(format!("link: {error}")))
    }

    /// The alerts it is about.
    pub fn alerts(&self) -> BTreeSet<Fingerprint> {
        let read = |text: &String| u64::from_str_radix(text, 16).ok().map(Fingerprint);
        self.alerts.iter().filter_map(read).collect()
    }

    /// What is signed.
    fn signed(&self) -> String {
        let (escalation, born_at, sequence) = &self.about;
        format!("{}\n{escalation}\n{born_at}\n{sequence}\n{}", self.tenant, self.person)
    }

    pub(super) fn path(&self, key: &SessionKey) -> String {
        format!("{PREFIX}{}", key.answer_token(&self.signed()))
    }

    pub(super) fn row(&self, key: &SessionKey) -> RowWrite {
        self.row_of(&key.answer_token(&self.signed()), Expect::Any)
    }

    fn row_of(&self, token: &str, expect: Expect) -> RowWrite {
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, self).expect("texts and numbers become JSON");
        RowWrite::put(row_key(token), expect, value).expiring(Timestamp::from_millis(self.ends_ms) + REMEMBERED)
    }
}

fn row_key(token: &str) -> RowKey {
    let hash = Sha256::digest(token.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a text cannot fail");
        hex
    });
    RowKey::new("j#", hash)
}

/// What a link is about, by its token, while it may still act.
///
/// # Errors
/// The outer error is the store's; the inner one says why it does nothing.
pub async fn open(app: &App, token: &str, now: Timestamp) -> Result<Result<Link, LinkProblem>, AppError> {
    Ok(find(app, token, now).await?.map(|(link, _)| link))
}

/// Takes the right to act once.
///
/// # Errors
/// As [`open`]; of two at the same time one is told that it was used.
pub async fn take(app: &App, token: &str, action: &str, now: Timestamp) -> Result<Result<Link, LinkProblem>, AppError> {
    let (link, version) = match find(app, token, now).await? {
        Ok(found) => found,
        Err(problem) => return Ok(Err(problem)),
    };
    let used = Link { used: Some(action.to_owned()), ..link.clone() };
    match app.ports.state.write(vec![used.row_of(token, Expect::Version(version))], now).await {
        Ok(_) => Ok(Ok(link)),
        Err(error) if error.kind() == model::ErrorKind::Conflict => Ok(Err(LinkProblem::Used)),
        Err(error) => Err(error.into()),
    }
}

async fn find(app: &App, token: &str, now: Timestamp) -> Result<Result<(Link, u64), LinkProblem>, AppError> {
    let is_token = token.len() == 22 && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !is_token {
        return Ok(Err(LinkProblem::Altered));
    }
    let Some(row) = app.ports.state.get(&row_key(token), now).await? else { return Ok(Err(LinkProblem::Altered)) };
    let link: Link = match row.value.split_first() {
        Some((&VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| AppError::Corrupt(format!("link: {error}")))?
        }
        Some(_) | None => return Err(AppError::Corrupt("link: unknown format version".to_owned())),
    };
    if !app.session_key().verify_answer(&link.signed(), token) {
        return Ok(Err(LinkProblem::Altered));
    }
    if Timestamp::from_millis(link.ends_ms) <= now {
        return Ok(Err(LinkProblem::Expired));
    }
    if link.used.is_some() {
        return Ok(Err(LinkProblem::Used));
    }
    Ok(Ok((link, row.version)))
}
