//! `mihari rules check`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alerting::rule::{self, RuleGroup, UnknownFields};
use anyhow::Context as _;
use serde_json::json;

use super::{check_expr, complain};
use crate::cli::{RulesCheckArgs, RulesLint};
use crate::commands::print;

/// The exit code when only the lint found something, and that matters.
const LINT_EXIT_CODE: u8 = 3;

/// What was found in one file.
struct Checked {
    file: String,
    rules: usize,
    errors: Vec<String>,
    lint: Option<String>,
}

/// Reads rule files and says what is wrong with them.
///
/// # Errors
/// When a folder cannot be read, or the output not be written.
pub(super) fn check(arguments: &RulesCheckArgs) -> anyhow::Result<ExitCode> {
    let mut all = Vec::new();
    for file in expand(&arguments.files)? {
        let checked = check_file(&file, arguments);
        if !arguments.json {
            show(&checked)?;
        }
        all.push(checked);
    }
    let is_ok = all.iter().all(|checked| checked.errors.is_empty());
    if arguments.json {
        let good = all.iter().filter(|checked| checked.errors.is_empty());
        let files: Vec<_> = good.map(|checked| json!({ "file": checked.file, "rules": checked.rules })).collect();
        let errors: Vec<&String> = all.iter().flat_map(|checked| &checked.errors).collect();
        let lint: Vec<&String> = all.iter().filter_map(|checked| checked.lint.as_ref()).collect();
        print(&json!({ "ok": is_ok, "files": files, "errors": errors, "lint": lint }).to_string())?;
    }
    let has_lint = all.iter().any(|checked| checked.lint.is_some());
    Ok(match (is_ok, has_lint && arguments.lint_fatal) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(LINT_EXIT_CODE),
        (true, false) => ExitCode::SUCCESS,
    })
}

fn show(checked: &Checked) -> anyhow::Result<()> {
    print(&format!("Checking {}", checked.file))?;
    if checked.errors.is_empty() && checked.lint.is_none() {
        print(&format!("  SUCCESS: {} rules found", checked.rules))?;
    } else {
        complain("  FAILED:")?;
        for problem in checked.errors.iter().chain(&checked.lint) {
            complain(problem)?;
        }
    }
    print("")
}

fn check_file(path: &Path, arguments: &RulesCheckArgs) -> Checked {
    let file = path.display().to_string();
    let unknown = if arguments.ignore_unknown_fields { UnknownFields::Ignored } else { UnknownFields::Refused };
    let read = fs::read_to_string(path).map_err(|error| vec![format!("{file}: {error}")]);
    let parsed = read.and_then(|text| {
        rule::parse_with(&file, &text, &|expr| check_expr(arguments.promql_profile, expr), unknown)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    });
    match parsed {
        Ok(groups) => {
            let rules = groups.iter().map(|group| group.rules.len()).sum();
            let lint = if arguments.lint == RulesLint::None { None } else { duplicates(&groups) };
            Checked { file, rules, errors: Vec::new(), lint }
        }
        Err(errors) => Checked { file, rules: 0, errors, lint: None },
    }
}

/// Rules of one name with the same labels, described.
fn duplicates(groups: &[RuleGroup]) -> Option<String> {
    let mut seen = BTreeMap::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        let labels: Vec<_> = rule.labels.iter().map(|(name, value)| (name.as_str(), value.source())).collect();
        *seen.entry((&rule.name, labels)).or_insert(0_usize) += 1;
    }
    let twice: Vec<_> = seen.into_iter().filter(|(_, count)| *count > 1).map(|(rule, _)| rule).collect();
    if twice.is_empty() {
        return None;
    }
    let mut text = format!("lint error {} duplicate rule(s) found.\n", twice.len());
    for (name, labels) in twice {
        text.push_str(&format!("Metric: {name}\nLabel(s):\n"));
        labels.iter().for_each(|(name, value)| text.push_str(&format!("\t{name}: {value}\n")));
    }
    text.push_str("Might cause inconsistency while recording expressions");
    Some(text)
}

/// The files that are named, and the YAML files of the folders that are.
fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).with_context(|| format!("cannot read the folder {}", path.display()))?;
        let mut inside = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        inside.retain(|file| is_yaml(file));
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn is_yaml(file: &Path) -> bool {
    file.is_file() && file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}
