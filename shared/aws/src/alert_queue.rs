//! The queue behind the alert topic, for functions that put into it: looks at timers (`wake`), and what they cannot say to
//! people themselves.
//!
//! A topic of SNS cannot delay a message and a queue can, for up to 15 minutes. Of SQS one call is needed, so it is made
//! by hand: its JSON protocol, signed by the signer that all clients of AWS share (see the decision record).
//!
//! Source: "SendMessage" and "Making query API requests" of the AWS documentation of SQS.

use std::fmt;
use std::time::{Duration, SystemTime};

use app::ports::{Message, PortError, PortResult, Topic};
use app::refusals::check_messages;
use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::SharedTimeSource;
use bytes::Bytes;
use model::{ErrorKind, Timestamp};
use net::Poster;
use serde_json::json;

use crate::client::Clients;
use crate::topic::{self, ENCODING_ATTRIBUTE, ID_ATTRIBUTE};

/// The id of a message that says nothing: whoever reads it looks at what is due.
pub(crate) const WAKE_ID: &str = "wake";

const TARGET: &str = "AmazonSQS.SendMessage";
const MEDIA_TYPE: &str = "application/x-amz-json-1.0";
/// How long one call may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);
/// Most times that a message is sent which the queue did not take.
const TRIES_MAX: u32 = 3;
/// The wait before the second time; doubled with each further one.
const BACKOFF_START: Duration = Duration::from_millis(50);
/// The longest delay that SQS takes.
const DELAY_MAX: Duration = Duration::from_secs(900);

/// Most bytes of a body as it is carried: the 256 KB of a message, less its attributes.
const BODY_BYTES_MAX: usize = (256 << 10) - 512;

const PUBLISH: &str = "topic publish";
const WAKE: &str = "topic wake";

/// Puts messages into one queue.
#[derive(Clone)]
pub struct AlertQueue {
    /// The queue's URL, which is its name in calls.
    queue: String,
    /// Where calls go.
    endpoint: String,
    region: String,
    credentials: Credentials,
    clock: SharedTimeSource,
    poster: Poster,
}

impl fmt::Debug for AlertQueue {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertQueue").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl AlertQueue {
    /// A sender; opens no connection.
    pub fn new(clients: &Clients, queue_url: impl Into<String>) -> Self {
        let settings = clients.settings();
        Self {
            queue: queue_url.into(),
            endpoint: endpoint(&settings.region, settings.endpoint.as_deref()),
            region: settings.region.clone(),
            credentials: settings.credentials.clone(),
            clock: settings.clock.clone(),
            // An endpoint that is named may be an emulator on this machine.
            poster: Poster::new(settings.endpoint.is_some(), CALL_TIME_MAX),
        }
    }

    /// Sends a message, and again where the queue did not take it.
    async fn send(&self, operation: &'static str, id: &str, body: serde_json::Value) -> PortResult<()> {
        let body = Bytes::from(body.to_string());
        let mut wait = BACKOFF_START;
        for tries in 1.. {
            let headers = self.signed(operation, &body)?;
            match self.poster.post(&self.endpoint, &headers, MEDIA_TYPE, body.clone(), id).await {
                Ok(()) => return Ok(()),
                Err(error) if tries == TRIES_MAX || !is_passing(error.kind()) => {
                    return Err(PortError::new(error.kind(), operation, error));
                }
                Err(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Ok(())
    }

    /// The headers of a call, with its signature of now.
    fn signed(&self, operation: &'static str, body: &[u8]) -> PortResult<Vec<(String, String)>> {
        let bug = |error: &dyn fmt::Display| PortError::new(ErrorKind::Bug, operation, format!("signing: {error}"));
        let identity = self.credentials.clone().into();
        let now: SystemTime = self.clock.now();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("sqs")
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| bug(&error))?
            .into();
        let headers = [("content-type", MEDIA_TYPE), ("x-amz-target", TARGET)];
        let request = SignableRequest::new("POST", &*self.endpoint, headers.into_iter(), SignableBody::Bytes(body))
            .map_err(|error| bug(&error))?;
        let (instructions, _) = sign(request, &params).map_err(|error| bug(&error))?.into_parts();
        let mut all = vec![("x-amz-target".to_owned(), TARGET.to_owned())];
        all.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(all)
    }

    fn attribute(value: &str) -> serde_json::Value {
        json!({ "DataType": "String", "StringValue": value })
    }
}

#[async_trait]
impl Topic for AlertQueue {
    async fn publish(&self, messages: Vec<Message>) -> PortResult<()> {
        check_messages(PUBLISH, &messages)?;
        // What one message meets must not keep the others back.
        let mut result = Ok(());
        for message in messages {
            let (text, encoding) = topic::as_text(&message.body);
            if text.len() > BODY_BYTES_MAX {
                let problem = format!("a message of {} bytes is over the limit of {BODY_BYTES_MAX} bytes", text.len());
                result = result.and(Err(PortError::new(ErrorKind::Invalid, PUBLISH, problem)));
                continue;
            }
            let mut attributes = json!({ ID_ATTRIBUTE: Self::attribute(&message.id) });
            if let Some(encoding) = encoding {
                attributes[ENCODING_ATTRIBUTE] = Self::attribute(encoding);
            }
            let body = json!({ "QueueUrl": self.queue, "MessageBody": text, "MessageAttributes": attributes });
            result = result.and(self.send(PUBLISH, &message.id, body).await);
        }
        result
    }

    async fn wake(&self, at: Timestamp, now: Timestamp) -> PortResult<()> {
        let body = json!({
            "QueueUrl": self.queue,
            "MessageBody": WAKE_ID,
            "MessageAttributes": { ID_ATTRIBUTE: Self::attribute(WAKE_ID) },
            "DelaySeconds": delay_seconds(at, now),
        });
        self.send(WAKE, WAKE_ID, body).await
    }
}

/// Where SQS is called in a region.
fn endpoint(region: &str, given: Option<&str>) -> String {
    match given {
        Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
        None if region.starts_with("cn-") => format!("https://sqs.{region}.amazonaws.com.cn/"),
        None => format!("https://sqs.{region}.amazonaws.com/"),
    }
}

/// Whole seconds until a moment, not fewer.
fn delay_seconds(at: Timestamp, now: Timestamp) -> u64 {
    let ahead_ms = at.as_millis().saturating_sub(now.as_millis()).max(0);
    u64::try_from(ahead_ms).unwrap_or(0).div_ceil(1000).min(DELAY_MAX.as_secs())
}

const fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Throttled | ErrorKind::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_to_the_region_unless_an_endpoint_is_named() {
        let cases = [
            ("ap-northeast-1", None, "https://sqs.ap-northeast-1.amazonaws.com/"),
            ("cn-north-1", None, "https://sqs.cn-north-1.amazonaws.com.cn/"),
            ("us-east-1", Some("http://127.0.0.1:4566"), "http://127.0.0.1:4566/"),
            ("us-east-1", Some("http://127.0.0.1:4566/"), "http://127.0.0.1:4566/"),
        ];
        for (region, given, expected) in cases {
            assert_eq!(endpoint(region, given), expected);
        }
    }

    #[test]
    fn a_look_never_comes_before_its_time() {
        let cases = [(-5000, 0), (0, 0), (1, 1), (1000, 1), (10_250, 11), (59_999, 60), (7_200_000, 900)];
        for (ahead_ms, expected) in cases {
            let now = Timestamp::from_secs(1_795_321_800);
            assert_eq!(delay_seconds(Timestamp::from_millis(now.as_millis() + ahead_ms), now), expected, "{ahead_ms}");
        }
    }
}
