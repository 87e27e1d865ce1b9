//! Mail by SES, as the raw message that `net` writes, with its pictures inside.
//!
//! Source of the limits: "Service quotas in Amazon SES": 50 recipients a message, 40 MB after encoding.

use app::ports::{Address, Delivery, PortError, PortResult, Receipt};
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::SdkError;
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Destination, EmailContent, RawMessage};
use aws_smithy_runtime_api::http::Response;
use model::ErrorKind;

use super::{DELIVER, invalid};
use crate::client::Clients;
use crate::failure;

/// Most recipients of one message.
const RECIPIENTS_MAX: usize = 50;
/// Most bytes of one message.
const MESSAGE_BYTES_MAX: usize = 40 << 20;

/// Sends mail from one verified address.
#[derive(Clone, Debug)]
pub(super) struct SesMail {
    client: Client,
    from: Option<String>,
}

impl SesMail {
    pub(super) fn new(clients: &Clients, from: Option<String>) -> Self {
        Self { client: Client::new(clients.sdk_config()), from }
    }

    /// Sends a mail. The sender's address is the verified one; its name is the configuration's.
    pub(super) async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        let Address::Email { to, .. } = &delivery.address else { return Err(invalid("the address is no mailbox")) };
        let from = self.from.as_deref().ok_or_else(|| {
            invalid("no address to send from is set: verify one in SES, then deploy with the parameter MailFrom")
        })?;
        if to.len() > RECIPIENTS_MAX {
            return Err(invalid(format!("{} recipients are over the limit of {RECIPIENTS_MAX}", to.len())));
        }
        let mail = net::mime(delivery, Some(from))?;
        if let Some(place) = mail.to.iter().position(|mailbox| is_placeholder(mailbox)) {
            let message = format!(
                "recipient {} of {} is the placeholder of the default configuration: push an alertmanager.yml of yours",
                place + 1,
                to.len()
            );
            return Err(invalid(message));
        }
        if mail.bytes.len() > MESSAGE_BYTES_MAX {
            let size = mail.bytes.len();
            return Err(invalid(format!("a mail of {size} bytes is over the limit of {MESSAGE_BYTES_MAX} bytes")));
        }
        self.send(mail).await
    }

    async fn send(&self, mail: net::Mail) -> PortResult<Receipt> {
        let raw = RawMessage::builder().data(Blob::new(mail.bytes)).build();
        let raw = raw.map_err(|error| PortError::new(ErrorKind::Bug, DELIVER, error))?;
        let request = self
            .client
            .send_email()
            .from_email_address(mail.from)
            .destination(Destination::builder().set_to_addresses(Some(mail.to)).build())
            .content(EmailContent::builder().raw(raw).build());
        let sent = request.send().await.map_err(|error| refusal(&error))?;
        Ok(Receipt::noted(format!("SES {}", sent.message_id().unwrap_or("took it"))))
    }
}

/// A mailbox that can never exist (RFC 2606), such as those of the default configuration.
fn is_placeholder(mailbox: &str) -> bool {
    mailbox.trim_end_matches('>').to_ascii_lowercase().ends_with(".invalid")
}

/// What SES says without its words, which repeat mailboxes.
fn refusal(error: &SdkError<SendEmailError, Response>) -> PortError {
    let (kind, hint) = match error.as_service_error() {
        Some(SendEmailError::MessageRejected(_)) => (
            ErrorKind::Invalid,
            ": an address is not verified in SES, the account is in its sandbox, or the message is not accepted",
        ),
        Some(SendEmailError::MailFromDomainNotVerifiedException(_)) => {
            (ErrorKind::Invalid, ": the sender's domain is not verified in SES")
        }
        Some(SendEmailError::AccountSuspendedException(_) | SendEmailError::SendingPausedException(_)) => {
            (ErrorKind::Unavailable, ": SES has paused sending for the account")
        }
        Some(SendEmailError::LimitExceededException(_) | SendEmailError::TooManyRequestsException(_)) => {
            (ErrorKind::Throttled, ": the account's quota of SES is used up")
        }
        Some(_) | None => (failure::kind(error), ""),
    };
    PortError::new(kind, DELIVER, format!("{}{hint}", failure::describe(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known() {
        let cases = [
            ("operations@mihari.invalid", true),
            ("Ops <ops@x.INVALID>", true),
            ("ops@example.com", false),
            ("ops@invalid.example.com", false),
        ];
        for (mailbox, expected) in cases {
            assert_eq!(is_placeholder(mailbox), expected, "{mailbox}");
        }
    }
}
