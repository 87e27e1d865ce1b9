//! `mihari rules`: rule files without a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alerting::rule;
use anyhow::Context as _;
use model::Limits;
use promql::Profile;
use serde_json::json;

use super::print;
use crate::cli::RulesCommand;

/// Reads rule files as the server would.
///
/// # Errors
/// When a file or folder cannot be read.
pub(crate) fn rules(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    let RulesCommand::Check { files, promql_profile, json } = command;
    let mut problems = Vec::new();
    let mut checked = Vec::new();
    for file in expand(files)? {
        let name = file.display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        match rule::parse(&name, &text, &|expr| check_expr(*promql_profile, expr)) {
            Ok(groups) => checked.push((name, groups.iter().map(|group| group.rules.len()).sum::<usize>())),
            Err(errors) => problems.extend(errors.iter().map(ToString::to_string)),
        }
    }
    if *json {
        let files: Vec<_> = checked.iter().map(|(file, rules)| json!({ "file": file, "rules": rules })).collect();
        print(&json!({ "ok": problems.is_empty(), "files": files, "errors": problems }).to_string())?;
    } else {
        for (file, rules) in &checked {
            print(&format!("{file}: {rules} rules found"))?;
        }
        for problem in &problems {
            print(problem)?;
        }
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_expr(profile: Profile, text: &str) -> Result<(), String> {
    promql::parse_as(text, profile, &Limits::default()).map(|_| ()).map_err(|error| error.to_string())
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
