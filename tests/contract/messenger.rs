//! The contract of `Messenger`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use app::ports::{Address, Content, Delivery, Messenger, Secret};
use model::{ErrorKind, Timestamp};

/// Makes a test of each check of this module, for the messenger that the expression gives.
#[macro_export]
macro_rules! messenger_contract {
    ($subject:expr) => {
        $crate::checks!(
            $subject,
            messenger,
            [
                a_document_reaches_a_webhook,
                a_mail_reaches_its_mailbox,
                a_picture_reaches_a_thread,
                a_repeat_carries_the_same_key,
                what_can_never_be_delivered_is_invalid,
                a_failure_names_no_secret,
            ]
        );
    };
}

/// A messenger under test, and what its destinations received.
pub struct MessengerSubject {
    /// The messenger.
    pub messenger: Arc<dyn Messenger>,
    /// A webhook that accepts what it is sent.
    pub webhook: String,
    /// A web API of Slack that accepts what it is sent; its methods stand below it.
    pub slack_api: String,
    /// A webhook that nobody answers, with the word `secret` in its URL; `None` where nothing can fail.
    pub dead_webhook: Option<String>,
    /// The idempotency keys that destinations have received.
    pub received: Box<dyn Fn() -> BTreeSet<String> + Send + Sync>,
}

impl fmt::Debug for MessengerSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessengerSubject")
    }
}

fn webhook(url: &str, key: &str) -> Delivery {
    Delivery {
        idempotency_key: key.to_owned(),
        address: Address::Webhook {
            url: Secret::new(url),
            headers: vec![("X-Test".to_owned(), "yes".to_owned())],
            connection: None,
        },
        content: Content::Json("{\"text\":\"警告\"}".to_owned()),
        time: Timestamp::from_secs(1_700_000_000),
    }
}

fn mail(key: &str, to: &[&str]) -> Delivery {
    Delivery {
        idempotency_key: key.to_owned(),
        address: Address::Email {
            from: "mihari@example.com".to_owned(),
            to: to.iter().map(|&mailbox| mailbox.to_owned()).collect(),
            server: None,
        },
        content: Content::Email {
            subject: "【警告】CPU 使用率".to_owned(),
            text: "CPU 使用率が高い".to_owned(),
            html: "<p>CPU 使用率が高い</p>".to_owned(),
            headers: BTreeMap::new(),
            thread: None,
        },
        time: Timestamp::from_secs(1_700_000_000),
    }
}

fn picture(api: &str, key: &str) -> Delivery {
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"20\" height=\"10\"/>";
    Delivery {
        idempotency_key: key.to_owned(),
        address: Address::SlackThread {
            api: api.to_owned(),
            headers: vec![("Authorization".to_owned(), "Bearer token".to_owned())],
            channel: "C1".to_owned(),
            ts: "1700000000.000100".to_owned(),
        },
        content: Content::Picture { title: "CPU 使用率".to_owned(), svg: svg.to_owned() },
        time: Timestamp::from_secs(1_700_000_000),
    }
}

/// Under its idempotency key, and the receipt says something.
pub async fn a_document_reaches_a_webhook(subject: MessengerSubject) {
    let receipt = subject.messenger.deliver(&webhook(&subject.webhook, "key-1")).await.expect("a delivery");
    assert!(!receipt.note.is_empty());
    assert_eq!((subject.received)(), BTreeSet::from(["key-1".to_owned()]));
}

/// Under its idempotency key, and the receipt says something.
pub async fn a_picture_reaches_a_thread(subject: MessengerSubject) {
    let receipt = subject.messenger.deliver(&picture(&subject.slack_api, "key-5")).await.expect("a delivery");
    assert!(!receipt.note.is_empty());
    assert_eq!((subject.received)(), BTreeSet::from(["key-5".to_owned()]));
}

/// Under its idempotency key, and the receipt says something.
pub async fn a_mail_reaches_its_mailbox(subject: MessengerSubject) {
    let receipt = subject.messenger.deliver(&mail("key-2", &["ops@example.com"])).await.expect("a delivery");
    assert!(!receipt.note.is_empty());
    assert_eq!((subject.received)(), BTreeSet::from(["key-2".to_owned()]));
}

/// So that the destination can drop it.
pub async fn a_repeat_carries_the_same_key(subject: MessengerSubject) {
    for _ in 0..2 {
        subject.messenger.deliver(&webhook(&subject.webhook, "key-3")).await.expect("a delivery");
        subject.messenger.deliver(&mail("key-4", &["ops@example.com"])).await.expect("a delivery");
    }
    assert_eq!((subject.received)(), BTreeSet::from(["key-3".to_owned(), "key-4".to_owned()]));
}

/// A mail for a webhook, a document for a mailbox or a thread, a picture for a webhook, nobody to write to, no key.
pub async fn what_can_never_be_delivered_is_invalid(subject: MessengerSubject) {
    let (document, letter) = (webhook(&subject.webhook, "key"), mail("key", &["ops@example.com"]));
    let drawing = picture(&subject.slack_api, "key");
    let cases = [
        Delivery { content: letter.content.clone(), ..document.clone() },
        Delivery { content: document.content.clone(), ..letter.clone() },
        Delivery { content: document.content.clone(), ..drawing.clone() },
        Delivery { content: drawing.content.clone(), ..document.clone() },
        Delivery { idempotency_key: String::new(), ..drawing },
        Delivery { idempotency_key: String::new(), ..document },
        Delivery { idempotency_key: String::new(), ..letter },
        mail("key", &[]),
    ];
    for delivery in cases {
        let error = subject.messenger.deliver(&delivery).await.expect_err("it can never succeed");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!((subject.received)(), BTreeSet::new());
}

/// A URL may be a password: it is in no message.
pub async fn a_failure_names_no_secret(subject: MessengerSubject) {
    let Some(url) = subject.dead_webhook else {
        return;
    };
    let error = subject.messenger.deliver(&webhook(&url, "key")).await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("secret") && !text.contains(&url), "{text}");
    }
}
