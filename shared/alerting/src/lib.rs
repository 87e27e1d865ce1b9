//! Rules and notifications as pure state machines: from the result of an expression to an alert, from alerts to
//! deliveries.
//!
//! Read [`rule::RuleGroup`] (a rule file as it was read), [`rule::step`] (one evaluation of a group) and [`Alert`]
//! (what the rules hand to the notifications), then [`notify`], then [`oncall`] (who is called, and what happens when
//! nobody answers).
//!
//! Invariants:
//! - No PromQL: whoever loads a rule file passes a checker for expressions, whoever steps a group passes the results.
//! - No clock, no I/O, no async, no environment: time is an argument.
//! - A template that fails never drops an alert: the failure becomes the text.
//! - Whatever a configuration file gets wrong is a [`ConfigError`] with file, line, column and reason.

mod alert;
mod config_error;
pub mod notify;
pub mod oncall;
pub mod rule;
pub mod template;

pub use alert::{Alert, Fingerprint};
pub use config_error::ConfigError;
