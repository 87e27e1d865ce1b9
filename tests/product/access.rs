//! Tokens, sessions and tenants.

use crate::server::{Home, mihari, run};

#[tokio::test]
async fn from_the_first_token_on_everybody_needs_one() {
    let home = Home::new();
    let token = create(&home, "aiko", "write,read,admin");
    let server = home.serve(&["--no-host-metrics"]);
    let refused = server.get("/api/v1/query?query=1").await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
    let asked = server.client.get(format!("{}/api/v1/query?query=1", server.url));
    assert_eq!(asked.bearer_auth(&token).send().await.unwrap().status(), 200);
    let asked = server.client.get(format!("{}/api/v1/query?query=1", server.url));
    assert_eq!(asked.basic_auth("anything", Some(&token)).send().await.unwrap().status(), 200);
    let asked = server.client.get(format!("{}/api/v1/query?query=1", server.url));
    assert_eq!(asked.bearer_auth("mihari_wrong").send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_person_logs_in_and_out() {
    let home = Home::new();
    let token = create(&home, "aiko", "read");
    let server = home.serve(&["--no-host-metrics"]);
    let page = server.get("/alerts").await;
    assert_eq!(page.status(), 303);
    assert_eq!(page.headers()["location"], "/login?next=%2Falerts");
    let form = [("token", token.as_str()), ("next", "/alerts")];
    let login = server.client.post(format!("{}/login", server.url)).form(&form).send().await.unwrap();
    assert_eq!(login.status(), 303);
    assert_eq!(login.headers()["location"], "/alerts");
    let cookie = login.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite="), "{cookie}");
    let session = cookie.split(';').next().unwrap().to_owned();
    let get = |path: &str| server.client.get(format!("{}{path}", server.url)).header("cookie", &session);
    let page = get("/alerts").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("aiko"));
    let post = |path: &str| server.client.post(format!("{}{path}", server.url)).header("cookie", &session);
    assert_eq!(post("/logout").send().await.unwrap().status(), 403, "without the CSRF token");
    let wrong = [("token", "mihari_wrong"), ("next", "/")];
    let login = server.client.post(format!("{}/login", server.url)).form(&wrong).send().await.unwrap();
    assert_eq!(login.status(), 401);
}

#[tokio::test]
async fn scopes_and_tenants_come_from_the_token_alone() {
    let home = Home::new();
    let reader = create(&home, "reader", "read");
    let server = home.serve(&["--no-host-metrics"]);
    let write = server.client.post(format!("{}/api/v1/write", server.url)).bearer_auth(&reader);
    let refused = write.header("x-scope-orgid", "other").body("x").send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.unwrap().contains("write"));
}

#[tokio::test]
async fn without_tokens_only_this_machine_is_served_and_a_header_chooses_the_tenant() {
    let home = Home::new();
    let server = home.serve(&[]);
    let foreign = server.client.get(&server.url).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    let path = format!("{}/api/v1/query?query=node_load1", server.url);
    let other = server.client.get(path).header("x-scope-orgid", "team-b").send().await.unwrap();
    let body: serde_json::Value = other.json().await.unwrap();
    assert_eq!(body["data"]["result"], serde_json::json!([]));
    let said = Home::new().serve_refused(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("mihari token create"), "{said}");
}

#[tokio::test]
async fn a_running_server_makes_lists_and_revokes_tokens() {
    let home = Home::new();
    let server = home.serve(&["--no-host-metrics"]);
    let data_dir = home.data_dir();
    let place = ["--data-dir", data_dir.to_str().unwrap(), "--url", &server.url];
    let made = run(&[&["token", "create", "--name", "root", "--scopes", "admin"], &place[..]].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let mut listed = mihari(&[&["token", "list"], &place[..]].concat());
    let refused = listed.output().unwrap();
    assert!(!refused.status.success(), "from the first token on everybody needs one");
    let listed = listed.env("MIHARI_TOKEN", &token).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("root"));
    let mut revoked = mihari(&[&["token", "revoke", "--name", "root"], &place[..]].concat());
    assert!(revoked.env("MIHARI_TOKEN", &token).status().unwrap().success());
    let asked = server.client.get(format!("{}/api/mihari/v1/tokens", server.url)).bearer_auth(&token);
    assert_eq!(asked.send().await.unwrap().status(), 401);
}

fn create(home: &Home, name: &str, scopes: &str) -> String {
    create_as(home, name, scopes, "ops")
}

#[tokio::test]
async fn roles_decide_what_a_token_opens_beside_pages() {
    let home = Home::new();
    let exec = create_as(&home, "boss", "read", "exec");
    let tech = create_as(&home, "engineer", "read,admin", "tech");
    let ops = create_as(&home, "operator", "read,admin", "ops");
    let server = home.serve(&["--no-host-metrics"]);
    let cases = [
        ("/", [200, 200, 200]),
        ("/reports", [200, 200, 200]),
        ("/explore", [403, 200, 200]),
        ("/api/v1/query?query=1", [403, 200, 200]),
        ("/api/v1/labels", [403, 200, 200]),
        ("/api/v1/rules", [403, 200, 200]),
        ("/metrics", [403, 200, 200]),
        ("/api/mihari/v1/tokens", [403, 403, 200]),
    ];
    for (path, expected) in cases {
        for (token, expected) in [&exec, &tech, &ops].into_iter().zip(expected) {
            let asked = server.client.get(format!("{}{path}", server.url)).bearer_auth(token).send().await.unwrap();
            assert_eq!(asked.status(), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_session_changes_nothing_without_the_token_of_its_forms() {
    let home = Home::new();
    let token = create(&home, "aiko", "write,read,admin");
    let server = home.serve(&["--no-host-metrics"]);
    let form = [("token", token.as_str())];
    let login = server.client.post(format!("{}/login", server.url)).form(&form).send().await.unwrap();
    let session = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    for path in ["/api/mihari/v1/reports/daily", "/api/mihari/v1/tokens", "/api/v1/write", "/logout", "/"] {
        let post = server.client.post(format!("{}{path}", server.url)).header("cookie", &session);
        assert_eq!(post.send().await.unwrap().status(), 403, "{path}");
    }
    let query = server.client.post(format!("{}/api/v1/query", server.url)).header("cookie", &session);
    assert_eq!(query.form(&[("query", "1")]).send().await.unwrap().status(), 200, "a query changes nothing");
    let ended = server.client.post(format!("{}/logout", server.url)).header("cookie", "mihari_session=ended");
    let ended = ended.send().await.unwrap();
    assert_eq!((ended.status().as_u16(), &ended.headers()["location"]), (303, &"/login".parse().unwrap()));
}

#[tokio::test]
async fn reports_and_the_process_open_to_their_own_tenant_only() {
    let home = Home::new();
    let token = create(&home, "aiko", "read,admin");
    let data_dir = home.data_dir();
    let other = ["token", "create", "--name", "other", "--scopes", "read", "--tenant", "team-b", "--data-dir"];
    let other = run(&[&other[..], &[data_dir.to_str().unwrap()]].concat());
    let other = String::from_utf8(other.stdout).unwrap().trim().to_owned();
    let server = home.serve(&[]);
    let words = ["report", "daily", "--day", "today", "--url", &server.url, "--token", &token];
    let said = String::from_utf8(run(&words).stdout).unwrap();
    let page = said.trim().rsplit(' ').next().unwrap();
    for (token, expected) in [(&token, 200), (&other, 403)] {
        let asked = server.client.get(format!("{}/metrics", server.url)).bearer_auth(token);
        assert_eq!(asked.send().await.unwrap().status(), expected, "the metrics of the whole process");
    }
    for (token, expected) in [(&token, 200), (&other, 404)] {
        let asked = server.client.get(page).bearer_auth(token).header("x-scope-orgid", "default");
        assert_eq!(asked.send().await.unwrap().status(), expected, "{said}");
    }
}

fn create_as(home: &Home, name: &str, scopes: &str, role: &str) -> String {
    let data_dir = home.data_dir();
    let place = ["--data-dir", data_dir.to_str().unwrap()];
    let output = run(&[&["token", "create", "--name", name, "--scopes", scopes, "--role", role], &place[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_report_is_passed_on_by_a_link_that_needs_no_token_and_cannot_be_altered() {
    let home = Home::new();
    let token = create(&home, "aiko", "read,admin");
    let server = home.serve(&["--no-host-metrics"]);
    let report = run(&["report", "daily", "--day", "today", "--url", &server.url, "--token", &token]);
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let list = server.client.get(format!("{}/reports", server.url)).bearer_auth(&token).send().await.unwrap();
    let list = list.text().await.unwrap();
    let link = list.split("href=\"/r/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let link = format!("/r/{}", link.replace("&amp;", "&"));
    let opened = server.get(&link).await;
    assert_eq!(opened.status(), 200);
    assert_eq!(opened.headers()["referrer-policy"], "no-referrer");
    assert!(opened.text().await.unwrap().contains("<html"));
    let altered = server.get(&link.replace(".ja.html", ".en.html")).await;
    assert_eq!(altered.status(), 403);
    assert!(altered.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
}
