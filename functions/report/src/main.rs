//! The report function: writes the reports that are due and sends them to who wants them.
//!
//! Its ports are the stores and mail. See `app::report`.

use std::process::ExitCode;

use app::Ports;
use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("report", Needs::ALL, |host| {
        let ports = Ports { messenger: host.mail(), ..host.stores() };
        Ok((ports, handlers::report))
    })
}
