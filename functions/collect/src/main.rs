//! The collect function: every minute, takes what CloudWatch measured, as `cloudwatch.yml` says.
//!
//! Its ports are the stores, and CloudWatch. See `app::collect`.

use std::process::ExitCode;
use std::sync::Arc;

use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("collect", Needs::CONFIG, |host| {
        let cloudwatch = host.cloudwatch();
        Ok((host.stores(), move |app, event| handlers::collect(app, Arc::clone(&cloudwatch), event)))
    })
}
