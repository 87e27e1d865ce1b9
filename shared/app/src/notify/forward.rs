//! Alerts handed on to Alertmanagers outside, as a Prometheus hands them on: for those who keep their own.
//!
//! What arrives on the alert topic goes out once it is stored here: alerts of rules, and those of CloudWatch's alarms.
//! Alerts that outside senders bring do not, so that nothing goes in circles. What does not arrive is not kept: rules
//! send an alert again while it fires, and for a quarter of an hour after it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::Alert;
use alerting::notify::Alertmanager;
use futures::future::join_all;
use model::{ErrorKind, TenantId, Timestamp};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::Desk;
use crate::ports::{Address, Content, Delivery, PortError, PortResult, Secret, revealed};

/// Most alerts in one request.
const BATCH_MAX: usize = 256;
/// How often a request is tried at once, before the next message of the rules tries again.
const TRIES: usize = 2;
/// How long an alert goes on of which nobody will say again that it fires, only that it ended: an alarm of CloudWatch.
const VALID_WITHOUT_WORD: Duration = Duration::from_secs(365 * 24 * 3600);

impl Desk<'_> {
    /// Hands alerts on to every Alertmanager of their tenant, each within its time limit. What fails is counted and
    /// told, and costs nothing else.
    pub(super) async fn forward(&self, alerts: &BTreeMap<TenantId, Vec<Alert>>) {
        let mut works = Vec::new();
        for (tenant, alerts) in alerts.iter().filter(|(_, alerts)| !alerts.is_empty()) {
            let Some(config) = self.config.tenants.get(tenant) else { continue };
            let to = &config.forwarding.alertmanagers;
            works.extend(to.iter().map(|alertmanager| self.forward_to(tenant, alertmanager, alerts)));
        }
        join_all(works).await;
    }

    async fn forward_to(&self, tenant: &TenantId, to: &Alertmanager, alerts: &[Alert]) {
        let late = || {
            let text = format!("no answer within {} ms", to.timeout.as_millis());
            Err(PortError::new(ErrorKind::Unavailable, "forward alerts", text))
        };
        let sent = tokio::time::timeout(to.timeout, self.send_all(to, alerts)).await.unwrap_or_else(|_| late());
        self.metrics.notification("alertmanager", sent.is_ok());
        let (url, count) = (&to.url, alerts.len());
        match sent {
            Ok(()) => tracing::debug!(%tenant, url, count, "alerts handed on"),
            Err(error) => tracing::warn!(%tenant, url, count, %error, "alerts were not handed on"),
        }
    }

    async fn send_all(&self, to: &Alertmanager, alerts: &[Alert]) -> PortResult<()> {
        let headers = self.headers(&to.http).await?;
        let connection = revealed(&to.http.connection, self.messenger).await?;
        for batch in alerts.chunks(BATCH_MAX) {
            let body = Value::Array(batch.iter().map(|alert| posted(alert, self.now)).collect()).to_string();
            let delivery = Delivery {
                idempotency_key: format!("{:032x}", xxh3_128(format!("{}\n{body}", to.url).as_bytes())),
                address: Address::Webhook {
                    url: Secret::new(to.url.clone()),
                    headers: headers.clone(),
                    connection: connection.clone(),
                },
                content: Content::Json(body),
                time: self.now,
            };
            self.send(&delivery).await?;
        }
        Ok(())
    }

    async fn send(&self, delivery: &Delivery) -> PortResult<()> {
        for _ in 1..TRIES {
            match self.messenger.deliver(delivery).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                other => return other.map(drop),
            }
        }
        self.messenger.deliver(delivery).await.map(drop)
    }
}

/// An alert as `POST /api/v2/alerts` takes it. One that fires ends when its sender no longer vouches for it.
fn posted(alert: &Alert, now: Timestamp) -> Value {
    let ends_at = alert.ends_at.or(alert.valid_until).unwrap_or(now + VALID_WITHOUT_WORD);
    let labels: BTreeMap<&str, &str> = alert.labels.iter().collect();
    json!({
        "labels": labels,
        "annotations": alert.annotations,
        "startsAt": written(alert.starts_at),
        "endsAt": written(ends_at),
        "generatorURL": alert.generator_url,
    })
}

/// A time as the API takes it: UTC with milliseconds.
fn written(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}
