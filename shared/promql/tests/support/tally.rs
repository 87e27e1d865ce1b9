//! How many cases of each file or corpus pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use libtest_mimic::Failed;

/// What became of the cases of one name.
#[derive(Clone, Copy, Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

/// Counts while tests run.
#[derive(Clone, Default)]
pub(crate) struct Tallies(Arc<Mutex<BTreeMap<String, Tally>>>);

impl Tallies {
    /// The same check, which is counted under a name.
    pub(crate) fn counted(
        &self,
        name: &str,
        check: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> impl FnOnce() -> Result<(), Failed> + Send + 'static {
        let (tallies, name) = (Arc::clone(&self.0), name.to_owned());
        move || {
            let result = check();
            let mut tallies = tallies.lock().expect("no test panics while it counts");
            let tally = tallies.entry(name).or_default();
            if result.is_ok() {
                tally.passed += 1;
            } else {
                tally.failed += 1;
            }
            result
        }
    }

    /// One line a name, and one for all.
    pub(crate) fn print(&self, title: &str) {
        println!("{title:<32} {:>6} {:>6}", "passed", "failed");
        let mut total = Tally::default();
        for (name, tally) in self.0.lock().expect("all tests have ended").iter() {
            print_row(name, *tally);
            total.passed += tally.passed;
            total.failed += tally.failed;
        }
        print_row("all", total);
    }
}

fn print_row(name: &str, tally: Tally) {
    let Tally { passed, failed } = tally;
    println!("{name:<32} {passed:>6} {failed:>6}");
}
