//! The data folder itself: its lock, its format version, and how folders are made durable.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::OpenError;

/// The first line of the `FORMAT` file. The number grows with every change that an older version cannot read.
const FORMAT: &str = "mihari data folder, format 2";

/// Holds a data folder for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// Makes the folder if need be, locks it and checks its format.
pub(crate) fn claim(dir: &Path) -> Result<FolderLock, OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(OpenError::io(dir))?;
    refuse_foreign_folder(dir)?;
    let lock = lock(dir)?;
    check_format(dir)?;
    Ok(lock)
}

fn lock(dir: &Path) -> Result<FolderLock, OpenError> {
    let path = dir.join("LOCK");
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let process_id = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(OpenError::InUse { dir: dir.to_owned(), process_id });
        }
        Err(TryLockError::Error(error)) => return Err(OpenError::io(&path)(error)),
    }
    let id = std::process::id();
    let written = file.set_len(0).and_then(|()| writeln!(file, "{id}"));
    written.map_err(OpenError::io(&path))?;
    Ok(FolderLock { _file: file })
}

fn check_format(dir: &Path) -> Result<(), OpenError> {
    let path = dir.join("FORMAT");
    match fs::read(&path) {
        Ok(content) => {
            let content = String::from_utf8_lossy(&content);
            let found = content.lines().next().unwrap_or("");
            if found == FORMAT {
                return Ok(());
            }
            let found = found.chars().take(80).collect();
            Err(OpenError::OtherFormat { dir: dir.to_owned(), found, expected: FORMAT })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_format(dir).map_err(OpenError::io(&path)),
        Err(error) => Err(OpenError::io(&path)(error)),
    }
}

/// A folder without `FORMAT` must be empty, but for what file systems and a first start that was cut short leave.
/// Asked before anything is written, so that somebody else's folder stays as it is.
fn refuse_foreign_folder(dir: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let name = entry.map_err(OpenError::io(dir))?.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with('.') || matches!(&*name, "LOCK" | "FORMAT.new" | "lost+found");
        if !ours && !dir.join("FORMAT").exists() {
            return Err(OpenError::NotADataFolder { dir: dir.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
}

fn write_format(dir: &Path) -> io::Result<()> {
    let new = dir.join("FORMAT.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&new, dir.join("FORMAT"))?;
    sync_dir(dir)
}

/// Makes a folder if there is none, durably.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder durable: new, renamed and deleted ones.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ErrorKind;

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = claim(&dir.path().join("a/new/one")).unwrap();
        let error = claim(&dir.path().join("a/new/one")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let expected = format!("is in use by process {}: stop it", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
        drop(first);
        claim(&dir.path().join("a/new/one")).unwrap();
    }

    #[test]
    fn a_folder_of_another_version_is_refused_with_advice() {
        for content in ["mihari data folder, format 1\n", "", "something else", "\u{fffd}\0"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("FORMAT"), content).unwrap();
            let error = claim(dir.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("this version reads \"mihari data folder, format 2\""), "{error}");
            assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), content, "it is left as it is");
        }
    }

    #[test]
    fn somebody_elses_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        let error = claim(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "it is left as it is");
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["LOCK", "FORMAT.new", ".gitignore"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        drop(claim(dir.path()).unwrap());
        claim(dir.path()).unwrap();
    }
}
