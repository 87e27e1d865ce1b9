//! Pictures that follow messages: the series behind the alerts, in the thread of a message of Slack.
//!
//! A picture comes after its message was delivered and recorded, at most once, and never again: one that fails, or that a
//! crash cuts off, is missing, and nothing waits for it. Mails carry theirs inside ([`super::chart`]). Incoming webhooks
//! of Slack take no pictures.

use std::time::Duration;

use alerting::notify::{Notification, Reason, SlackDoor, Target};
use futures::StreamExt as _;
use model::TenantId;
use render::Zone;
use render::notification::Writer;

use super::deliver::Delivered;
use super::services::Said;
use super::{Desk, TEMPLATES};
use crate::ports::{Address, Content, Delivery};

/// Pictures that are made at the same time.
const AT_ONCE: usize = 4;
/// How long all pictures of a run may take; what is not there by then stays away.
const TIME_MAX: Duration = Duration::from_secs(12);
/// Most pictures of a run: in a storm of alerts the texts are what counts.
const PICTURES_MAX: usize = 32;
/// The method that posts a message; those for files stand beside it.
const POST_MESSAGE: &str = "chat.postMessage";

/// A picture that may follow a message which was delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    tenant: TenantId,
    notification: Notification,
    /// Where the message stands: `CHANNEL/TS`.
    reference: String,
}

impl Picture {
    /// Of a notification that Slack's web API took as a message of its own, or as an answer to one. A repetition that
    /// only changes a message is silent.
    pub(super) fn after(tenant: &TenantId, notification: &Notification, delivered: &Delivered) -> Option<Self> {
        let Target::Slack(slack) = &notification.integration.target else { return None };
        let is_silent = slack.update && notification.reason == Reason::RepeatIntervalElapsed;
        let reference = delivered.outcome.reference.clone()?;
        let is_told = delivered.outcome.result.is_ok() && matches!(slack.door, SlackDoor::WebApi { .. });
        (is_told && !is_silent).then(|| Self { tenant: tenant.clone(), notification: notification.clone(), reference })
    }
}

impl Desk<'_> {
    pub(super) async fn illustrate(&self, pictures: Vec<Picture>) {
        let left_out = pictures.len().saturating_sub(PICTURES_MAX);
        if left_out > 0 {
            tracing::info!(left_out, "messages go without their pictures: too many at once");
        }
        let works = futures::stream::iter(pictures.into_iter().take(PICTURES_MAX))
            .for_each_concurrent(AT_ONCE, async |picture| self.show(&picture).await);
        if tokio::time::timeout(TIME_MAX, works).await.is_err() {
            tracing::info!("some messages go without their pictures: they took too long");
        }
    }

    async fn show(&self, picture: &Picture) {
        let Some(svg) = self.chart(&picture.tenant, &picture.notification).await else { return };
        let Some(delivery) = self.illustration(picture, svg).await else { return };
        let result = self.messenger.deliver(&delivery).await;
        self.metrics.picture(result.is_ok());
        let (tenant, receiver) = (&picture.tenant, &picture.notification.receiver);
        match result {
            Ok(receipt) => tracing::debug!(%tenant, receiver, note = receipt.note, "picture sent"),
            Err(error) => tracing::warn!(%tenant, receiver, %error, "a message goes without its picture"),
        }
    }

    async fn illustration(&self, picture: &Picture, svg: String) -> Option<Delivery> {
        let notification = &picture.notification;
        let Target::Slack(slack) = &notification.integration.target else { return None };
        let SlackDoor::WebApi { url, token } = &slack.door else { return None };
        let (channel, ts) = picture.reference.split_once('/')?;
        let headers = self.slack_headers(&slack.http, token.as_ref()).await.ok()?;
        let language = notification.integration.language.unwrap_or(self.settings.language);
        let writer = Writer { templates: &TEMPLATES, language, zone: Zone::of(&self.settings.time_zone) };
        let title = Said::of(&self.message(notification), &writer).subject;
        Some(Delivery {
            idempotency_key: format!("{}/picture", notification.idempotency_key),
            address: Address::SlackThread {
                api: url.strip_suffix(POST_MESSAGE)?.to_owned(),
                headers,
                channel: channel.to_owned(),
                ts: ts.to_owned(),
            },
            content: Content::Picture { title, svg },
            time: notification.decided_at,
        })
    }
}
