//! `mihari promql`: query test scripts without a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use promql::testing::Script;
use serde_json::json;

use super::print;
use crate::cli::PromqlCommand;

/// What became of one script.
#[derive(Debug, Default)]
struct Ran {
    cases: usize,
    /// `FILE:LINE: query`, and what is wrong with the answer; or why the file is no script.
    failures: Vec<String>,
}

/// Runs test scripts.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn promql(command: &PromqlCommand) -> anyhow::Result<ExitCode> {
    let PromqlCommand::Test { files, json } = command;
    let mut ran: Vec<(&PathBuf, Ran)> = Vec::new();
    for file in files {
        ran.push((file, run(file)?));
    }
    if *json {
        let files: Vec<_> = ran
            .iter()
            .map(|(file, ran)| json!({ "file": file, "cases": ran.cases, "failures": ran.failures }))
            .collect();
        let is_ok = ran.iter().all(|(_, ran)| ran.failures.is_empty());
        print(&json!({ "ok": is_ok, "files": files }).to_string())?;
    } else {
        for (file, Ran { cases, failures }) in &ran {
            failures.iter().try_for_each(|failure| print(failure))?;
            let failed = failures.len();
            print(&format!("{}: {} of {cases} cases passed", file.display(), cases.saturating_sub(failed)))?;
        }
    }
    let any_failed = ran.iter().any(|(_, ran)| !ran.failures.is_empty());
    Ok(if any_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run(file: &Path) -> anyhow::Result<Ran> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let script = match Script::parse(&text) {
        Ok(script) => script,
        Err(error) => return Ok(Ran { cases: 0, failures: vec![format!("{name}:{}: {}", error.line, error.message)] }),
    };
    let failures = script.cases().iter().filter_map(|case| {
        let reason = case.run().err()?;
        Some(format!("{name}:{}: {}\n    {}", case.line, case.query, reason.replace('\n', "\n    ")))
    });
    Ok(Ran { cases: script.cases().len(), failures: failures.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.test");
        let check = |text: &str, expected: &[&str]| {
            fs::write(&file, text).unwrap();
            let failures = run(&file).unwrap().failures;
            assert_eq!(failures.len(), expected.len(), "{failures:?}");
            for (failure, part) in failures.iter().zip(expected) {
                assert!(failure.contains(part), "{failure}");
            }
        };
        let load = "load 1m\n  up{job=\"a\"} 0+1x10\n\n";
        check(&format!("{load}eval instant at 5m up\n  up{{job=\"a\"}} 5\n"), &[]);
        check(
            &format!("{load}eval instant at 5m up\n  up{{job=\"a\"}} 6\n\neval instant at 5m sum(\n  expect fail\n"),
            &["a.test:4: up\n    up{job=\"a\"} is 5"],
        );
        check("load 1m\n  up{ 1\n", &["a.test:2: "]);
        assert!(run(Path::new("/nowhere")).is_err());
    }
}
