//! Objects as files of a folder.
//!
//! A key becomes a path: each segment but the last a folder whose name ends in `+`, the last a file, so that `a` and
//! `a/b` stand side by side (`a` and `a+/b`). Pieces of 250 bytes of a long segment become folders ending in `~`.
//! Neither mark is a character of keys.
//!
//! An object is written to `tmp/`, synced, and linked to its name, which must be new; then the folder is synced.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use app::ports::{ByteRange, ObjectEntry, ObjectPage, ObjectStore, PortError, PortResult};
use app::refusals::{OBJECT_PAGE_MAX, check_object_key};
use async_trait::async_trait;
use bytes::Bytes;
use model::ErrorKind;

use crate::OpenError;
use crate::folder::{FolderLock, make_dir, sync_dir};

/// Most bytes of a key in one file name; with its mark it stays under the 255 bytes that file systems take.
const PIECE_BYTES_MAX: usize = 250;

/// Objects as files of a folder.
#[derive(Clone, Debug)]
pub struct FolderObjectStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    tmp: PathBuf,
    /// Numbers the files in `tmp`.
    next_tmp: AtomicU64,
    /// Folders that are known to be durable.
    durable_dirs: Mutex<BTreeSet<PathBuf>>,
    _lock: Arc<FolderLock>,
}

impl FolderObjectStore {
    /// Opens the folder of objects, and empties the folder of unfinished ones.
    pub(crate) fn open(root: &Path, tmp: &Path, lock: Arc<FolderLock>) -> Result<Self, OpenError> {
        make_dir(root).map_err(OpenError::io(root))?;
        empty_dir(tmp).map_err(OpenError::io(tmp))?;
        let durable_dirs = Mutex::new(BTreeSet::from([root.to_owned()]));
        let (root, tmp) = (root.to_owned(), tmp.to_owned());
        Ok(Self { shared: Arc::new(Shared { root, tmp, next_tmp: AtomicU64::new(0), durable_dirs, _lock: lock }) })
    }

    /// Runs file work on a thread that may wait.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Shared) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || work(&shared));
        task.await.unwrap_or_else(|error| Err(PortError::new(ErrorKind::Bug, operation, error)))
    }
}

#[async_trait]
impl ObjectStore for FolderObjectStore {
    async fn put_new(&self, key: &str, bytes: Bytes) -> PortResult<()> {
        check_object_key("object put", key)?;
        let key = key.to_owned();
        self.run("object put", move |shared| shared.put_new(&key, &bytes)).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes> {
        let key = key.to_owned();
        self.run("object get", move |shared| shared.get(&key, range)).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> PortResult<ObjectPage> {
        let listing = Listing { prefix: prefix.to_owned(), cursor: cursor.map(str::to_owned) };
        self.run("object list", move |shared| listing.page(&shared.root).map_err(unavailable("object list"))).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        let key = key.to_owned();
        self.run("object delete", move |shared| shared.delete(&key)).await
    }

    async fn link(&self, key: &str, _lifetime: Duration) -> PortResult<Option<String>> {
        check_object_key("object link", key)?;
        Ok(None)
    }
}

impl Shared {
    fn put_new(&self, key: &str, bytes: &[u8]) -> PortResult<()> {
        let path = object_path(&self.root, key);
        let stored = self.store(&path, bytes).map_err(unavailable("object put"))?;
        match stored {
            Stored::New | Stored::Same => Ok(()),
            Stored::Other => {
                let message = format!("there is other content under {key}");
                Err(PortError::new(ErrorKind::Conflict, "object put", message))
            }
        }
    }

    fn store(&self, path: &Path, bytes: &[u8]) -> io::Result<Stored> {
        let parent = path.parent().expect("an object lies in a folder");
        if let Some(found) = compare(path, bytes)? {
            // Its writer may have crashed before the name was durable.
            sync_dir(parent)?;
            return Ok(found);
        }
        self.make_durable_dir(parent)?;
        let tmp = self.tmp.join(self.next_tmp.fetch_add(1, Ordering::Relaxed).to_string());
        let linked = write_synced(&tmp, bytes).and_then(|()| fs::hard_link(&tmp, path));
        let removed = fs::remove_file(&tmp);
        match linked {
            Ok(()) => removed.and_then(|()| sync_dir(parent)).map(|()| Stored::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = compare(path, bytes)?.ok_or(error)?;
                sync_dir(parent)?;
                Ok(found)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a folder and all above it, and their names durable; once known to be, it costs nothing.
    fn make_durable_dir(&self, dir: &Path) -> io::Result<()> {
        let mut durable = self.durable_dirs.lock().expect("nothing panics while it holds the lock");
        let mut missing: Vec<&Path> = dir.ancestors().take_while(|dir| !durable.contains(*dir)).collect();
        while let Some(dir) = missing.pop() {
            make_dir(dir)?;
            durable.insert(dir.to_owned());
        }
        Ok(())
    }

    fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes> {
        let missing = || PortError::new(ErrorKind::NotFound, "object get", format!("there is no object {key:?}"));
        check_object_key("object get", key).map_err(|_| missing())?;
        match read_part(&object_path(&self.root, key), range) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) if is_missing(&error) => Err(missing()),
            Err(error) => Err(unavailable("object get")(error)),
        }
    }

    fn delete(&self, key: &str) -> PortResult<()> {
        if check_object_key("object delete", key).is_err() {
            return Ok(());
        }
        let path = object_path(&self.root, key);
        let parent = path.parent().expect("an object lies in a folder");
        match fs::remove_file(&path).and_then(|()| sync_dir(parent)) {
            Err(error) if !is_missing(&error) => Err(unavailable("object delete")(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What a put found.
enum Stored {
    New,
    Same,
    Other,
}

fn unavailable(operation: &'static str) -> impl Fn(io::Error) -> PortError {
    move |error| PortError::new(ErrorKind::Unavailable, operation, error)
}

/// Whether a file is not there, because its name or a folder above it is not.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn empty_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir)?;
    fs::read_dir(dir)?.try_for_each(|entry| fs::remove_file(entry?.path()))
}

/// Where the object of a valid key lies.
fn object_path(root: &Path, key: &str) -> PathBuf {
    let mut path = root.to_owned();
    let mut segments = key.split('/').peekable();
    while let Some(segment) = segments.next() {
        let pieces = segment.as_bytes().chunks(PIECE_BYTES_MAX).map(|piece| std::str::from_utf8(piece));
        let mut pieces = pieces.map(|piece| piece.expect("a valid key is ASCII")).peekable();
        while let Some(piece) = pieces.next() {
            let mark = match (pieces.peek(), segments.peek()) {
                (Some(_), _) => "~",
                (None, Some(_)) => "+",
                (None, None) => "",
            };
            path.push(format!("{piece}{mark}"));
        }
    }
    path
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Compares a file with a content; `None` when there is no file.
fn compare(path: &Path, bytes: &[u8]) -> io::Result<Option<Stored>> {
    match fs::read(path) {
        Ok(found) if found == bytes => Ok(Some(Stored::Same)),
        Ok(_) => Ok(Some(Stored::Other)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_part(path: &Path, range: ByteRange) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let (start, end) = match range {
        ByteRange::All => (0, size),
        ByteRange::Slice { offset, len } => (offset.min(size), offset.saturating_add(len).min(size)),
        ByteRange::Suffix(len) => (size - len.min(size), size),
    };
    let length = usize::try_from(end - start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

/// A page of a listing that is being made.
struct Listing {
    prefix: String,
    cursor: Option<String>,
}

impl Listing {
    /// Walks the folders that may hold keys of the page, sorts what it found and cuts the page off.
    fn page(&self, root: &Path) -> io::Result<ObjectPage> {
        let mut found = Vec::new();
        self.walk(root, "", &mut found)?;
        found.sort_unstable();
        let more = found.len() > OBJECT_PAGE_MAX;
        found.truncate(OBJECT_PAGE_MAX);
        let cursor = found.last().filter(|_| more).map(|(key, _)| key.clone());
        let mut entries = Vec::with_capacity(found.len());
        for (key, path) in found {
            match fs::metadata(path) {
                Ok(metadata) => entries.push(ObjectEntry { key, size_bytes: metadata.len() }),
                // Deleted since the walk.
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ObjectPage { entries, cursor })
    }

    /// Collects the keys of the page and after it in a folder whose keys all begin with `start`.
    fn walk(&self, dir: &Path, start: &str, found: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                continue;
            };
            if let Some(segment) = name.strip_suffix('+') {
                self.walk_into(&entry.path(), format!("{start}{segment}/"), found)?;
            } else if let Some(piece) = name.strip_suffix('~') {
                self.walk_into(&entry.path(), format!("{start}{piece}"), found)?;
            } else {
                let key = format!("{start}{name}");
                let after_cursor = self.cursor.as_ref().is_none_or(|cursor| key > *cursor);
                if key.starts_with(&self.prefix) && after_cursor {
                    found.push((key, entry.path()));
                }
            }
        }
        Ok(())
    }

    fn walk_into(&self, dir: &Path, start: String, found: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
        let may_match = start.starts_with(&self.prefix) || self.prefix.starts_with(&start);
        let all_before_cursor =
            self.cursor.as_ref().is_some_and(|cursor| start < *cursor && !cursor.starts_with(&start));
        if may_match && !all_before_cursor { self.walk(dir, &start, found) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_paths_that_cannot_collide() {
        let long = "x".repeat(501);
        let pieces = format!("{}~/{}~/x", "x".repeat(250), "x".repeat(250));
        let cases = [
            ("a", "a"),
            ("a/b", "a+/b"),
            ("raw/tenant=t/1#2.blk", "raw+/tenant=t+/1#2.blk"),
            (long.as_str(), pieces.as_str()),
        ];
        for (key, path) in cases {
            assert_eq!(object_path(Path::new("/o"), key), Path::new("/o").join(path), "{key}");
        }
    }

    #[test]
    fn what_was_left_unfinished_is_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        drop(crate::open(dir.path()).unwrap());
        fs::write(dir.path().join("tmp/0"), "half").unwrap();
        drop(crate::open(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    }
}
