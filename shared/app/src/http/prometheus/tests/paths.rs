//! All paths, and those that need no PromQL.

use super::*;

/// Every path of Prometheus's API, with the methods that Prometheus takes there: what becomes of a request without
/// parameters. 404 stands for what there is no use for here.
#[tokio::test]
async fn every_path_of_prometheus_is_answered_or_refused_clearly() {
    let (_world, app) = deployment().await;
    let cases: [(&str, &[(&str, u16)]); 44] = [
        ("/-/healthy", &[("GET", 200), ("HEAD", 200), ("POST", 405)]),
        ("/-/ready", &[("GET", 200), ("HEAD", 200)]),
        ("/-/reload", &[("POST", 403), ("PUT", 403), ("GET", 405)]),
        ("/-/quit", &[("POST", 403), ("PUT", 403), ("GET", 405)]),
        ("/api/v1/admin/tsdb/clean_tombstones", &[("POST", 503), ("PUT", 503), ("GET", 405)]),
        ("/api/v1/admin/tsdb/delete_series", &[("POST", 503), ("PUT", 503)]),
        ("/api/v1/admin/tsdb/snapshot", &[("POST", 503), ("PUT", 503)]),
        ("/api/v1/admin/tsdb/other", &[("POST", 404)]),
        ("/api/v1/alertmanagers", &[("GET", 200), ("POST", 405)]),
        ("/api/v1/alerts", &[("GET", 200)]),
        ("/api/v1/features", &[("GET", 200)]),
        ("/api/v1/format_query", &[("GET", 400), ("POST", 400)]),
        ("/api/v1/format_query?query=up", &[("GET", 200), ("POST", 200)]),
        ("/api/v1/label/job/values", &[("GET", 200), ("POST", 405)]),
        ("/api/v1/label/U__http_2e_path/values", &[("GET", 200)]),
        ("/api/v1/labels", &[("GET", 200), ("POST", 200)]),
        ("/api/v1/metadata", &[("GET", 200)]),
        ("/api/v1/notifications", &[("GET", 200)]),
        ("/api/v1/notifications/live", &[("GET", 204)]),
        ("/api/v1/otlp/v1/metrics", &[("POST", 404)]),
        ("/api/v1/parse_query", &[("GET", 400), ("POST", 400)]),
        ("/api/v1/query", &[("GET", 400), ("POST", 400)]),
        ("/api/v1/query_exemplars", &[("GET", 400), ("POST", 400)]),
        ("/api/v1/query_range", &[("GET", 400), ("POST", 400)]),
        ("/api/v1/read", &[("POST", 400), ("GET", 405)]),
        ("/api/v1/rules", &[("GET", 200)]),
        ("/api/v1/scrape_pools", &[("GET", 200)]),
        ("/api/v1/search/metric_names", &[("GET", 404)]),
        ("/api/v1/series", &[("GET", 400), ("POST", 400), ("DELETE", 405)]),
        ("/api/v1/series?match[]=up", &[("GET", 200), ("POST", 200)]),
        ("/api/v1/status/buildinfo", &[("GET", 200)]),
        ("/api/v1/status/config", &[("GET", 200)]),
        ("/api/v1/status/flags", &[("GET", 200)]),
        ("/api/v1/status/runtimeinfo", &[("GET", 200)]),
        ("/api/v1/status/tsdb", &[("GET", 200)]),
        ("/api/v1/status/tsdb/blocks", &[("GET", 200)]),
        ("/api/v1/status/walreplay", &[("GET", 200)]),
        ("/api/v1/targets", &[("GET", 200)]),
        ("/api/v1/targets/metadata", &[("GET", 200)]),
        ("/api/v1/targets/relabel_steps", &[("GET", 400)]),
        ("/api/v1/write", &[("POST", 415), ("GET", 405)]),
        ("/federate", &[("GET", 200), ("HEAD", 200), ("POST", 405)]),
        ("/metrics", &[("GET", 200)]),
        ("/version", &[("GET", 200)]),
    ];
    for (path, methods) in cases {
        for (method, status) in methods {
            let (found, body) = ask(&app, method.parse().unwrap(), path, "").await;
            assert_eq!(found, *status, "{method} {path}: {body}");
        }
    }
    let (_, refused) = ask(&app, Method::POST, "/api/v1/admin/tsdb/snapshot", "").await;
    assert_eq!(refused["errorType"], "unavailable");
    assert!(refused["error"].as_str().unwrap().starts_with("admin APIs disabled"), "{refused}");
    assert_eq!(get(&app, "/version").await.1, data(&app, "/api/v1/status/buildinfo").await);
}

#[tokio::test]
async fn features_are_those_of_the_profile_and_news_those_of_the_configuration() {
    let (_world, mut app) = deployment().await;
    let features = data(&app, "/api/v1/features").await;
    assert_eq!(
        (&features["promql_functions"]["info"], &features["promql_functions"]["abs"]),
        (&json!(true), &json!(true))
    );
    app.settings.promql_profile = promql::Profile::Prometheus;
    let features = data(&app, "/api/v1/features").await;
    assert_eq!(
        (&features["promql_functions"]["info"], &features["promql_functions"]["abs"]),
        (&json!(false), &json!(true))
    );
    assert_eq!((&features["promql_operators"]["limitk"], &features["promql"]["offset"]), (&json!(false), &json!(true)));

    assert_eq!(data(&app, "/api/v1/notifications").await, json!([]));
    app.set_config_errors(vec!["rules/a.yml: bad".to_owned()]);
    let news = data(&app, "/api/v1/notifications").await;
    assert_eq!((&news[0]["text"], &news[0]["active"]), (&json!("Configuration reload has failed."), &json!(true)));
}

#[tokio::test]
async fn federation_gives_the_newest_samples_with_their_times() {
    let (world, app) = deployment().await;
    let at = |seconds_ago: i64| Timestamp::from_millis(NOW.as_millis() - seconds_ago * 1000);
    let mut batch = Batch::new();
    let mut push = |pairs: &[(&str, &str)], samples: &[(i64, f64)]| {
        let samples = samples.iter().map(|(ago, value)| Sample { timestamp: at(*ago), value: *value });
        batch.push(Labels::from_pairs(pairs.iter().copied()).unwrap().as_ref(), samples);
    };
    push(&[("__name__", "ended"), ("job", "api")], &[(30, 1.0), (15, model::stale_nan())]);
    push(&[("__name__", "old"), ("job", "api")], &[(301, 1.0)]);
    push(&[("__name__", "plain"), ("job", "api"), ("label.ü", "say \"hi\"\n")], &[(60, 1.0), (20, f64::NAN)]);
    let blob = Bytes::from(tsdb::wal::encode(&batch));
    world.wal.append(Shard::default(), NOW.minute(), &tenant(), blob).await.unwrap();
    let page = async |query: &str, accept: &str| {
        let request = Request::get(format!("/federate?{query}")).header("accept", accept).body(Bytes::new()).unwrap();
        let reply = crate::http::handle(&app, request, [0; 32], NOW).await;
        let content_type = reply.headers()["content-type"].to_str().unwrap().to_owned();
        (reply.status().as_u16(), content_type, String::from_utf8(reply.body().to_vec()).unwrap())
    };
    let text = |escaping: &str| format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}");
    let now = NOW.as_millis();
    let all = "match[]=%7Bjob%3D%22api%22,__name__!%3D%22up%22%7D&match[]=requests_total%7Binstance%3D%22a%22%7D";
    let expected = format!(
        "# TYPE http_status untyped\nhttp_status{{job=\"api\",instance=\"\"}} 1 {now}\n\
         # TYPE plain untyped\nplain{{job=\"api\",label__=\"say \\\"hi\\\"\\n\",instance=\"\"}} NaN {}\n\
         # TYPE requests_total untyped\nrequests_total{{instance=\"a\",job=\"api\"}} 600 {now}\n\
         requests_total{{instance=\"b\",job=\"api\"}} 1200 {now}\n",
        now - 20_000
    );
    assert_eq!(page(all, "").await, (200, text("underscores"), expected));
    let quoted = "text/plain;escaping=allow-utf-8";
    let expected = format!("# TYPE \"http.status\" untyped\n{{\"http.status\",job=\"api\",instance=\"\"}} 1 {now}\n");
    assert_eq!(page("match[]=%7B%22http.status%22%7D", quoted).await, (200, text("allow-utf-8"), expected));
    assert_eq!(page("", "").await, (200, text("underscores"), String::new()));
    let refused = page("match[]=up%7B", "").await;
    assert_eq!((refused.0, refused.1.as_str()), (400, "text/plain; charset=utf-8"));
    assert!(refused.2.contains("parse error: unexpected end of input inside braces"), "{}", refused.2);
}
