//! From a decided notification to what a messenger carries.

use std::time::Duration;

use alerting::notify::{Failure, Held, Notification, Outcome, SlackDoor, SnsTarget, Target};
use model::ErrorKind;
use render::Zone;
use render::notification::{Item, Message, Writer, webhook};

use super::{Desk, TEMPLATES};
use crate::ports::{Address, Content, Delivery, Secret};

/// How long one delivery may take; below the time after which somebody else would try it again.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(40);

/// What came of one delivery.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    pub(super) outcome: Outcome,
    /// What the messenger said.
    pub(super) note: String,
}

impl Desk<'_> {
    /// Delivers one notification.
    pub(super) async fn deliver(&self, tenant: &str, notification: &Notification) -> Delivered {
        let key = &notification.integration.key;
        let (result, note) = self.carry(notification).await;
        let kind = key.split('/').next().unwrap_or(key);
        self.metrics.notification(kind, result.is_ok());
        let (receiver, reason) = (&notification.receiver, notification.reason);
        match &result {
            Ok(()) => tracing::info!(tenant, receiver, integration = %key, %reason, note, "notification sent"),
            // Once a look of the group is enough; the history holds what is given up.
            Err(_) if notification.tries == 1 => {
                tracing::warn!(tenant, receiver, integration = %key, %reason, note, "notification failed");
            }
            Err(_) => tracing::debug!(tenant, receiver, integration = %key, %reason, note, "notification failed again"),
        }
        let outcome = Outcome { integration: key.clone(), sequence: notification.sequence, result };
        Delivered { outcome, note }
    }

    async fn carry(&self, notification: &Notification) -> (Result<(), Failure>, String) {
        if notification.firing.is_empty() && notification.resolved.is_empty() {
            return (Ok(()), "its alerts are forgotten by now".to_owned());
        }
        let Some(delivery) = self.delivery(notification) else {
            let kind = notification.integration.key.split('/').next().unwrap_or("");
            return (Err(Failure::Permanent), format!("nothing is delivered to {kind}"));
        };
        match tokio::time::timeout(DELIVERY_TIMEOUT, self.messenger.deliver(&delivery)).await {
            Ok(Ok(receipt)) => (Ok(()), receipt.note),
            Ok(Err(error)) => (Err(failure(error.kind())), error.to_string()),
            Err(_) => (Err(Failure::Temporary), format!("no answer within {} s", DELIVERY_TIMEOUT.as_secs())),
        }
    }

    /// What a messenger carries; `None` where it leads to a service that nothing is delivered to.
    fn delivery(&self, notification: &Notification) -> Option<Delivery> {
        let message = self.message(notification);
        let language = notification.integration.language.unwrap_or(self.settings.language);
        let writer = Writer { templates: &TEMPLATES, language, zone: Zone::of(&self.settings.time_zone) };
        let posted = |url: &Secret| Address::Webhook { url: url.clone(), headers: Vec::new() };
        let (address, content) = match &notification.integration.target {
            Target::Slack(slack) => match &slack.door {
                SlackDoor::Webhook(url) => (posted(url), Content::Json(writer.slack(&message, &slack.channel))),
                SlackDoor::WebApi { .. } => return None,
            },
            Target::Webhook(hook) => (posted(&hook.url), Content::Json(webhook(&message, hook.max_alerts))),
            Target::Email(email) => {
                let mail = writer.mail(&message);
                let address = Address::Email {
                    from: email.from.clone(),
                    to: email.to.clone(),
                    smarthost: email.smarthost.clone(),
                };
                (address, Content::Email { subject: mail.subject, text: mail.text, html: mail.html })
            }
            Target::Sns(sns) => match &sns.to {
                SnsTarget::Phone(number) => {
                    let text = writer.sms(&message);
                    (Address::Sms { numbers: vec![number.clone()] }, Content::Text { subject: None, text })
                }
                SnsTarget::Topic(arn) => {
                    let (subject, text) = writer.topic(&message);
                    (Address::Topic { arn: arn.clone() }, Content::Text { subject: Some(subject), text })
                }
                SnsTarget::Device(_) => return None,
            },
            Target::PagerDuty(_)
            | Target::Opsgenie(_)
            | Target::Teams(_)
            | Target::Discord(_)
            | Target::Telegram(_)
            | Target::Undelivered(_) => return None,
        };
        let idempotency_key = notification.idempotency_key.clone();
        Some(Delivery { idempotency_key, address, content, time: notification.decided_at })
    }

    fn message(&self, notification: &Notification) -> Message {
        let firing = notification.firing.iter().map(|held| item(held, false));
        let resolved = notification.resolved.iter().map(|held| item(held, true));
        Message {
            receiver: notification.receiver.clone(),
            group_key: notification.group_key.clone(),
            group_labels: notification.group_labels.clone(),
            reason: notification.reason.as_str().to_owned(),
            external_url: self.settings.external_url.clone(),
            alerts: firing.chain(resolved).collect(),
        }
    }
}

/// An alert as it is shown: fires or has ended as the notification says, whatever became of it since.
fn item(held: &Held, has_ended: bool) -> Item {
    let alert = &held.alert;
    Item {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        starts_at: alert.starts_at,
        ended_at: has_ended.then(|| alert.ends_at.unwrap_or(alert.updated_at)),
        generator_url: alert.generator_url.clone(),
        fingerprint: alert.fingerprint().to_string(),
    }
}

const fn failure(kind: ErrorKind) -> Failure {
    match kind {
        ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict => Failure::Temporary,
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Bug => Failure::Permanent,
    }
}
