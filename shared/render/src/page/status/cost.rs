//! What the deployment costs, or would cost on AWS.

use maud::{Markup, html};
use model::Timestamp;

use crate::page::scrolling;
use crate::unit::dollars;
use crate::{Reader, Text};

/// What this month costs, in dollars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// The region whose prices are used.
    pub region: String,
    /// Since when it is counted; `None` before the first figures.
    pub since: Option<Timestamp>,
    /// Up to now.
    pub month_to_date: f64,
    /// At the end of the month.
    pub forecast: Option<f64>,
    /// For 30 days like the last ones.
    pub thirty_days: Option<f64>,
    /// For a million samples.
    pub per_million_samples: Option<f64>,
    /// By service, the most expensive first.
    pub services: Vec<(String, f64)>,
    /// By function, the most expensive first.
    pub functions: Vec<(String, f64)>,
}

pub(super) fn content(cost: &Cost, reader: &Reader) -> Markup {
    let Some(since) = cost.since else {
        return html! { p { (reader.text(Text::CostNotYet)) } };
    };
    let since = reader.zone.date_minute(since);
    html! {
        ul.tiles {
            (figure(reader.text(Text::CostMonthToDate), Some(cost.month_to_date)))
            (figure(reader.text(Text::CostForecast), cost.forecast))
            (figure(reader.text(Text::CostThirtyDays), cost.thirty_days))
            (figure(reader.text(Text::CostPerMillion), cost.per_million_samples))
        }
        p.note { (reader.fill(Text::CostNote, &[&cost.region, &since])) }
        (table(reader.text(Text::CostByService), reader.text(Text::CostService), &cost.services, reader))
        (table(reader.text(Text::CostByFunction), reader.text(Text::CostFunction), &cost.functions, reader))
    }
}

fn figure(label: &str, value: Option<f64>) -> Markup {
    html! { li.tile { p.tile-label { (label) } p.reading { (value.map_or_else(|| "–".to_owned(), dollars)) } } }
}

fn table(name: &str, head: &str, rows: &[(String, f64)], reader: &Reader) -> Markup {
    let total: f64 = rows.iter().map(|(_, dollars)| dollars).sum();
    scrolling(
        name,
        &html! {
            table {
                caption.unseen { (name) }
                thead { tr {
                    th scope="col" { (head) }
                    th.amount scope="col" { (reader.text(Text::CostDollars)) }
                } }
                tbody { @for (name, cost) in rows {
                    tr { th scope="row" { (name) } td.amount { (dollars(*cost)) } }
                } }
                tfoot { tr { th scope="row" { (reader.text(Text::Total)) } td.amount { (dollars(total)) } } }
            }
        },
    )
}
