//! The notify function: takes alerts from the queue behind the topic, groups them, and tells people; every minute it does
//! what became due meanwhile.
//!
//! Its ports are the stores, every way to reach people, and the queue, which brings it back when a timer of less than a
//! minute is over. See `app::notify`.

use std::process::ExitCode;

use app::Ports;
use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("notify", Needs::CONFIG, |host| {
        let ports = Ports { topic: host.queue()?, messenger: host.messenger(), ..host.stores() };
        Ok((ports, handlers::notify))
    })
}
