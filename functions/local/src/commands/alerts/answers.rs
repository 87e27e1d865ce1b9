//! `mihari alerts ack|assign|escalate|silence`, `list`, `history` and `oncall`: who answers alerts, and who did.

use std::process::ExitCode;

use serde_json::Value;

use super::super::{client, client_of, hint, print};
use super::text;
use crate::cli::{AnswerArgs, ServerArgs};

/// Answers alerts.
///
/// # Errors
/// When the server does not answer or refuses: no such alert fires, there is nobody of that name.
pub(super) async fn answer(action: &str, args: &AnswerArgs, more: &[(&str, &str)]) -> anyhow::Result<ExitCode> {
    let client = client_of(&args.server, args.author.as_deref())?;
    let mut form: Vec<(&str, &str)> = args.matchers.iter().map(|one| ("matcher", one.as_str())).collect();
    form.extend(more);
    form.extend(args.comment.as_deref().map(|comment| ("comment", comment)));
    form.extend(args.author.as_deref().map(|author| ("author", author)));
    let done = client.post(&format!("/api/mihari/v1/alerts/{action}"), &form).await?;
    if args.server.json {
        print(&done.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let acts = done["done"].as_array().map_or(&[][..], Vec::as_slice);
    if acts.is_empty() {
        hint("that was done already");
    }
    for act in acts {
        let words = [text(&act["kind"]), text(&act["fingerprint"]), text(&act["labels"]["alertname"])];
        let words = words.into_iter().chain([text(&act["note"])]).filter(|word| !word.is_empty());
        print(&words.collect::<Vec<_>>().join(" "))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the alerts that somebody must answer.
///
/// # Errors
/// When the server does not answer or refuses.
pub(super) async fn list(server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let answer = client(server)?.get("/api/mihari/v1/alerts", &[]).await?;
    if server.json {
        print(&answer.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let alerts = answer["alerts"].as_array().map_or(&[][..], Vec::as_slice);
    if alerts.is_empty() {
        hint("no alert waits for an answer");
    }
    for alert in alerts {
        print(&alert_line(alert))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One line for an alert: what to call it, how it stands, its labels.
fn alert_line(alert: &Value) -> String {
    let unanswered = alert["unanswered_seconds"].as_u64().unwrap_or(0);
    let mut words = vec![match alert["acknowledged_by"].as_str() {
        Some(by) => format!("acknowledged by {by}"),
        None if alert["is_breached"] == true => format!("unanswered for {unanswered} s, longer than promised"),
        None => format!("unanswered for {unanswered} s"),
    }];
    words.extend(alert["assigned_to"].as_str().map(|to| format!("assigned to {to}")));
    format!("{} {} {}", text(&alert["fingerprint"]), words.join(", "), super::super::labels(&alert["labels"]))
}

/// Tells what happened.
///
/// # Errors
/// When the server does not answer or refuses.
pub(super) async fn history(query: &[(&str, &str)], server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let answer = client(server)?.get("/api/mihari/v1/history", query).await?;
    if server.json {
        print(&answer.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let events = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
    if events.is_empty() {
        hint("nothing happened");
    }
    for event in events {
        let at = event["at_ms"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let rules: Vec<&str> = event["rules"].as_array().into_iter().flatten().map(text).collect();
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        let words = [at.as_str(), text(&event["kind"]), &rules.join(","), text(&event["author"]), text(&event["text"])];
        print(&words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says who is on call.
///
/// # Errors
/// When the server does not answer or refuses.
pub(super) async fn on_call(at: Option<&str>, server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let query: Vec<(&str, &str)> = at.map(|at| ("at", at)).into_iter().collect();
    let answer = client(server)?.get("/api/mihari/v1/oncall", &query).await?;
    if server.json {
        print(&answer.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = |person: &Value| person["name"].as_str().unwrap_or("nobody").to_owned();
    for (rota, person) in answer["rotas"].as_object().into_iter().flatten() {
        print(&format!("rota {rota}: {}", name(person)))?;
    }
    for (team, duties) in answer["teams"].as_object().into_iter().flatten() {
        for (duty, people) in duties.as_object().into_iter().flatten() {
            let people: Vec<String> = people.as_array().into_iter().flatten().map(name).collect();
            let people = if people.is_empty() { "nobody".to_owned() } else { people.join(", ") };
            print(&format!("{team} {duty}: {people}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alert_is_a_line() {
        let alert = json!({
            "fingerprint": "cbf29ce484222325", "labels": { "alertname": "cpu" }, "acknowledged_by": null,
            "unanswered_seconds": 70, "is_breached": false, "assigned_to": "ben",
        });
        let expected = "cbf29ce484222325 unanswered for 70 s, assigned to ben {alertname=\"cpu\"}";
        assert_eq!(alert_line(&alert), expected);
    }
}
