//! The rollup function: every hour, makes blocks and rollups, deletes what has expired.
//!
//! Its ports are the stores. See `app::rollup`.

use std::process::ExitCode;

use aws::handlers;
use aws::runtime::{self, Needs};

fn main() -> ExitCode {
    runtime::run("rollup", Needs::NOTHING, |host| Ok((host.stores(), handlers::rollup)))
}
