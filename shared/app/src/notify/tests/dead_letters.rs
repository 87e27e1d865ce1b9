//! What was given up is kept, and gone once it was told.

use super::*;

/// Refuses every webhook until it is told not to.
#[derive(Debug)]
struct Refusing<'a>(&'a MemoryMessenger);

#[async_trait::async_trait]
impl Messenger for Refusing<'_> {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<crate::ports::Receipt> {
        match &delivery.address {
            Address::Webhook { url, .. } if ends_with(url, "hook") => {
                Err(PortError::new(ErrorKind::Invalid, "messenger deliver", "the webhook answers HTTP 404"))
            }
            Address::Webhook { .. }
            | Address::Email { .. }
            | Address::Sms { .. }
            | Address::Topic { .. }
            | Address::SlackThread { .. } => self.0.deliver(delivery).await,
        }
    }
}

#[tokio::test]
async fn what_was_given_up_is_a_dead_letter_until_it_is_told() {
    let bench = Bench::new(&FaultPlan::none());
    let tenant = TenantId::default_tenant();
    let refusing = Refusing(&bench.messenger);
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    let desk = Desk { messenger: &refusing, ..bench.desk(1010) };
    desk.run_due().await.unwrap();
    bench.said();
    let letters = desk.dead_letters(&tenant).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.receiver.as_str(), letter.integration.as_str()), ("everyone", "webhook/0"));
    assert_eq!(letter.note, "messenger deliver: the webhook answers HTTP 404");
    assert_eq!(
        desk.redrive(&tenant, Some(&["x".to_owned()])).await.unwrap_err().to_string(),
        "there is no dead letter \"x\""
    );

    // Where it is refused again, it stays; where it arrives, it is gone, and its group says it no second time.
    let again = desk.redrive(&tenant, None).await.unwrap();
    assert_eq!((again.len(), again[0].delivered), (1, false));
    let desk = bench.desk(1030);
    let again = desk.redrive(&tenant, Some(std::slice::from_ref(&letter.id))).await.unwrap();
    assert_eq!((again.len(), again[0].delivered), (1, true));
    assert_eq!(bench.said(), ["hook first notification: a firing"]);
    assert!(desk.dead_letters(&tenant).await.unwrap().is_empty());
    bench.run(1131).await;
    assert!(bench.said().is_empty(), "the group knows");
}

#[tokio::test]
async fn a_dead_letter_whose_group_was_told_since_is_none() {
    let bench = Bench::new(&FaultPlan::none());
    let tenant = TenantId::default_tenant();
    let refusing = Refusing(&bench.messenger);
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    Desk { messenger: &refusing, ..bench.desk(1010) }.run_due().await.unwrap();
    assert_eq!(bench.row_count("v#default").await, 1);
    bench.run(1131).await;
    assert!(bench.said().contains(&"hook first notification: a firing".to_owned()));
    assert!(bench.desk(1140).dead_letters(&tenant).await.unwrap().is_empty());
    assert_eq!(bench.row_count("v#default").await, 0, "it is removed");
}
