//! Mail that has no server: files that a mail program opens.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use app::ports::{PortError, PortResult, Receipt};
use lettre::Message;
use model::ErrorKind;
use xxhash_rust::xxh3::xxh3_128;

use crate::DELIVER;

/// Most characters of a key that a file name holds as they are.
const NAME_CHARS_MAX: usize = 100;

/// Writes a mail to the outbox, durably and all or nothing. A repeat replaces its file.
pub(crate) async fn keep(message: &Message, idempotency_key: &str, dir: &Path) -> PortResult<Receipt> {
    let name = file_name(idempotency_key);
    let (bytes, dir, file) = (message.formatted(), dir.to_owned(), name.clone());
    let written = tokio::task::spawn_blocking(move || write(&dir, &file, &bytes)).await;
    let written = written.map_err(|error| PortError::new(ErrorKind::Bug, DELIVER, error))?;
    written.map_err(|error| PortError::new(ErrorKind::Unavailable, DELIVER, format!("the outbox: {error}")))?;
    Ok(Receipt::noted(format!("outbox/{name}")))
}

/// The key where it can be a file name; otherwise what can be of it, and its hash.
fn file_name(idempotency_key: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '@');
    let kept: String = idempotency_key.chars().filter(allowed).take(NAME_CHARS_MAX).collect();
    let kept = kept.trim_start_matches('.');
    if kept == idempotency_key && !kept.is_empty() {
        return format!("{kept}.eml");
    }
    format!("{kept}-{:032x}.eml", xxh3_128(idempotency_key.as_bytes()))
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let unfinished = dir.join(format!(".{name}.tmp"));
    let written = write_synced(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, dir.join(name)));
    if let Err(error) = written {
        // Nothing half-written stays; the failure itself is what the caller hears of.
        drop(fs::remove_file(&unfinished));
        return Err(error);
    }
    File::open(dir)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_tell_keys_apart() {
        let long = "k".repeat(200);
        let keys = ["a", "a/b", "ab", "a b", "../a", ".a", "..", "", "日本", &long, &long[1..], "tenant=t@1.2_x-y"];
        let names: Vec<String> = keys.iter().map(|key| file_name(key)).collect();
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        for name in &names {
            assert!(name.len() < 200 && !name.starts_with('.') && !name.contains('/'), "{name}");
        }
        assert_eq!(file_name("tenant=t@1.2_x-y"), "tenant=t@1.2_x-y.eml");
    }
}
