//! `mihari rules test` on files: those of the rules that come with Mihari, and, with `MIHARI_CORPORA` set to their
//! folder, those of other projects. With `MIHARI_PROMTOOL` set to a promtool the output is compared with its own.

#![expect(clippy::unwrap_used, reason = "a test: what cannot be read stops it")]
#![expect(clippy::disallowed_methods, reason = "the corpora and promtool lie outside of the repository")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Failed, Trial};

/// Files whose tests must fail.
const FAILING: [&str; 6] = [
    "promtool/failing.yml",
    "promtool/rules_run.yml",
    "promtool/rules_run_fuzzy.yml",
    "promtool/rules_run_no_fuzzy.yml",
    "promtool/rules_run_extrafields.yml",
    "promtool/bad-",
];

/// Files written for promtool 2, whose windows included their left end: since version 3 a sample that is exactly as old
/// as the window is long does not count.
const OF_VERSION_2: [&str; 2] =
    ["konflux-data_plane/node_alerts_test.yaml", "konflux-recording/caching_availability_recording_rules_test.yaml"];

/// Files that promtool 2.42 cannot read or reads otherwise: fields, histograms and windows of version 3, and messages
/// that name a place or an order of their own.
const UNLIKE_2_42: [&str; 8] = [
    "promtool/bad-input-series.yml",
    "promtool/bad-rules-",
    "promtool/no-test-group-interval.yml",
    "promtool/rules_run_extrafields.yml",
    "promtool/rules_run_fuzzy.yml",
    "promtool/rules_run_no_fuzzy.yml",
    "promtool/start-time-test.yml",
    "promtool/unittest.yml",
];

fn main() {
    let arguments = Arguments::from_args();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/config/rules/tests");
    let mut trials: Vec<Trial> = unit_files(&own).into_iter().map(|path| trial(&own, path)).collect();
    assert!(!trials.is_empty(), "no tests of our own rules in {}", own.display());
    match std::env::var("MIHARI_CORPORA") {
        Err(_) => trials.push(Trial::test("corpora (MIHARI_CORPORA is not set)", || Ok(())).with_ignored_flag(true)),
        Ok(root) => {
            let root = Path::new(&root).join("rule-unit-tests");
            let files = unit_files(&root);
            assert!(files.len() > 50, "only {} files below {}", files.len(), root.display());
            trials.extend(files.into_iter().map(|path| trial(&root, path)));
            let rule_files = root.join("../rules-prometheus-testdata");
            trials.push(Trial::test("flags", move || flags(&root.join("promtool"))));
            trials.push(Trial::test("rules check", move || check(&rule_files)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The files below a folder that hold tests.
fn unit_files(folder: &Path) -> Vec<PathBuf> {
    let holds_tests =
        |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().any(|line| line.starts_with("tests:"));
    let mut found = yaml_files(folder);
    found.retain(holds_tests);
    found
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn trial(root: &Path, path: PathBuf) -> Trial {
    let name = path.strip_prefix(root).unwrap().display().to_string();
    let is_named = |list: &[&str]| list.iter().any(|start| name.starts_with(start));
    let must_fail = is_named(&FAILING) || is_named(&OF_VERSION_2);
    let is_like = !is_named(&UNLIKE_2_42) && !is_named(&OF_VERSION_2);
    Trial::test(name, move || {
        let ours = run(Command::new(env!("CARGO_BIN_EXE_mihari")).arg("rules").arg("test"), &path);
        let (out, errors) = (text(&ours.stdout), text(&ours.stderr));
        if ours.status.success() == must_fail {
            return Err(format!("{}: {out}{errors}", ours.status).into());
        }
        match std::env::var("MIHARI_PROMTOOL") {
            Ok(promtool) if is_like => {
                let theirs = run(Command::new(promtool).arg("test").arg("rules"), &path);
                compared("output", &out, &text(&theirs.stdout))?;
                compared("errors", &errors, &text(&theirs.stderr))?;
                compared("exit code", &ours.status.to_string(), &theirs.status.to_string())
            }
            _ => Ok(()),
        }
    })
}

/// Rule files of Prometheus's own tests, the query language included: what is bad is refused.
fn check(folder: &Path) -> Result<(), Failed> {
    let files = yaml_files(folder);
    assert!(files.len() > 10, "only {} files below {}", files.len(), folder.display());
    for path in files {
        let name = path.display().to_string();
        // Bad only under the naming rules that Prometheus 3 has dropped.
        let is_dropped = name.contains("legacy_validation_annotation.bad");
        let is_bad = (name.contains(".bad.") && !is_dropped) || name.ends_with("invalid_rules.yaml");
        let ours = run(Command::new(env!("CARGO_BIN_EXE_mihari")).args(["rules", "check"]), &path);
        if ours.status.success() == is_bad {
            return Err(format!("{name}: {} {}{}", ours.status, text(&ours.stdout), text(&ours.stderr)).into());
        }
    }
    Ok(())
}

fn run(command: &mut Command, path: &Path) -> Output {
    command.current_dir(path.parent().unwrap()).arg(path.file_name().unwrap()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn compared(what: &str, ours: &str, theirs: &str) -> Result<(), Failed> {
    if ours == theirs { Ok(()) } else { Err(format!("{what} {ours:?}, promtool's {theirs:?}").into()) }
}

/// Flags that choose tests, forgive fields, show a difference and write a file.
fn flags(folder: &Path) -> Result<(), Failed> {
    let out = tempfile::tempdir()?;
    let junit = out.path().join("junit.xml");
    let junit_flag = format!("--junit={}", junit.display());
    let cases: [(&str, &[&str], bool, &str); 6] = [
        ("rules_run.yml", &["--run=correct"], true, "SUCCESS"),
        ("rules_run.yml", &["--run=wrong"], false, "got: {__name__=\"test\"} 0E+00"),
        ("rules_run.yml", &["--run=correct", "--run=wrong"], false, "FAILED"),
        ("rules_run_extrafields.yml", &["--ignore-unknown-fields"], true, "SUCCESS"),
        ("failing.yml", &["--diff"], false, "diff: ["),
        ("failing.yml", &[&junit_flag], false, "FAILED"),
    ];
    for (file, flags, passes, expected) in cases {
        let ours =
            run(Command::new(env!("CARGO_BIN_EXE_mihari")).args(["rules", "test"]).args(flags), &folder.join(file));
        let shown = text(&ours.stdout) + &text(&ours.stderr);
        if ours.status.success() != passes || !shown.contains(expected) {
            return Err(format!("{file} {flags:?}: {} {shown}", ours.status).into());
        }
    }
    let xml = std::fs::read_to_string(junit)?;
    if xml.contains(r#"<testsuite name="failing.yml" tests="2" failures="4" errors="0""#) {
        Ok(())
    } else {
        Err(xml.into())
    }
}
