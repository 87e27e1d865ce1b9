use std::time::Duration;

use model::{Labels, Timestamp, is_stale};

use super::*;
use crate::Alert;

mod files;
mod histories;
mod machine;
mod missing;
mod reference;

/// A minute after the epoch, in minutes.
fn minute(minute: i64) -> Timestamp {
    Timestamp::from_secs(minute * 60)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn accept(_: &str) -> Result<(), String> {
    Ok(())
}

/// The first rule of a group with one rule, whose fields are given as YAML in one line.
fn rule(fields: &str) -> Rule {
    let yaml = format!("groups:\n- name: g\n  rules:\n  - {{ {fields} }}\n");
    parse("rules.yml", &yaml, &accept).unwrap().remove(0).rules.remove(0)
}
