//! Pictures in Slack: after their messages, once, and never in the way of one.

use std::sync::Mutex;

use super::*;
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::{PortResult, Receipt};

const ROUTES: &str = "
global: {slack_app_token: t}
route: {receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 2m, repeat_interval: 4m}
receivers: [{name: r, slack_configs: [{channel: '#a', update_message: true, send_resolved: true}]}]";
const GRAPH: &str = "http://127.0.0.1:9099/graph?g0.expr=node_load1+%3E+1&g0.tab=1";
const SECOND: Duration = Duration::from_secs(1);

/// The web API of Slack; perhaps it takes no files.
#[derive(Debug)]
struct SlackApi {
    state: Arc<MemoryStateStore>,
    takes_files: bool,
    asked: Mutex<Vec<String>>,
    pictures: Mutex<Vec<Delivery>>,
}

impl SlackApi {
    /// How many messages are recorded as sent.
    async fn recorded(&self) -> usize {
        let all = RowRange::between("h#default#2026-11-22", "n#", "n$");
        range_all(self.state.as_ref(), all, NOW).await.unwrap().len()
    }

    fn drain(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl Messenger for SlackApi {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<Receipt> {
        let recorded = self.recorded().await;
        let mut asked = self.asked.lock().unwrap();
        match (&delivery.address, &delivery.content) {
            (Address::Webhook { url: Secret::Inline(url), .. }, Content::Json(_)) => {
                asked.push(url.rsplit('/').next().unwrap().to_owned());
                Ok(Receipt { note: String::new(), reference: Some("C1/17.5".to_owned()) })
            }
            (Address::SlackThread { api, channel, ts, .. }, Content::Picture { title, .. }) => {
                asked.push(format!("picture {api} {channel} {ts} {title}, {recorded} recorded"));
                self.pictures.lock().unwrap().push(delivery.clone());
                match self.takes_files {
                    true => Ok(Receipt::noted(String::new())),
                    false => Err(PortError::new(ErrorKind::Invalid, "messenger deliver", "missing_scope")),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A deployment in which the load of a machine is too high, and Slack.
async fn scene(takes_files: bool) -> (App, Arc<SlackApi>) {
    let world = World::default();
    world.collect_all("a", NOW - SECOND * 1800, NOW, SECOND * 30).await;
    let mut app = world.app(&[("alertmanager.yml", ROUTES)], &FaultPlan::none());
    app.settings.language = model::Language::English;
    let state = Arc::clone(&world.state);
    let slack = SlackApi { state, takes_files, asked: Mutex::default(), pictures: Mutex::default() };
    let slack = Arc::new(slack);
    app.ports.messenger = Arc::clone(&slack) as _;
    (app, slack)
}

async fn take_in(app: &App, ends_at: Option<Timestamp>, now: Timestamp) {
    let alert = SentAlert {
        labels: [("alertname", "load"), ("instance", "a"), ("job", "node"), ("severity", "critical")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations: BTreeMap::new(),
        starts_at: Some(NOW),
        ends_at: Some(ends_at.unwrap_or(NOW + SECOND * 86_400)),
        generator_url: GRAPH.to_owned(),
    };
    crate::notify::take_in(app, &tenant(), vec![alert], now).await.unwrap();
}

async fn run(app: &App, now: Timestamp) -> Ran {
    let ran = run_due(app, now).await.unwrap();
    illustrate(app, ran.pictures.clone(), now).await;
    ran
}

#[tokio::test]
async fn a_picture_follows_each_message_that_people_are_told_of() {
    let (app, slack) = scene(true).await;
    take_in(&app, None, NOW).await;
    run(&app, NOW + SECOND * 11).await;
    let picture = |subject: &str, recorded: usize| {
        format!("picture https://slack.com/api/ C1 17.5 {subject}, {recorded} recorded")
    };
    assert_eq!(slack.drain(), ["chat.postMessage".to_owned(), picture("[CRITICAL] load", 1)]);
    for minutes in [2, 4, 6] {
        run(&app, NOW + SECOND * (11 + 60 * minutes)).await;
    }
    assert_eq!(slack.drain(), ["chat.update"], "a repetition only changes the message");
    take_in(&app, Some(NOW + SECOND * 400), NOW + SECOND * 400).await;
    run(&app, NOW + SECOND * 600).await;
    let told = ["chat.update".to_owned(), "chat.postMessage".to_owned(), picture("[RESOLVED] load", 3)];
    assert_eq!(slack.drain(), told);
    let pictures = slack.pictures.lock().unwrap();
    let keys: Vec<&str> = pictures.iter().map(|one| one.idempotency_key.as_str()).collect();
    assert!(keys[0] != keys[1] && keys.iter().all(|key| key.ends_with("/picture")), "{keys:?}");
    let Address::SlackThread { headers, .. } = &pictures[0].address else { panic!("{pictures:?}") };
    assert_eq!(*headers, [("Authorization".to_owned(), "Bearer t".to_owned())]);
    let Content::Picture { svg, .. } = &pictures[0].content else { panic!("{pictures:?}") };
    for expected in ["node_load1", "instance=a", "stroke-dasharray"] {
        assert!(svg.contains(expected), "{expected} is missing in {svg}");
    }
}

#[tokio::test]
async fn a_picture_that_fails_is_left_out_and_its_message_is_not_sent_again() {
    let (app, slack) = scene(false).await;
    take_in(&app, None, NOW).await;
    let ran = run(&app, NOW + SECOND * 11).await;
    assert_eq!((ran.delivered, ran.failed), (1, 0));
    assert_eq!(slack.drain().len(), 2);
    run(&app, NOW + SECOND * 131).await;
    assert_eq!(slack.drain(), Vec::<String>::new());
    let told = |outcome: &str| app.metrics.families().iter().any(|family| format!("{family:?}").contains(outcome));
    assert!(told("mihari_notification_pictures_total"));
}
