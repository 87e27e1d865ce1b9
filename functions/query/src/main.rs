//! The query function: the Prometheus API, pages, report downloads, and the operator's door.
//!
//! Its ports are the stores, the queue of `notify`, which says to people what came of their buttons, and the secret by
//! which Slack's requests are checked. See `app::http` and `app::query`.

use std::process::ExitCode;

use app::Ports;
use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("query", Needs::ALL, |host| {
        let ports = Ports { topic: host.queue()?, messenger: host.secrets(), ..host.stores() };
        Ok((ports, handlers::query))
    })
}
