//! What a deployment costs, counted over simulated time: every call at the ports times the price table.
//!
//! `cargo test -p tests --test suite cost:: -- --nocapture` prints where the money goes.

mod consumed;
mod fleet;
mod stack;

use std::time::Duration;

use app::cost::{Item, Prices, Usage, standing};
use fleet::Fleet;
use model::Timestamp;
use stack::{QUERY_PROCESSES, Stack};

/// 2026-11-21 22:01 UTC.
const START: Timestamp = Timestamp::from_secs(1_795_298_460);
const MINUTE: Duration = Duration::from_secs(60);
/// An hour's rollup is made some minutes after its end.
const SETTLED_AFTER: Duration = Duration::from_secs(1020);
/// Series of the fleet that a deployment of some size has, each with a sample every 15 s.
const SERIES: f64 = 100_000.0;
const DAYS: f64 = 30.0;
/// A dashboard is open for eight hours a day.
const OPEN_MINUTES_A_MONTH: f64 = 8.0 * 60.0 * DAYS;

/// What things may cost at most, in dollars.
const A_MILLION_SAMPLES_MAX: f64 = 0.0025;
const IDLE_MONTH_MAX: f64 = 1.0;
const OVERVIEW_MONTH_MAX: f64 = 0.6;
const BOARD_MONTH_MAX: f64 = 1.5;

/// What each function used.
type Used = Vec<(&'static str, Usage)>;

fn since(now: &Used, before: &Used) -> Used {
    now.iter().zip(before).map(|((name, now), (_, before))| (*name, now.since(before))).collect()
}

fn dollars(used: &Used) -> f64 {
    used.iter().map(|(_, usage)| Prices::us_east_1().total(usage)).sum()
}

#[expect(clippy::print_stdout, reason = "for whoever asks where the money goes")]
fn say(text: &str) {
    println!("{text}");
}

/// Says what makes up a sum, down to a thousandth of it.
fn print(title: &str, used: &Used, factor: f64) {
    let prices = Prices::us_east_1();
    let total = dollars(used);
    say(&format!("{title}: ${:.6}", total * factor));
    for (name, usage) in used.iter().filter(|(_, usage)| prices.total(usage) > 0.0) {
        say(&format!("  {name:<9} ${:.6}", prices.total(usage) * factor));
        for (item, amount) in usage.amounts() {
            let cost = prices.dollars(item, amount);
            if cost > total / 1000.0 {
                say(&format!("    {:<22} {:>14.1} ${:.6}", item.as_str(), amount as f64 * factor, cost * factor));
            }
        }
    }
}

/// A deployment and the fleet that reports to it.
#[derive(Debug)]
struct World {
    stack: Stack,
    fleet: Fleet,
    now: Timestamp,
    samples: u64,
}

impl World {
    async fn new(machines: u64) -> Self {
        Self { stack: Stack::new(START).await, fleet: Fleet::new(machines, START), now: START, samples: 0 }
    }

    /// Goes on for so many minutes, with four scrapes of each machine in every one.
    async fn go_on(&mut self, minutes: u64) {
        for _ in 0..minutes {
            for scrape in 0..4 {
                let at = self.now + Duration::from_secs(15) * scrape;
                for body in self.fleet.scrape(at) {
                    self.stack.push(body, at + Duration::from_secs(15)).await;
                }
                self.samples += self.fleet.series();
            }
            self.now = self.now + MINUTE;
            self.stack.minute(self.now).await;
        }
    }
}

/// What a fleet uses in so many minutes, after the first ones of a new deployment, and how many samples it sends
/// meanwhile.
async fn ingest(machines: u64, minutes: u64) -> (Used, u64) {
    let mut world = World::new(machines).await;
    world.go_on(5).await;
    let (before, samples) = (world.stack.usage(), world.samples);
    world.go_on(minutes).await;
    (since(&world.stack.usage(), &before), world.samples - samples)
}

/// What it costs to keep the blocks and rollups of one sample: those of a whole hour, since what is kept of a series is
/// the same for an hour of any length. How often they are written does not matter for a large fleet.
async fn keep() -> f64 {
    let mut world = World::new(2).await;
    world.go_on(59).await;
    world.stack.roll_up(world.now + SETTLED_AFTER).await;
    let kept = [Item::ObjectByteHours, Item::TableByteHours];
    let used = world.stack.usage().into_iter().filter(|(function, _)| *function == "rollup");
    let dollars =
        |usage: Usage| kept.map(|item| Prices::us_east_1().dollars(item, usage.amount(item))).iter().sum::<f64>();
    used.map(|(_, usage)| dollars(usage)).sum::<f64>() / world.samples as f64
}

/// What is asked is $0.0025, with everything that a sample ever costs in it.
#[tokio::test]
async fn a_million_samples_of_a_hundred_thousand_series() {
    let minutes = 12;
    let (small, small_samples) = ingest(3, minutes).await;
    let (large, large_samples) = ingest(6, minutes).await;
    // What a larger fleet adds is the same for each of its samples; what is left is the same whatever its size.
    let added = since(&large, &small);
    let a_sample = dollars(&added) / (large_samples - small_samples) as f64;
    let a_minute = (dollars(&large) - a_sample * large_samples as f64) / minutes as f64;
    let kept = keep().await;
    let a_million = 1e6 * (a_sample + kept + a_minute / (4.0 * SERIES));
    print("a million samples more", &added, 1e6 / (large_samples - small_samples) as f64);
    say(&format!(
        "blocks and rollups of a million samples: ${:.6}; a minute, whatever the fleet: ${a_minute:.6}; all in, a million \
         samples: ${a_million:.6}",
        kept * 1e6
    ));
    assert!((0.001..A_MILLION_SAMPLES_MAX).contains(&a_million), "${a_million:.6}");
}

#[tokio::test]
#[ignore = "takes minutes: run it in release"]
async fn a_million_samples_of_a_fleet_of_full_size() {
    let mut world = World::new(170).await;
    world.go_on(5).await;
    let (before, samples) = (world.stack.usage(), world.samples);
    // To the end of the second hour, which is settled some minutes later.
    world.go_on(114).await;
    let samples = world.samples - samples;
    world.stack.roll_up(world.now + SETTLED_AFTER).await;
    let used = since(&world.stack.usage(), &before);
    let a_million = 1e6 / samples as f64;
    print("170 machines for two hours, a million samples", &used, a_million);
    assert!((0.001..A_MILLION_SAMPLES_MAX).contains(&(dollars(&used) * a_million)));
}

#[tokio::test]
async fn an_idle_stack() {
    let stack = Stack::new(START).await;
    let mut now = START;
    for _ in 0..1440 {
        now = now + MINUTE;
        stack.minute(now).await;
    }
    let mut used = stack.usage();
    used.push(("standing", standing(Duration::from_secs(86_400))));
    print("an idle month", &used, DAYS);
    let a_month = dollars(&used) * DAYS;
    assert!((0.1..IDLE_MONTH_MAX).contains(&a_month), "${a_month}");
}

/// The overview, as its script asks for it every 10 s, and a board of ten panels over the last hour that refreshes every
/// 30 s: each open for eight hours a day, beside two machines that report.
#[tokio::test]
async fn an_open_dashboard() {
    let mut world = World::new(2).await;
    world.go_on(65).await;
    let overview = vec!["/?fragment=1".to_owned()];
    check_dashboard(&mut world, "the overview", 6, |_| overview.clone(), OVERVIEW_MONTH_MAX).await;
    let board = |now: Timestamp| PANELS.iter().map(|panel| query_range(panel, now)).collect();
    check_dashboard(&mut world, "a board of ten panels", 2, board, BOARD_MONTH_MAX).await;
}

/// Looks at some minutes with a warm cache, so many refreshes in each.
async fn check_dashboard(
    world: &mut World,
    title: &str,
    refreshes: u32,
    paths: impl Fn(Timestamp) -> Vec<String>,
    max_dollars: f64,
) {
    let minutes = 3;
    let mut before = Used::new();
    for minute in 0..=minutes {
        world.go_on(1).await;
        if minute == 1 {
            before = world.stack.usage();
        }
        for refresh in 0..refreshes {
            let now = world.now + MINUTE / refreshes * refresh;
            for (process, path) in paths(now).iter().enumerate() {
                world.stack.get(process % QUERY_PROCESSES, path, now).await;
            }
        }
    }
    let mut used = since(&world.stack.usage(), &before);
    used.retain(|(function, _)| *function == "query");
    let months = OPEN_MINUTES_A_MONTH / f64::from(minutes);
    print(&format!("{title}, a month"), &used, months);
    let a_month = dollars(&used) * months;
    assert!((0.1..max_dollars).contains(&a_month), "{title}: ${a_month}");
}

const PANELS: [&str; 10] = [
    "100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))",
    "sum by (instance, mode) (rate(node_cpu_seconds_total[5m]))",
    "node_load1",
    "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes",
    "rate(node_disk_read_bytes_total[5m])",
    "rate(node_disk_written_bytes_total[5m])",
    "rate(node_network_receive_bytes_total[5m])",
    "rate(node_network_transmit_bytes_total[5m])",
    "100 * (1 - node_filesystem_avail_bytes / node_filesystem_size_bytes)",
    "sum(up)",
];

/// The last hour, a step every 15 s.
fn query_range(expression: &str, now: Timestamp) -> String {
    let end = now.as_millis() / 1000;
    let query = url_encoded(expression);
    format!("/api/v1/query_range?query={query}&start={}&end={end}&step=15", end - 3600)
}

fn url_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}
