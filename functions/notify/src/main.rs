//! The notify function: takes alerts from the queue behind the topic, groups them, and tells people; every minute it does
//! what became due meanwhile.
//!
//! Its ports are the stores and every way to reach people. See `app::notify`.

use std::process::ExitCode;

use app::Ports;
use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("notify", Needs::CONFIG, |host| {
        let ports = Ports { messenger: host.messenger(), ..host.stores() };
        Ok((ports, handlers::notify))
    })
}
