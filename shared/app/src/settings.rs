//! What the operator chose, checked once at the start.

use std::time::Duration;

use jiff::tz::TimeZone;
use model::{Language, TenantId};
use promql::Profile;

/// The settings of one deployment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where people reach the pages, without a slash at the end; stands in notifications and reports.
    pub external_url: String,
    /// The language of notifications, reports and pages where nothing else says.
    pub language: Language,
    /// The time zone of notifications, reports and pages where nothing else says.
    pub time_zone: TimeZone,
    /// Whose data a request is about that names no tenant; host metrics, own metrics and default rules live there.
    pub default_tenant: TenantId,
    /// Whether configuration is pushed to the store (see [`crate::config_store`]) or comes from a folder of the host.
    pub takes_pushed_config: bool,
    /// How far behind now rules look, so that late samples count.
    pub query_offset: Duration,
    /// How often a firing alert is published again.
    pub resend_delay: Duration,
    /// How far back an instant selector looks.
    pub lookback: Duration,
    /// Which PromQL queries and rules are written in.
    pub promql_profile: Profile,
    /// Whether requests name the labels they share instead of repeating them. Brings most where the log is paid by the
    /// KB. Where it may grow older than `tick_row::WAL_RETENTION`, since nothing runs for days, it must be off.
    pub layouts: bool,
    /// How long the token of a sender of samples is taken again without being looked up: so long a revoked one still
    /// sends. Zero looks each up; more saves a read a request where reads are billed.
    pub sender_memory: Duration,
    /// Most bytes of memory for all that is kept for a while because reading it again costs: indexes, blocks, layouts.
    pub cache_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            external_url: "http://127.0.0.1:9099".to_owned(),
            language: Language::Japanese,
            time_zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
            default_tenant: TenantId::default_tenant(),
            takes_pushed_config: true,
            query_offset: Duration::from_secs(30),
            resend_delay: Duration::from_secs(60),
            lookback: Duration::from_secs(300),
            promql_profile: Profile::default(),
            layouts: true,
            sender_memory: Duration::ZERO,
            cache_bytes: 256 << 20,
        }
    }
}
