//! How people are told: mail by SES, text messages and topics by SNS, webhooks by HTTPS.
//!
//! Read [`AwsMessenger`] first; [`MailMessenger`] is the part that a function without alerts needs. Mail that names a
//! server of its own goes there ([`net`]), all other mail to SES.
//!
//! Invariants:
//! - No mailbox, number, URL or secret is in an error or a log, and neither is what a service says, which repeats them.
//! - What cannot ever be delivered is `Invalid` before a call where AWS documents the limit, and by its code after one.

mod mail;
mod sms;
mod topic;

use app::ports::{Address, Content, Delivery, Messenger, PortError, PortResult, Receipt, Secret};
use app::refusals::check_delivery;
use async_trait::async_trait;
use model::ErrorKind;
use net::{NetMessenger, NetSettings};

use crate::client::Clients;
use crate::runtime::MessageSettings;
use crate::secrets::SsmSecrets;
use mail::SesMail;
use sms::SnsSms;

/// The operation that errors name.
const DELIVER: &str = "messenger deliver";
/// Nothing is ever written there: mail without a server goes to SES.
const NO_OUTBOX: &str = "/nonexistent";

/// Delivers mail alone.
#[derive(Clone, Debug)]
pub struct MailMessenger {
    ses: SesMail,
    net: NetMessenger,
}

impl MailMessenger {
    /// A messenger; opens no connection.
    pub fn new(clients: &Clients, settings: &MessageSettings) -> Self {
        Self { ses: SesMail::new(clients, settings.mail_from.clone()), net: net_messenger(settings) }
    }
}

#[async_trait]
impl Messenger for MailMessenger {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        check_delivery(DELIVER, delivery)?;
        match &delivery.address {
            Address::Email { server: None, .. } => self.ses.deliver(delivery).await,
            Address::Email { .. } => self.net.deliver(delivery).await,
            Address::Webhook { .. } | Address::Sms { .. } | Address::Topic { .. } | Address::SlackThread { .. } => {
                Err(PortError::new(ErrorKind::Bug, DELIVER, "this host was built for mail alone"))
            }
        }
    }
}

/// Delivers to every kind of address.
#[derive(Clone, Debug)]
pub struct AwsMessenger {
    mail: MailMessenger,
    sms: SnsSms,
    topics: topic::SnsTopics,
    secrets: SsmSecrets,
}

impl AwsMessenger {
    /// A messenger; opens no connection.
    pub fn new(clients: &Clients, settings: &MessageSettings) -> Self {
        Self {
            mail: MailMessenger::new(clients, settings),
            sms: SnsSms::new(clients, settings),
            topics: topic::SnsTopics::new(clients),
            secrets: SsmSecrets::new(clients),
        }
    }

    /// Posts to a webhook whose URL may be a secret. One that refuses under a remembered URL is asked again under the
    /// one that is stored now, if that is another: somebody has just changed it.
    async fn post(&self, url: &Secret, delivery: &Delivery) -> PortResult<Receipt> {
        let used = self.secrets.reveal(DELIVER, url).await?;
        let posted = self.mail.net.deliver(&posted_to(&used.text, delivery)).await;
        match posted {
            Err(error) if error.kind() == ErrorKind::Invalid && used.is_remembered => {
                let stored = self.secrets.reveal_again(DELIVER, url).await?;
                if stored.text == used.text {
                    return Err(error);
                }
                self.mail.net.deliver(&posted_to(&stored.text, delivery)).await
            }
            posted => posted,
        }
    }
}

fn posted_to(revealed: &str, delivery: &Delivery) -> Delivery {
    let mut delivery = delivery.clone();
    if let Address::Webhook { url, .. } = &mut delivery.address {
        *url = Secret::new(revealed);
    }
    delivery
}

#[async_trait]
impl Messenger for AwsMessenger {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        check_delivery(DELIVER, delivery)?;
        match (&delivery.address, &delivery.content) {
            (Address::Email { .. }, _) => self.mail.deliver(delivery).await,
            (Address::Webhook { url, .. }, _) => self.post(url, delivery).await,
            (Address::SlackThread { .. }, _) => self.mail.net.deliver(delivery).await,
            (Address::Sms { numbers }, Content::Text { text, .. }) => self.sms.send(numbers, text).await,
            (Address::Topic { arn, attributes }, Content::Text { subject, text }) => {
                let said = topic::Said { subject: subject.as_deref(), text, attributes };
                self.topics.publish(arn, &said, &delivery.idempotency_key).await
            }
            (
                Address::Sms { .. } | Address::Topic { .. },
                Content::Json(_) | Content::Email { .. } | Content::Picture { .. },
            ) => Err(invalid("the content does not suit the address")),
        }
    }

    async fn reveal(&self, secret: &Secret) -> PortResult<String> {
        self.secrets.reveal(DELIVER, secret).await.map(|found| found.text.to_string())
    }
}

fn net_messenger(settings: &MessageSettings) -> NetMessenger {
    NetMessenger::new(NetSettings { allow_loopback: settings.allow_loopback, ..NetSettings::new(NO_OUTBOX) })
}

fn invalid(message: impl std::fmt::Display) -> PortError {
    PortError::new(ErrorKind::Invalid, DELIVER, message)
}
