mod paths;

use bytes::Bytes;
use http::{Method, Request};
use model::{Batch, Labels, Sample};
use serde_json::Value as Json;

use super::*;
use crate::faults::FaultPlan;
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::{Shard, Wal as _};

const RULES: &str =
    "groups:\n- {name: a, rules: [{record: r, expr: up}]}\n- {name: b, rules: [{record: s, expr: up}]}\n";

/// A tenant with two counters and an `up` that ended at 0, each sample 15 s after the one before, the last one now.
async fn deployment() -> (World, App) {
    let world = World::default();
    let app = world.app(&[("rules/a.yml", RULES)], &FaultPlan::none());
    let mut batch = Batch::new();
    for (name, instance, step) in [("requests_total", "a", 15.0), ("requests_total", "b", 30.0), ("up", "a", 0.0)] {
        let labels = Labels::from_pairs([("__name__", name), ("instance", instance), ("job", "api")]).unwrap();
        let samples = (0..41_u16).map(|index| Sample {
            timestamp: Timestamp::from_millis(NOW.as_millis() - i64::from(40 - index) * 15_000),
            value: f64::from(index) * step,
        });
        batch.push(labels.as_ref(), samples);
    }
    let named = Labels::from_pairs([("__name__", "http.status"), ("job", "api")]).unwrap();
    batch.push(named.as_ref(), [Sample { timestamp: NOW, value: 1.0 }]);
    let blob = Bytes::from(tsdb::wal::encode(&batch));
    world.wal.append(Shard::default(), NOW.minute(), &tenant(), blob).await.unwrap();
    (world, app)
}

async fn ask(app: &App, method: Method, path: &str, form: &str) -> (u16, Json) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(Bytes::from(form.to_owned())).unwrap();
    let reply = crate::http::handle(app, request, [0; 32], NOW).await;
    let body = serde_json::from_slice(reply.body())
        .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(reply.body()).into_owned()));
    (reply.status().as_u16(), body)
}

async fn get(app: &App, path: &str) -> (u16, Json) {
    ask(app, Method::GET, path, "").await
}

/// The data of a successful answer.
async fn data(app: &App, path: &str) -> Json {
    let (status, mut body) = get(app, path).await;
    assert_eq!((status, &body["status"]), (200, &json!("success")), "{path}: {body}");
    body["data"].take()
}

#[tokio::test]
async fn bad_requests_are_refused_in_prometheuss_words() {
    let (_world, app) = deployment().await;
    let range = |rest: &str| format!("/api/v1/query_range?query=up&{rest}");
    let cases: [(&str, u16, &str, &str); 26] = [
        (
            "/api/v1/query",
            400,
            "bad_data",
            "invalid parameter \"query\": 1:1: parse error: no expression found in input",
        ),
        (
            "/api/v1/query?query=up%7B",
            400,
            "bad_data",
            "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces",
        ),
        (
            "/api/v1/query?query=up&time=x",
            400,
            "bad_data",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
        ),
        (
            "/api/v1/query?query=up&timeout=x",
            400,
            "bad_data",
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        ("/api/v1/query?query=up&limit=-1", 400, "bad_data", "invalid parameter \"limit\": limit must be non-negative"),
        (
            "/api/v1/labels?limit=1.5",
            400,
            "bad_data",
            "invalid parameter \"limit\": strconv.Atoi: parsing \"1.5\": invalid syntax",
        ),
        (
            "/api/v1/query?query=up&lookback_delta=-5m",
            400,
            "bad_data",
            "error parsing lookback delta duration: cannot parse \"-5m\" to a valid duration",
        ),
        (
            "/api/v1/query?query=sum(requests_total)%20%2B%20on()%20group_left%20requests_total%20%2B%20on()%20requests_total",
            422,
            "execution",
            "",
        ),
        (&range("start=0&end=1"), 400, "bad_data", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
        (
            &range("start=0&step=1"),
            400,
            "bad_data",
            "invalid parameter \"end\": cannot parse \"\" to a valid timestamp",
        ),
        (
            &range("start=1&end=0&step=1"),
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            &range("start=0&end=1&step=0"),
            400,
            "bad_data",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            &range("start=0&end=1&step=-5"),
            400,
            "bad_data",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            &range("start=0&end=11001&step=1"),
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX) (query_points_max, --query-points-max)",
        ),
        ("/api/v1/query_range?query=up%5B5m%5D&start=0&end=1&step=1", 400, "bad_data", ""),
        ("/api/v1/series", 400, "bad_data", "no match[] parameter provided"),
        (
            "/api/v1/series?match[]=%7B%7D",
            400,
            "bad_data",
            "invalid parameter \"match[]\": 1:1: parse error: match[] must contain at least one non-empty matcher",
        ),
        (
            "/api/v1/series?match[]=up%5B5m%5D",
            400,
            "bad_data",
            "invalid parameter \"match[]\": 1:1: parse error: not a series selector",
        ),
        ("/api/v1/rules?type=some", 400, "bad_data", "invalid parameter \"type\": not supported value \"some\""),
        (
            "/api/v1/rules?group_next_token=x",
            400,
            "bad_data",
            "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups",
        ),
        (
            "/api/v1/rules?group_limit=1&group_next_token=x",
            400,
            "bad_data",
            "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?",
        ),
        (
            "/api/v1/rules?group_limit=0",
            400,
            "bad_data",
            "invalid parameter \"group_limit\": group_limit needs to be a number greater than 0",
        ),
        ("/api/v1/metadata?limit=x", 400, "bad_data", "limit must be a number"),
        ("/api/v1/status/tsdb?limit=0", 400, "bad_data", "limit must be a positive number"),
        (
            "/api/v1/query_exemplars?query=up&start=2&end=1",
            400,
            "bad_data",
            "end timestamp must not be before start timestamp",
        ),
        ("/api/v1/nothing", 404, "not_found", "no such path: /api/v1/nothing"),
    ];
    for (path, status, error_type, message) in cases {
        let (found, body) = get(&app, path).await;
        assert_eq!(
            (found, &body["status"], &body["errorType"]),
            (status, &json!("error"), &json!(error_type)),
            "{path}: {body}"
        );
        assert!(message.is_empty() || body["error"] == message, "{path}: {body}");
    }
    for (method, path) in
        [(Method::POST, "/api/v1/label/job/values"), (Method::DELETE, "/api/v1/query"), (Method::GET, "/api/v1/read")]
    {
        assert_eq!(ask(&app, method, path, "").await.0, 405, "{path}");
    }
}

#[tokio::test]
async fn get_and_post_answer_alike_and_a_limit_cuts_with_a_warning() {
    let (_world, app) = deployment().await;
    let form = format!("query=requests_total&time={}&limit=1", NOW.as_secs_f64());
    let (status, posted) = ask(&app, Method::POST, "/api/v1/query", &form).await;
    assert_eq!((status, posted["data"]["result"].as_array().unwrap().len()), (200, 1));
    assert_eq!(posted["warnings"], json!(["results truncated due to limit"]));
    assert_eq!(get(&app, &format!("/api/v1/query?{form}")).await.1, posted);
    let (_, all) = get(&app, "/api/v1/query?query=requests_total&limit=0").await;
    assert_eq!((all["data"]["result"].as_array().unwrap().len(), &all["warnings"]), (2, &Json::Null));
    let cut = get(&app, "/api/v1/labels?limit=1").await.1;
    assert_eq!((&cut["data"], &cut["warnings"]), (&json!(["__name__"]), &json!(["results truncated due to limit"])));
    let series = ask(&app, Method::POST, "/api/v1/series", "match[]=up&match[]=http.status").await;
    assert_eq!(series.0, 400);
    let series =
        ask(&app, Method::POST, "/api/v1/series", "match[]=up&match[]=%7B%22http.status%22%7D&limit=1").await.1;
    assert_eq!(series["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        data(&app, "/api/v1/label/U______name____/values").await,
        json!(["http.status", "requests_total", "up"])
    );
    assert_eq!(data(&app, "/api/v1/label/instance/values?match[]=up").await, json!(["a"]));
    for path in ["/api/v1/labels?", "/api/v1/label/job/values?", "/api/v1/series?match[]=up&"] {
        assert_eq!(data(&app, &format!("{path}start=2&end=1")).await, json!([]), "{path}");
    }
    let (_, both) = ask(&app, Method::POST, "/api/v1/query?query=7&time=9", "query=1%2B1&time=4").await;
    assert_eq!(both["data"]["result"], json!([4, "2"]), "a form comes before the query string");
    assert_eq!(
        data(&app, "/api/v1/query?query=1%2B1&time=4").await,
        json!({"resultType": "scalar", "result": [4, "2"]})
    );
}

#[tokio::test]
async fn notes_stand_apart_and_say_where() {
    let (_world, app) = deployment().await;
    let (_, body) = get(&app, "/api/v1/query?query=rate(up%5B5m%5D)").await;
    let info =
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)";
    assert_eq!((&body["infos"], &body["warnings"]), (&json!([info]), &Json::Null));
    let (_, body) = get(&app, "/api/v1/query?query=quantile(2,up)").await;
    let warning = "PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)";
    assert_eq!((&body["warnings"], &body["infos"]), (&json!([warning]), &Json::Null));
}

#[tokio::test]
async fn statistics_count_what_is_looked_at() {
    let (_world, app) = deployment().await;
    let range = format!("start={}&end={}&step=15", NOW.as_secs_f64() - 30.0, NOW.as_secs_f64());
    let check = async |query: &str, total: u64, loaded: u64, steps: [u64; 3]| {
        let path = format!("/api/v1/query_range?query={query}&{range}&stats=all");
        let stats = data(&app, &path).await["stats"].take();
        let samples = &stats["samples"];
        assert_eq!(
            (&samples["totalQueryableSamples"], &samples["samplesRead"]),
            (&json!(total), &json!(loaded)),
            "{query}"
        );
        let per_step = samples["totalQueryableSamplesPerStep"].as_array().unwrap();
        let found: Vec<u64> = per_step.iter().map(|step| step[1].as_u64().unwrap()).collect();
        assert_eq!(found, steps, "{query}");
        assert!(stats["timings"]["execTotalTime"].is_number());
    };
    check("requests_total", 6, 44, [2, 2, 2]).await;
    check("rate(requests_total%5B1m%5D)", 24, 12, [8, 8, 8]).await;
    check("up%20offset%2030s", 3, 22, [1, 1, 1]).await;
    let path = format!("/api/v1/query_range?query=up&{range}&stats=some");
    let (_, body) = get(&app, &path).await;
    assert!(body["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"].is_null());
    assert!(body["warnings"][0].as_str().unwrap().starts_with("value \"some\" for parameter \"stats\""));
    assert!(data(&app, &format!("/api/v1/query_range?query=up&{range}")).await["stats"].is_null());
}

#[tokio::test]
async fn rules_come_page_by_page() {
    let (_world, app) = deployment().await;
    let first = data(&app, "/api/v1/rules?group_limit=1").await;
    assert_eq!((first["groups"].as_array().unwrap().len(), &first["groups"][0]["name"]), (1, &json!("a")));
    let token = first["groupNextToken"].as_str().unwrap();
    let second = data(&app, &format!("/api/v1/rules?group_limit=1&group_next_token={token}")).await;
    assert_eq!((&second["groups"][0]["name"], &second["groupNextToken"]), (&json!("b"), &Json::Null));
    assert_eq!(data(&app, "/api/v1/rules?match[]=up").await, json!({"groups": []}));
}

#[tokio::test]
async fn expressions_are_laid_out_and_taken_apart() {
    let (_world, app) = deployment().await;
    assert_eq!(data(&app, "/api/v1/format_query?query=foo%2Fbar").await, "foo / bar");
    let tree = data(&app, "/api/v1/parse_query?query=sum%20by%20(a)%20(rate(b%7Bc%21%3D%22d%22%7D%5B5m%5D%20offset%201m))%20%2F%20on(a)%20group_left%20e").await;
    assert_eq!(
        tree,
        json!({
            "type": "binaryExpr", "op": "/", "bool": false,
            "matching": {
                "card": "many-to-one", "labels": ["a"], "on": true, "include": [], "fillValues": {"lhs": null, "rhs": null},
            },
            "lhs": {
                "type": "aggregation", "op": "sum", "grouping": ["a"], "without": false, "param": null,
                "expr": {
                    "type": "call",
                    "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
                    "args": [{
                        "type": "matrixSelector", "name": "b", "range": 300_000, "rangeExpr": null,
                        "offset": 60_000, "offsetExpr": null, "timestamp": null, "startOrEnd": null,
                        "anchored": false, "smoothed": false,
                        "matchers": [
                            {"name": "c", "value": "d", "type": "!="},
                            {"name": "__name__", "value": "b", "type": "="},
                        ],
                    }],
                },
            },
            "rhs": {
                "type": "vectorSelector", "name": "e", "offset": 0, "offsetExpr": null, "timestamp": null,
                "startOrEnd": null, "anchored": false, "smoothed": false,
                "matchers": [{"name": "__name__", "value": "e", "type": "="}],
            },
        })
    );
    let at = data(&app, "/api/v1/parse_query?query=sum(a)%5B5m%3A%5D%20%40%20start()").await;
    let found = ["type", "range", "step", "startOrEnd", "timestamp"].map(|key| at[key].clone());
    assert_eq!(found, [json!("subquery"), json!(300_000), json!(0), json!("start"), Json::Null]);
}

#[tokio::test]
async fn a_server_says_what_it_is_and_who_sends_to_it() {
    let (_world, app) = deployment().await;
    let build = data(&app, "/api/v1/status/buildinfo").await;
    assert_eq!((&build["version"], &build["features"]), (&json!(env!("CARGO_PKG_VERSION")), &Json::Null));
    assert_eq!(data(&app, "/api/v1/status/flags").await["promql-profile"], "extended");
    assert_eq!(data(&app, "/api/v1/status/config").await, json!({"yaml": "rule_files:\n- \"rules/a.yml\"\n"}));
    assert_eq!(data(&app, "/api/v1/status/runtimeinfo").await["storageRetention"], "1w");
    assert_eq!(data(&app, "/api/v1/scrape_pools").await, json!({"scrapePools": ["api"]}));
    let targets = data(&app, "/api/v1/targets").await;
    let target = &targets["activeTargets"][0];
    assert_eq!((&target["health"], &target["labels"]), (&json!("down"), &json!({"instance": "a", "job": "api"})));
    assert_eq!(data(&app, "/api/v1/targets?state=dropped").await["activeTargets"], json!([]));
    assert_eq!(data(&app, "/api/v1/targets?scrapePool=other").await["activeTargets"], json!([]));
    let tsdb = data(&app, "/api/v1/status/tsdb?limit=1").await;
    assert_eq!((&tsdb["headStats"]["numSeries"], &tsdb["headStats"]["numLabelPairs"]), (&json!(4), &json!(6)));
    assert_eq!(tsdb["seriesCountByMetricName"], json!([{"name": "requests_total", "value": 2}]));
    assert_eq!(tsdb["seriesCountByLabelValuePair"], json!([{"name": "job=api", "value": 4}]));
    let forward = "alerting: { alertmanagers: [{ static_configs: [{ targets: ['am:9093'] }] }] }";
    let nobody = data(&app, "/api/v1/alertmanagers").await;
    app.set_config(crate::config::Config::parse(&[("forward.yml", forward)]).unwrap());
    let somebody = data(&app, "/api/v1/alertmanagers").await;
    let urls = [nobody, somebody].map(|all| all["activeAlertmanagers"].clone());
    assert_eq!(urls, [json!([]), json!([{"url": "http://am:9093/api/v2/alerts"}])]);
    for path in ["status/walreplay", "alerts"] {
        data(&app, &format!("/api/v1/{path}")).await;
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 127 {
        out.push(u8::try_from(number & 127).unwrap() | 128);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
    out
}

/// A field of protobuf that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

/// A `WriteRequest` with a histogram's bucket and its exemplar, and with what is said about three metrics, compressed.
fn annotated_request() -> Vec<u8> {
    let label = |name: &str, value: &str| [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
    let observation = |value_field: u8, time_field: u8, value: f64| {
        let mut out = vec![value_field << 3 | 1];
        out.extend(value.to_le_bytes());
        out.push(time_field << 3);
        out.extend(varint(NOW.as_millis().unsigned_abs()));
        out
    };
    let exemplar = [field(1, &label("trace_id", "abc")), observation(2, 3, 0.25)].concat();
    let labels = [("__name__", "took_seconds_bucket"), ("instance", "a"), ("job", "api"), ("le", "1")];
    let labels = labels.map(|(name, value)| field(1, &label(name, value))).concat();
    let series = [labels, field(2, &observation(1, 2, 4.0)), field(3, &exemplar)].concat();
    let said = |number: u8, metric: &str, help: &str| {
        field(3, &[vec![8, number], field(2, metric.as_bytes()), field(4, help.as_bytes())].concat())
    };
    let mut message = field(1, &series);
    for said in [said(3, "took_seconds", "How long."), said(2, "up", "Alive."), said(2, "up", "Healthy.")] {
        message.extend(said);
    }
    // A snappy block of one literal.
    let length = u16::try_from(message.len()).unwrap();
    [varint(length.into()), vec![61 << 2], (length - 1).to_le_bytes().to_vec(), message].concat()
}

#[tokio::test]
async fn what_senders_say_beside_samples_is_answered() {
    let (world, app) = deployment().await;
    let request = Request::post("/api/v1/write").header("content-type", "application/x-protobuf");
    let request = request.body(Bytes::from(annotated_request())).unwrap();
    let reply = crate::http::handle(&app, request, [0; 32], NOW).await;
    assert_eq!((reply.status().as_u16(), String::from_utf8_lossy(reply.body()).as_ref()), (204, ""));
    // A process that has just started.
    let app = world.app(&[], &FaultPlan::none());
    let gauge = |help: &str| json!({"type": "gauge", "help": help, "unit": ""});
    let took = json!([{"type": "histogram", "help": "How long.", "unit": ""}]);
    let up = json!([gauge("Alive."), gauge("Healthy.")]);
    for (path, expected) in [
        ("metadata", json!({"took_seconds": took, "up": up})),
        ("metadata?limit=-1&limit_per_metric=0", json!({"took_seconds": took, "up": up})),
        ("metadata?limit=1", json!({"took_seconds": took})),
        ("metadata?limit=0", json!({})),
        ("metadata?metric=up", json!({"up": up})),
        ("metadata?metric=up&limit_per_metric=1", json!({"up": [gauge("Alive.")]})),
        ("metadata?metric=took_seconds_bucket", json!({})),
    ] {
        assert_eq!(data(&app, &format!("/api/v1/{path}")).await, expected, "{path}");
    }
    let target = json!({"instance": "a", "job": "api"});
    let entry = |metric: &str, of: &Json| json!({"target": target, "metric": metric, "type": of["type"], "help": of["help"], "unit": ""});
    let all = json!([entry("took_seconds", &took[0]), entry("up", &up[0]), entry("up", &up[1])]);
    assert_eq!(data(&app, "/api/v1/targets/metadata").await, all);
    assert_eq!(data(&app, "/api/v1/targets/metadata?limit=1").await, json!([all[0]]));
    assert_eq!(data(&app, "/api/v1/targets/metadata?match_target=%7Bjob%3D%22x%22%7D").await, json!([]));
    let one = data(&app, "/api/v1/targets/metadata?metric=took_seconds&match_target=%7Bjob%3D%22api%22%7D").await;
    assert_eq!(one, json!([{"target": target, "type": "histogram", "help": "How long.", "unit": ""}]));

    let query = "query=histogram_quantile(0.9,sum%20by(le)(rate(took_seconds_bucket%5B5m%5D)))%20or%20up";
    let labels = json!({"__name__": "took_seconds_bucket", "instance": "a", "job": "api", "le": "1"});
    let exemplar = json!({"labels": {"trace_id": "abc"}, "value": "0.25", "timestamp": NOW.as_secs_f64()});
    let expected = json!([{"seriesLabels": labels, "exemplars": [exemplar]}]);
    let range = format!("start={}&end={}", NOW.as_secs_f64() - 60.0, NOW.as_secs_f64());
    assert_eq!(data(&app, &format!("/api/v1/query_exemplars?{query}&{range}")).await, expected);
    assert_eq!(data(&app, &format!("/api/v1/query_exemplars?{query}")).await, expected);
    assert_eq!(data(&app, &format!("/api/v1/query_exemplars?query=up&{range}")).await, json!([]));
    assert_eq!(data(&app, "/api/v1/query_exemplars?query=1").await, json!([]));
}

#[tokio::test]
async fn pages_that_scripts_push_are_samples_and_what_metrics_mean() {
    let (world, app) = deployment().await;
    let page = "# HELP jobs_done Jobs that \\\\ are\\ndone.\n# TYPE jobs_done counter\njobs_done{job=\"x\"} 3\n";
    let push = async |query: &str, body: Vec<u8>, encoding: &str| {
        let request = Request::post(format!("/api/v1/import/prometheus{query}")).header("content-encoding", encoding);
        // As curl sends it.
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let reply = crate::http::handle(&app, request.body(Bytes::from(body)).unwrap(), [0; 32], NOW).await;
        (reply.status().as_u16(), String::from_utf8(reply.body().to_vec()).unwrap())
    };
    assert_eq!(push("", page.into(), "").await, (204, String::new()));
    let gzip = {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(page.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let rows = crate::ports::RowRange::all(format!("i#{}", tenant()));
    let versions = async || crate::ports::range_all(world.state.as_ref(), rows.clone(), NOW).await.unwrap();
    let written = versions().await;
    assert_eq!(push("?extra_label=job=cron&extra_label=zone=a%3Db", gzip, "gzip").await, (204, String::new()));
    assert_eq!(versions().await, written, "what is known is not written again");
    let said = json!({"jobs_done": [{"type": "counter", "help": "Jobs that \\ are\ndone.", "unit": ""}]});
    assert_eq!(data(&app, "/api/v1/metadata").await, said);
    let series = data(&app, "/api/v1/series?match[]=jobs_done").await;
    let name = "jobs_done";
    assert_eq!(series, json!([{"__name__": name, "job": "cron", "zone": "a=b"}, {"__name__": name, "job": "x"}]));
    for (query, body, message) in [
        ("?extra_label=x", page, "invalid parameter \"extra_label\": \"x\" is not <name>=<value>\n"),
        ("", "a 1\nb x\n", "line 2: expected a number as value, found \"x\"\n"),
    ] {
        assert_eq!(push(query, body.into(), "").await, (400, message.to_owned()));
    }
}

#[tokio::test]
async fn a_stock_server_refuses_experiments_over_http() {
    let (_world, mut app) = deployment().await;
    app.settings.promql_profile = promql::Profile::Prometheus;
    let path = "/api/v1/query?query=limitk(1,up)";
    let (status, body) = get(&app, path).await;
    assert_eq!(status, 400);
    assert!(
        body["error"].as_str().unwrap().contains("must be enabled with --enable-feature=promql-experimental-functions")
    );
    app.settings.promql_profile = promql::Profile::Extended;
    assert_eq!(get(&app, path).await.0, 200);
}

#[tokio::test]
async fn remote_read_gives_samples_in_the_form_that_is_asked_for() {
    let (_world, app) = deployment().await;
    let read = async |accepted: &[u8]| {
        // One query for the last minute: field 1 of the request; `__name__="up"` its field 3.
        let varint = |mut number: u64| {
            let mut bytes = Vec::new();
            while number >= 0x80 {
                bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
                number >>= 7;
            }
            bytes.push(u8::try_from(number).unwrap());
            bytes
        };
        let now = u64::try_from(NOW.as_millis()).unwrap();
        let matcher = [&[0x12, 8][..], b"__name__", &[0x1a, 2], b"up"].concat();
        let query = [&[0x08][..], &varint(now - 60_000), &[0x10], &varint(now), &[0x1a, 14], &matcher].concat();
        let body = [&[0x0a][..], &varint(query.len() as u64), &query, accepted].concat();
        // A snappy block of one literal.
        let literal =
            [&varint(body.len() as u64)[..], &[60 << 2, u8::try_from(body.len() - 1).unwrap()], &body].concat();
        let request = Request::post("/api/v1/read").body(Bytes::from(literal)).unwrap();
        crate::http::handle(&app, request, [0; 32], NOW).await
    };
    let reply = read(&[]).await;
    assert_eq!(reply.status().as_u16(), 200);
    assert_eq!(reply.headers()["content-encoding"], "snappy");
    assert_eq!(reply.headers()["content-type"], "application/x-protobuf");
    let reply = read(&[0x10, 1]).await;
    assert_eq!(
        reply.headers()["content-type"],
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    assert!(reply.body().windows(3).any(|bytes| bytes == b"api") && !reply.body().is_empty());
    let reply = read(&[0x10, 9]).await;
    assert_eq!(reply.status().as_u16(), 400);
    assert!(String::from_utf8_lossy(reply.body()).contains("response types [9]"));
}
