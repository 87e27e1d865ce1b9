//! `mihari demo`: the metrics of a make-believe dataset management system, sent by remote write to a running server.
//!
//! What it sends is decided by [`System`], which knows neither clock nor network: the same seed and start give the same
//! samples. This module sends them in time, and keeps trying while the server is away.

mod histogram;
mod system;

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use model::Timestamp;
use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError};
use system::{Breach, System};

/// The shortest and the longest pause before a request that failed is sent again.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What to send, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Where to send: the remote write address of a server.
    #[arg(long, env = "MIHARI_DEMO_URL", default_value = "http://127.0.0.1:9099/api/v1/write", value_name = "URL")]
    pub(crate) url: String,
    /// The access token, when the server asks for one.
    #[arg(long, env = "MIHARI_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The tenant to send for, on a server without tokens.
    #[arg(long, env = "MIHARI_TENANT", value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Break this limit for a while, so that the matching alert comes and goes.
    #[arg(long, value_name = "WHAT")]
    pub(crate) breach: Option<BreachKind>,
    /// How long the limit is broken, from the start on. The rules look at five minutes and wait for five more before
    /// they alert, so an alert of the highest severity needs more than ten.
    #[arg(long, default_value = "15m", value_parser = model::duration::parse, value_name = "DURATION")]
    pub(crate) breach_for: Duration,
    /// How far back the samples begin, so that charts and rates have something at once.
    #[arg(long, default_value = "10m", value_parser = model::duration::parse, value_name = "DURATION")]
    pub(crate) backfill: Duration,
    /// How far the samples of a series are apart.
    #[arg(long, default_value = "15s", value_parser = interval, value_name = "DURATION")]
    pub(crate) interval: Duration,
    /// Stop after this time; without it, on Ctrl-C.
    #[arg(long = "for", value_parser = model::duration::parse, value_name = "DURATION")]
    pub(crate) run_for: Option<Duration>,
    /// Another seed gives other values; the same one gives the same.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) seed: u64,
    /// Print one JSON object a line instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which limit to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BreachKind {
    /// Requests take a second instead of some dozens of milliseconds.
    ResponseTime,
    /// One request in eight fails.
    ErrorRate,
    /// The machines' processors are hardly ever idle.
    Cpu,
    /// The machines' memory is nearly used up.
    Memory,
}

/// Sends until it is told to stop.
///
/// # Errors
/// When the server refuses what it gets, or standard output is closed. A server that is away is waited for.
pub(crate) async fn run(args: DemoArgs, now: Timestamp) -> anyhow::Result<()> {
    let client = Client::new(&args.url, args.token.as_deref(), args.tenant.as_deref())?;
    let stop = async {
        let interrupted = tokio::signal::ctrl_c();
        match args.run_for {
            None => interrupted.await.unwrap_or_default(),
            Some(limit) => drop(tokio::time::timeout(limit, interrupted).await),
        }
    };
    let start = now.align_down(args.interval) - args.backfill;
    let breach = args.breach.map(|kind| Breach { kind, from: now, until: now + args.breach_for });
    let system = System::new(args.seed, start, args.interval, breach);
    announce(&args, now)?;
    tokio::select! {
        result = send(&client, system, now, args.json) => result,
        () = stop => Ok(()),
    }
}

/// Sends every sample as soon as it is due, the oldest first.
async fn send(client: &Client, mut system: System, now: Timestamp, json: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let due = system.time().since(now + started.elapsed());
        sleep(due).await;
        let (time, batch) = (system.time(), system.next_batch());
        let mut pause = RETRY_PAUSES.0;
        while let Err(error) = client.write("", &batch).await {
            let Some(wanted) = error.retry_after() else {
                return Err(error).context("sending the demo's metrics");
            };
            report_failure(&error, json)?;
            sleep(wanted.max(pause)).await;
            pause = (pause * 2).min(RETRY_PAUSES.1);
        }
        report_success(time, batch.sample_count(), json)?;
    }
}

fn announce(args: &DemoArgs, now: Timestamp) -> anyhow::Result<()> {
    if args.json {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "Sending the metrics of a dataset system to {}; Ctrl-C stops", args.url)?;
    if let Some(kind) = args.breach {
        let length = model::duration::format(args.breach_for);
        let name = kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        writeln!(out, "{name} is over its limit for {length}, until {}", date_time(now + args.breach_for))?;
    }
    Ok(out.flush()?)
}

/// As it can be given to `mihari query --time`, and read.
fn date_time(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_millis() / 1000).map_or_else(|_| time.to_string(), |time| time.to_string())
}

fn report_success(time: Timestamp, samples: usize, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({"time": time.as_secs_f64(), "samples": samples}))?;
    } else {
        writeln!(out, "{time}  {samples} samples")?;
    }
    Ok(out.flush()?)
}

fn report_failure(error: &ClientError, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stderr().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({"error": error.to_string(), "retry": true}))?;
    } else {
        writeln!(out, "{error}; trying again")?;
    }
    Ok(())
}

/// A pause between samples, which must not be zero.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = model::duration::parse(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_secs(1) { Err("at least 1s".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests;
