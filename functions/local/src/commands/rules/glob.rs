//! File names with wildcards: `*`, `?` and `[a-z]` within one part of a path, as Go's `filepath.Glob` reads them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

/// The files that a pattern names, in order of name; none when nothing matches.
///
/// # Errors
/// When the pattern is malformed.
pub(super) fn glob(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let part = component.as_os_str().to_string_lossy();
        let is_pattern = matches!(component, Component::Normal(_)) && part.contains(['*', '?', '[', '\\']);
        if !is_pattern {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let regex = regex(&part)?;
        found = found.iter().flat_map(|folder| entries(folder, &regex)).collect();
    }
    found.retain(|path| path.exists());
    Ok(found)
}

/// What stands in a folder and matches, in order of name; nothing when it cannot be read.
fn entries(folder: &Path, regex: &Regex) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = fs::read_dir(here).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|name| regex.is_match(&name.to_string_lossy())).collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn regex(part: &str) -> Result<Regex, String> {
    let malformed = || format!("syntax error in pattern {part:?}");
    let mut text = "^(?s:".to_owned();
    let mut characters = part.chars();
    let mut in_class = false;
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.push_str(&regex::escape(&characters.next().ok_or_else(malformed)?.to_string())),
            '[' if !in_class => {
                in_class = true;
                text.push('[');
            }
            ']' if in_class => {
                in_class = false;
                text.push(']');
            }
            '^' | '-' if in_class => text.push(c),
            '*' if !in_class => text.push_str(".*"),
            '?' if !in_class => text.push('.'),
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text.push_str(")$");
    if in_class { Err(malformed()) } else { Regex::new(&text).map_err(|_| malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.yml", "b.yml", "c.yaml", "sub/d.yml"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let cases: [(&str, &[&str]); 7] = [
            ("a.yml", &["a.yml"]),
            ("nosuch.yml", &[]),
            ("*.yml", &["a.yml", "b.yml"]),
            ("?.y*ml", &["a.yml", "b.yml", "c.yaml"]),
            ("[bc].*", &["b.yml", "c.yaml"]),
            ("[^b].yml", &["a.yml"]),
            ("*/*.yml", &["sub/d.yml"]),
        ];
        for (pattern, expected) in cases {
            let expected: Vec<PathBuf> = expected.iter().map(|name| folder.path().join(name)).collect();
            assert_eq!(glob(&folder.path().join(pattern)), Ok(expected), "{pattern}");
        }
        assert!(glob(Path::new("[a")).is_err());
    }
}
