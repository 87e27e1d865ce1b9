//! The commands that ask a running server, and those that need none.

mod alerts;
mod config;
mod cost;
mod promql;
mod rules;
mod token;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::{Place, QueryArgs, ReportCommand, ServerArgs};
use crate::client::Client;
use crate::clock;

pub(crate) use alerts::alerts;
pub(crate) use config::config;
pub(crate) use cost::cost;
pub(crate) use promql::promql;
pub(crate) use rules::rules;
pub(crate) use token::token;

/// A client of the server or the stack that the flags name.
fn client(server: &ServerArgs) -> anyhow::Result<Client> {
    client_of(server, None)
}

/// A client of the server or the stack that the flags name; a stack is told who asks.
fn client_of(server: &ServerArgs, author: Option<&str>) -> anyhow::Result<Client> {
    let tenant = server.tenant.as_deref();
    match &server.stack {
        Some(stack) => Ok(Client::of_stack(stack, tenant, author)),
        None => Ok(Client::new(server.url(), server.token.as_deref(), tenant)?),
    }
}

/// The data folder, when the flags name no server and none runs on it.
///
/// # Errors
/// When it cannot be opened.
fn folder(place: &Place) -> anyhow::Result<Option<embedded::Store>> {
    if place.server.is_named() {
        return Ok(None);
    }
    match embedded::open(&place.data_dir) {
        Ok(store) => Ok(Some(store)),
        Err(embedded::OpenError::InUse { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Prints to standard output; a reader that has gone away is no mistake.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// Says something to a person that is no part of the answer, which a program may be reading.
#[expect(clippy::print_stderr, reason = "standard output holds the answer alone")]
fn hint(text: &str) {
    eprintln!("mihari: {text}");
}

/// `mihari query`.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn query(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.server)?;
    let data = match (&args.start, &args.end) {
        (Some(start), Some(end)) => client.range_query(&args.expr, start, end, &args.step).await?,
        _ => client.instant_query(&args.expr, args.time.as_deref()).await?,
    };
    if args.server.json {
        print(&data.to_string())?;
    } else {
        let lines = lines(&data);
        if lines.is_empty() {
            hint("no series matches at that time");
        }
        for line in lines {
            print(&line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer for people: a line a sample, as promtool prints it.
fn lines(data: &Value) -> Vec<String> {
    let point = |pair: &Value| format!("{} @[{}]", pair[1].as_str().unwrap_or(""), pair[0]);
    let Some(series) = data["result"].as_array() else { return Vec::new() };
    if !matches!(data["resultType"].as_str(), Some("vector" | "matrix")) {
        return vec![point(&data["result"])];
    }
    let mut lines = Vec::new();
    for one in series {
        let labels = labels(&one["metric"]);
        match one["values"].as_array() {
            Some(values) => {
                lines.push(format!("{labels} =>"));
                lines.extend(values.iter().map(point));
            }
            None => lines.push(format!("{labels} => {}", point(&one["value"]))),
        }
    }
    lines
}

/// Labels as PromQL writes them.
fn labels(metric: &Value) -> String {
    let pairs = metric.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or("")));
    model::Labels::from_pairs(pairs).map_or_else(|_| metric.to_string(), |labels| labels.to_string())
}

/// `mihari report`.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn report(command: ReportCommand) -> anyhow::Result<ExitCode> {
    let ReportCommand::Daily { day, server } = command;
    let client = client(&server)?;
    let form: Vec<(&str, &str)> = day.as_deref().map(|day| ("day", day)).into_iter().collect();
    let spinner = spinner("writing the daily report");
    let answer = client.post("/api/mihari/v1/reports/daily", &form).await;
    spinner.finish_and_clear();
    let answer = answer?;
    if server.json {
        print(&answer.to_string())?;
    } else {
        let text = |name: &str| answer[name].as_str().unwrap_or("");
        // A stack knows its own address; a server is reached as it was just now.
        let address = match server.stack {
            Some(_) => text("url").to_owned(),
            None => format!("{}{}", server.url().trim_end_matches('/'), text("page")),
        };
        print(&format!("the report of {} is at {address}", text("day")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Something that moves while people wait.
fn spinner(message: &'static str) -> indicatif::ProgressBar {
    let spinner = indicatif::ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(std::time::Duration::from_millis(120));
    spinner
}

/// What time it is for a command.
fn now() -> model::Timestamp {
    clock::now()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_a_line_a_sample() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "a"}, "value": [1.5, "1"]}]});
        assert_eq!(lines(&vector), ["up{job=\"a\"} => 1 @[1.5]"]);
        let matrix = json!({"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"], [2, "NaN"]]}]});
        assert_eq!(lines(&matrix), ["{} =>", "2 @[1]", "NaN @[2]"]);
        assert_eq!(lines(&json!({"resultType": "scalar", "result": [4, "2"]})), ["2 @[4]"]);
    }
}
