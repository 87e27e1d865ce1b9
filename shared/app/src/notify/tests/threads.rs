//! What is said about a group hangs together: one message of Slack that changes, mails of one thread.

use super::*;

/// The web API of Slack: names every message that is posted; perhaps the first one is gone.
#[derive(Debug, Default)]
struct SlackApi {
    asked: std::sync::Mutex<Vec<String>>,
    is_gone: bool,
}

#[async_trait::async_trait]
impl Messenger for SlackApi {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<crate::ports::Receipt> {
        let (Address::Webhook { url: Secret::Inline(url), .. }, Content::Json(json)) =
            (&delivery.address, &delivery.content)
        else {
            panic!("{delivery:?}")
        };
        let body: serde_json::Value = serde_json::from_str(json).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or("-").replace('\n', " ");
        let method = url.rsplit('/').next().unwrap();
        let mut asked = self.asked.lock().unwrap();
        asked.push(format!("{method} {} {} {} {}", text("channel"), text("ts"), text("thread_ts"), text("text")));
        if method == "chat.update" && self.is_gone {
            return Err(PortError::new(ErrorKind::NotFound, "messenger deliver", "message_not_found"));
        }
        Ok(crate::ports::Receipt { note: String::new(), reference: Some(format!("C1/{}", asked.len())) })
    }
}

#[tokio::test]
async fn a_message_of_slack_is_changed_and_answered_until_all_has_ended() {
    let routes = "
global: {slack_app_token: t}
route: {receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 2m, repeat_interval: 1h}
receivers: [{name: r, slack_configs: [{channel: '#a', update_message: true, send_resolved: true}]}]";
    let life = async |api: &SlackApi| {
        let bench = Bench::with(routes, &FaultPlan::none());
        let run = async |now| Desk { messenger: api, ..bench.desk(now) }.run_due().await.unwrap();
        bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
        run(1010).await;
        bench.receive(&[message(1020, &[("b", 1020, None)])], 1020).await;
        run(1130).await;
        bench.receive(&[message(1140, &[("a", 1000, Some(1140)), ("b", 1020, Some(1140))])], 1140).await;
        run(1250).await;
        bench.receive(&[message(1300, &[("a", 1300, None)])], 1300).await;
        run(1310).await;
        std::mem::take(&mut *api.asked.lock().unwrap())
    };
    let asked = life(&SlackApi::default()).await;
    let expected = [
        "chat.postMessage #a - - [CRITICAL] cpu: high",
        "chat.update C1 1 - [CRITICAL] cpu: high",
        "chat.postMessage C1 - 1 *[CRITICAL] cpu* 発生中 2件 · 新しいアラートの追加",
        "chat.update C1 1 - [RESOLVED] cpu: high",
        "chat.postMessage C1 - 1 *[RESOLVED] cpu* 解決 2件 · すべてのアラートの解決",
        "chat.postMessage #a - - [CRITICAL] cpu: high",
    ];
    assert_eq!(asked, expected);
    let asked = life(&SlackApi { is_gone: true, ..SlackApi::default() }).await;
    let new = asked.iter().filter(|one| one.starts_with("chat.postMessage #a")).count();
    assert_eq!(new, 4, "a message that is gone is followed by a new one: {asked:#?}");
}

#[tokio::test]
async fn mails_about_a_group_are_a_thread() {
    let bench = Bench::new(&FaultPlan::none());
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    bench.run(1010).await;
    bench.receive(&[message(1020, &[("a", 1000, Some(1020))])], 1020).await;
    bench.run(1130).await;
    let threads: Vec<Option<String>> = bench
        .messenger
        .drain()
        .into_iter()
        .filter_map(|delivery| match delivery.content {
            Content::Email { thread, .. } => Some(thread),
            Content::Json(_) | Content::Text { .. } | Content::Picture { .. } => None,
        })
        .collect();
    assert_eq!(threads.len(), 2);
    assert!(threads[0].is_some() && threads[0] == threads[1], "{threads:?}");
}
