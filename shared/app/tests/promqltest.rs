//! The query test scripts of Prometheus and our own over what was taken in and stored: first from the log, then from
//! the chunks that a tick cut of it. One trial a case and place; those of Prometheus are read in place from the folder
//! that `MIHARI_CORPORA` names, and left out when it is not set.

#![expect(clippy::unwrap_used, reason = "a script that cannot be read is a failure")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use app::access::{Access, SessionKey};
use app::config::Config;
use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use app::ports::Shard;
use app::query::{Options, When, answer};
use app::{App, Ports, Settings, Stopwatch, evaluate, ingest};
use libtest_mimic::{Arguments, Failed, Trial};
use model::{Limits, TenantId, TimeRange, Timestamp};
use promql::testing::{Case, Script};
use promql::{Output, Params};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Later than every sample of a script: they begin in 1970.
const NOW: Timestamp = Timestamp::from_secs(10 * 365 * 24 * 3600);

/// Cases that ask what chunks of Prometheus say of resets: that a histogram went on from the one before. Here that is
/// found out where it matters, and what is stored is what the sender said. By file and line.
const ABOUT_CHUNKS: [(&str, usize); 4] = [
    ("native_histograms.part.test", 966),
    ("native_histograms.part.test", 971),
    ("native_histograms.part.test", 1005),
    ("native_histograms.test", 5),
];

fn main() {
    let corpora = std::env::var_os("MIHARI_CORPORA").map(|folder| PathBuf::from(folder).join("promqltest"));
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../promql/tests/scripts");
    let mut files: Vec<PathBuf> = corpora.into_iter().chain([own]).flat_map(|folder| scripts(&folder)).collect();
    files.sort();
    let trials = files.iter().flat_map(|path| trials(path)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    assert!(!files.is_empty(), "no scripts in {}", folder.display());
    files
}

fn trials(path: &Path) -> Vec<Trial> {
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let script = Script::parse(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{file}: {error}"));
    let of_case = |case: &Case| {
        [false, true].map(|is_cut| {
            let place = if is_cut { "chunks" } else { "log" };
            let (name, case) = (format!("{file}:{} in {place}: {}", case.line, case.query), case.clone());
            Trial::test(name, move || run(&case, is_cut).map_err(Failed::from))
        })
    };
    let is_known = |case: &&Case| ABOUT_CHUNKS.contains(&(file.as_str(), case.line));
    script.cases().iter().filter(|case| !is_known(case)).flat_map(of_case).collect()
}

fn run(case: &Case, is_cut: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let app = app();
    runtime.block_on(async {
        ingest::append(&app, &TenantId::default_tenant(), &case.loaded().batch(), NOW).await.unwrap();
        for minutes in if is_cut { 1..6 } else { 1..1 } {
            evaluate::tick(&app, Shard::default(), NOW + Duration::from_secs(60 * minutes)).await.unwrap();
        }
    });
    case.run_on(&mut |query, params| runtime.block_on(ask(&app, query, params)))
}

async fn ask(app: &App, query: &str, params: &Params) -> Result<Output, String> {
    let range = TimeRange::new(params.start, params.end);
    let when = if params.step.is_zero() { When::At(params.start) } else { When::Over(range, params.step) };
    let now = NOW + Duration::from_secs(600);
    let answer = answer(app, &TenantId::default_tenant(), query, when, Options::default(), now).await;
    answer.map(|answer| answer.output).map_err(|error| error.to_string())
}

/// A process that takes samples however old they are, and keeps them.
fn app() -> App {
    let ports = Ports {
        wal: Arc::new(MemoryWal::default()),
        objects: Arc::new(MemoryObjectStore::default()),
        state: Arc::new(MemoryStateStore::default()),
        topic: Arc::new(MemoryTopic::default()),
        messenger: Arc::new(MemoryMessenger::default()),
    };
    let limits = Limits { sample_age_max: 20 * YEAR, raw_retention: 20 * YEAR, ..Limits::default() };
    let config = Config::parse::<&str, &str>(&[]).unwrap();
    let session = (Access::Open, SessionKey::new([7; 32]));
    App::new(ports, Settings::default(), limits, Stopwatch::stopped(), config, session)
}
