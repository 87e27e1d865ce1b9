//! Our own query test scripts, in `tests/scripts`: each case is a test of its own.

use std::fs;
use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use promql::testing::Script;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut trials = Vec::new();
    for entry in fs::read_dir(folder).expect("the scripts are there") {
        let path = entry.expect("its entries can be read").path();
        let file = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("the script can be read");
        let script = Script::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        for case in script.cases().to_vec() {
            let name = format!("{file}:{}: {}", case.line, case.query);
            trials.push(Trial::test(name, move || case.run().map_err(Failed::from)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
