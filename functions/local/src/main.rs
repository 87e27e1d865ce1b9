//! Mihari on one machine: all flows in one process, and the command line.

mod cli;
mod client;
mod clock;
mod commands;
mod demo;
mod host;
mod process;
mod serve;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("starting the async runtime")),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        None => serve(cli.serve).await,
        Some(Command::Serve(args)) => serve(args).await,
        Some(Command::Query(args)) => commands::query(args).await,
        Some(Command::Promql(command)) => commands::promql(&command),
        Some(Command::Rules(command)) => commands::rules(&command),
        Some(Command::Report(command)) => commands::report(command).await,
        Some(Command::Alerts(command)) => commands::alerts(command).await,
        Some(Command::Token(command)) => commands::token(command).await,
        Some(Command::Config(command)) => commands::config(command).await,
        Some(Command::Cost { server }) => commands::cost(server).await,
        Some(Command::Demo(args)) => demo::run(args, clock::now()).await.map(|()| ExitCode::SUCCESS),
    }
}

async fn serve(args: cli::ServeArgs) -> anyhow::Result<ExitCode> {
    start_log(args.log_json);
    serve::serve(args).await?;
    Ok(ExitCode::SUCCESS)
}

/// The log goes to standard error; `RUST_LOG` chooses how much.
fn start_log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    if json {
        log.json().init();
    } else {
        log.init();
    }
}

#[expect(clippy::print_stderr, reason = "the last words of the process")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("mihari: {error:#}");
    ExitCode::FAILURE
}
