//! The evaluate function: every minute, takes in what was pushed, runs the rules, publishes alerts.
//!
//! Its ports are the stores and the alert topic. It fails when the tick cannot keep up, since its failures are what the
//! alarm of a deployment listens to. See `app::evaluate`.

use std::process::ExitCode;

use app::Ports;
use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("evaluate", Needs::CONFIG, |host| {
        let ports = Ports { topic: host.topic()?, ..host.stores() };
        Ok((ports, handlers::evaluate))
    })
}
