//! Query test scripts of Prometheus: each case is a test of its own; a table of what passes is printed at the end.
//!
//! Read in place from the folder that `MIHARI_CORPORA` names; ignored when it is not set.

#![expect(clippy::print_stdout, reason = "the table is what the test run shows")]
#[path = "support/tally.rs"]
mod tally;

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use promql::testing::{Case, Script};
use tally::Tallies;

fn main() {
    let arguments = Arguments::from_args();
    let Some(folder) = std::env::var_os("MIHARI_CORPORA").map(PathBuf::from) else {
        let unset = Trial::test("promqltest", || Ok(())).with_ignored_flag(true);
        libtest_mimic::run(&arguments, vec![unset]).exit();
    };
    let tallies = Tallies::default();
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("promqltest"))
        .expect("the corpus is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    let trials: Vec<Trial> = files.iter().flat_map(|path| trials(path, &tallies)).collect();
    assert!(!trials.is_empty(), "no scripts in {}", folder.display());
    let conclusion = libtest_mimic::run(&arguments, trials);
    tallies.print("script");
    conclusion.exit();
}

fn trials(path: &Path, tallies: &Tallies) -> Vec<Trial> {
    let file = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let text = fs::read_to_string(path).expect("the script can be read");
    let script = Script::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let cases = script.cases().to_vec();
    let counted = |case: Case| {
        let name = format!("{file}:{}: {}", case.line, case.query);
        Trial::test(name, tallies.counted(&file, move || case.run().map_err(Failed::from)))
    };
    cases.into_iter().map(counted).collect()
}
