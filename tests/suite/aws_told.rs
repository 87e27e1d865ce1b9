//! The topic and the messenger on AWS, against services emulated in this process: what they take is checked as AWS
//! documents it, and they fail now and then.

mod services;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::aws::client::{AwsSettings, Clients, Credentials, SharedTimeSource, SystemTimeSource};
use ::aws::runtime::MessageSettings;
use ::aws::{AlertQueue, AwsMessenger, SnsTopic, SsmSecrets};
use app::ports::{Address, Content, Delivery, Messenger as _, Secret, Topic as _};
use model::{ErrorKind, Timestamp};
use services::{QUEUE, Services, TOPIC};
use tests::messenger::MessengerSubject;
use tests::topic::TopicSubject;

/// Clients of the services.
fn clients(services: &Services) -> Clients {
    Clients::new(AwsSettings {
        region: "ap-northeast-1".to_owned(),
        endpoint: Some(services.endpoint.clone()),
        credentials: Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"),
        table: "unused".to_owned(),
        bucket: "unused".to_owned(),
        clock: SharedTimeSource::new(SystemTimeSource::new()),
    })
}

fn topic() -> TopicSubject {
    let services = Services::start();
    let topic = Arc::new(SnsTopic::new(&clients(&services), TOPIC));
    TopicSubject { topic, receive: Box::new(move || services.queued_messages()) }
}

fn queue() -> TopicSubject {
    let services = Services::start();
    let topic = Arc::new(AlertQueue::new(&clients(&services), QUEUE));
    TopicSubject { topic, receive: Box::new(move || services.queued_messages()) }
}

fn aws_messenger(services: &Services) -> AwsMessenger {
    let settings = MessageSettings {
        mail_from: Some("watch@example.com".to_owned()),
        sms_sender_id: Some("Mihari".to_owned()),
        sms_max_price: Some(0.5),
        allow_loopback: true,
    };
    AwsMessenger::new(&clients(services), &settings)
}

fn messenger() -> MessengerSubject {
    let services = Services::start();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    MessengerSubject {
        messenger: Arc::new(aws_messenger(&services)),
        webhook: format!("{}/hook", services.endpoint),
        slack_api: format!("{}/api/", services.endpoint),
        dead_webhook: Some(format!("http://{dead}/secret")),
        received: Box::new(move || services.idempotency_keys()),
    }
}

mod topic {
    tests::topic_contract!(super::topic());
}
mod queue {
    tests::topic_contract!(super::queue());
}
mod messenger {
    tests::messenger_contract!(super::messenger());
}

#[tokio::test]
async fn a_look_is_delayed_in_whole_seconds_and_asked_for_again_while_the_queue_is_out() {
    let services = Services::start();
    let queue = AlertQueue::new(&clients(&services), QUEUE);
    let now = Timestamp::from_millis(1_700_000_000_250);
    queue.wake(Timestamp::from_secs(1_700_000_011), now).await.expect("a look");
    queue.wake(Timestamp::from_secs(1_699_999_000), now).await.expect("a look at once");
    assert_eq!(services.delays(), [11, 0]);
    services.queue_is_out(2);
    queue.wake(now, now).await.expect("the third time");
    assert_eq!(services.calls("SendMessage"), 5);
    services.queue_is_out(9);
    let error = queue.wake(now, now).await.expect_err("it does not answer");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_host_for_secrets_alone_reads_them_and_tells_nobody() {
    let services = Services::start();
    services.set_parameter("/mihari/slack-signing-secret", "s3cret");
    let secrets = SsmSecrets::new(&clients(&services));
    let messenger: &dyn app::ports::Messenger = &secrets;
    let found = messenger.reveal(&Secret::File("ssm:/mihari/slack-signing-secret".to_owned())).await;
    assert_eq!(found.expect("a secret"), "s3cret");
    assert!(!messenger.reaches_people() && aws_messenger(&services).reaches_people());
    let error = messenger.deliver(&webhook(Secret::new("http://127.0.0.1:1/hook"))).await.expect_err("tells nobody");
    assert_eq!(error.kind(), ErrorKind::Bug);
}

fn delivery(address: Address, content: Content) -> Delivery {
    Delivery { idempotency_key: "key-1".to_owned(), address, content, time: Timestamp::from_secs(1_700_000_000) }
}

fn webhook(url: Secret) -> Delivery {
    delivery(Address::Webhook { url, headers: Vec::new(), connection: None }, Content::Json("{}".to_owned()))
}

fn mail(to: &[&str]) -> Delivery {
    let to = to.iter().map(|&mailbox| mailbox.to_owned()).collect();
    let address = Address::Email { from: "Mihari <mihari@mihari.invalid>".to_owned(), to, server: None };
    let content = Content::Email {
        subject: "s".to_owned(),
        text: "t".to_owned(),
        html: "<p>t</p>".to_owned(),
        headers: BTreeMap::new(),
        thread: None,
    };
    delivery(address, content)
}

fn text(address: Address, subject: Option<&str>) -> Delivery {
    delivery(address, Content::Text { subject: subject.map(str::to_owned), text: "CPU 使用率 90 %".to_owned() })
}

fn sms(numbers: &[&str]) -> Delivery {
    text(Address::Sms { numbers: numbers.iter().map(|&number| number.to_owned()).collect() }, None)
}

#[tokio::test]
async fn text_of_any_kind_passes_the_topic() {
    let services = Services::start();
    let topic = SnsTopic::new(&clients(&services), TOPIC);
    let bodies = ["{\"a\":\"警告\"}", "\u{FFFF} is none of a queue's characters", "\u{1}", "\u{1F514}"];
    let message = |(place, body): (usize, &&str)| app::ports::Message {
        id: format!("id {place}"),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
    };
    let messages: Vec<_> = bodies.iter().enumerate().map(message).collect();
    topic.publish(messages.clone()).await.expect("publishing");
    let mut received = services.queued_messages();
    received.sort_by(|one, two| one.id.cmp(&two.id));
    assert_eq!(received, messages);
}

#[tokio::test]
async fn a_topic_that_is_refused_says_why() {
    let services = Services::start();
    let message = app::ports::Message { id: "1".to_owned(), body: "a".into() };
    let topic = SnsTopic::new(&clients(&services), "arn:aws:sns:ap-northeast-1:123456789012:gone");
    let error = topic.publish(vec![message.clone()]).await.expect_err("no such topic");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "alerts wait for the operator: {error}");
    assert!(error.to_string().contains("NotFound"), "{error}");
    let topic = SnsTopic::new(&clients(&services), TOPIC);
    services.refuse_all_entries();
    let error = topic.publish(vec![message]).await.expect_err("the sender's fault");
    assert_eq!((error.kind(), error.to_string().contains("InvalidParameter")), (ErrorKind::Invalid, true), "{error}");
}

#[tokio::test]
async fn a_webhook_may_be_kept_in_the_parameter_store() {
    let services = Services::start();
    let messenger = aws_messenger(&services);
    let secret = Secret::File("ssm:/mihari/slack".to_owned());
    let missing = messenger.deliver(&webhook(secret.clone())).await.expect_err("no parameter yet");
    assert_eq!(missing.kind(), ErrorKind::Unavailable);
    assert!(missing.to_string().contains("ssm:/mihari/slack") && missing.to_string().contains("ParameterNotFound"));

    services.set_parameter("/mihari/slack", &format!("{}/hook\n", services.endpoint));
    for _ in 0..3 {
        messenger.deliver(&webhook(secret.clone())).await.expect("a delivery");
    }
    assert_eq!(services.calls("GetParameter"), 2, "the missing one, then once for all three");

    // The old address is gone: the new one is read at once, not after minutes.
    services.close_hook();
    services.set_parameter("/mihari/slack", &format!("{}/new-hook", services.endpoint));
    messenger.deliver(&webhook(secret)).await.expect("a delivery");
    assert_eq!(services.calls("GetParameter"), 3);
    let file = messenger.deliver(&webhook(Secret::File("/etc/slack".to_owned()))).await.expect_err("a file");
    assert_eq!(file.kind(), ErrorKind::Invalid);
    assert!(file.to_string().contains("name a parameter as in ssm:/mihari/slack"), "{file}");
}

#[tokio::test]
async fn mail_comes_from_the_verified_address() {
    let services = Services::start();
    let messenger = aws_messenger(&services);
    let receipt = messenger.deliver(&mail(&["運用 <ops@example.com>"])).await.expect("a delivery");
    assert!(receipt.note.starts_with("SES "), "{receipt:?}");
    let sent = services.mails();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].from.as_str(), sent[0].to.as_slice()),
        ("watch@example.com", &["ops@example.com".to_owned()][..])
    );
    assert!(sent[0].raw.contains("From: Mihari <watch@example.com>"), "{}", sent[0].raw);

    let many: Vec<String> = (0..51).map(|number| format!("a{number}@example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: [(&[&str], ErrorKind, &str); 4] = [
        (&["ops@mihari.invalid"], ErrorKind::Invalid, "recipient 1 of 1 is the placeholder"),
        (&many, ErrorKind::Invalid, "51 recipients are over the limit of 50"),
        (&["unverified@example.com"], ErrorKind::Invalid, "not verified in SES"),
        (&["busy@example.com"], ErrorKind::Throttled, "quota"),
    ];
    for (to, kind, expected) in cases {
        let error = messenger.deliver(&mail(to)).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(expected) && !text.contains('@'), "{text}");
    }
    let silent = AwsMessenger::new(&clients(&services), &MessageSettings::default());
    let error = silent.deliver(&mail(&["ops@example.com"])).await.expect_err("no sender");
    assert!(error.to_string().contains("MailFrom"), "{error}");
}

#[tokio::test]
async fn text_messages_reach_those_who_can_be_reached() {
    let services = Services::start();
    let messenger = aws_messenger(&services);
    for _ in 0..2 {
        messenger.deliver(&sms(&["+819012345678"])).await.expect("a delivery");
    }
    let sent = services.texts();
    assert_eq!(sent.len(), 2);
    assert_eq!((sent[0].to.as_str(), sent[0].text.as_str()), ("+819012345678", "CPU 使用率 90 %"));
    assert_eq!(sent[0].attributes["AWS.SNS.SMS.SMSType"], "Transactional");
    assert_eq!(
        (&*sent[0].attributes["AWS.SNS.SMS.SenderID"], &*sent[0].attributes["AWS.SNS.SMS.MaxPrice"]),
        ("Mihari", "0.5")
    );
    assert_eq!(services.calls("CheckIfPhoneNumberIsOptedOut"), 1, "a number is asked about once an hour");
    let cases: [(&[&str], &str); 4] = [
        (&["+819000000000"], "number 1 of 1: its owner has opted out"),
        (&["+819000000001"], "number 1 of 1: the account is in the sandbox"),
        (&["09012345678"], "not written as E.164 says"),
        (&["+819000000000", "x"], "number 1 of 2"),
    ];
    for (numbers, expected) in cases {
        let error = messenger.deliver(&sms(numbers)).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let text = error.to_string();
        assert!(text.contains(expected) && !text.contains("+819000"), "{text}");
    }
    let partly = messenger.deliver(&sms(&["+819012345678", "+819000000000"])).await.expect("one was reached");
    assert!(partly.note.contains("number 2 of 2"), "{partly:?}");
    services.spend(1.0);
    let error = aws_messenger(&services).deliver(&sms(&["+819012345678"])).await.expect_err("nothing may be spent");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("monthly limit of $1"), "{error}");
}

#[tokio::test]
async fn a_topic_of_the_user_gets_the_text() {
    let services = Services::start();
    let messenger = aws_messenger(&services);
    let topic = || Address::Topic { arn: TOPIC.to_owned(), attributes: BTreeMap::new() };
    messenger.deliver(&text(topic(), Some("[FIRING:1] cpu_usage"))).await.expect("a delivery");
    messenger.deliver(&text(topic(), Some("【警告】CPU"))).await.expect("a delivery");
    let sent = services.texts();
    let seen: Vec<_> = sent.iter().map(|sent| (sent.subject.as_deref(), sent.text.as_str())).collect();
    let expected = [(Some("[FIRING:1] cpu_usage"), "CPU 使用率 90 %"), (None, "【警告】CPU\n\nCPU 使用率 90 %")];
    assert_eq!(seen, expected);
    assert_eq!(sent[0].attributes["idempotency_key"].len(), 32);
    let error = messenger
        .deliver(&text(Address::Topic { arn: "alerts".to_owned(), attributes: BTreeMap::new() }, None))
        .await
        .expect_err("no ARN");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
