//! The configuration in the store: pushed as a folder of files, checked, and taken over by every process within a
//! minute.
//!
//! Read [`push`] first, then [`refresh`]. A push is one immutable object under the hash of its content
//! (`config/tenant=<default tenant>/<hash>.json`: all files by name) and one row that points to it (`f#`), which
//! decides. A host that reads a folder of its own ([`crate::Settings::takes_pushed_config`] is false) uses none of
//! this.
//!
//! Invariants:
//! - What does not parse is never stored, and never put into force: the last good one stays.
//! - A process never acts on the built-in defaults while a configuration that it cannot read is stored: it would tell
//!   the wrong people. Its rules, notifications and reports fail ([`App::require_config`]) until a good one is pushed;
//!   questions and pushes are answered meanwhile.
//! - A look at the store costs one row read a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use model::{TenantId, Timestamp};
use promql::Profile;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::config::Config;
use crate::ports::{ByteRange, Expect, Minute, ObjectStore, Row, RowKey, RowWrite, StateStore};
use crate::{App, AppError, Ports};

/// Names and texts of the files of a folder of configuration: `rules/a.yml`, `alertmanager.yml`.
pub type Files = BTreeMap<String, String>;

/// Most bytes of all files together, names and texts.
pub const CONFIG_BYTES_MAX: usize = 2 << 20;
/// Most files.
pub const CONFIG_FILES_MAX: usize = 1000;
/// Most bytes of a file's name.
const NAME_BYTES_MAX: usize = 200;

/// The version of the stored row.
const ROW_VERSION: u8 = 1;
/// The version of the stored object.
const OBJECT_FORMAT: u32 = 1;

/// What is known of a stored configuration beside its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// XXH3-128 of the stored object, in hexadecimal: the same files have the same.
    pub hash: String,
    /// Who pushed it; may be empty.
    pub author: String,
    /// When it was pushed, milliseconds since the epoch.
    pub pushed_ms: i64,
    /// The object that holds the files.
    object: String,
}

/// A stored configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version of the row: grows with each push.
    pub version: u64,
    /// Who pushed it, and when.
    pub pushed: Pushed,
    /// The files.
    pub files: Files,
}

/// What a look at the store changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing: what is in force is the newest, or the last look was less than a minute ago.
    Unchanged,
    /// A newer configuration is in force.
    Changed,
    /// A newer configuration cannot be read by this version of ours, for these reasons. The last good one stays; where
    /// there is none, [`App::require_config`] fails from now on.
    Refused(Vec<String>),
}

#[derive(Serialize, Deserialize)]
struct Object {
    format: u32,
    files: Files,
}

/// Checks the files of a folder of configuration as a server would that reads it.
///
/// # Errors
/// All that is wrong with them, a line each: `file:line:column: reason`.
pub fn check(profile: Profile, files: &Files) -> Result<Config, Vec<String>> {
    let mut problems: Vec<String> = files.keys().filter_map(|name| bad_name(name)).collect();
    if files.len() > CONFIG_FILES_MAX {
        problems.push(format!("{} files are over the limit of {CONFIG_FILES_MAX} (CONFIG_FILES_MAX)", files.len()));
    }
    let size_bytes: usize = files.iter().map(|(name, text)| name.len() + text.len()).sum();
    if size_bytes > CONFIG_BYTES_MAX {
        let limit = format!("the limit of {CONFIG_BYTES_MAX} bytes (CONFIG_BYTES_MAX)");
        problems.push(format!("the files have {size_bytes} bytes together, over {limit}"));
    }
    if !files.keys().any(|name| Config::reads(name)) {
        problems.push("none of the files is a rules/*.yml, an alertmanager.yml or another that is read".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    parse(profile, files)
}

/// The files that nothing reads: misspelt, or of another program.
pub fn unread(files: &Files) -> Vec<&str> {
    files.keys().map(String::as_str).filter(|name| !Config::reads(name)).collect()
}

/// Checks files, stores them and puts them into force; other processes follow within a minute. Pushing what is stored
/// already changes nothing.
///
/// # Errors
/// `Invalid` with all that is wrong with the files, a line each, or when this host reads a folder of its own; else
/// when the store does not answer.
pub async fn push(app: &App, files: Files, author: &str, now: Timestamp) -> Result<Pushed, AppError> {
    if !app.settings.takes_pushed_config {
        let reason = "this server reads its configuration from a folder (--config): change the files there";
        return Err(AppError::Invalid(reason.to_owned()));
    }
    let config =
        check(app.settings.promql_profile, &files).map_err(|problems| AppError::Invalid(problems.join("\n")))?;
    let (objects, state) = (app.ports.objects.as_ref(), app.ports.state.as_ref());
    let (version, pushed) = save(objects, state, &app.settings.default_tenant, files, author, now).await?;
    app.set_config(config);
    app.pushed_config.has_taken(version, now.minute());
    Ok(pushed)
}

/// Stores files that were checked; gives the version of the row and what it says.
///
/// # Errors
/// When the store does not answer.
pub async fn save(
    objects: &dyn ObjectStore,
    state: &dyn StateStore,
    default_tenant: &TenantId,
    files: Files,
    author: &str,
    now: Timestamp,
) -> Result<(u64, Pushed), AppError> {
    let bytes = serde_json::to_vec(&Object { format: OBJECT_FORMAT, files })
        .map_err(|error| AppError::Bug(format!("configuration as JSON: {error}")))?;
    let hash = format!("{:032x}", xxh3_128(&bytes));
    if let Some(row) = state.get(&row_key(), now).await? {
        let pushed = decode(&row)?;
        if pushed.hash == hash {
            return Ok((row.version, pushed));
        }
    }
    let object = format!("config/tenant={default_tenant}/{hash}.json");
    objects.put_new(&object, Bytes::from(bytes)).await?;
    let pushed = Pushed { hash, author: author.to_owned(), pushed_ms: now.as_millis(), object };
    let mut value = vec![ROW_VERSION];
    serde_json::to_writer(&mut value, &pushed)
        .map_err(|error| AppError::Bug(format!("configuration row as JSON: {error}")))?;
    let versions = state.write(vec![RowWrite::put(row_key(), Expect::Any, value)], now).await?;
    Ok((versions.first().copied().unwrap_or_default(), pushed))
}

/// The configuration that was pushed last; `None` when there never was one.
///
/// # Errors
/// When the store does not answer or what it holds cannot be read.
pub async fn load(ports: &Ports, now: Timestamp) -> Result<Option<Stored>, AppError> {
    load_from(ports.objects.as_ref(), ports.state.as_ref(), now).await
}

/// As [`load`], from two of the ports.
///
/// # Errors
/// When the store does not answer or what it holds cannot be read.
pub async fn load_from(
    objects: &dyn ObjectStore,
    state: &dyn StateStore,
    now: Timestamp,
) -> Result<Option<Stored>, AppError> {
    match state.get(&row_key(), now).await? {
        Some(row) => open(objects, &row).await.map(Some),
        None => Ok(None),
    }
}

/// Takes over what was pushed since the last look; looks at most once a minute. A host calls it before each run of a
/// flow that needs the configuration.
///
/// # Errors
/// When the store does not answer, or holds what is damaged, and this process has never seen a configuration. Later
/// failures leave the last good one in force and are logged.
pub async fn refresh(app: &App, now: Timestamp) -> Result<Refreshed, AppError> {
    if !app.settings.takes_pushed_config {
        return Ok(Refreshed::Unchanged);
    }
    if !app.pushed_config.begins_look(now.minute()) {
        return Ok(Refreshed::Unchanged);
    }
    match look(app, now).await {
        Ok(refreshed) => Ok(refreshed),
        Err(error) if app.pushed_config.is_good() => {
            tracing::warn!(%error, "the store's configuration cannot be looked at; the last good one stays in force");
            Ok(Refreshed::Unchanged)
        }
        Err(error) => {
            app.pushed_config.look_again();
            Err(error)
        }
    }
}

async fn look(app: &App, now: Timestamp) -> Result<Refreshed, AppError> {
    let seen = &app.pushed_config;
    let Some(row) = app.ports.state.get(&row_key(), now).await? else {
        seen.has_none();
        return Ok(Refreshed::Unchanged);
    };
    if seen.has_seen(row.version) {
        return Ok(Refreshed::Unchanged);
    }
    let stored = open(app.ports.objects.as_ref(), &row).await?;
    match parse(app.settings.promql_profile, &stored.files) {
        Ok(config) => {
            app.set_config(config);
            seen.has_taken(row.version, now.minute());
            tracing::info!(hash = stored.pushed.hash, "a pushed configuration is in force");
            Ok(Refreshed::Changed)
        }
        Err(problems) => {
            tracing::error!(?problems, "the pushed configuration is refused by this version");
            app.set_config_errors(problems.clone());
            seen.has_refused(row.version, &problems);
            Ok(Refreshed::Refused(problems))
        }
    }
}

fn parse(profile: Profile, files: &Files) -> Result<Config, Vec<String>> {
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Config::parse_as(profile, &files).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// What is wrong with a file's name, if something is.
fn bad_name(name: &str) -> Option<String> {
    let reason = if name.len() > NAME_BYTES_MAX {
        format!("its name is over {NAME_BYTES_MAX} bytes")
    } else if name.contains(|c: char| c.is_control() || c == '\\') {
        "its name holds a backslash or a control character".to_owned()
    } else if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        "its name is not a path inside of a folder, or is hidden".to_owned()
    } else if !name.ends_with(".yml") && !name.ends_with(".yaml") {
        "its name does not end in .yml or .yaml".to_owned()
    } else {
        return None;
    };
    let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
    Some(format!("{}:0:0: {reason}", shown.escape_debug()))
}

fn row_key() -> RowKey {
    RowKey::new("f#", "config")
}

fn decode(row: &Row) -> Result<Pushed, AppError> {
    match row.value.split_first() {
        Some((&ROW_VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| AppError::Corrupt(format!("configuration row: {error}")))
        }
        Some((version, _)) => Err(AppError::Corrupt(format!("configuration row: unknown format version {version}"))),
        None => Err(AppError::Corrupt("configuration row: empty".to_owned())),
    }
}

async fn open(objects: &dyn ObjectStore, row: &Row) -> Result<Stored, AppError> {
    let pushed = decode(row)?;
    let bytes = objects.get(&pushed.object, ByteRange::All).await?;
    let corrupt = |reason: String| AppError::Corrupt(format!("object {}: {reason}", pushed.object));
    if format!("{:032x}", xxh3_128(&bytes)) != pushed.hash {
        return Err(corrupt("its content is not that of its name".to_owned()));
    }
    let object: Object = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if object.format != OBJECT_FORMAT {
        return Err(corrupt(format!("format {} is not known", object.format)));
    }
    Ok(Stored { version: row.version, pushed, files: object.files })
}

/// What this process knows of the store's configuration.
#[derive(Debug, Default)]
pub(crate) struct PushedConfig(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    looked_in: Option<Minute>,
    /// The version of the row that was looked at last.
    version: Option<u64>,
    /// Whether what is in force was stored once, or nothing was.
    is_good: bool,
    /// Why there is no good one.
    problems: Vec<String>,
}

impl PushedConfig {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }

    /// Whether it is time to look; then nobody else does in this minute.
    fn begins_look(&self, minute: Minute) -> bool {
        self.lock().looked_in.replace(minute) != Some(minute)
    }

    fn look_again(&self) {
        self.lock().looked_in = None;
    }

    fn has_seen(&self, version: u64) -> bool {
        self.lock().version == Some(version)
    }

    fn is_good(&self) -> bool {
        self.lock().is_good
    }

    fn has_none(&self) {
        self.lock().is_good = true;
    }

    fn has_taken(&self, version: u64, minute: Minute) {
        *self.lock() = Seen { looked_in: Some(minute), version: Some(version), is_good: true, problems: Vec::new() };
    }

    fn has_refused(&self, version: u64, problems: &[String]) {
        let mut seen = self.lock();
        seen.version = Some(version);
        if !seen.is_good {
            seen.problems = problems.to_vec();
        }
    }

    /// Checks that this process may act on what it has.
    pub(crate) fn require(&self) -> Result<(), AppError> {
        let seen = self.lock();
        if seen.problems.is_empty() {
            return Ok(());
        }
        let problems = seen.problems.join("; ");
        Err(AppError::Corrupt(format!("the pushed configuration, refused by this version: {problems}; push another")))
    }
}

#[cfg(test)]
mod tests;
