//! `mihari rules`: rule files without a server. Output and exit codes are those of promtool.

mod check;
mod glob;
mod junit;
mod unit_file;
mod unit_test;
mod unit_text;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use model::Limits;
use promql::Profile;

use crate::cli::RulesCommand;

/// Reads rule files as the server would, or runs their unit tests.
///
/// # Errors
/// When a file or folder cannot be read or written.
pub(crate) fn rules(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::Check(arguments) => check::check(arguments),
        RulesCommand::Test(arguments) => unit_test::test(arguments),
    }
}

/// Says whether a text is an expression.
fn check_expr(profile: Profile, text: &str) -> Result<(), String> {
    promql::parse_as(text, profile, &Limits::default()).map(|_| ()).map_err(|error| error.to_string())
}

/// Prints to standard error; a reader that has gone away is no mistake.
fn complain(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stderr().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard error"),
    }
}
