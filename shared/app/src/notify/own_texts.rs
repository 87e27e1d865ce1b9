//! A notification in its receiver's own words: the templates of the configuration, expanded.

use std::collections::BTreeMap;

use alerting::notify::{Email, GroupKey, Held, Notification, Sns, Target, TextError};
use alerting::template::{Data, DataAlert};
use model::{Labels, TenantId};
use render::notification::Mail;

use super::Desk;

/// A notification whose texts are expanded.
pub(super) struct InOwnWords {
    pub(super) notification: Notification,
    /// Why the message is the house's although the receiver has texts of its own.
    pub(super) problem: Option<TextError>,
}

impl Desk<'_> {
    /// Expands the texts of a notification's receiver.
    ///
    /// # Errors
    /// When a template fails without which nobody knows where to deliver.
    pub(super) fn in_own_words(&self, tenant: &str, notification: &Notification) -> Result<InOwnWords, TextError> {
        let tenant = TenantId::new(tenant).unwrap_or_else(|_| TenantId::default_tenant());
        let library = &self.routes(&tenant).library;
        let expanded = notification.integration.expanded(library, &self.data(&tenant, notification))?;
        let mut notification = notification.clone();
        notification.integration.target = expanded.target;
        Ok(InOwnWords { notification, problem: expanded.problem })
    }

    /// What templates see of a notification.
    fn data(&self, tenant: &TenantId, notification: &Notification) -> Data {
        let route = GroupKey::route_in(&notification.group_key, &notification.group_labels);
        let route = route.and_then(|key| self.routes(tenant).route(key, &notification.receiver));
        let mut most = usize::MAX;
        if let Target::Webhook(hook) = &notification.integration.target
            && hook.max_alerts > 0
        {
            most = hook.max_alerts;
        }
        let alerts = notification.in_order().into_iter().map(|(held, has_ended)| alert(held, has_ended));
        Data {
            receiver: notification.receiver.clone(),
            alerts: alerts.take(most).collect(),
            group_labels: map(&notification.group_labels),
            external_url: self.settings.external_url.clone(),
            reason: notification.reason.as_str().to_owned(),
            route_labels: route.map(|route| route.labels.clone()).unwrap_or_default(),
            now: self.now,
        }
    }
}

fn alert(held: &Held, has_ended: bool) -> DataAlert {
    let alert = &held.alert;
    DataAlert {
        labels: map(&alert.labels),
        annotations: alert.annotations.clone(),
        starts_at: alert.starts_at,
        ended_at: has_ended.then(|| alert.ends_at.unwrap_or(alert.updated_at)),
        generator_url: alert.generator_url.clone(),
        fingerprint: alert.fingerprint().to_string(),
    }
}

fn map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A mail with what the receiver says itself in the place of the house's words; and its further headers.
pub(super) fn mail(email: &Email, house: Mail) -> (Mail, BTreeMap<String, String>) {
    let mut headers = email.headers.clone();
    let own_or = |own: &Option<String>, house: String| own.clone().unwrap_or(house);
    let mut mail = Mail {
        subject: headers.remove("Subject").unwrap_or(house.subject),
        html: own_or(&email.html, house.html),
        text: own_or(&email.text, house.text.clone()),
    };
    if mail.html.is_empty() && mail.text.is_empty() {
        mail.text = house.text;
    }
    (mail, headers)
}

/// Most characters of a text message, which is sent in as many parts as it needs.
const SMS_CHARS_MAX: usize = 1600;

/// A text message of the receiver's own.
pub(super) fn sms(sns: &Sns) -> Option<String> {
    let text = sns.message.as_deref().filter(|text| !text.trim().is_empty())?;
    Some(text.chars().take(SMS_CHARS_MAX).collect())
}
