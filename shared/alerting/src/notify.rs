//! Who is told what, when and why: from alerts to notifications, as Alertmanager does it.
//!
//! Read [`Config`] (an Alertmanager configuration file as it was read), [`Group`] (alerts that are notified together,
//! with the notification log of each integration), then [`plan()`] (what a due group does) and [`Group::record`] (what
//! came of it).
//!
//! Invariants:
//! - A notification that was decided stands in its group as an [`Intent`] before it is delivered, and becomes a
//!   [`LogEntry`] when it was: a crash in between leads to the same message under the same idempotency key.
//! - One log entry, one notification: the sequence number of a group only grows.
//! - Every decision, also the one to say nothing, carries its reason.
//! - A configuration file loads as in Alertmanager; what it asks for and does not get is said by name, never ignored.

mod config;
mod group;
mod held;
mod interval;
mod matchers;
mod mute;
mod order;
mod plan;

pub use config::{
    Alertmanager, Authorization, Config, Connection, Discord, Email, Expanded, Forwarding, GroupBy, Http, Integration,
    MailSender, Opsgenie, PagerDuty, PagerDutyKey, Receiver, Route, Secret, Slack, SlackDoor, SlackField, SlackLook,
    Smtp, Sns, SnsTarget, Target, Teams, Telegram, TemplateFile, TextError, Thread, Tls, Webhook, is_mailbox, parse,
    parse_with,
};
pub(crate) use group::hash;
pub use group::{Attempt, Failure, Group, GroupError, GroupKey, IntegrationState, Intent, LogEntry, Outcome};
pub use held::{Arrival, Held};
pub use interval::{IntervalError, TimeInterval};
pub use matchers::{MatchersError, Notation, parse_matchers};
pub use mute::{InhibitRule, Inhibitor, Mute, Silence, SilenceError, SilenceState, silenced_by};
pub use order::{order_of_alerts, order_of_labels};
pub use plan::{Decision, Input, Notification, Plan, Quiet, Reason, Verdict, idempotency_key, plan};

#[cfg(test)]
mod tests;
