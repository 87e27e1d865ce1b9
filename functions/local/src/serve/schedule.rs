//! The schedule: collecting every 15 s, evaluating every minute, notifying as soon as something is due.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use app::config_store::Refreshed;
use app::cost::Door;
use app::error::consequence;
use app::ports::{Shard, Topic as _};
use app::{App, AppError, config_store, evaluate, ingest, metadata, notify, report, rollup};
use embedded::LocalTopic;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::config_folder::{ConfigFolder, Look};
use super::{Running, now};
use crate::clock::until_next;
use crate::host::{Host, hostname};
use crate::process;

const COLLECT_EVERY: Duration = Duration::from_secs(15);
/// The second collection follows soon after the first, so that the page has rates at once.
const SECOND_COLLECTION_AFTER: Duration = Duration::from_secs(2);
const EVALUATE_EVERY: Duration = Duration::from_secs(60);
const NOTIFY_EVERY: Duration = Duration::from_secs(1);
const ROLL_UP_EVERY: Duration = Duration::from_secs(600);
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// How often to see whether what was used is to be stored.
const COUNT_EVERY: Duration = Duration::from_secs(60);
const MESSAGES_AT_ONCE: usize = 100;
/// Most batches of alerts that wait to be handed on to Alertmanagers outside.
const HANDED_ON_MAX: usize = 16;
/// The memory of a function that runs by time, as `infra/template.yaml` has it for evaluate.
const MEMORY_MB: u32 = 1024;
/// A flow that failed is tried again so soon.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Starts all flows that run by time.
pub(super) fn start(
    running: &Arc<Running>,
    topic: Arc<LocalTopic>,
    folder: ConfigFolder,
    host_metrics: bool,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(collect(Arc::clone(running), host_metrics));
    tasks.spawn(evaluate(Arc::clone(running), folder));
    tasks.spawn(receive(Arc::clone(&running.app), topic));
    tasks.spawn(run_due_timers(Arc::clone(&running.app)));
    tasks.spawn(roll_up(Arc::clone(running)));
    tasks.spawn(write_reports(Arc::clone(running)));
    tasks.spawn(count(Arc::clone(running)));
    tasks
}

async fn collect(running: Arc<Running>, host_metrics: bool) {
    let instance = hostname();
    let mut host = host_metrics.then(|| Host::new(Path::new("/proc")));
    let mut collections = 0_u32;
    loop {
        run(&running, "collect", collect_once(&running.app, &mut host, &instance)).await;
        collections += 1;
        let wait = if collections == 1 { SECOND_COLLECTION_AFTER } else { until_next(COLLECT_EVERY, now()) };
        sleep(wait).await;
    }
}

async fn collect_once(app: &App, host: &mut Option<Host>, instance: &str) -> Result<(), AppError> {
    let time = now();
    let tenant = &app.settings.default_tenant;
    if let Some(mut taken) = host.take() {
        // A file system on a network that hangs must not hold up anything else.
        let collected = tokio::task::spawn_blocking(move || (taken.collect(time), taken)).await;
        let (batch, back) = collected.map_err(|error| AppError::Bug(format!("host metrics: {error}")))?;
        *host = Some(back);
        ingest::append(app, tenant, &batch, time).await?;
    }
    let families = app.metrics.families();
    let said: Vec<_> = families.iter().map(wire::exposition::Family::metadata).collect();
    metadata::keep(app, tenant, &said, time).await;
    for own in [process::collect(instance, time), app.metrics.batch(instance, time)] {
        let own = own.map_err(|error| AppError::Bug(error.to_string()))?;
        ingest::append(app, tenant, &own, time).await?;
    }
    Ok(())
}

async fn evaluate(running: Arc<Running>, mut folder: ConfigFolder) {
    let app = &running.app;
    loop {
        reload(app, &mut folder).await;
        let mut is_behind = false;
        let succeeded = run(&running, "evaluate", async {
            let summary = evaluate::tick(app, Shard::default(), now()).await?;
            tracing::debug!(?summary, "tick");
            is_behind = summary.minutes_left > 0;
            Ok(())
        });
        let is_done = succeeded.await && !is_behind;
        sleep(if is_done { until_next(EVALUATE_EVERY, now()) } else { RETRY_AFTER }).await;
    }
}

async fn reload(app: &App, folder: &mut ConfigFolder) {
    if !folder.is_used() {
        match config_store::refresh(app, now()).await {
            Ok(Refreshed::Changed) => warn_of_cloudwatch(app),
            Ok(Refreshed::Unchanged | Refreshed::Refused(_)) => {}
            Err(error) => tracing::warn!(%error, "no look at what was pushed"),
        }
        return;
    }
    match folder.look() {
        Look::Unchanged => {}
        Look::Changed(config) => {
            tracing::info!("the configuration changed and is in force");
            app.set_config(*config);
            warn_of_cloudwatch(app);
        }
        Look::Broken(errors) => {
            tracing::error!(?errors, "the new configuration is refused; the last good one stays in force");
            app.set_config_errors(errors);
        }
    }
}

/// Says that metrics of CloudWatch which the configuration wants will not come: this host has no access to AWS.
pub(super) fn warn_of_cloudwatch(app: &App) {
    if let Some(reason) = app::collect::not_read_here(&app.config().cloudwatch) {
        tracing::warn!("{reason}");
    }
}

async fn receive(app: Arc<App>, topic: Arc<LocalTopic>) {
    // One after the other, so that what an alert was never comes after what it is; nothing else waits for it.
    let (hand_on, mut handed) = mpsc::channel(HANDED_ON_MAX);
    let forwarding = Arc::clone(&app);
    tokio::spawn(async move {
        while let Some(alerts) = handed.recv().await {
            notify::forward(&forwarding, &alerts, now()).await;
        }
    });
    loop {
        let messages = topic.recv(MESSAGES_AT_ONCE).await;
        let received = notify::receive(&app, &messages, now()).await;
        // What finds no room is said again by the rules.
        if hand_on.try_send(received.known).is_err() {
            tracing::warn!("alerts are not handed on: those before are still on their way");
        }
        deliver(&app).await;
        let can_succeed = |error: &AppError| consequence(error.kind()).retry;
        let again: Vec<_> = messages
            .into_iter()
            .filter(|message| received.failed.iter().any(|(id, error)| *id == message.id && can_succeed(error)))
            .collect();
        if !again.is_empty() {
            sleep(RETRY_AFTER).await;
            // What does not fit into the queue any more is published again by the next tick.
            topic.publish(again).await.unwrap_or_else(|error| tracing::warn!(%error, "messages are dropped"));
        }
    }
}

async fn run_due_timers(app: Arc<App>) {
    loop {
        sleep(NOTIFY_EVERY).await;
        deliver(&app).await;
    }
}

async fn deliver(app: &Arc<App>) {
    match notify::run_due(app, now()).await {
        Ok(ran) if ran.pictures.is_empty() => {}
        Ok(ran) => {
            // The next messages do not wait for pictures.
            let app = Arc::clone(app);
            tokio::spawn(async move { notify::illustrate(&app, ran.pictures, now()).await });
        }
        Err(error) => {
            tracing::warn!(%error, "due notifications failed; they are tried again");
            sleep(RETRY_AFTER).await;
        }
    }
}

async fn roll_up(running: Arc<Running>) {
    loop {
        sleep(until_next(ROLL_UP_EVERY, now())).await;
        run(&running, "rollup", async {
            let summary = rollup::run(&running.app, now()).await?;
            tracing::debug!(?summary, "rollup");
            Ok(())
        })
        .await;
    }
}

async fn write_reports(running: Arc<Running>) {
    loop {
        sleep(until_next(REPORT_EVERY, now())).await;
        run(&running, "report", async {
            report::run_due(&running.app, now()).await?;
            Ok(())
        })
        .await;
    }
}

/// Stores what was used.
async fn count(running: Arc<Running>) {
    loop {
        sleep(until_next(COUNT_EVERY, now())).await;
        if let Err(error) = running.ledger.flush(&running.app, now()).await {
            tracing::warn!(%error, "what was used is not stored; it is tried again");
        }
    }
}

/// Runs a flow once, counts it and logs its failure; says whether it succeeded.
async fn run(running: &Running, flow: &'static str, work: impl Future<Output = Result<(), AppError>>) -> bool {
    let Running { app, ledger } = running;
    let started = app.stopwatch.read();
    let result = work.await;
    let elapsed = app.stopwatch.read().saturating_sub(started);
    app.metrics.flow(flow, result.is_ok(), elapsed);
    ledger.invocation(Door::Schedule, elapsed, MEMORY_MB);
    if let Err(error) = &result {
        tracing::warn!(flow, %error, "a flow failed; it is tried again");
    }
    result.is_ok()
}
