//! `mihari serve`: the stores of one machine, the schedule, and HTTP.

pub(crate) mod config_folder;
mod listener;
mod schedule;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use app::access::{self, Access, SessionKey};
use app::cost::{self, Ledger};
use app::{App, Ports, Settings, config_store};
use jiff::tz::TimeZone;
use model::{Language, Limits, Timestamp};
use net::{NetMessenger, NetSettings, SmtpCredentials};
use tokio::net::TcpListener;

use crate::cli::{LanguageArg, ServeArgs};
use crate::clock;
use crate::host::hostname;
use config_folder::ConfigFolder;

/// What runs in this process, and the ledger of what the same would cost on AWS.
#[derive(Debug)]
struct Running {
    app: Arc<App>,
    ledger: Arc<Ledger>,
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the flags contradict each other, the folder is in use or of another version, or the port is taken.
pub(crate) async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let limits = limits(&args)?;
    let store = embedded::open(&args.data_dir)?;
    let now = clock::now();
    let any_token = !access::list(store.state.as_ref(), now).await?.is_empty();
    check_exposure(&args, any_token)?;
    let listener = bind(args.listen).await?;
    let address = listener.local_addr().context("the listening address")?;

    let settings = settings(&args, address)?;
    let topic = Arc::new(embedded::LocalTopic::new());
    let messenger = NetMessenger::new(net_settings(&args)?);
    let ports = Ports {
        wal: store.wal.clone(),
        objects: store.objects.clone(),
        state: store.state.clone(),
        topic: topic.clone(),
        messenger: Arc::new(messenger),
    };
    // Each start is a process of its own in the ledger, else it would overwrite what the last one stored.
    let ledger = Arc::new(Ledger::new("local", now.as_millis().to_string()));
    let ports = cost::metered(ports, &ledger);
    let session_key = SessionKey::load_or_create(ports.state.as_ref(), random()?, now).await?;
    let access = if any_token { Access::Tokens } else { Access::Open };
    let (folder, config) = ConfigFolder::open(args.config.clone(), args.promql_profile)?;
    let app = Arc::new(App::new(ports, settings, limits, clock::stopwatch(), config, (access, session_key)));
    config_store::refresh(&app, now).await?;
    app.require_config().context("start with --config DIR to use files instead")?;
    let is_pushed = args.config.is_none() && config_store::load(&app.ports, now).await?.is_some();

    announce(&args, address, any_token, is_pushed)?;
    schedule::warn_of_cloudwatch(&app);
    let running = Arc::new(Running { app, ledger });
    let mut schedule = schedule::start(&running, topic, folder, !args.no_host_metrics);
    let served = listener::run(running, listener, shutdown_signal()).await;
    schedule.abort_all();
    served
}

/// 32 fresh random bytes.
pub(crate) fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(bytes)
}

fn limits(args: &ServeArgs) -> anyhow::Result<Limits> {
    if args.max_sample_age > args.raw_retention {
        bail!(
            "--max-sample-age {} is longer than --raw-retention {}: samples would be gone as soon as they came",
            model::duration::format(args.max_sample_age),
            model::duration::format(args.raw_retention),
        );
    }
    let defaults = Limits::default();
    Ok(Limits {
        sample_age_max: args.max_sample_age,
        raw_retention: args.raw_retention,
        rollup_retention: defaults.rollup_retention.max(args.raw_retention),
        query_timeout: args.query_timeout,
        query_samples_max: args.query_samples_max,
        query_series_max: args.query_series_max,
        query_points_max: args.query_points_max,
        ..defaults
    })
}

fn settings(args: &ServeArgs, address: SocketAddr) -> anyhow::Result<Settings> {
    let time_zone = TimeZone::get(&args.time_zone)
        .with_context(|| format!("--time-zone {:?} is no IANA time zone such as Asia/Tokyo", args.time_zone))?;
    let external_url = args.external_url.clone().unwrap_or_else(|| format!("http://{}", reachable(address)));
    if !external_url.starts_with("http://") && !external_url.starts_with("https://") {
        bail!("--external-url {external_url:?} does not start with http:// or https://");
    }
    let language = match args.language {
        LanguageArg::Ja => Language::Japanese,
        LanguageArg::En => Language::English,
    };
    let external_url = external_url.trim_end_matches('/').to_owned();
    let takes_pushed_config = args.config.is_none();
    // The log of a machine may be older than layouts live, when it was off for days: it stands alone.
    let layouts = false;
    Ok(Settings {
        external_url,
        language,
        time_zone,
        takes_pushed_config,
        promql_profile: args.promql_profile,
        layouts,
        ..Settings::default()
    })
}

/// What other machines, and the links in notifications, reach an address by: `0.0.0.0` means all of this machine's.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("{}:{}", hostname(), address.port()) } else { address.to_string() }
}

/// Mail without a server goes to the outbox folder; webhooks of this machine are allowed.
fn net_settings(args: &ServeArgs) -> anyhow::Result<NetSettings> {
    let smtp_credentials = match (&args.smtp_username, &args.smtp_password) {
        (Some(username), Some(password)) => {
            Some(SmtpCredentials { username: username.clone(), password: password.clone() })
        }
        (None, None) => None,
        _ => bail!("--smtp-username and MIHARI_SMTP_PASSWORD belong together: one of them is missing"),
    };
    let settings = NetSettings::new(args.data_dir.join("outbox"));
    Ok(NetSettings { allow_loopback: true, smtp_credentials, ..settings })
}

/// Whoever can reach this machine over the network must not get in without a token.
fn check_exposure(args: &ServeArgs, any_token: bool) -> anyhow::Result<()> {
    if args.listen.ip().is_loopback() || any_token {
        return Ok(());
    }
    bail!(
        "{} can be reached from other machines, and there is no token yet: anybody could read and write. Make one \
         first: mihari token create --name admin --scopes write,read,admin --data-dir {}",
        args.listen,
        args.data_dir.display(),
    )
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; is another program using the port? Choose one with --listen")
    })
}

/// Says where everything is, to whoever started it.
fn announce(args: &ServeArgs, address: SocketAddr, any_token: bool, is_pushed: bool) -> anyhow::Result<()> {
    let data_dir = std::path::absolute(&args.data_dir).unwrap_or_else(|_| args.data_dir.clone());
    let address = reachable(address);
    let mut out = std::io::stdout().lock();
    writeln!(out, "Mihari 見張り {} is watching", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  page          http://{address}/{}", if any_token { "  (log in with a token)" } else { "" })?;
    writeln!(out, "  remote write  http://{address}/api/v1/write")?;
    writeln!(out, "  data          {}", data_dir.display())?;
    writeln!(out, "  mail outbox   {}", data_dir.join("outbox").display())?;
    match &args.config {
        Some(folder) => writeln!(out, "  configuration {}", folder.display())?,
        None if is_pushed => writeln!(out, "  configuration what was pushed last; `mihari config show` says more")?,
        None => writeln!(out, "  configuration built-in defaults; your own with --config DIR")?,
    }
    out.flush()?;
    Ok(())
}

async fn shutdown_signal() {
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        interrupt.await.unwrap_or_default();
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}

/// What time it is for a run that the schedule starts.
pub(crate) fn now() -> Timestamp {
    clock::now()
}
