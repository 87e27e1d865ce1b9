//! A `mihari serve` of its own for each test: its own folder, a free port, killed at the end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
}

/// A data folder that several servers use one after the other.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes a file of the configuration folder.
    pub(crate) fn configure(&self, name: &str, text: &str) {
        let path = self.config_dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn config_dir(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// Starts a server on the folder and waits until it says where it is.
    pub(crate) fn serve(&self, flags: &[&str]) -> Server {
        Self::start(self.command(flags))
    }

    /// Starts a server that logs into a file at a level, and gives the file.
    pub(crate) fn serve_logged(&self, flags: &[&str], level: &str) -> (Server, PathBuf) {
        let log = self.dir.path().join("log");
        let mut command = self.command(flags);
        command.env("RUST_LOG", level).stderr(fs::File::create(&log).unwrap());
        (Self::start(command), log)
    }

    fn start(mut command: Command) -> Server {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let page = lines.find_map(|line| {
            let line = line.unwrap();
            let url = line.trim().strip_prefix("page")?.trim().split(' ').next()?.trim_end_matches('/');
            Some(url.to_owned())
        });
        let Some(url) = page else {
            let output = child.wait_with_output().unwrap();
            panic!("the server did not start: {}", String::from_utf8_lossy(&output.stderr));
        };
        Server { child, url, client: client() }
    }

    /// Starts a server that is expected to refuse, and gives what it said.
    pub(crate) fn serve_refused(&self, flags: &[&str]) -> String {
        let output = self.command(flags).output().unwrap();
        assert!(!output.status.success(), "the server started");
        String::from_utf8(output.stderr).unwrap()
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = mihari(&["serve"]);
        command.arg("--data-dir").arg(self.data_dir());
        if self.config_dir().exists() {
            command.arg("--config").arg(self.config_dir());
        }
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The mails in the outbox: name and text, in order of name.
    pub(crate) fn outbox(&self) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(self.data_dir().join("outbox")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_mail = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "eml");
        let mut mails: Vec<_> =
            paths.filter(is_mail).map(|path| (name(&path), fs::read_to_string(path).unwrap())).collect();
        mails.sort();
        mails
    }
}

impl Server {
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// The JSON of an answer that must be a success.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The result of an instant query, as (labels, value) pairs.
    pub(crate) async fn query(&self, expr: &str, time: Option<f64>) -> Vec<(Value, String)> {
        let mut form = vec![("query", expr.to_owned())];
        form.extend(time.map(|time| ("time", time.to_string())));
        let path = format!("{}/api/v1/query", self.url);
        let body: Value = self.client.post(path).form(&form).send().await.unwrap().json().await.unwrap();
        assert_eq!(body["status"], "success", "{expr}: {body}");
        let result = body["data"]["result"].as_array().unwrap_or_else(|| panic!("{expr}: {body}"));
        let pair = |item: &Value| (item["metric"].clone(), item["value"][1].as_str().unwrap_or("").to_owned());
        result.iter().map(pair).collect()
    }

    /// Sends a remote write body and gives status and text.
    pub(crate) async fn write(&self, body: Vec<u8>) -> (u16, String) {
        let request = self.client.post(format!("{}/api/v1/write", self.url));
        let request = request.header("content-type", "application/x-protobuf").header("content-encoding", "snappy");
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The command line of the product, with no setting from this process's surroundings.
pub(crate) fn mihari(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mihari"));
    command.args(words).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

pub(crate) fn run(words: &[&str]) -> Output {
    mihari(words).output().unwrap()
}

/// Tries again until something is there, for at most half a minute.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    for _ in 0..300 {
        if let Some(found) = attempt().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not within 30 seconds");
}

pub(crate) fn client() -> Client {
    static TLS: Once = Once::new();
    TLS.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the tests stand outside of the product")]
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
