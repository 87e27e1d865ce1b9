//! The query function: the Prometheus API, pages, report downloads, and the operator's door.
//!
//! Its ports are the stores. See `app::http` and `app::query`.

use std::process::ExitCode;

use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("query", Needs::ALL, |host| Ok((host.stores(), handlers::query)))
}
