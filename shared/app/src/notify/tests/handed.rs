//! Dead letters where the host that is asked does not reach people.

use super::*;
use crate::memory::MemoryTopic;
use crate::notify::{dead_letters, redrive};
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::{PortResult, Receipt};

const ROUTES: &str = "route: {receiver: r, group_by: [alertname], group_wait: 10s}
receivers: [{name: r, webhook_configs: [{url: 'http://127.0.0.1:1/hook'}]}]";

/// Refuses everything, and reaches nobody.
#[derive(Debug)]
struct NoWayOut;

#[async_trait::async_trait]
impl Messenger for NoWayOut {
    async fn deliver(&self, _: &Delivery) -> PortResult<Receipt> {
        Err(PortError::new(ErrorKind::Invalid, "messenger deliver", "the webhook answers HTTP 404"))
    }

    fn reaches_people(&self) -> bool {
        false
    }
}

fn app(world: &World, topic: &Arc<MemoryTopic>, messenger: Arc<dyn Messenger>) -> App {
    let mut app = world.app(&[("alertmanager.yml", ROUTES)], &FaultPlan::none());
    app.ports.topic = Arc::clone(topic) as _;
    app.ports.messenger = messenger;
    app
}

#[tokio::test]
async fn a_dead_letter_is_handed_to_who_reaches_people() {
    let (world, topic) = (World::default(), Arc::new(MemoryTopic::default()));
    let messenger = Arc::new(MemoryMessenger::default());
    let (asked, notify) = (app(&world, &topic, Arc::new(NoWayOut)), app(&world, &topic, Arc::clone(&messenger) as _));
    let at = |seconds| NOW + Duration::from_secs(seconds);
    let since = NOW.as_millis() / 1000;
    receive(&asked, &[message(since, &[("a", since, None)])], NOW).await;
    run_due(&asked, at(10)).await.unwrap();
    let letters = dead_letters(&asked, &tenant(), at(20)).await.unwrap();
    let [letter] = letters.try_into().expect("it was given up");
    topic.drain();
    let unknown = redrive(&asked, &tenant(), Some(&["x".to_owned()]), at(20)).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no dead letter \"x\"");
    let said = redrive(&asked, &tenant(), None, at(20)).await.unwrap();
    assert_eq!((said.len(), said[0].delivered, said[0].handed_over), (1, false, true), "{said:?}");
    assert_eq!(said[0].id, letter.id);
    let handed = topic.drain();
    for _ in 0..2 {
        let received = receive(&notify, &handed, at(21)).await;
        assert!(received.failed.is_empty(), "{received:?}");
    }
    assert_eq!(messenger.drain().len(), 1, "once, however often it is handed over");
    assert_eq!(dead_letters(&asked, &tenant(), at(22)).await.unwrap(), []);
    let broken = Message { id: "redrive/x".to_owned(), body: bytes::Bytes::from_static(b"{}") };
    assert_eq!(receive(&notify, &[broken], at(23)).await.failed.len(), 1);
}
