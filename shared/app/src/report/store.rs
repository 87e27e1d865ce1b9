//! Where reports lie.
//!
//! `reports/tenant=<tenant>/daily/<date>/<zone>/<revision>/report.{json,ja.html,en.html}`, `/` in a zone's name written
//! as `.`. Objects never change, so a report is identified by tenant, date, zone and revision:
//! - `final`: the one report of a day that is over. Its JSON is written first and is what counts: who finds it there
//!   takes it as it is. The pages are made from the JSON that is stored, so a run that comes second, or after a crash
//!   between the writes, writes the same bytes or finds them.
//! - `at-<time>Z`: what was asked for before the day was over, named by its minute; each run adds one.
//! - `final/empty`: a mark in place of a report, so that a schedule does not come back to a day without any samples.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use jiff::civil::Date;
use model::{ErrorKind, Language, TenantId, Timestamp};
use render::report::{self, DailyReport};
use render::{Zone, i18n};

use super::{Entry, Format};
use crate::AppError;
use crate::ports::{ByteRange, ObjectStore, PortResult};

/// The revision of a day that is over.
pub(super) const FINAL: &str = "final";

/// Whose report of which day, and which revision of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReportKey {
    pub(super) date: Date,
    /// The zone's name as it stands in keys.
    pub(super) zone: String,
    pub(super) revision: String,
}

impl ReportKey {
    /// The key of a report that is made at `now`.
    pub(super) fn new(date: Date, zone: &Zone, made_at: Option<Timestamp>) -> Self {
        let revision = match made_at {
            None => FINAL.to_owned(),
            Some(time) => format!("at-{}Z", Zone::utc().civil(time).strftime("%Y%m%dT%H%M")),
        };
        Self { date, zone: zone_in_key(zone), revision }
    }

    /// The report's id: its place below the tenant's daily reports.
    pub(super) fn id(&self) -> String {
        format!("{}/{}/{}", self.date, self.zone, self.revision)
    }

    /// Reads an id; anything that is not the id of a report is refused.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let [date, zone, revision] = id.split('/').collect::<Vec<_>>().try_into().ok()?;
        let is_plain = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !text.is_empty() && text.len() <= 64 && text.chars().all(allowed) && !text.chars().all(|c| c == '.')
        };
        let date: Date = date.parse().ok().filter(|parsed: &Date| parsed.to_string() == date)?;
        let is_revision = revision == FINAL || made_at(revision).is_some();
        (is_plain(zone) && is_revision).then(|| Self { date, zone: zone.to_owned(), revision: revision.to_owned() })
    }

    fn object(&self, tenant: &TenantId, name: &str) -> String {
        format!("{}{}/{name}", folder(tenant), self.id())
    }
}

/// When an unfinished report was made, by its revision.
fn made_at(revision: &str) -> Option<Timestamp> {
    let text = revision.strip_prefix("at-")?.strip_suffix('Z')?;
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M", text).ok()?;
    Zone::utc().moment(civil)
}

fn folder(tenant: &TenantId) -> String {
    format!("reports/tenant={tenant}/daily/")
}

/// `Asia/Tokyo` as `Asia.Tokyo`: keys allow no `+`, and a zone is one piece of its key.
fn zone_in_key(zone: &Zone) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    zone.name().chars().map(|c| if allowed(c) { c } else { '.' }).collect()
}

const fn file_name(format: Format) -> &'static str {
    match format {
        Format::Json => "report.json",
        Format::Html(Language::Japanese) => "report.ja.html",
        Format::Html(Language::English) => "report.en.html",
    }
}

/// The stored model of a report, if there is one.
pub(super) async fn load(
    objects: &dyn ObjectStore,
    tenant: &TenantId,
    key: &ReportKey,
) -> Result<Option<DailyReport>, AppError> {
    let object = key.object(tenant, file_name(Format::Json));
    let Some(bytes) = found(objects.get(&object, ByteRange::All).await)? else { return Ok(None) };
    let report: DailyReport =
        serde_json::from_slice(&bytes).map_err(|error| AppError::Corrupt(format!("object {object}: {error}")))?;
    if report.format != report::FORMAT {
        return Err(AppError::Corrupt(format!("object {object}: format {} is not known", report.format)));
    }
    Ok(Some(report))
}

/// Stores a report: the JSON, which decides, then its pages. Gives back what is stored, which is another run's report
/// if that one came first.
pub(super) async fn save(
    objects: &dyn ObjectStore,
    tenant: &TenantId,
    key: &ReportKey,
    report: DailyReport,
) -> Result<DailyReport, AppError> {
    let object = key.object(tenant, file_name(Format::Json));
    let stored = match objects.put_new(&object, Bytes::from(report.to_json())).await {
        Ok(()) => report,
        Err(error) if error.kind() == ErrorKind::Conflict => load(objects, tenant, key).await?.unwrap_or(report),
        Err(error) => return Err(error.into()),
    };
    save_pages(objects, tenant, key, &stored).await?;
    Ok(stored)
}

/// Stores the pages of a stored report. Other bytes there are the pages of an earlier version of ours: they stay.
pub(super) async fn save_pages(
    objects: &dyn ObjectStore,
    tenant: &TenantId,
    key: &ReportKey,
    report: &DailyReport,
) -> Result<(), AppError> {
    for language in i18n::LANGUAGES {
        let object = key.object(tenant, file_name(Format::Html(language)));
        match objects.put_new(&object, Bytes::from(report::page(report, language))).await {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// One form of a report; a page that was never stored is made from the JSON.
pub(super) async fn get(
    objects: &dyn ObjectStore,
    tenant: &TenantId,
    key: &ReportKey,
    format: Format,
) -> Result<Option<Bytes>, AppError> {
    let object = key.object(tenant, file_name(format));
    if let Some(bytes) = found(objects.get(&object, ByteRange::All).await)? {
        return Ok(Some(bytes));
    }
    match format {
        Format::Json => Ok(None),
        Format::Html(language) => {
            let report = load(objects, tenant, key).await?;
            Ok(report.map(|report| Bytes::from(report::page(&report, language))))
        }
    }
}

/// The store's own link to one form of a report; `None` where the store has no such links, or that form is not stored.
pub(super) async fn link(
    objects: &dyn ObjectStore,
    tenant: &TenantId,
    key: &ReportKey,
    format: Format,
    lifetime: Duration,
) -> Result<Option<String>, AppError> {
    let object = key.object(tenant, file_name(format));
    let Some(link) = objects.link(&object, lifetime).await? else { return Ok(None) };
    let first_byte = objects.get(&object, ByteRange::Slice { offset: 0, len: 1 }).await;
    Ok(found(first_byte)?.map(|_| link))
}

/// Whether a day is done with: its final report, or the mark that there was nothing to report.
pub(super) async fn is_done(objects: &dyn ObjectStore, tenant: &TenantId, key: &ReportKey) -> Result<bool, AppError> {
    let names = [file_name(Format::Json), "empty"];
    let probe = |name: &'static str| async move {
        let first_byte = ByteRange::Slice { offset: 0, len: 1 };
        found(objects.get(&key.object(tenant, name), first_byte).await)
    };
    for found in join_all(names.map(probe)).await {
        if found?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Marks a day that is over as one without anything to report.
pub(super) async fn mark_empty(objects: &dyn ObjectStore, tenant: &TenantId, key: &ReportKey) -> Result<(), AppError> {
    Ok(objects.put_new(&key.object(tenant, "empty"), Bytes::from_static(b"1")).await?)
}

/// All stored reports of a tenant, the newest day first, a day's final one before the others.
pub(super) async fn list(objects: &dyn ObjectStore, tenant: &TenantId) -> Result<Vec<Entry>, AppError> {
    let folder = folder(tenant);
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = objects.list(&folder, cursor.as_deref()).await?;
        let suffix = format!("/{}", file_name(Format::Json));
        let ids = page.entries.iter().filter_map(|entry| entry.key.strip_prefix(&folder)?.strip_suffix(&suffix));
        entries.extend(ids.filter_map(ReportKey::parse).map(entry));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    entries.sort_by(|a: &Entry, b: &Entry| (b.date, b.is_final, &b.id).cmp(&(a.date, a.is_final, &a.id)));
    Ok(entries)
}

fn entry(key: ReportKey) -> Entry {
    let is_final = key.revision == FINAL;
    Entry {
        id: key.id(),
        date: key.date,
        zone: key.zone.replacen('.', "/", 1),
        is_final,
        made_at: made_at(&key.revision),
    }
}

fn found(result: PortResult<Bytes>) -> Result<Option<Bytes>, AppError> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_nothing_else_is_one() {
        let zone = Zone::named("America/Port-au-Prince").unwrap();
        let date = Date::constant(2026, 11, 21);
        for made_at in [None, Some(Timestamp::from_secs(1_795_321_805))] {
            let key = ReportKey::new(date, &zone, made_at);
            assert_eq!(ReportKey::parse(&key.id()), Some(key));
        }
        let id = ReportKey::new(date, &zone, Some(Timestamp::from_secs(1_795_321_805))).id();
        assert_eq!(id, "2026-11-21/America.Port-au-Prince/at-20261122T0430Z");
        let bad = [
            "",
            "2026-11-21",
            "2026-11-21/Asia.Tokyo",
            "2026-11-21/../final",
            "2026-11-21/Asia/Tokyo/final",
            "2026-11-21/Asia.Tokyo/last",
            "2026-11-21/Asia.Tokyo/at-2026Z",
            "2026-13-21/Asia.Tokyo/final",
            "20261121/Asia.Tokyo/final",
            "2026-11-21//final",
        ];
        for id in bad {
            assert_eq!(ReportKey::parse(id), None, "{id:?}");
        }
    }
}
