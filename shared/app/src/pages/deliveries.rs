//! Why people were told of an alert, or were not, in the reader's language.

use std::collections::BTreeMap;

use alerting::notify::Reason;
use model::{Matcher, Timestamp};
use render::page::deliveries::{Deliveries, Explained, Way};
use render::state::State;
use render::{Reader, Text};

use crate::access::Viewer;
use crate::notify::{
    self, Because, Explanation, IntegrationExplanation, KnownAs, PendingExplanation, PendingState, RouteExplanation,
};
use crate::{App, AppError};

/// Explains the alerts that fulfil matchers.
pub(super) async fn deliveries(
    app: &App,
    viewer: &Viewer,
    matchers: &[Matcher],
    reader: &Reader,
) -> Result<Deliveries, AppError> {
    let (alerts, more) = notify::explain_known(app, &viewer.tenant, matchers, reader.now).await?;
    Ok(Deliveries { alerts: alerts.into_iter().map(|alert| explained(alert, reader)).collect(), more })
}

fn explained(mut alert: Explanation, reader: &Reader) -> Explained {
    let mut sentences: Vec<String> = Vec::new();
    sentences.extend(alert.starts_at_ms.map(|ms| reader.fill(Text::WhyFires, &[&at(ms, reader)])));
    if alert.state == KnownAs::Resolved {
        sentences = alert.ended_at_ms.map(|ms| reader.fill(Text::WhyEnded, &[&at(ms, reader)])).into_iter().collect();
    }
    sentences.extend(alert.silenced_by.iter().map(|silence| {
        let until = at(silence.ends_at_ms, reader);
        reader.fill(Text::WhySilenced, &[&silence.created_by, &until, &silence.comment])
    }));
    sentences.extend(alert.inhibited_by.map(|by| reader.fill(Text::WhyInhibited, &[&printed(&by.labels)])));
    let mut take = |name: &str| alert.labels.remove(name).unwrap_or_default();
    Explained {
        name: take("alertname"),
        severity: take("severity"),
        state: if alert.state == KnownAs::Resolved { State::Resolved } else { State::Firing },
        labels: alert.labels.into_iter().collect(),
        sentences,
        routes: alert.routes.into_iter().map(|route| way(route, reader)).collect(),
    }
}

fn way(route: RouteExplanation, reader: &Reader) -> Way {
    let mut sentences = vec![reader.fill(Text::WhyGroup, &[&route.group_key, &route.alerts.to_string()])];
    if !route.muted_by.is_empty() {
        let by = route.muted_by.join(", ");
        sentences.push(match route.muted_until_ms {
            Some(ms) => reader.fill(Text::WhyOutOfHours, &[&by, &at(ms, reader)]),
            None => reader.fill(Text::WhyOutOfHoursLong, &[&by]),
        });
    }
    sentences.extend(match (route.waits_until_ms, route.next_look_ms) {
        (Some(ms), _) => Some(reader.fill(Text::WhyWaits, &[&at(ms, reader)])),
        (None, Some(ms)) => Some(reader.fill(Text::WhyNextLook, &[&at(ms, reader)])),
        (None, None) => None,
    });
    let channels = route.integrations.into_iter().map(|one| (one.integration.clone(), channel(&one, reader)));
    Way { receiver: route.receiver, sentences, channels: channels.collect() }
}

fn channel(one: &IntegrationExplanation, reader: &Reader) -> Vec<String> {
    let mut sentences = vec![verdict(one.because, reader)];
    if let (Some(ms), Some(reason)) = (one.told_at_ms, one.told_reason) {
        let text = match (one.told_firing, one.told_resolved) {
            (true, _) => Text::WhyToldFiring,
            (_, true) => Text::WhyToldResolved,
            (false, false) => Text::WhyToldOthers,
        };
        sentences.push(reader.fill(text, &[&at(ms, reader), reader.text(reason_text(reason))]));
    }
    sentences.extend(one.repeat_at_ms.map(|ms| reader.fill(Text::WhyRepeat, &[&at(ms, reader)])));
    sentences.extend(one.pending.as_ref().map(|pending| pending_sentence(pending, reader)));
    sentences
}

fn verdict(because: Because, reader: &Reader) -> String {
    let quiet = |text: Text| reader.fill(Text::WhyNotTold, &[reader.text(text)]);
    match because {
        Because::Tells(reason) => reader.fill(Text::WhyTells, &[reader.text(reason_text(reason))]),
        Because::TellsAgain(reason) => reader.fill(Text::WhyTellsAgain, &[reader.text(reason_text(reason))]),
        Because::NothingFires => quiet(Text::QuietNothingFires),
        Because::NothingNew => quiet(Text::QuietNothingNew),
        Because::Muted => quiet(Text::QuietMuted),
        Because::ResolvedUnwanted => quiet(Text::QuietResolvedUnwanted),
        Because::UnderWay => quiet(Text::QuietUnderWay),
        Because::AskedToWait(ms) => {
            reader.fill(Text::WhyNotTold, &[&reader.fill(Text::QuietAskedToWait, &[&at(ms, reader)])])
        }
        Because::RouteGone => quiet(Text::QuietRouteGone),
        Because::NoAlerts => quiet(Text::QuietNoAlerts),
    }
}

fn pending_sentence(pending: &PendingExplanation, reader: &Reader) -> String {
    let (tries, reason) = (pending.tries.to_string(), reader.text(reason_text(pending.reason)));
    match pending.stands {
        PendingState::UnderWay => reader.fill(Text::WhyPending, &[&tries, reason]),
        PendingState::TriedAgain(ms) => reader.fill(Text::WhyTriedAgain, &[&tries, &at(ms, reader), reason]),
        PendingState::AskedToWait(ms) => reader.fill(Text::WhyAskedToWait, &[&at(ms, reader), reason]),
        PendingState::GivenUp => reader.fill(Text::WhyGivenUp, &[&tries, reason]),
    }
}

const fn reason_text(reason: Reason) -> Text {
    match reason {
        Reason::FirstNotification => Text::ReasonFirst,
        Reason::NewAlertsAdded => Text::ReasonNewAlerts,
        Reason::AllAlertsResolved => Text::ReasonAllResolved,
        Reason::SomeAlertsResolved => Text::ReasonSomeResolved,
        Reason::RepeatIntervalElapsed => Text::ReasonRepeat,
        Reason::MuteEnded => Text::ReasonMuteEnded,
        Reason::OnCall => Text::ReasonOnCall,
        Reason::Escalated => Text::ReasonEscalated,
        Reason::Acknowledged => Text::ReasonAcknowledged,
        Reason::Assigned => Text::ReasonAssigned,
        Reason::Digest => Text::ReasonDigest,
    }
}

fn at(ms: i64, reader: &Reader) -> String {
    reader.zone.date_time(Timestamp::from_millis(ms))
}

fn printed(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(", ")
}
