//! Documents for a service that a host trusts and signs for, such as a queue of its own.

use std::time::Duration;

use app::ports::{PortError, PortResult};
use bytes::Bytes;
use model::ErrorKind;

use crate::webhook::{Body, Webhooks};
use crate::{DELIVER, Guard};

/// Posts documents that others have signed. Carries no pictures, no mail, and what they need.
#[derive(Clone, Debug)]
pub struct Poster {
    webhooks: Webhooks,
    timeout: Duration,
}

impl Poster {
    /// Connects to nothing yet; to this machine never, unless that is allowed.
    pub fn new(allow_loopback: bool, timeout: Duration) -> Self {
        Self { webhooks: Webhooks::new(Guard::new(allow_loopback)), timeout }
    }

    /// Posts a document under a key that its repeats share.
    ///
    /// # Errors
    /// As a webhook's delivery: `Throttled` or `Unavailable` when it may succeed later. Never names the URL or a header.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(String, String)],
        media_type: &'static str,
        body: Bytes,
        idempotency_key: &str,
    ) -> PortResult<()> {
        let asked = self.webhooks.ask(url, headers, Body { media_type, bytes: body }, idempotency_key);
        let limit = self.timeout;
        let late = |_| PortError::new(ErrorKind::Unavailable, DELIVER, format!("no answer in {limit:?}"));
        tokio::time::timeout(limit, asked).await.map_err(late)?.map(drop)
    }
}
