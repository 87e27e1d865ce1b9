//! `mihari alerts`: why people were told of an alert, or were not; what could not be delivered, and once more.

mod answers;

use std::process::ExitCode;

use app::notify::Explanation;
use serde_json::Value;

use super::{client, hint, print};
use crate::cli::AlertsCommand;

/// `mihari alerts`.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn alerts(command: AlertsCommand) -> anyhow::Result<ExitCode> {
    match command {
        AlertsCommand::List { server } => answers::list(&server).await,
        AlertsCommand::Ack(args) => answers::answer("ack", &args, &[]).await,
        AlertsCommand::Assign { to, answer } => answers::answer("assign", &answer, &[("to", &to)]).await,
        AlertsCommand::Escalate(args) => answers::answer("escalate", &args, &[]).await,
        AlertsCommand::Silence { duration, answer } => {
            answers::answer("silence", &answer, &[("duration", &duration)]).await
        }
        AlertsCommand::History { matchers, rule, kind, start, end, server } => {
            let mut query: Vec<(&str, &str)> = matchers.iter().map(|one| ("matcher", one.as_str())).collect();
            let others = [("rule", &rule), ("kind", &kind), ("start", &start), ("end", &end)];
            query.extend(others.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
            answers::history(&query, &server).await
        }
        AlertsCommand::Oncall { at, server } => answers::on_call(at.as_deref(), &server).await,
        AlertsCommand::Explain { labels, server } => {
            let query: Vec<(&str, &str)> = labels.iter().map(|label| ("label", label.as_str())).collect();
            let answer = client(&server)?.get("/api/mihari/v1/explain", &query).await?;
            if server.json {
                print(&answer.to_string())?;
                return Ok(ExitCode::SUCCESS);
            }
            let alerts: Vec<Explanation> = serde_json::from_value(answer["alerts"].clone())?;
            for line in alerts.iter().flat_map(Explanation::lines) {
                print(&line)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        AlertsCommand::DeadLetters { server } => {
            let answer = client(&server)?.get("/api/mihari/v1/dead-letters", &[]).await?;
            if server.json {
                print(&answer.to_string())?;
                return Ok(ExitCode::SUCCESS);
            }
            let letters = answer["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
            if letters.is_empty() {
                hint("nothing that could not be delivered");
            }
            for letter in letters {
                print(&letter_line(letter))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        AlertsCommand::Redrive { ids, all, server } => {
            let mut form: Vec<(&str, &str)> = ids.iter().map(|id| ("id", id.as_str())).collect();
            if all {
                form.push(("all", "true"));
            }
            let answer = client(&server)?.post("/api/mihari/v1/dead-letters", &form).await?;
            let redriven = answer["redriven"].as_array().map_or(&[][..], Vec::as_slice);
            if server.json {
                print(&answer.to_string())?;
            } else {
                for one in redriven {
                    let said = match (&one["delivered"], &one["handed_over"]) {
                        (Value::Bool(true), _) => "delivered",
                        (_, Value::Bool(true)) => "handed over",
                        _ => "failed",
                    };
                    print(&format!("{} {said}: {}", text(&one["id"]), text(&one["note"])))?;
                }
            }
            let failed = redriven.iter().any(|one| one["delivered"] != true && one["handed_over"] != true);
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// One line for a dead letter: what to call it, when it was given up, whom it is for, and why it did not arrive.
fn letter_line(letter: &Value) -> String {
    let at = letter["given_up_at_ms"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let count = |name: &str| letter[name].as_array().map_or(0, Vec::len);
    format!(
        "{} {} {} {} {}: {} firing, {} resolved: {}",
        text(&letter["id"]),
        at.map(|at| at.to_string()).unwrap_or_default(),
        text(&letter["receiver"]),
        text(&letter["integration"]),
        text(&letter["group_key"]),
        count("firing"),
        count("resolved"),
        text(&letter["note"]),
    )
}
