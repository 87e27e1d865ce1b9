//! Text messages by SNS.
//!
//! SNS takes a text message that it will never send: to a number whose owner has opted out, to one that is not
//! verified while the account is in the sandbox. So both are asked about before the first message to a number, once an
//! hour at most; where the role may not ask, the message is sent all the same. What the account's spending limit stops
//! is dropped by SNS without a word to us: its own metric `SMSMonthToDateSpentUSD` tells, and is asked with the rest.
//!
//! Source: "Mobile text messaging with Amazon SNS" of the AWS documentation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app::ports::{PortError, PortResult, Receipt};
use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, SmsSandboxPhoneNumberVerificationStatus};
use aws_smithy_types::DateTime;
use model::ErrorKind;

use super::{DELIVER, invalid};
use crate::client::Clients;
use crate::failure;
use crate::runtime::MessageSettings;

/// Most bytes of the text of all parts of one message.
const TEXT_BYTES_MAX: usize = 1600;
/// How long an answer about a number is believed.
const ASKED_EVERY: Duration = Duration::from_secs(3600);
/// The attribute that holds what may be spent on text messages in a month, in dollars.
const SPEND_LIMIT: &str = "MonthlySpendLimit";
/// How far back the newest figure of what was spent is looked for: the metric comes once in a while.
const SPENT_WITHIN_SECS: i64 = 24 * 3600;
/// Most pages of verified numbers that are read.
const SANDBOX_PAGES_MAX: usize = 10;

/// Why a number was not reached.
type Problem = (ErrorKind, String);

fn never(reason: &str) -> Problem {
    (ErrorKind::Invalid, reason.to_owned())
}

/// Sends text messages.
#[derive(Clone, Debug)]
pub(super) struct SnsSms {
    client: Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    clients: Clients,
    attributes: Vec<(&'static str, MessageAttributeValue)>,
    /// When a number was last found to be reachable, in microseconds since the epoch.
    reachable: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl SnsSms {
    pub(super) fn new(clients: &Clients, settings: &MessageSettings) -> Self {
        let mut attributes = vec![("AWS.SNS.SMS.SMSType", attribute("String", "Transactional"))];
        if let Some(sender_id) = &settings.sms_sender_id {
            attributes.push(("AWS.SNS.SMS.SenderID", attribute("String", sender_id)));
        }
        if let Some(price) = settings.sms_max_price {
            attributes.push(("AWS.SNS.SMS.MaxPrice", attribute("Number", &price.to_string())));
        }
        Self {
            client: Client::new(clients.sdk_config()),
            cloudwatch: aws_sdk_cloudwatch::Client::new(clients.sdk_config()),
            clients: clients.clone(),
            attributes,
            reachable: Arc::default(),
        }
    }

    /// Sends a text to each number. One that fails keeps the others from nothing; the delivery fails when any did that
    /// may succeed later, or when all did.
    pub(super) async fn send(&self, numbers: &[String], text: &str) -> PortResult<Receipt> {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err(invalid(format!("a text of {} bytes is not 1 to {TEXT_BYTES_MAX} bytes long", text.len())));
        }
        let count = numbers.len();
        let mut problems = Vec::new();
        for (place, number) in numbers.iter().enumerate() {
            if let Err((kind, reason)) = self.send_one(number, text).await {
                problems.push((kind, format!("number {} of {count}: {reason}", place + 1)));
            }
        }
        let worst = problems.iter().find(|(kind, _)| *kind != ErrorKind::Invalid).or(problems.first());
        match worst {
            Some((kind, reason)) if problems.len() == count || *kind != ErrorKind::Invalid => {
                Err(PortError::new(*kind, DELIVER, reason))
            }
            Some((_, reason)) => Ok(Receipt::noted(format!("SNS took the others; {reason}"))),
            None => Ok(Receipt::noted(format!("SNS took {count}"))),
        }
    }

    async fn send_one(&self, number: &str, text: &str) -> Result<(), Problem> {
        if !is_number(number) {
            return Err(never("it is not written as E.164 says, such as +819012345678"));
        }
        self.check(number).await?;
        let mut request = self.client.publish().phone_number(number).message(text);
        for (name, value) in &self.attributes {
            request = request.message_attributes(*name, value.clone());
        }
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err((failure::kind(&error), failure::describe(&error))),
        }
    }

    /// Asks whether a number can be reached at all; a question that is not answered is no reason not to try.
    async fn check(&self, number: &str) -> Result<(), Problem> {
        let now = self.clients.clock_micros();
        let asked_at = self.reachable.lock().unwrap_or_else(PoisonError::into_inner).get(number).copied();
        let hour = u64::try_from(ASKED_EVERY.as_micros()).unwrap_or(u64::MAX);
        if asked_at.is_some_and(|asked_at| now.abs_diff(asked_at) < hour) {
            return Ok(());
        }
        match self.client.check_if_phone_number_is_opted_out().phone_number(number).send().await {
            Ok(answer) if answer.is_opted_out() => return Err(never("its owner has opted out of text messages")),
            Ok(_) => {}
            Err(error) => tracing::warn!(reason = failure::describe(&error), "nobody says whether a number opted out"),
        }
        if self.is_sandboxed().await && !self.is_verified(number).await {
            let message = "the account is in the sandbox for text messages, and the number is not verified there";
            return Err(never(message));
        }
        if let Some((spent, limit)) = self.spent(now).await
            && spent >= limit
        {
            let message = format!("the account has spent its monthly limit of ${limit} on text messages");
            return Err((ErrorKind::Unavailable, message));
        }
        self.reachable.lock().unwrap_or_else(PoisonError::into_inner).insert(number.to_owned(), now);
        Ok(())
    }

    /// What was spent on text messages this month and what may be, in dollars; `None` where nobody says.
    async fn spent(&self, now_micros: u64) -> Option<(f64, f64)> {
        let attributes = self.client.get_sms_attributes().attributes(SPEND_LIMIT).send().await;
        let attributes = match attributes {
            Ok(attributes) => attributes,
            Err(error) => {
                tracing::warn!(reason = failure::describe(&error), "nobody says what may be spent on text messages");
                return None;
            }
        };
        let limit: f64 = attributes.attributes().and_then(|all| all.get(SPEND_LIMIT))?.parse().ok()?;
        let now_secs = i64::try_from(now_micros / 1_000_000).ok()?;
        let asked = self.cloudwatch.get_metric_statistics().namespace("AWS/SNS").metric_name("SMSMonthToDateSpentUSD");
        let asked = asked.statistics(Statistic::Maximum).period(300);
        let asked =
            asked.start_time(DateTime::from_secs(now_secs - SPENT_WITHIN_SECS)).end_time(DateTime::from_secs(now_secs));
        match asked.send().await {
            Ok(found) => {
                let newest = found.datapoints().iter().max_by_key(|point| point.timestamp().map(DateTime::secs));
                Some((newest.and_then(|point| point.maximum())?, limit))
            }
            Err(error) => {
                tracing::warn!(reason = failure::describe(&error), "nobody says what was spent on text messages");
                None
            }
        }
    }

    async fn is_sandboxed(&self) -> bool {
        match self.client.get_sms_sandbox_account_status().send().await {
            Ok(answer) => answer.is_in_sandbox(),
            Err(error) => {
                let reason = failure::describe(&error);
                tracing::warn!(reason, "nobody says whether text messages leave the account's sandbox");
                false
            }
        }
    }

    /// Whether a number is verified; taken for true where the list cannot be read.
    async fn is_verified(&self, number: &str) -> bool {
        let mut token = None;
        for _ in 0..SANDBOX_PAGES_MAX {
            let page = self.client.list_sms_sandbox_phone_numbers().set_next_token(token).send().await;
            let Ok(page) = page else { return true };
            let verified = |status: Option<&SmsSandboxPhoneNumberVerificationStatus>| {
                status == Some(&SmsSandboxPhoneNumberVerificationStatus::Verified)
            };
            if page.phone_numbers().iter().any(|known| known.phone_number() == Some(number) && verified(known.status()))
            {
                return true;
            }
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return false;
            }
        }
        true
    }
}

fn attribute(kind: &str, value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type(kind).string_value(value).build().expect("its type is given")
}

/// Whether a number is one of E.164: a plus sign and up to 15 digits, the first one not zero.
fn is_number(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard() {
        let cases = [
            ("+819012345678", true),
            ("+4915112345678", true),
            ("+1234567890123456", false),
            ("819012345678", false),
            ("+0312345678", false),
            ("+81 90 1234 5678", false),
            ("+", false),
            ("", false),
        ];
        for (number, expected) in cases {
            assert_eq!(is_number(number), expected, "{number}");
        }
    }
}
