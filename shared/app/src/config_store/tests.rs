use std::sync::Arc;
use std::time::Duration;

use model::ErrorKind;

use super::*;
use crate::faults::{Fault, FaultPlan, Faulty};
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::Shard;
use crate::{evaluate, notify, report};

const MINUTE: Duration = Duration::from_secs(60);

fn files(pairs: &[(&str, &str)]) -> Files {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn rules(name: &str) -> Files {
    files(&[("rules/a.yml", &format!("groups: [{{ name: {name}, rules: [{{ record: a, expr: b }}] }}]"))])
}

fn group(app: &App) -> Option<String> {
    let config = app.config();
    let tenant = config.tenants.get(&tenant())?;
    tenant.rule_groups.first().map(|group| group.name.clone())
}

fn process(world: &World) -> App {
    world.app(&[], &FaultPlan::none())
}

#[tokio::test]
async fn what_is_pushed_is_in_force_here_at_once_and_elsewhere_within_a_minute() {
    let world = World::default();
    let (here, elsewhere) = (process(&world), process(&world));
    assert_eq!(refresh(&elsewhere, NOW).await.unwrap(), Refreshed::Unchanged);
    let pushed = push(&here, rules("first"), "aiko", NOW).await.unwrap();
    assert_eq!((pushed.author.as_str(), pushed.pushed_ms), ("aiko", NOW.as_millis()));
    assert_eq!(group(&here).as_deref(), Some("first"));
    assert_eq!(refresh(&elsewhere, NOW).await.unwrap(), Refreshed::Unchanged, "looked at in this minute");
    assert_eq!(refresh(&elsewhere, NOW + MINUTE).await.unwrap(), Refreshed::Changed);
    assert_eq!(group(&elsewhere).as_deref(), Some("first"));
    assert_eq!(refresh(&elsewhere, NOW + MINUTE * 2).await.unwrap(), Refreshed::Unchanged);
    let stored = load(&here.ports, NOW).await.unwrap().unwrap();
    assert_eq!((stored.files, stored.pushed), (rules("first"), pushed));
}

#[tokio::test]
async fn a_minute_costs_one_read_however_busy_the_process_is() {
    let world = World::default();
    push(&process(&world), rules("first"), "", NOW).await.unwrap();
    let plan = FaultPlan::none();
    let mut app = world.app(&[], &plan);
    app.ports.state = Arc::new(Faulty::new(Arc::clone(&app.ports.state), Arc::clone(&plan)));
    for second in 0..600 {
        refresh(&app, NOW + Duration::from_secs(second)).await.unwrap();
    }
    assert_eq!(plan.calls("state get"), 10, "of 600 calls in ten minutes");
    assert_eq!(plan.calls("object get"), 1, "the files are read once");
}

#[tokio::test]
async fn the_same_files_again_change_nothing() {
    let world = World::default();
    let app = process(&world);
    let first = push(&app, rules("first"), "aiko", NOW).await.unwrap();
    let version = load(&app.ports, NOW).await.unwrap().unwrap().version;
    assert_eq!(push(&app, rules("first"), "ben", NOW + MINUTE).await.unwrap(), first);
    assert_eq!(load(&app.ports, NOW).await.unwrap().unwrap().version, version);
    let second = push(&app, rules("second"), "ben", NOW + MINUTE).await.unwrap();
    assert_ne!(second.hash, first.hash);
    let back = push(&app, rules("first"), "ben", NOW + MINUTE).await.unwrap();
    assert_eq!(back.hash, first.hash);
    assert_eq!(group(&app).as_deref(), Some("first"));
}

#[tokio::test]
async fn what_does_not_parse_is_refused_with_all_reasons_and_the_last_good_one_stays() {
    let world = World::default();
    let app = process(&world);
    push(&app, rules("good"), "", NOW).await.unwrap();
    let bad = files(&[
        ("rules/a.yml", "groups:\n- name: g\n  rules:\n  - { record: a, expr: 'rate(b)' }\n"),
        ("alertmanager.yml", "route: {}\n"),
    ]);
    let error = push(&app, bad, "", NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("alertmanager.yml:0:0: the root route has no receiver"), "{lines:?}");
    assert!(lines[1].starts_with("rules/a.yml:4:24: ") && lines[1].contains("could not parse expression"), "{lines:?}");
    assert_eq!(group(&app).as_deref(), Some("good"));
    assert_eq!(load(&app.ports, NOW).await.unwrap().unwrap().files, rules("good"));
}

#[test]
fn a_folder_that_is_none_of_ours_is_refused() {
    let cases = [
        (files(&[]), "none of the files is a rules/*.yml"),
        (files(&[("alertmanger.yml", "")]), "none of the files is a rules/*.yml"),
        (files(&[("../alertmanager.yml", "")]), "../alertmanager.yml:0:0: its name is not a path inside"),
        (files(&[("rules/.a.yml", "")]), "rules/.a.yml:0:0: its name is not a path inside"),
        (files(&[("/rules/a.yml", "")]), "/rules/a.yml:0:0: its name is not a path inside"),
        (files(&[("rules/a.txt", "")]), "rules/a.txt:0:0: its name does not end in .yml or .yaml"),
        (files(&[("rules\\a.yml", "")]), "rules\\\\a.yml:0:0: its name holds a backslash"),
        (files(&[(&"a".repeat(201), "")]), "its name is over 200 bytes"),
        (files(&[("rules/a.yml", &" ".repeat(CONFIG_BYTES_MAX))]), "CONFIG_BYTES_MAX"),
        ((0..1001).map(|n| (format!("rules/{n}.yml"), "groups: []".to_owned())).collect(), "CONFIG_FILES_MAX"),
    ];
    for (files, expected) in cases {
        let problems = check(Profile::Extended, &files).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
    }
    let defaults = Config::default_files().iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
    check(Profile::Extended, &defaults).unwrap();
    assert_eq!(unread(&defaults), [""; 0]);
    let mut some = rules("g");
    some.insert("alertmanger.yml".to_owned(), String::new());
    check(Profile::Extended, &some).unwrap();
    assert_eq!(unread(&some), ["alertmanger.yml"]);
}

#[tokio::test]
async fn a_host_with_a_folder_of_its_own_takes_none() {
    let world = World::default();
    let mut app = process(&world);
    push(&app, rules("pushed"), "", NOW).await.unwrap();
    app.settings.takes_pushed_config = false;
    app.set_config(Config::defaults());
    let error = push(&app, rules("first"), "", NOW).await.unwrap_err();
    assert!(error.to_string().contains("--config"), "{error}");
    assert_eq!(refresh(&app, NOW).await.unwrap(), Refreshed::Unchanged);
    assert_ne!(group(&app).as_deref(), Some("pushed"));
}

/// Stores what a newer version may have accepted and this one refuses.
async fn store_unreadable(world: &World, at: Timestamp) {
    let bad = files(&[("alertmanager.yml", "route: {receiver: r, newer: 1}")]);
    save(world.objects.as_ref(), world.state.as_ref(), &tenant(), bad, "", at).await.unwrap();
}

#[tokio::test]
async fn what_this_version_cannot_read_leaves_the_last_good_one_in_force() {
    let world = World::default();
    let app = process(&world);
    push(&app, rules("good"), "", NOW).await.unwrap();
    store_unreadable(&world, NOW).await;
    let refreshed = refresh(&app, NOW + MINUTE).await.unwrap();
    let Refreshed::Refused(problems) = refreshed else { panic!("{refreshed:?}") };
    assert!(problems[0].starts_with("alertmanager.yml:1:"), "{problems:?}");
    assert_eq!(app.config_errors(&tenant()), problems);
    assert_eq!(group(&app).as_deref(), Some("good"));
    assert_eq!(refresh(&app, NOW + MINUTE * 2).await.unwrap(), Refreshed::Unchanged);
    assert_eq!(app.config_errors(&tenant()), problems, "the page goes on saying so");
}

#[tokio::test]
async fn a_process_without_a_good_configuration_acts_on_none_until_there_is_one() {
    let world = World::default();
    store_unreadable(&world, NOW).await;
    let app = process(&world);
    assert!(matches!(refresh(&app, NOW).await.unwrap(), Refreshed::Refused(_)));
    for at in [NOW, NOW + MINUTE] {
        assert_eq!(refresh(&app, at).await.unwrap(), Refreshed::Unchanged);
        let message = crate::ports::Message { id: "1".to_owned(), body: Bytes::from_static(b"{}") };
        let errors = [
            evaluate::tick(&app, Shard::default(), at).await.unwrap_err().to_string(),
            notify::run_due(&app, at).await.unwrap_err().to_string(),
            report::run_due(&app, at).await.unwrap_err().to_string(),
            notify::receive(&app, std::slice::from_ref(&message), at).await.failed[0].1.to_string(),
        ];
        assert!(errors.iter().all(|error| error.contains("alertmanager.yml:1:")), "{errors:?}");
    }
    let show = http::Request::get("/api/mihari/v1/config").body(Bytes::new()).unwrap();
    let shown = crate::http::handle(&app, show, [0; 32], NOW).await;
    assert!(String::from_utf8_lossy(shown.body()).contains("\"errors\":[\"alertmanager.yml:1:"), "{shown:?}");
    push(&app, rules("good"), "", NOW + MINUTE).await.unwrap();
    assert_eq!(refresh(&app, NOW + MINUTE * 2).await.unwrap(), Refreshed::Unchanged);
    evaluate::tick(&app, Shard::default(), NOW + MINUTE * 2).await.unwrap();
    notify::run_due(&app, NOW + MINUTE * 2).await.unwrap();
    assert_eq!(group(&app).as_deref(), Some("good"));
}

#[tokio::test]
async fn a_store_that_does_not_answer_fails_only_the_first_look() {
    let world = World::default();
    push(&process(&world), rules("first"), "", NOW).await.unwrap();
    let plan = FaultPlan::script([("object get", 0, Fault::ErrorBefore(ErrorKind::Unavailable))]);
    let app = world.app(&[], &plan);
    assert_eq!(refresh(&app, NOW).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(refresh(&app, NOW).await.unwrap(), Refreshed::Changed, "the next run looks again at once");
    push(&process(&world), rules("second"), "", NOW).await.unwrap();
    let plan = FaultPlan::script([("object get", 1, Fault::ErrorBefore(ErrorKind::Unavailable))]);
    let app = world.app(&[], &plan);
    assert_eq!(refresh(&app, NOW).await.unwrap(), Refreshed::Changed);
    push(&process(&world), rules("third"), "", NOW).await.unwrap();
    assert_eq!(refresh(&app, NOW + MINUTE).await.unwrap(), Refreshed::Unchanged);
    assert_eq!(group(&app).as_deref(), Some("second"));
    assert_eq!(refresh(&app, NOW + MINUTE * 2).await.unwrap(), Refreshed::Changed);
    assert_eq!(group(&app).as_deref(), Some("third"));
}

#[tokio::test]
async fn an_object_that_was_altered_is_not_taken() {
    let world = World::default();
    let app = process(&world);
    let pushed = push(&app, rules("first"), "", NOW).await.unwrap();
    let objects: Arc<dyn ObjectStore> = world.objects.clone();
    objects.delete(&pushed.object).await.unwrap();
    objects.put_new(&pushed.object, Bytes::from_static(b"{\"format\":1,\"files\":{}}")).await.unwrap();
    assert_eq!(load(&app.ports, NOW).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(refresh(&process(&world), NOW).await.unwrap_err().kind(), ErrorKind::Corrupt);
}
