//! Receivers whose servers are reached in their own way: `http_config`.

use alerting::notify::{Connection, Tls};

use super::*;

/// Every kind that goes out by HTTP, in its shortest form.
const KINDS: [(&str, &str); 7] = [
    ("webhook", "url: 'http://127.0.0.1:1/h'"),
    ("slack", "api_url: 'http://127.0.0.1:1/s'"),
    ("pagerduty", "routing_key: k"),
    ("opsgenie", "api_key: k"),
    ("msteamsv2", "webhook_url: 'http://127.0.0.1:1/t'"),
    ("discord", "webhook_url: 'http://127.0.0.1:1/d'"),
    ("telegram", "bot_token: t, chat_id: 1"),
];

/// How the receiver of that kind is reached.
async fn reached(global: &str, kind: &str, of: &str) -> Option<Box<Connection>> {
    let routes = format!(
        "global: {{{global}}}\nroute: {{receiver: desk, group_wait: 10s}}\n\
         receivers: [{{name: desk, {kind}_configs: [{{{of}}}]}}]\n"
    );
    let bench = Bench::with(&routes, &FaultPlan::none());
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    bench.run(1010).await;
    match &bench.messenger.drain()[..] {
        [Delivery { address: Address::Webhook { connection, .. }, .. }] => connection.clone(),
        other => panic!("{kind}: {other:?}"),
    }
}

#[tokio::test]
async fn every_receiver_is_reached_as_it_says() {
    let own = "http_config: {proxy_url: 'http://u:geheim@proxy:3128', follow_redirects: false, \
               tls_config: {ca: geheim, insecure_skip_verify: true, min_version: TLS13}}";
    let expected = Connection {
        tls: Tls { ca: Some(Secret::new("geheim")), skips_verification: true, only_1_3: true, ..Tls::default() },
        proxy: Some(Secret::new("http://u:geheim@proxy:3128")),
        refuses_redirects: true,
    };
    for (kind, of) in KINDS {
        let connection = reached("", kind, &format!("{of}, {own}")).await;
        assert_eq!(connection.as_deref(), Some(&expected), "{kind}");
        assert!(!format!("{connection:?}").contains("geheim"), "{connection:?}");
        assert_eq!(reached(own, kind, of).await.as_deref(), Some(&expected), "{kind}: as `global` says");
        let plain = "http_config: {follow_redirects: true, tls_config: {insecure_skip_verify: false}}";
        assert_eq!(reached(own, kind, &format!("{of}, {plain}")).await, None, "{kind}");
    }
}
