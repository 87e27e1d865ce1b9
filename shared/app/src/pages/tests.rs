use std::collections::BTreeMap;
use std::time::Duration;

use alerting::notify::Silence;
use http::header::CONTENT_DISPOSITION;
use model::{Language, Matcher};

use super::testing::{NOW, World, tenant, viewer};
use super::*;
use crate::faults::FaultPlan;
use crate::notify::SentAlert;
use crate::{notify, report};

async fn get(app: &App, role: Role, address: &str) -> Reply {
    let request = Request::get(address).body(Bytes::new()).unwrap();
    handle(app, &viewer(role), &request, NOW).await
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(reply.body()).unwrap()
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The tile with a label, without its markup.
fn tile(page: &str, label: &str) -> String {
    let mut tiles = page.split("<li class=\"tile").skip(1).map(|rest| rest.split("</li>").next().unwrap());
    let found = tiles.find(|tile| tile.contains(label)).unwrap_or_else(|| panic!("no tile {label}"));
    let mut shown = String::new();
    let mut is_tag = false;
    for c in found.split_once('>').unwrap().1.chars() {
        match c {
            '<' => is_tag = true,
            '>' => is_tag = false,
            _ if !is_tag => shown.push(c),
            _ => {}
        }
    }
    shown
}

#[tokio::test]
async fn every_page_is_there_with_and_without_data() {
    let world = World::default();
    let app = world.app(
        &[("rules/a.yml", "groups: [{name: a, rules: [{alert: high, expr: node_load1 > 9}]}]")],
        &FaultPlan::none(),
    );
    for has_data in [false, true] {
        if has_data {
            world.collect_all("web-1", NOW - Duration::from_secs(600), NOW, Duration::from_secs(15)).await;
        }
        for page in Page::ALL {
            let reply = get(&app, Role::Ops, page.path()).await;
            assert_eq!(reply.status(), StatusCode::OK, "{page:?}: {}", text(&reply));
            assert_eq!(header(&reply, "content-security-policy"), CONTENT_SECURITY_POLICY);
            assert!(text(&reply).contains("<html lang=\"en\">") && text(&reply).contains("UTC+09:00"), "{page:?}");
        }
    }
    let overview = get(&app, Role::Ops, "/").await;
    assert!(text(&overview).contains("No alert is firing") && text(&overview).contains("Alert rules on watch: 1"));
    assert!(text(&overview).contains("web-1") && text(&overview).contains("id=\"cpu\""));
    let status = get(&app, Role::Ops, "/status").await;
    assert!(text(&status).contains("Write-ahead log"), "{}", text(&status));
}

#[tokio::test]
async fn levels_show_at_once_and_rates_from_the_second_collection_on() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    world.collect("web-1", NOW - Duration::from_secs(2)).await;
    let first = get(&app, Role::Ops, "/").await;
    assert_eq!(tile(text(&first), "Memory usage"), "Memory usage50.0%7.45 GiB of 14.9 GiB");
    assert_eq!(tile(text(&first), "Load average"), "Load average (1 min)1.50web-1");
    assert_eq!(tile(text(&first), "CPU usage"), "CPU usage–Waiting for the second collection");
    world.collect("web-1", NOW).await;
    let second = get(&app, Role::Ops, "/").await;
    assert_eq!(tile(text(&second), "CPU usage"), "CPU usage25.0%web-1");
}

#[tokio::test]
async fn who_sends_and_how_fresh_it_is_is_told() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    world.collect("web-2", NOW - Duration::from_secs(900)).await;
    world.collect("web-1", NOW - Duration::from_secs(4)).await;
    let page = get(&app, Role::Ops, "/").await;
    let receiving = text(&page).split("id=\"receiving\"").nth(1).unwrap();
    let (gone, fresh) = (receiving.find("Gone").unwrap(), receiving.find("Fresh").unwrap());
    assert!(gone < fresh, "the stalest comes first");
    assert!(receiving.contains("15 min ago") && receiving.contains("4 s ago"), "{receiving}");
}

#[tokio::test]
async fn roles_decide_pages() {
    let world = World::default();
    let app = world.app(&[("reports.yml", "daily: {audience: [ops]}")], &FaultPlan::none());
    let cases = [
        (Role::Ops, "/alerts", 200),
        (Role::Tech, "/explore", 200),
        (Role::Exec, "/", 200),
        (Role::Exec, "/reports", 200),
        (Role::Exec, "/alerts", 403),
        (Role::Exec, "/explore", 403),
        (Role::Exec, "/status", 403),
        (Role::Tech, "/reports/daily/2026-11-21/Asia.Tokyo/final.json", 403),
        (Role::Ops, "/reports/daily/2026-11-21/Asia.Tokyo/final.json", 404),
        (Role::Ops, "/reports/daily/../../wal/x.json", 404),
        (Role::Ops, "/nothing", 404),
    ];
    for (role, address, status) in cases {
        assert_eq!(get(&app, role, address).await.status().as_u16(), status, "{role:?} {address}");
    }
    let reports = get(&app, Role::Exec, "/reports").await;
    assert!(text(&reports).contains("There are no reports for your role"), "not that there are none yet");
    let page = get(&app, Role::Exec, "/").await;
    assert!(!text(&page).contains("href=\"/alerts\""), "a page links only to pages that its reader may see");
    let post = Request::post("/alerts").body(Bytes::new()).unwrap();
    assert_eq!(handle(&app, &viewer(Role::Ops), &post, NOW).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn mistakes_in_the_files_of_a_tenant_are_shown_to_no_other() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    let mistakes = ["rules/a.yml:1:1: first", "tenants/shop/rules/b.yml:2:2: second", "tenants/shop2/c.yml:3:3: third"];
    app.set_config_errors(mistakes.map(str::to_owned).to_vec());
    let shown = |tenant: &str| app.config_errors(&model::TenantId::new(tenant).unwrap());
    assert_eq!(shown("default"), mistakes);
    assert_eq!(shown("shop"), mistakes[1..2]);
    assert_eq!(shown("other"), Vec::<String>::new());
}

#[tokio::test]
async fn a_fragment_is_the_content_alone() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    let fragment = get(&app, Role::Ops, "/?fragment=1&range=6h").await;
    assert!(!text(&fragment).contains("<html") && text(&fragment).contains("id=\"now\""));
    assert!(!text(&fragment).contains("fragment=1"), "links of a fragment lead to whole pages");
}

#[tokio::test]
async fn a_choice_becomes_a_cookie_and_leaves_the_address() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    let reply = get(&app, Role::Ops, "/explore?query=a%7Bb%3D%22c%22%7D&lang=ja&tz=Europe%2FBerlin").await;
    assert_eq!(reply.status(), StatusCode::SEE_OTHER);
    assert_eq!(header(&reply, "location"), "/explore?query=a%7Bb%3D%22c%22%7D");
    let cookies: Vec<&str> = reply.headers().get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 2);
    assert!(cookies[0].starts_with("mihari_language=ja; Path=/; Max-Age="), "{cookies:?}");
    assert!(cookies[1].starts_with("mihari_time_zone=Europe%2FBerlin; Path=/;"), "{cookies:?}");
    for (address, location) in [("//evil.example/?lang=en", "/evil.example/"), ("/?tz=UTC", "/")] {
        assert_eq!(header(&get(&app, Role::Ops, address).await, "location"), location, "{address}");
    }
    for nonsense in ["/?lang=fr", "/?tz=Asia%2FEdo", "/?lang="] {
        assert_eq!(get(&app, Role::Ops, nonsense).await.status(), StatusCode::OK, "{nonsense}");
    }
}

#[test]
fn the_span_is_a_choice_or_two_moments_in_the_readers_zone() {
    let zone = Zone::named("Europe/Berlin").unwrap();
    let of = |query: &str| {
        let request = Request::get(format!("/?{query}")).body(Bytes::new()).unwrap();
        span(&Params::of(&request), &zone, Span::Last1h)
    };
    let at = |text: &str| Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    // The night of the change to winter time has 25 hours.
    let night = Span::Custom(TimeRange::new(at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z")));
    let cases = [
        ("range=6h", Span::Last6h),
        ("range=6y", Span::Last1h),
        ("", Span::Last1h),
        ("from=2026-10-25T00%3A00&to=2026-10-26T00%3A00", night),
        ("to=2026-10-25T00%3A00&from=2026-10-26T00%3A00", night),
        ("from=2026-10-25T00%3A00&to=2026-10-25T00%3A00", Span::Last1h),
        ("from=2026-10-25T00%3A00&range=24h", Span::Last24h),
        ("from=x&to=y", Span::Last1h),
    ];
    for (query, expected) in cases {
        assert_eq!(of(query), expected, "{query}");
    }
}

#[tokio::test]
async fn a_query_is_charted_or_refused_with_its_place() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    world.collect_all("web-1", NOW - Duration::from_secs(600), NOW, Duration::from_secs(15)).await;
    let found = get(&app, Role::Ops, "/explore?query=node_load1").await;
    assert!(text(&found).contains("id=\"result\"") && text(&found).contains("node_load1{instance=&quot;web-1&quot;"));
    let refused = get(&app, Role::Ops, "/explore?query=sum(%3Cscript%3E").await;
    assert_eq!(refused.status(), StatusCode::OK);
    assert!(
        text(&refused).contains("The query was refused") && !text(&refused).contains("<script>"),
        "{}",
        text(&refused)
    );
}

#[tokio::test]
async fn reports_are_listed_shown_and_saved() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    world.collect_all("web-1", NOW - Duration::from_secs(7200), NOW, Duration::from_secs(300)).await;
    let today = "2026-11-22".parse().unwrap();
    let entry = report::daily(&app, &tenant(), today, NOW).await.unwrap();
    let address = format!("/reports/daily/{}", entry.id);
    let list = get(&app, Role::Ops, "/reports").await;
    assert!(text(&list).contains(&format!("href=\"{address}.en.html\"")), "{}", text(&list));
    assert!(text(&list).contains("So far"));
    let link =
        report::link::make(app.session_key(), &tenant(), &entry.id, Language::English, report::link::LIFETIME, NOW);
    assert!(text(&list).contains(&link.replace('&', "&amp;")), "a link to pass on");
    let page = get(&app, Role::Ops, &format!("{address}.ja.html")).await;
    assert!(text(&page).contains("<html lang=\"ja\">") && text(&page).contains("パフォーマンス概要"));
    assert!(header(&page, "content-security-policy").contains("style-src 'sha256-"));
    assert_eq!(header(&page, "content-disposition"), "");
    let saved = get(&app, Role::Ops, &format!("{address}.json?download=1")).await;
    assert_eq!(header(&saved, "content-type"), "application/json");
    let name = saved.headers().get(CONTENT_DISPOSITION).unwrap().to_str().unwrap();
    assert!(name.starts_with("attachment; filename=\"mihari-daily-2026-11-22_Asia.Tokyo_at-"), "{name}");
}

#[test]
fn assets_are_cached_for_ever_under_their_hash() {
    let reply = asset(&assets::style().path).unwrap();
    assert_eq!(header(&reply, "content-type"), "text/css; charset=utf-8");
    assert!(header(&reply, "cache-control").contains("immutable"));
    assert!(asset("/assets/mihari.css").is_none());
}

#[tokio::test]
async fn people_are_told_what_went_wrong_in_their_language() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", "en".parse().unwrap());
    let reply = error(&app, &headers, StatusCode::SERVICE_UNAVAILABLE, "no <room>");
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(&reply).contains("Not available right now") && text(&reply).contains("no &lt;room&gt;"));
    let page = login(&app, &HeaderMap::new(), "/alerts", true);
    assert!(text(&page).contains("<html lang=\"ja\">") && text(&page).contains("value=\"/alerts\""));
}

const ROUTES: &str = "
route: {receiver: desk, group_by: [alertname], group_wait: 10s, group_interval: 5m, repeat_interval: 1h}
receivers: [{name: desk, webhook_configs: [{url: 'https://desk.example/x'}]}]
inhibit_rules: [{source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [host]}]
";

#[tokio::test]
async fn the_page_of_alerts_says_why_people_were_told_or_were_not() {
    let world = World::default();
    let app = world.app(&[("alertmanager.yml", ROUTES)], &FaultPlan::none());
    let alert = |severity: &str, host: &str| SentAlert {
        labels: [("alertname", "cpu"), ("severity", severity), ("host", host)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        annotations: BTreeMap::new(),
        starts_at: Some(NOW),
        ends_at: None,
        generator_url: String::new(),
    };
    let all = vec![alert("critical", "a"), alert("warning", "a"), alert("info", "<b>")];
    notify::take_in(&app, &tenant(), all, NOW).await.unwrap();
    let silence = Silence {
        id: String::new(),
        matchers: vec![Matcher::equal("host", "<b>")],
        starts_at: NOW,
        ends_at: NOW + Duration::from_secs(600),
        updated_at: NOW,
        created_by: "aiko".to_owned(),
        comment: "deploy".to_owned(),
        annotations: BTreeMap::new(),
    };
    notify::put_silence(&app, &tenant(), &silence, "s1", NOW).await.unwrap();
    let section = |page: &Reply| {
        let rest = text(page).split("<section id=\"deliveries\"").nth(1).unwrap();
        rest.split("</section>").next().unwrap().to_owned()
    };
    let check = |shown: &str, wanted: &[&str]| {
        for part in wanted {
            assert!(shown.contains(part), "{part:?} is missing in {shown}");
        }
    };
    let waits = section(&get(&app, Role::Ops, "/alerts").await);
    check(&waits, &["Alerts are collected until 2026-11-22 13:30:10", "Told at the next look: first notification"]);
    check(&waits, &["Inhibited while another alert fires: alertname=&quot;cpu&quot;, host=&quot;a&quot;"]);
    check(&waits, &["Silenced by aiko until 2026-11-22 13:40:00: deploy", "<b>&lt;b&gt;</b>"]);
    let matched = section(&get(&app, Role::Ops, "/alerts?matcher=severity%3Dinfo").await);
    assert_eq!(matched.matches("<details>").count(), 1, "{matched}");
    check(&section(&get(&app, Role::Ops, "/alerts?matcher=%7B%7B").await), &["There are no alerts to tell of."]);

    let later = NOW + Duration::from_secs(11);
    assert_eq!(notify::run_due(&app, later).await.unwrap().delivered, 1);
    let request = Request::get("/alerts").body(Bytes::new()).unwrap();
    let japanese = Viewer { language: Language::Japanese, ..viewer(Role::Ops) };
    let told = section(&handle(&app, &japanese, &request, later).await);
    check(
        &told,
        &["宛先 desk", "webhook/0", "通知しません：前回の通知から変化がありません", "に発報を通知しました：最初の通知"],
    );
    check(&told, &["次に確認するのは", "再通知します（repeat_interval）"]);
}
