//! The files that `templates` of a configuration names.

use regex::Regex;
use serde_saphyr::Spanned;

use super::fields::Notes;
use crate::ConfigError;
use crate::template::Library;

/// A file of templates: its path from the folder of the configuration file, and what stands in it.
pub type TemplateFile<'a> = (&'a str, &'a str);

/// What became of the patterns.
pub(super) struct Found {
    pub(super) library: Library,
    /// Whether every pattern led to a file: only then it is certain that nothing is missing.
    pub(super) is_complete: bool,
}

/// Reads the files that the patterns lead to, in the order of the patterns and of their names.
///
/// A pattern that starts at the root counts from wherever its author kept the folder: its last parts are compared.
pub(super) fn read(
    notes: &Notes<'_>,
    patterns: &[Spanned<String>],
    files: &[TemplateFile<'_>],
) -> Result<Found, ConfigError> {
    let mut found = Found { library: Library::standard(), is_complete: true };
    for Spanned { value: pattern, referenced: place, .. } in patterns {
        let mut matching: Vec<&TemplateFile<'_>> = files.iter().filter(|(path, _)| matches(pattern, path)).collect();
        matching.sort();
        if matching.is_empty() {
            found.is_complete = false;
            let what = format!("templates {pattern:?} lead to no file: they lie beside this one, and end in .tmpl");
            notes.unheeded(*place, what);
        }
        for (path, text) in matching {
            found.library.add(text).map_err(|error| ConfigError {
                file: (*path).to_owned(),
                line: u64::try_from(error.line).unwrap_or(0),
                column: 0,
                reason: error.reason,
            })?;
        }
    }
    Ok(found)
}

/// Whether a path is one that a pattern means: `*`, `?` and `[a-z]` within a part.
fn matches(pattern: &str, path: &str) -> bool {
    let parts: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let path: Vec<&str> = path.split('/').collect();
    let skipped = match (parts.len().checked_sub(path.len()), pattern.starts_with('/')) {
        (Some(skipped), true) => skipped,
        (Some(0), false) => 0,
        (Some(_) | None, _) => return false,
    };
    parts[skipped..].iter().zip(path).all(|(part, name)| part_matches(part, name))
}

fn part_matches(pattern: &str, name: &str) -> bool {
    let mut regex = String::from("^(?s:");
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                let class: String = rest.by_ref().take_while(|&c| c != ']').collect();
                regex.push_str(&format!("[{}]", class.replace('\\', "\\\\").replace('[', "\\[").replace("&&", "&")));
            }
            '\\' => regex.extend(rest.next().map(|c| regex::escape(&c.to_string()))),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push_str(")$");
    Regex::new(&regex).is_ok_and(|regex| regex.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_lead_to_files_beside_the_configuration() {
        let cases = [
            ("templates/*.tmpl", "templates/ops.tmpl", true),
            ("./templates/*.tmpl", "templates/ops.tmpl", true),
            ("*.tmpl", "templates/ops.tmpl", false),
            ("templates/*", "templates/a/ops.tmpl", false),
            ("/etc/alertmanager/templates/*.tmpl", "templates/ops.tmpl", true),
            ("/etc/alertmanager/*.tmpl", "ops.tmpl", true),
            ("/etc/alertmanager/*.tmpl", "templates/ops.tmpl", false),
            ("alertmanager/ops.tmpl", "ops.tmpl", false),
            ("o?s[0-9].tmpl", "ops1.tmpl", true),
            ("o?s[^0-9].tmpl", "ops1.tmpl", false),
            ("a.tmpl", "a+tmpl", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
