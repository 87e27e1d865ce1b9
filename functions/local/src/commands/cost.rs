//! `mihari cost`: the bill of the month, and what it consists of.

use std::process::ExitCode;

use app::cost::{FunctionCost, Line, Report, Unit, dollars};

use super::{client, print};
use crate::cli::ServerArgs;

/// Lines that are less than this part of the whole are left out.
const SMALL: f64 = 0.001;

/// `mihari cost`.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn cost(server: ServerArgs) -> anyhow::Result<ExitCode> {
    let answer = client(&server)?.get("/api/mihari/v1/cost", &[]).await?;
    if server.json {
        print(&answer.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let report: Report = serde_json::from_value(answer)?;
    for line in text(&report) {
        print(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The report for people.
fn text(report: &Report) -> Vec<String> {
    let Some(since_ms) = report.since_ms else {
        return vec!["nothing is counted yet; the first figures are there within a minute or so".to_owned()];
    };
    let since = jiff::Timestamp::from_millisecond(since_ms).map_or_else(|_| since_ms.to_string(), |at| at.to_string());
    let optional = |value: Option<f64>| value.map_or_else(|| "not known yet".to_owned(), dollars);
    let figure = |name: &str, value: String| format!("{name:<18} {value}");
    let mut lines = vec![
        format!("{} at list prices of {} without free tiers, counted since {since}", report.month, report.region),
        figure("month to date", dollars(report.month_to_date)),
        figure("forecast", optional(report.forecast)),
        figure("30 days like these", optional(report.thirty_days)),
        figure("a million samples", optional(report.per_million_samples)),
        String::new(),
    ];
    let is_small = |dollars: f64| dollars < report.month_to_date * SMALL;
    let of_service = |line: &Line| {
        let amount = Unit::Count.format(line.amount);
        format!("{:<22} {:<22} {amount:>8} {:>10}", line.service, line.item.as_str(), dollars(line.dollars))
    };
    lines.extend(report.lines.iter().filter(|line| !is_small(line.dollars)).map(of_service));
    lines.push(String::new());
    let of_function = |cost: &FunctionCost| format!("{:<45} {:>18}", cost.function, dollars(cost.dollars));
    lines.extend(report.functions.iter().filter(|cost| !is_small(cost.dollars)).map(of_function));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(since_ms: Option<i64>) -> Report {
        serde_json::from_value(json!({
            "region": "us-east-1", "month": "2026-11", "since_ms": since_ms, "until_ms": since_ms, "samples": 5_000_000,
            "month_to_date": 12.5, "forecast": null, "thirty_days": 18.25, "per_million_samples": 0.0021,
            "lines": [
                {"service": "DynamoDB", "item": "table_write", "amount": 19_200_000.0, "dollars": 12.0},
                {"service": "SES", "item": "mail", "amount": 1.0, "dollars": 0.0001},
            ],
            "functions": [{"function": "ingest", "dollars": 12.5}, {"function": "query", "dollars": 0.01}],
        }))
        .unwrap()
    }

    #[test]
    fn the_bill_begins_with_the_figures_and_leaves_out_crumbs() {
        let expected = "\
2026-11 at list prices of us-east-1 without free tiers, counted since 2026-11-01T00:00:00Z
month to date      $12.50
forecast           not known yet
30 days like these $18.25
a million samples  $0.00210

DynamoDB               table_write               19.2M     $12.00

ingest                                                    $12.50";
        assert_eq!(text(&report(Some(1_793_491_200_000))).join("\n"), expected);
    }

    #[test]
    fn a_server_that_has_just_started_says_so() {
        assert_eq!(text(&report(None)), ["nothing is counted yet; the first figures are there within a minute or so"]);
    }
}
