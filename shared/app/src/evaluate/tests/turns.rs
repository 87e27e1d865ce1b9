//! How the rules of a tick share its time, and what becomes of those that cannot run.

use std::collections::BTreeSet;

use alerting::rule::GroupState;

use super::*;
use crate::ports::{ByteRange, ObjectStore};

const ALWAYS: &str = "groups: [{ name: g, rules: [{ alert: always, expr: vector(1) }] }]";

fn named(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// So many groups of ten rules.
fn many(groups: usize) -> String {
    let rule = |rule: usize| format!("  - {{ record: 'r{rule}', expr: 'vector({rule})' }}\n");
    let rules: String = (0..10).map(rule).collect();
    let groups: String = (0..groups).map(|index| format!("- name: g{index:02}\n  rules:\n{rules}")).collect();
    format!("groups:\n{groups}")
}

/// Rules of tenants in force.
fn with_rules(app: &App, rules: &[(&str, &str)]) {
    let paths: Vec<String> = rules.iter().map(|(tenant, _)| format!("tenants/{tenant}/rules/all.yml")).collect();
    let files: Vec<(&str, &str)> = paths.iter().map(String::as_str).zip(rules.iter().map(|(_, text)| *text)).collect();
    app.set_config(Config::parse(&files).unwrap());
}

/// The groups that ran at a time, by tenant and name.
async fn ran_at(app: &App, now: Timestamp) -> BTreeSet<(String, String)> {
    let (row, _) = tick_row::read(&app.ports, &app.tick_states, Shard::default(), now).await.unwrap();
    let ran = row.groups.iter().filter(|(_, state)| GroupState::decode(state).unwrap().slot == Some(now));
    ran.map(|((tenant, group), _)| (tenant.to_string(), group.split(';').nth(1).unwrap().to_owned())).collect()
}

#[tokio::test]
async fn who_has_many_rules_takes_no_time_from_others_and_each_group_has_its_turn() {
    let world = World::new();
    let mut app = world.app(RULES, &FaultPlan::none());
    let heavy = many(40);
    with_rules(&app, &[("a", &heavy), ("b", ALWAYS), ("c", ALWAYS)]);
    let mut last_ran: BTreeMap<(String, String), i64> = BTreeMap::new();
    for at in 0..9 {
        // A rule takes some looks at the clock: the 400 rules of the first tenant take longer than 10 s.
        app.stopwatch = hurried(10);
        let summary = ticked(&app, minute(at)).await;
        let ran = ran_at(&app, minute(at)).await;
        for tenant in ["b", "c"] {
            assert!(ran.contains(&(tenant.to_owned(), "g".to_owned())), "{at}: {ran:?}");
        }
        let skipped: BTreeSet<String> = summary.groups_skipped.iter().map(|(_, group)| group.clone()).collect();
        assert!(summary.groups_skipped.iter().all(|(tenant, _)| *tenant == named("a")), "{summary:?}");
        assert!(skipped.len() > 5 && ran.len() > 5, "{at}: {} ran, {} were skipped", ran.len(), skipped.len());
        assert!(summary.errors.iter().any(|error| error.starts_with("a: tenants/a/rules/all.yml;g")), "{summary:?}");
        last_ran.extend(ran.into_iter().map(|group| (group, at)));
    }
    assert_eq!(last_ran.len(), 42, "each group ran");
    assert!(last_ran.values().all(|last| *last >= 4), "none had to wait for longer than some ticks: {last_ran:?}");
    let page = wire::exposition::encode(&app.metrics.families());
    assert!(page.contains("mihari_rule_groups_skipped_total{rule_group=\"tenants/a/rules/all.yml;g"), "{page}");
}

#[tokio::test]
async fn rules_that_cannot_be_loaded_hold_up_neither_the_log_nor_other_tenants() {
    let world = World::new();
    let rules = "groups: [{ name: g, rules: [{ record: double, expr: load * 2 }] }]";
    for tenant in ["a", "b"] {
        let mut row = Batch::new();
        row.push(labels(&[("__name__", "load")]).as_ref(), [Sample { timestamp: minute(0), value: 1.0 }]);
        let blob = Bytes::from(tsdb::wal::encode(&row));
        world.wal.append(Shard::default(), minute(0).minute(), &named(tenant), blob).await.unwrap();
    }
    for call in 0..2 {
        let now = minute(5 + call);
        let plan = FaultPlan::script([("state range", 0, Fault::ErrorBefore(ErrorKind::Unavailable))]);
        let app = world.app(RULES, &plan);
        with_rules(&app, &[("a", rules), ("b", rules)]);
        let error = tick(&app, Shard::default(), now).await.unwrap_err();
        assert_eq!((error.kind(), plan.injected().len()), (ErrorKind::Unavailable, 1));
        let (row, _) = tick_row::read(&app.ports, &app.tick_states, Shard::default(), now).await.unwrap();
        assert_eq!(row.watermark, now.minute() - 3, "the log is taken all the same");
        assert_eq!(ran_at(&app, now).await.len(), 1, "the other tenant's rules ran");
        // The next tick, which may come at once, makes up for it.
        let summary = ticked(&app, now).await;
        assert_eq!((summary.rules_evaluated, summary.groups_skipped.len()), (1, 0), "{summary:?}");
        assert_eq!(ran_at(&app, now).await.len(), 2);
    }
}

#[tokio::test]
async fn late_slots_leave_time_for_alert_rules() {
    let world = World::new();
    let mut app = world.app(RULES, &FaultPlan::none());
    let rules = many(4) + "- { name: z, rules: [{ alert: always, expr: vector(1) }] }\n";
    with_rules(&app, &[("a", &rules)]);
    ticked(&app, minute(0)).await;
    // Forty rules at sixty slots, and some looks at the clock each.
    app.stopwatch = hurried(2);
    let summary = ticked(&app, minute(50)).await;
    assert_eq!((summary.groups_skipped.len(), summary.rules_failed), (0, 0), "{summary:?}");
    assert_eq!(ran_at(&app, minute(50)).await.len(), 5);
    assert!((100..2000).contains(&summary.rules_evaluated), "{summary:?}");
}

#[tokio::test]
async fn a_state_that_cannot_be_read_costs_its_group_alone() {
    let rules = "
groups:
- { name: one, rules: [{ alert: first, expr: load > 1, for: 1m }] }
- { name: two, rules: [{ alert: second, expr: load > 1, for: 1m }] }
";
    // Bytes that were damaged, and those of a program that is newer than this one.
    for damage in [vec![1, 255], vec![200, 1, 2, 3], Vec::new()] {
        let world = World::new();
        let app = world.app(rules, &FaultPlan::none());
        world.push(minute(0), 9.0).await;
        ticked(&app, minute(0)).await;
        let (mut row, version) =
            tick_row::read(&app.ports, &app.tick_states, Shard::default(), minute(0)).await.unwrap();
        row.groups.insert((tenant(), "rules/load.yml;one".to_owned()), damage.clone());
        let write = row.store(world.objects.as_ref(), &app.tick_states, Shard::default(), version).await.unwrap();
        world.state.write(vec![write], minute(0)).await.unwrap();
        // Until the tick has set it aside, readers see a group that has not run.
        let view = alerts::rule_groups(&app, &tenant(), &alerts::RuleFilter::default(), minute(0)).await.unwrap();
        assert_eq!(view.iter().map(|group| group.last_evaluation).collect::<Vec<_>>(), [None, Some(minute(0))]);
        world.push(minute(1), 9.0).await;
        let summary = ticked(&app, minute(1)).await;
        assert_eq!(
            (summary.states_unreadable, summary.rules_evaluated, summary.rules_failed),
            (1, 2, 0),
            "{summary:?}"
        );
        assert!(summary.errors[0].starts_with("default: rules/load.yml;one: starts anew: "), "{summary:?}");
        let firing = alerts::active(&app, &tenant(), minute(1)).await.unwrap();
        let states: Vec<alerts::AlertState> = firing.iter().map(|alert| alert.state).collect();
        assert_eq!(states, [alerts::AlertState::Pending, alerts::AlertState::Firing]);
        let kept = world.objects.list("unreadable/tenant=default/state/", None).await.unwrap();
        let mut found = Vec::new();
        for entry in kept.entries {
            found.push(world.objects.get(&entry.key, ByteRange::All).await.unwrap().to_vec());
        }
        assert_eq!(found, [damage]);
        assert_eq!(ticked(&app, minute(2)).await.states_unreadable, 0);
    }
}
