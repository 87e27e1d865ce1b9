//! From a decided notification to what a messenger carries.

use std::time::Duration;

use alerting::notify::{
    Authorization, Failure, Held, Http, Notification, Outcome, PagerDutyKey, Reason, Slack, SlackDoor, SnsTarget,
    Target, TextError, Thread,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::{ErrorKind, TenantId};
use render::Zone;
use render::notification::{Item, Mail, Message, Stage, Writer, webhook};

use super::history::Detection;
use super::services::{self, Said};
use super::{Desk, TEMPLATES, own_texts};
use crate::ports::{Address, Content, Delivery, MailServer, PortError, PortResult, Receipt, Secret, revealed};

/// How long one delivery may take; below the time after which somebody else would try it again.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(40);

/// Most alerts that the buttons of a message are about: Slack keeps 2,000 characters.
const BUTTON_ALERTS_MAX: usize = 100;

/// What came of one delivery.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    pub(super) outcome: Outcome,
    /// What the messenger said.
    pub(super) note: String,
}

impl Desk<'_> {
    /// Delivers one notification; whoever reads it may answer it at a link of their own.
    pub(super) async fn deliver(
        &self,
        tenant: &str,
        notification: &Notification,
        answer_url: Option<&str>,
    ) -> Delivered {
        let key = &notification.integration.key;
        let (result, note, reference) = self.carry(tenant, notification, answer_url).await;
        let kind = key.split('/').next().unwrap_or(key);
        self.metrics.notification(kind, result.is_ok());
        if let (Ok(()), Some(detection)) = (&result, Detection::of(notification, self.now)) {
            let latency = Duration::from_millis(detection.latency_ms.unsigned_abs());
            self.metrics.detection(&detection.source, latency);
        }
        let (receiver, reason) = (&notification.receiver, notification.reason);
        match &result {
            Ok(()) => tracing::info!(tenant, receiver, integration = %key, %reason, note, "notification sent"),
            // Once a look of the group is enough; the history holds what is given up.
            Err(_) if notification.tries == 1 => {
                tracing::warn!(tenant, receiver, integration = %key, %reason, note, "notification failed");
            }
            Err(_) => tracing::debug!(tenant, receiver, integration = %key, %reason, note, "notification failed again"),
        }
        let outcome = Outcome { integration: key.clone(), sequence: notification.sequence, result, reference };
        Delivered { outcome, note }
    }

    async fn carry(
        &self,
        tenant: &str,
        notification: &Notification,
        answer_url: Option<&str>,
    ) -> (Result<(), Failure>, String, Option<String>) {
        if notification.firing.is_empty() && notification.resolved.is_empty() {
            return (Ok(()), "its alerts are forgotten by now".to_owned(), None);
        }
        let own = match self.in_own_words(tenant, notification) {
            Ok(own) => own,
            Err(error) => return (Err(Failure::Permanent), format!("a template of the receiver: {error}"), None),
        };
        let notification = &own.notification;
        let carried = async {
            let mut message = self.message(notification);
            message.answer_url = answer_url.map(str::to_owned);
            message.buttons = self.buttons(tenant, notification);
            if matches!(notification.integration.target, Target::Email(_)) {
                message.picture = match TenantId::new(tenant) {
                    Ok(tenant) => self.chart(&tenant, notification).await,
                    Err(_) => None,
                };
            }
            if let Target::Slack(slack) = &notification.integration.target
                && slack.update
            {
                return self.carry_updating(notification, message, slack).await;
            }
            self.messenger.deliver(&self.delivery(notification, message).await?).await
        };
        match tokio::time::timeout(DELIVERY_TIMEOUT, carried).await {
            Ok(Ok(receipt)) => (Ok(()), noted(receipt.note, own.problem.as_ref()), receipt.reference),
            Ok(Err(error)) => (Err(failure(&error)), error.to_string(), None),
            Err(_) => (
                Err(Failure::Temporary { retry_after: None }),
                format!("no answer within {} s", DELIVERY_TIMEOUT.as_secs()),
                None,
            ),
        }
    }

    /// Tells a channel of Slack by one message of the group that is changed, and by short answers to it, which people
    /// are notified of: a change alone is silent. Where the message is gone, there is a new one.
    async fn carry_updating(
        &self,
        notification: &Notification,
        message: Message,
        slack: &Slack,
    ) -> PortResult<Receipt> {
        let new = self.delivery(notification, message).await?;
        let known = notification.reference.as_deref().and_then(|reference| reference.split_once('/'));
        let (Some((channel, ts)), SlackDoor::WebApi { url, .. }) = (known, &slack.door) else {
            return self.messenger.deliver(&new).await;
        };
        let to = |method: &str| Secret::new(url.replace("chat.postMessage", method));
        let with = |fields: &[(&str, &str)], content: &Content| {
            let Content::Json(json) = content else { return content.clone() };
            let mut body: serde_json::Value = serde_json::from_str(json).expect("it was written as JSON");
            for (name, value) in fields {
                body[*name] = (*value).into();
            }
            Content::Json(body.to_string())
        };
        let step = |method: &str, content: Content, key: String| {
            let mut delivery = Delivery { content, idempotency_key: key, ..new.clone() };
            if let Address::Webhook { url, .. } = &mut delivery.address {
                *url = to(method);
            }
            delivery
        };
        let key = &notification.idempotency_key;
        let change = with(&[("channel", channel), ("ts", ts)], &new.content);
        match self.messenger.deliver(&step("chat.update", change, format!("{key}/update"))).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return self.messenger.deliver(&new).await,
            changed if notification.reason == Reason::RepeatIntervalElapsed => return changed,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let language = notification.integration.language.unwrap_or(self.settings.language);
        let writer = Writer { templates: &TEMPLATES, language, zone: Zone::of(&self.settings.time_zone) };
        let text = writer.slack_answer(&self.message(notification));
        let answer = serde_json::json!({ "channel": channel, "thread_ts": ts, "text": text });
        let answer = step("chat.postMessage", Content::Json(answer.to_string()), format!("{key}/answer"));
        let receipt = self.messenger.deliver(&answer).await?;
        // The message that is changed stays the first one, not the answer.
        Ok(Receipt { reference: notification.reference.clone(), ..receipt })
    }

    /// What the mails about a group share.
    fn mail_thread(&self, notification: &Notification, thread: Thread) -> String {
        let group = format!("{}\n{}", notification.receiver, notification.group_key);
        match thread {
            Thread::Group => group,
            Thread::Day => {
                let day = Zone::of(&self.settings.time_zone).date_time(notification.decided_at);
                format!("{group}\n{}", day.split(' ').next().unwrap_or(""))
            }
        }
    }

    /// What a messenger carries.
    async fn delivery(&self, notification: &Notification, message: Message) -> PortResult<Delivery> {
        let language = notification.integration.language.unwrap_or(self.settings.language);
        let writer = Writer { templates: &TEMPLATES, language, zone: Zone::of(&self.settings.time_zone) };
        let (address, content) = match &notification.integration.target {
            Target::Email(email) => {
                let (mail, headers) = own_texts::mail(email, writer.mail(&message));
                let server = MailServer::revealed(email.smarthost.as_deref(), &email.smtp, self.messenger).await?;
                let address = Address::Email { from: email.from.clone(), to: email.to.clone(), server };
                let thread = email.thread.map(|thread| self.mail_thread(notification, thread));
                let Mail { subject, text, html } = mail;
                (address, Content::Email { subject, text, html, headers, thread })
            }
            Target::Sns(sns) => match &sns.to {
                SnsTarget::Phone(number) => {
                    let text = own_texts::sms(sns).unwrap_or_else(|| writer.sms(&message));
                    (Address::Sms { numbers: vec![number.clone()] }, Content::Text { subject: None, text })
                }
                SnsTarget::Topic(arn) => {
                    let (subject, text) = writer.topic(&message);
                    let subject = sns.subject.clone().unwrap_or(subject);
                    let text = sns.message.clone().filter(|text| !text.is_empty()).unwrap_or(text);
                    let address = Address::Topic { arn: arn.clone(), attributes: sns.attributes.clone() };
                    (address, Content::Text { subject: Some(subject).filter(|subject| !subject.is_empty()), text })
                }
                SnsTarget::Device(_) => return Err(undelivered("a device of a mobile app")),
            },
            Target::Undelivered(kind) => return Err(undelivered(kind)),
            target @ (Target::Slack(_)
            | Target::Webhook(_)
            | Target::PagerDuty(_)
            | Target::Opsgenie(_)
            | Target::Teams(_)
            | Target::Discord(_)
            | Target::Telegram(_)) => self.post(target, &message, &writer).await?,
        };
        let idempotency_key = notification.idempotency_key.clone();
        Ok(Delivery { idempotency_key, address, content, time: notification.decided_at })
    }

    /// What goes out by HTTP.
    async fn post(&self, target: &Target, message: &Message, writer: &Writer<'_>) -> PortResult<(Address, Content)> {
        let reveal = |secret| self.messenger.reveal(secret);
        let said = Said::of(message, writer);
        let (http, call) = match target {
            Target::Webhook(hook) => {
                let headers = self.headers(&hook.http).await?;
                let connection = revealed(&hook.http.connection, self.messenger).await?;
                let address = Address::Webhook { url: hook.url.clone(), headers, connection };
                let house = || webhook(message, hook.max_alerts);
                return Ok((address, Content::Json(hook.payload.as_ref().map_or_else(house, ToString::to_string))));
            }
            Target::Slack(slack) => {
                let (url, token) = match &slack.door {
                    SlackDoor::Webhook(url) => (url.clone(), None),
                    SlackDoor::WebApi { url, token } => (Secret::new(url.as_str()), token.as_ref()),
                };
                let headers = self.slack_headers(&slack.http, token).await?;
                let house = writer.slack(message, &slack.channel);
                let content = Content::Json(services::slack(slack, &house).to_string());
                let connection = revealed(&slack.http.connection, self.messenger).await?;
                return Ok((Address::Webhook { url, headers, connection }, content));
            }
            Target::PagerDuty(service) => {
                let (PagerDutyKey::Routing(key) | PagerDutyKey::Service(key)) = &service.key;
                (&service.http, services::pagerduty(service, &reveal(key).await?, &said))
            }
            Target::Opsgenie(service) => {
                (&service.http, services::opsgenie(service, &reveal(&service.key).await?, &said))
            }
            Target::Teams(service) => (&service.http, services::teams(service, &reveal(&service.url).await?, &said)),
            Target::Discord(service) => {
                (&service.http, services::discord(service, &reveal(&service.url).await?, &said))
            }
            Target::Telegram(service) => {
                let (token, chat) = (reveal(&service.token).await?, reveal(&service.chat).await?);
                (&service.http, services::telegram(service, &token, &chat, &said))
            }
            Target::Email(_) | Target::Sns(_) | Target::Undelivered(_) => return Err(undelivered("this receiver")),
        };
        let mut headers = self.headers(http).await?;
        headers.extend(call.headers);
        let connection = revealed(&http.connection, self.messenger).await?;
        let address = Address::Webhook { url: Secret::new(call.url), headers, connection };
        Ok((address, Content::Json(call.body.to_string())))
    }

    /// The headers that `http_config` asks for, and the token of an app.
    pub(super) async fn slack_headers(&self, http: &Http, token: Option<&Secret>) -> PortResult<Vec<(String, String)>> {
        let mut headers = self.headers(http).await?;
        if let Some(token) = token {
            let token = self.messenger.reveal(token).await?;
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        Ok(headers)
    }

    /// The headers that `http_config` asks for.
    pub(super) async fn headers(&self, http: &Http) -> PortResult<Vec<(String, String)>> {
        let mut headers = Vec::new();
        let authorization = match &http.authorization {
            None => None,
            Some(Authorization::Basic { username, password }) => {
                let (username, password) =
                    (self.messenger.reveal(username).await?, self.messenger.reveal(password).await?);
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}"))))
            }
            Some(Authorization::Scheme { scheme, credentials }) => {
                Some(format!("{scheme} {}", self.messenger.reveal(credentials).await?))
            }
        };
        headers.extend(authorization.map(|value| ("Authorization".to_owned(), value)));
        for (name, value) in &http.headers {
            headers.push((name.clone(), self.messenger.reveal(value).await?));
        }
        Ok(headers)
    }

    /// What buttons in Slack are about: the fingerprints of the alerts, where requests from there can be checked.
    fn buttons(&self, tenant: &str, notification: &Notification) -> Option<String> {
        let tenant = TenantId::new(tenant).ok()?;
        self.config.tenants.get(&tenant)?.on_call.slack_signing_secret.as_ref()?;
        let alerts = notification.firing.iter().take(BUTTON_ALERTS_MAX);
        let alerts: Vec<String> = alerts.map(|held| held.alert.fingerprint().to_string()).collect();
        (!alerts.is_empty()).then(|| alerts.join(","))
    }

    pub(super) fn message(&self, notification: &Notification) -> Message {
        let stage = match (notification.reason, &notification.answered_by) {
            (Reason::Escalated, _) => Some(Stage::Escalated),
            (_, Some(by)) => Some(Stage::Acknowledged { by: by.clone() }),
            (_, None) => None,
        };
        let firing = notification.firing.iter().map(|held| (held, false));
        let alerts = if matches!(notification.integration.target, Target::Webhook(_)) {
            notification.in_order()
        } else {
            // People see first what still fires.
            firing.chain(notification.resolved.iter().map(|held| (held, true))).collect()
        };
        let shown = |(held, has_ended): (&Held, bool)| {
            let stage = stage.clone().filter(|_| !has_ended);
            Item { stage, ..item(held, has_ended) }
        };
        Message {
            receiver: notification.receiver.clone(),
            group_key: notification.group_key.clone(),
            group_labels: notification.group_labels.clone(),
            reason: notification.reason.as_str().to_owned(),
            external_url: self.settings.external_url.clone(),
            answer_url: None,
            picture: None,
            buttons: None,
            alerts: alerts.into_iter().map(shown).collect(),
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
        stage: None,
    }
}

/// What is told of a delivery, and why it was not in the receiver's own words.
fn noted(note: String, problem: Option<&TextError>) -> String {
    match problem {
        None => note,
        Some(problem) => {
            format!("{note}; in the words of the house, since a template of the receiver failed: {problem}")
        }
    }
}

fn undelivered(what: &str) -> PortError {
    PortError::new(ErrorKind::Invalid, "notification", format!("nothing is delivered to {what}"))
}

const fn failure(error: &PortError) -> Failure {
    match error.kind() {
        ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict => {
            Failure::Temporary { retry_after: error.retry_after() }
        }
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::Bug => Failure::Permanent,
    }
}
