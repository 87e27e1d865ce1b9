//! The contract of `Topic`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use app::ports::{Message, Topic, WAKE_AHEAD_MAX};
use app::refusals::MESSAGE_BYTES_MAX;
use bytes::Bytes;
use model::{ErrorKind, Timestamp};

/// Makes a test of each check of this module, for the topic that the expression gives.
#[macro_export]
macro_rules! topic_contract {
    ($subject:expr) => {
        $crate::checks!(
            $subject,
            topic,
            [
                published_messages_arrive_at_least_once,
                a_message_has_its_greatest_size,
                the_same_message_may_be_published_again,
                publishing_nothing_succeeds,
                a_wish_for_a_look_is_no_message,
            ]
        );
    };
}

/// A topic under test, and what its reader receives.
pub struct TopicSubject {
    /// The topic.
    pub topic: Arc<dyn Topic>,
    /// Takes the messages that have arrived so far.
    pub receive: Box<dyn Fn() -> Vec<Message> + Send + Sync>,
}

impl fmt::Debug for TopicSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicSubject")
    }
}

impl TopicSubject {
    /// The bodies received so far by id; the same id always has the same body.
    fn received(&self) -> BTreeMap<String, Bytes> {
        let mut found = BTreeMap::new();
        for message in (self.receive)() {
            let before = found.insert(message.id.clone(), message.body.clone());
            assert!(before.is_none_or(|before| before == message.body), "two bodies under {}", message.id);
        }
        found
    }
}

fn message(number: usize) -> Message {
    Message { id: format!("id {number}"), body: Bytes::from(format!("body {number}")) }
}

/// All of them, whole, in any order.
pub async fn published_messages_arrive_at_least_once(subject: TopicSubject) {
    for batch in 0..10 {
        let messages = (batch * 50..(batch + 1) * 50).map(message).collect();
        subject.topic.publish(messages).await.expect("publishing");
    }
    let expected: BTreeMap<_, _> = (0..500).map(message).map(|message| (message.id, message.body)).collect();
    assert_eq!(subject.received(), expected);
}

/// A little less than 256 KB; one that is larger is refused.
pub async fn a_message_has_its_greatest_size(subject: TopicSubject) {
    let of_bytes = |size| Message { id: format!("{size}"), body: Bytes::from(vec![b'x'; size]) };
    subject.topic.publish(vec![of_bytes(MESSAGE_BYTES_MAX)]).await.expect("the greatest message");
    assert_eq!(subject.received().len(), 1);
    let refused = subject.topic.publish(vec![of_bytes(MESSAGE_BYTES_MAX + 1)]).await;
    assert_eq!(refused.expect_err("too large").kind(), ErrorKind::Invalid);
    assert_eq!(subject.received().len(), 0);
}

/// It arrives at least once; the reader drops repeats by their id.
pub async fn the_same_message_may_be_published_again(subject: TopicSubject) {
    for _ in 0..2 {
        subject.topic.publish(vec![message(1), message(1)]).await.expect("publishing");
    }
    assert_eq!(subject.received().into_keys().collect::<Vec<_>>(), ["id 1"]);
}

/// And nothing arrives.
pub async fn publishing_nothing_succeeds(subject: TopicSubject) {
    subject.topic.publish(Vec::new()).await.expect("publishing");
    assert_eq!(subject.received().len(), 0);
}

/// At once, soon, and as far ahead as can be asked for; nothing arrives that would have to be read.
pub async fn a_wish_for_a_look_is_no_message(subject: TopicSubject) {
    let now = Timestamp::from_secs(1_700_000_000);
    for ahead in [Duration::ZERO, Duration::from_secs(10), WAKE_AHEAD_MAX] {
        subject.topic.wake(now + ahead, now).await.expect("asking for a look");
    }
    assert_eq!(subject.received().len(), 0);
}
