//! Mail of finished reports, to those whom `reports.yml` names.
//!
//! Before a final report of the deployment's own tenant is stored, a row says that it is to be mailed (`r#<tenant>` /
//! id of the report); every run of the schedule delivers what is due and records it. So a report is mailed when the
//! process died after storing it, and once: a delivery is claimed by the version of its row and carries an idempotency
//! key, and only a crash between delivery and record repeats it, under the same key.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::notify::{MailSender, Smtp};
use model::{ErrorKind, TenantId, Timestamp};
use render::report::DailyReport;
use serde::{Deserialize, Serialize};

use super::schedule::Daily;
use super::store::{self, ReportKey};
use super::{link, schedule};
use crate::config::Config;
use crate::ports::{
    Address, Content, Delivery, Expect, MailServer, PortError, PortResult, Row, RowKey, RowRange, RowWrite, range_all,
};
use crate::{App, AppError};

/// The version of the stored row.
const ROW_VERSION: u8 = 1;
/// How long one delivery may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(40);
/// Nobody else tries while a delivery may still be on its way.
const CLAIMED_FOR: Duration = Duration::from_secs(120);
/// After a failure that may pass, the next try follows so long after it, times the number of tries.
const RETRY_AFTER: Duration = Duration::from_secs(300);
/// After so long it is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// How long it is known what was mailed: longer than a schedule comes back to a day.
const KEPT_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is to be delivered, not before a time.
    Due,
    /// It was.
    Sent,
    /// It never will be.
    Failed,
}

/// A mail, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MailRow {
    state: State,
    decided_ms: i64,
    /// When it may be tried.
    due_ms: i64,
    tries: u32,
}

/// Says that a report is to be mailed once it is stored; saying it again changes nothing.
pub(super) async fn announce(app: &App, tenant: &TenantId, key: &ReportKey, now: Timestamp) -> Result<(), AppError> {
    if *tenant != app.settings.default_tenant || recipients(app).is_none() {
        return Ok(());
    }
    let row = MailRow { state: State::Due, decided_ms: now.as_millis(), due_ms: now.as_millis(), tries: 0 };
    let write = put(RowKey::new(partition(tenant), key.id()), Expect::Absent, &row, now)?;
    match app.ports.state.write(vec![write], now).await {
        Err(error) if error.kind() != ErrorKind::Conflict => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Delivers what is due, and says how many mails went out.
pub(super) async fn deliver_due(app: &App, now: Timestamp) -> Result<usize, AppError> {
    let Some(daily) = recipients(app) else { return Ok(0) };
    let tenant = &app.settings.default_tenant;
    let mut sent = 0;
    for row in range_all(app.ports.state.as_ref(), RowRange::all(partition(tenant)), now).await? {
        let mail = decode(&row)?;
        if mail.state == State::Due && Timestamp::from_millis(mail.due_ms) <= now {
            sent += usize::from(deliver(app, tenant, &daily, &row, mail, now).await?);
        }
    }
    Ok(sent)
}

/// The daily report's schedule, when it names somebody to mail to.
fn recipients(app: &App) -> Option<Daily> {
    schedule(app).daily.filter(|daily| !daily.mail_to.is_empty())
}

/// Claims a mail, delivers it and records what became of it; whether it went out.
async fn deliver(
    app: &App,
    tenant: &TenantId,
    daily: &Daily,
    row: &Row,
    mail: MailRow,
    now: Timestamp,
) -> Result<bool, AppError> {
    let objects = app.ports.objects.as_ref();
    let Some(key) = ReportKey::parse(&row.key.sort) else { return Ok(false) };
    // A run that announced it and died before it was stored: the next run of the schedule stores it.
    let Some(report) = store::load(objects, tenant, &key).await? else { return Ok(false) };
    let claimed = MailRow { due_ms: (now + CLAIMED_FOR).as_millis(), tries: mail.tries + 1, ..mail };
    let claim = put(row.key.clone(), Expect::Version(row.version), &claimed, now)?;
    let version = match app.ports.state.write(vec![claim], now).await {
        Ok(versions) => versions.first().copied().unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::Conflict => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mailed = async {
        let delivery = delivery(app, tenant, daily, &key, &report, now).await?;
        app.ports.messenger.deliver(&delivery).await
    };
    let late = || PortError::new(ErrorKind::Unavailable, "report mail", "it took too long");
    let delivered = tokio::time::timeout(DELIVERY_TIMEOUT, mailed).await;
    let delivered = delivered.unwrap_or_else(|_| Err(late()));
    let after = after(claimed, delivered.as_ref().map(drop), now);
    match &delivered {
        Ok(receipt) => tracing::info!(report = key.id(), note = receipt.note, "daily report mailed"),
        Err(error) => tracing::warn!(report = key.id(), %error, state = ?after.state, "daily report not mailed"),
    }
    let record = put(row.key.clone(), Expect::Version(version), &after, now)?;
    app.ports.state.write(vec![record], now).await?;
    Ok(delivered.is_ok())
}

/// What follows from a try.
fn after(claimed: MailRow, delivered: Result<(), &PortError>, now: Timestamp) -> MailRow {
    let is_over = Timestamp::from_millis(claimed.decided_ms) + GIVEN_UP_AFTER <= now;
    let state = match delivered.map_err(PortError::kind) {
        Ok(()) => State::Sent,
        Err(ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict) if !is_over => State::Due,
        Err(_) => State::Failed,
    };
    let due_ms = (now + RETRY_AFTER * claimed.tries).as_millis();
    MailRow { state, due_ms, ..claimed }
}

async fn delivery(
    app: &App,
    tenant: &TenantId,
    daily: &Daily,
    key: &ReportKey,
    report: &DailyReport,
    now: Timestamp,
) -> PortResult<Delivery> {
    const SECONDS_A_DAY: u64 = 24 * 3600;
    let language = daily.mail_language.unwrap_or(app.settings.language);
    let id = key.id();
    let path = link::make(app.session_key(), tenant, &id, language, link::MAIL_LIFETIME, now);
    let address = format!("{}{path}", app.settings.external_url);
    let mail = render::report::mail(report, &address, link::MAIL_LIFETIME.as_secs() / SECONDS_A_DAY, language);
    let MailSender { from, smarthost, smtp } = sender(&app.config(), tenant);
    let server = MailServer::revealed(smarthost.as_deref(), &smtp, app.ports.messenger.as_ref()).await?;
    Ok(Delivery {
        idempotency_key: format!("report-{tenant}-daily-{}", id.replace('/', "-")),
        address: Address::Email { from, to: daily.mail_to.clone(), server },
        content: Content::Email {
            subject: mail.subject,
            text: mail.text,
            html: mail.html,
            headers: BTreeMap::new(),
            thread: None,
        },
        time: now,
    })
}

/// Who the mail is from: as for the tenant's notifications, or as the built-in defaults have it.
fn sender(config: &Config, tenant: &TenantId) -> MailSender {
    let own = config.tenants.get(tenant).and_then(|tenant| tenant.notify.mail_sender.clone());
    own.or_else(|| Config::defaults().tenants.get(tenant)?.notify.mail_sender.clone()).unwrap_or_else(|| MailSender {
        from: "mihari@mihari.invalid".to_owned(),
        smarthost: None,
        smtp: Smtp::default(),
    })
}

fn partition(tenant: &TenantId) -> String {
    format!("r#{tenant}")
}

fn put(key: RowKey, expect: Expect, row: &MailRow, now: Timestamp) -> Result<RowWrite, AppError> {
    let mut value = vec![ROW_VERSION];
    serde_json::to_writer(&mut value, row).map_err(|error| AppError::Bug(format!("report mail as JSON: {error}")))?;
    Ok(RowWrite::put(key, expect, value).expiring(now + KEPT_FOR))
}

fn decode(row: &Row) -> Result<MailRow, AppError> {
    match row.value.split_first() {
        Some((&ROW_VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| AppError::Corrupt(format!("report mail: {error}")))
        }
        Some((version, _)) => Err(AppError::Corrupt(format!("report mail: unknown format version {version}"))),
        None => Err(AppError::Corrupt("report mail: empty row".to_owned())),
    }
}

#[cfg(test)]
mod tests;
