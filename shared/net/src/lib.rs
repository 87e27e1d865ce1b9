//! Outbound calls: webhooks, pictures for Slack, and mail.
//!
//! Read [`NetMessenger`] first (the `Messenger` of every host without SES), then [`Guard`], which decides where a call
//! may go.
//!
//! Invariants:
//! - A name is resolved first, its addresses are checked, and the call goes to these very addresses: a name that
//!   resolves differently a moment later changes nothing. Redirects are resolved and checked as well.
//! - No URL, mailbox, header value or answer text is in an error or a log: they hold secrets and personal data.
//! - A repeat carries the same `Idempotency-Key`, the same `Message-ID`, and overwrites the same file of the outbox.
//! - TLS is rustls with ring and the roots of Mozilla compiled in, and what a receiver trusts besides; no proxy and no
//!   setting is read from the environment. Where a receiver names a proxy, that is where the call goes: its addresses
//!   are the ones that are checked.

mod drawn;
mod guard;
mod mail;
mod outbox;
mod post;
mod slack;
mod smtp;
#[cfg(test)]
mod testing;
mod tls;
mod webhook;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use app::ports::{Address, Content, Delivery, Messenger, PortError, PortResult, Receipt, Secret};
use app::refusals::check_delivery;
use async_trait::async_trait;
use model::ErrorKind;

pub use guard::{Guard, GuardError};
pub use mail::{Mail, mime};
pub use post::Poster;

/// The operation that errors name.
const DELIVER: &str = "messenger deliver";

/// What a host decides about outbound calls.
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// Where mail goes that has no server: one `.eml` file each. Made when the first one comes.
    pub outbox_dir: PathBuf,
    /// Whether calls may go to this machine. On for the local host, off wherever tenants choose destinations.
    pub allow_loopback: bool,
    /// How long one delivery may take, redirects included.
    pub timeout: Duration,
    /// Whether a mail server must offer TLS; one on this machine never has to.
    pub smtp_tls: SmtpTls,
    /// What to log in to the mail server with.
    pub smtp_credentials: Option<SmtpCredentials>,
}

impl NetSettings {
    /// Ten seconds a delivery, TLS required, no log-in, nothing to this machine.
    pub fn new(outbox_dir: impl Into<PathBuf>) -> Self {
        Self {
            outbox_dir: outbox_dir.into(),
            allow_loopback: false,
            timeout: Duration::from_secs(10),
            smtp_tls: SmtpTls::Required,
            smtp_credentials: None,
        }
    }
}

/// Whether a mail server must offer TLS. On port 465 it is spoken from the first byte, else after `STARTTLS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// No mail without it.
    Required,
    /// Used when offered.
    IfOffered,
}

/// A name and a password.
#[derive(Clone)]
pub struct SmtpCredentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for SmtpCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmtpCredentials")
    }
}

/// Delivers by webhook, by SMTP, or into a folder.
#[derive(Clone, Debug)]
pub struct NetMessenger {
    settings: Arc<NetSettings>,
    guard: Guard,
    webhooks: webhook::Webhooks,
}

impl NetMessenger {
    /// A messenger; connects to nothing yet.
    pub fn new(settings: NetSettings) -> Self {
        let guard = Guard::new(settings.allow_loopback);
        Self { webhooks: webhook::Webhooks::new(guard), guard, settings: Arc::new(settings) }
    }

    async fn send(&self, delivery: &Delivery) -> PortResult<Receipt> {
        match (&delivery.address, &delivery.content) {
            (Address::Webhook { url, headers, connection }, Content::Json(body)) => {
                let url = reveal(url).await?;
                let webhooks = match connection {
                    Some(connection) => &self.webhooks.over(connection)?,
                    None => &self.webhooks,
                };
                webhooks.post(&url, headers, body, &delivery.idempotency_key).await
            }
            (Address::Email { from, to, server }, Content::Email { subject, text, html, headers, thread }) => {
                let letter = mail::Letter { from, to, subject, text, html, headers, thread: thread.as_deref() };
                let composed = mail::compose(&letter, &delivery.idempotency_key, delivery.time)?;
                match server {
                    Some(server) => smtp::send(&composed, server, &self.guard, &self.settings).await,
                    None => outbox::keep(&composed, &delivery.idempotency_key, &self.settings.outbox_dir).await,
                }
            }
            (Address::Sms { .. } | Address::Topic { .. }, _) => {
                Err(PortError::new(ErrorKind::Invalid, DELIVER, "text messages and topics need a deployment on AWS"))
            }
            (Address::SlackThread { api, headers, channel, ts }, Content::Picture { title, svg }) => {
                let thread = slack::Thread { api, headers, channel, ts };
                thread.show(&self.webhooks, title, svg, &delivery.idempotency_key).await
            }
            (Address::Webhook { .. } | Address::Email { .. } | Address::SlackThread { .. }, _) => {
                Err(PortError::new(ErrorKind::Invalid, DELIVER, "the content does not suit the address"))
            }
        }
    }
}

/// A secret's text; one that is kept in a file is read each time, so that it may change.
async fn reveal(secret: &Secret) -> PortResult<Cow<'_, str>> {
    let file = match secret {
        Secret::Inline(text) => return Ok(Cow::Borrowed(text)),
        Secret::File(file) => file,
    };
    let unreadable = |error| PortError::new(ErrorKind::Unavailable, DELIVER, format!("secret in {file}: {error}"));
    let text = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
    Ok(Cow::Owned(text.trim_end().to_owned()))
}

#[async_trait]
impl Messenger for NetMessenger {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        check_delivery(DELIVER, delivery)?;
        let limit = self.settings.timeout;
        let late = |_| PortError::new(ErrorKind::Unavailable, DELIVER, format!("no answer in {limit:?}"));
        tokio::time::timeout(limit, self.send(delivery)).await.map_err(late)?
    }

    async fn reveal(&self, secret: &Secret) -> PortResult<String> {
        reveal(secret).await.map(Cow::into_owned)
    }
}
