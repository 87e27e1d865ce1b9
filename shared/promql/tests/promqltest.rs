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

/// Functions and modifiers that are not there yet: a case that uses one is ignored.
const NOT_YET: [&str; 1] = ["info"];

/// What became of the cases of one file.
#[derive(Clone, Copy, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    native_histograms: usize,
    not_yet: usize,
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
            let native = case.needs_native_histograms();
            let not_yet = case.functions().iter().any(|name| NOT_YET.contains(name));
            let count = |change: fn(&mut Tally)| {
                change(tallies.lock().expect("no test panics while it counts").entry(file.clone()).or_default());
            };
            if native {
                count(|tally| tally.native_histograms += 1);
            } else if not_yet {
                count(|tally| tally.not_yet += 1);
            }
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
            .with_ignored_flag(native || not_yet)
        })
        .collect()
}

fn print_table(tallies: &Tallies) {
    println!("{:<32} {:>6} {:>6} {:>17} {:>7}", "script", "passed", "failed", "native histograms", "not yet");
    let mut total = Tally::default();
    for (file, tally) in tallies.lock().expect("all tests have ended").iter() {
        print_row(file, *tally);
        total.passed += tally.passed;
        total.failed += tally.failed;
        total.native_histograms += tally.native_histograms;
        total.not_yet += tally.not_yet;
    }
    print_row("all", total);
}

fn print_row(name: &str, tally: Tally) {
    let Tally { passed, failed, native_histograms, not_yet } = tally;
    println!("{name:<32} {passed:>6} {failed:>6} {native_histograms:>17} {not_yet:>7}");
}
