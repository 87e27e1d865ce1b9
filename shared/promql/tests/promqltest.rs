//! Query test scripts of Prometheus: each case is a test of its own; a table of what passes is printed at the end.
//!
//! Read in place from the folder that `MIHARI_CORPORA` names; ignored when it is not set.

#![expect(clippy::print_stdout, reason = "the table is what the test run shows")]
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use promql::testing::Script;

/// What became of the cases of one file.
#[derive(Clone, Copy, Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

type Tallies = Arc<Mutex<BTreeMap<String, Tally>>>;

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
    print_table(&tallies);
    conclusion.exit();
}

fn trials(path: &Path, tallies: &Tallies) -> Vec<Trial> {
    let file = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let text = fs::read_to_string(path).expect("the script can be read");
    let script = Script::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let cases = script.cases().to_vec();
    cases
        .into_iter()
        .map(|case| {
            let (tallies, name) = (Arc::clone(tallies), file.clone());
            Trial::test(format!("{file}:{}: {}", case.line, case.query), move || {
                let result = case.run();
                let mut tallies = tallies.lock().expect("no test panics while it counts");
                let tally = tallies.entry(name).or_default();
                if result.is_ok() {
                    tally.passed += 1;
                } else {
                    tally.failed += 1;
                }
                result.map_err(Failed::from)
            })
        })
        .collect()
}

fn print_table(tallies: &Tallies) {
    println!("{:<32} {:>6} {:>6}", "script", "passed", "failed");
    let mut total = Tally::default();
    for (file, tally) in tallies.lock().expect("all tests have ended").iter() {
        print_row(file, *tally);
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    print_row("all", total);
}

fn print_row(name: &str, tally: Tally) {
    let Tally { passed, failed } = tally;
    println!("{name:<32} {passed:>6} {failed:>6}");
}
