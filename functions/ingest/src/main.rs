//! The ingest function: takes samples in over HTTP and answers once they are durable.
//!
//! Its ports are the log, and the rows that tokens lie in; it starts without a call. See `app::ingest`.

use std::process::ExitCode;

use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("ingest", Needs::NOTHING, |host| Ok((host.stores(), handlers::ingest)))
}
