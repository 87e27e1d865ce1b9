//! The configuration folder: read at the start, looked at again every minute.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use app::config::Config;
use promql::Profile;

/// The most a configuration file may have.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Names and texts of all files, in order of name.
type Files = Vec<(String, String)>;

/// A folder of configuration files, or the built-in defaults.
#[derive(Debug)]
pub(crate) struct ConfigFolder {
    dir: Option<PathBuf>,
    profile: Profile,
    last_seen: Files,
}

/// What a look at the folder found.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing new.
    Unchanged,
    /// A new configuration that is valid.
    Changed(Box<Config>),
    /// A new configuration that is not: what is wrong with it.
    Broken(Vec<String>),
}

impl ConfigFolder {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// When it cannot be read or something in it is wrong: at the start there is no last good one to fall back to.
    pub(crate) fn open(dir: Option<PathBuf>, profile: Profile) -> anyhow::Result<(Self, Config)> {
        let Some(dir) = dir else {
            return Ok((Self { dir: None, profile, last_seen: Files::new() }, Config::defaults()));
        };
        let files = read(&dir)?;
        match Config::parse_as(profile, &files) {
            Ok(config) => Ok((Self { dir: Some(dir), profile, last_seen: files }, config)),
            Err(errors) => {
                bail!("the configuration in {} is refused:\n  {}", dir.display(), lines(&errors).join("\n  "))
            }
        }
    }

    /// Whether there is a folder, rather than what was pushed or the defaults.
    pub(crate) const fn is_used(&self) -> bool {
        self.dir.is_some()
    }

    /// Looks whether something changed.
    pub(crate) fn look(&mut self) -> Look {
        let Some(dir) = &self.dir else { return Look::Unchanged };
        let files = match read(dir) {
            Ok(files) => files,
            Err(error) => return Look::Broken(vec![format!("{error:#}")]),
        };
        if files == self.last_seen {
            return Look::Unchanged;
        }
        self.last_seen = files;
        match Config::parse_as(self.profile, &self.last_seen) {
            Ok(config) => Look::Changed(Box::new(config)),
            Err(errors) => Look::Broken(lines(&errors)),
        }
    }
}

fn lines(errors: &[impl ToString]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// All YAML files and templates below a folder, by their path from it.
///
/// # Errors
/// When something in it cannot be read, or a file is too large.
pub(crate) fn read(dir: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    collect(dir, "", &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(dir: &Path, prefix: &str, files: &mut Files) -> anyhow::Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read the folder {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read the folder {}", dir.display()))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // Unit tests of rules lie beside them and are none.
        if path.is_dir() && name != "rules/tests" {
            collect(&path, &format!("{name}/"), files)?;
        } else if [".yml", ".yaml", ".tmpl"].iter().any(|end| name.ends_with(end)) {
            files.push((name, read_file(&path)?));
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let size_bytes = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size_bytes > FILE_BYTES_MAX {
        bail!("{} has {size_bytes} bytes, over the limit of {FILE_BYTES_MAX} bytes", path.display());
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
