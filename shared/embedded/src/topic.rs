//! The topic in the process: a queue between evaluate and notify.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use app::ports::{Message, PortError, PortResult, Topic};
use app::refusals::check_messages;
use async_trait::async_trait;
use model::ErrorKind;
use tokio::sync::Notify;

/// Most messages that wait; more are refused, and published again by the next evaluation.
const WAITING_MAX: usize = 100_000;

/// A queue of messages. What waits in it is lost with the process: alerts are published again while they fire.
///
/// A reader that fails to handle a message publishes it again.
#[derive(Debug, Default)]
pub struct LocalTopic {
    waiting: Mutex<VecDeque<Message>>,
    arrived: Notify,
}

impl LocalTopic {
    /// An empty topic.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the oldest messages, at most so many; waits until there is one. Several readers share the messages.
    pub async fn recv(&self, messages_max: usize) -> Vec<Message> {
        loop {
            let arrival = self.arrived.notified();
            let messages = self.try_recv(messages_max);
            if !messages.is_empty() {
                return messages;
            }
            arrival.await;
        }
    }

    /// Takes the oldest messages, at most so many; none when none waits.
    pub fn try_recv(&self, messages_max: usize) -> Vec<Message> {
        let mut waiting = self.waiting();
        let count = messages_max.min(waiting.len());
        let messages = waiting.drain(..count).collect();
        if !waiting.is_empty() {
            self.arrived.notify_one();
        }
        messages
    }

    /// How many messages wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting().len()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.waiting.lock().expect("nothing panics while it holds the lock")
    }
}

#[async_trait]
impl Topic for LocalTopic {
    async fn publish(&self, messages: Vec<Message>) -> PortResult<()> {
        check_messages("topic publish", &messages)?;
        let mut waiting = self.waiting();
        if waiting.len() + messages.len() > WAITING_MAX {
            let message = format!("{} messages wait, the limit is {WAITING_MAX}", waiting.len());
            return Err(PortError::new(ErrorKind::Unavailable, "topic publish", message));
        }
        waiting.extend(messages);
        self.arrived.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::Arc;

    fn messages(ids: std::ops::Range<usize>) -> Vec<Message> {
        ids.map(|id| Message { id: id.to_string(), body: Bytes::new() }).collect()
    }

    #[tokio::test]
    async fn readers_share_what_arrives() {
        let topic = Arc::new(LocalTopic::new());
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let topic = Arc::clone(&topic);
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    while taken.len() < 25 {
                        taken.extend(topic.recv(1).await);
                    }
                    taken
                })
            })
            .collect();
        for start in (0..100).step_by(10) {
            topic.publish(messages(start..start + 10)).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut ids = Vec::new();
        for reader in readers {
            ids.extend(reader.await.unwrap().into_iter().map(|message| message.id.parse::<usize>().unwrap()));
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..100).collect::<Vec<_>>());
        assert_eq!(topic.waiting_count(), 0);
    }

    #[tokio::test]
    async fn a_full_queue_takes_nothing_of_a_batch() {
        let topic = LocalTopic::new();
        topic.publish(messages(0..WAITING_MAX - 1)).await.unwrap();
        let error = topic.publish(messages(0..2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(topic.waiting_count(), WAITING_MAX - 1);
        assert_eq!(topic.try_recv(3).len(), 3);
        topic.publish(messages(0..2)).await.unwrap();
    }
}
