//! Who is on call when: turns, zones, changes of daylight-saving time, exceptions.

use model::TimeRange;

use super::super::{OnCall, calendar};
use super::{at, read};

fn rota(body: &str) -> OnCall {
    read(&format!(
        "people: {{ aiko: {{ name: '佐藤 愛子, 主任' }}, ben: {{}}, chie: {{}} }}\nrotas:\n  primary:\n{body}"
    ))
}

fn check(body: &str, cases: &[(&str, &str)]) {
    let on_call = rota(body);
    let who = |moment: &str| on_call.rotas["primary"].on_duty(at(moment)).unwrap_or("nobody");
    let found: Vec<(&str, &str)> = cases.iter().map(|(moment, _)| (*moment, who(moment))).collect();
    assert_eq!(found, cases, "{body}");
}

#[test]
fn turns_go_round_at_the_local_time() {
    check(
        "    time_zone: Asia/Tokyo\n    layers: [{ people: [aiko, ben], turn: weekly, start: '2026-11-02T09:00' }]",
        &[
            ("2026-11-01T23:59:59Z", "nobody"),
            ("2026-11-02T00:00:00Z", "aiko"),
            ("2026-11-08T23:59:59Z", "aiko"),
            ("2026-11-09T00:00:00Z", "ben"),
            ("2026-11-16T00:00:00Z", "aiko"),
            ("2027-11-01T00:00:00Z", "aiko"),
            ("2027-11-08T00:00:00Z", "ben"),
        ],
    );
    check(
        "    layers: [{ people: [aiko, ben, chie], turn: daily, start: '2026-02-27T00:00' }]",
        &[
            ("2026-02-28T23:59:59Z", "ben"),
            ("2026-03-01T00:00:00Z", "chie"),
            ("2026-03-02T12:00:00Z", "aiko"),
            ("2026-12-31T23:59:59Z", "ben"),
            ("2027-01-01T00:00:00Z", "chie"),
        ],
    );
    check(
        "    layers: [{ people: [aiko, ben], turn: 2 weeks, start: '2026-11-02T00:00' }]",
        &[("2026-11-15T23:59:59Z", "aiko"), ("2026-11-16T00:00:00Z", "ben"), ("2026-11-30T00:00:00Z", "aiko")],
    );
}

#[test]
fn a_month_that_lacks_the_day_hands_over_on_its_last_one() {
    check(
        "    layers: [{ people: [aiko, ben, chie], turn: monthly, start: '2026-01-31T09:00' }]",
        &[
            ("2026-02-28T08:59:59Z", "aiko"),
            ("2026-02-28T09:00:00Z", "ben"),
            ("2026-03-30T12:00:00Z", "ben"),
            ("2026-03-31T09:00:00Z", "chie"),
            ("2026-04-30T09:00:00Z", "aiko"),
            ("2028-02-29T08:59:59Z", "aiko"),
            ("2028-02-29T09:00:00Z", "ben"),
        ],
    );
}

#[test]
fn a_turn_keeps_its_time_of_day_over_a_change_of_summer_time() {
    // New York springs forward on 8 March 2026 at 02:00 and falls back on 1 November at 02:00.
    let daily = |start: &str| {
        format!(
            "    time_zone: America/New_York\n    layers: [{{ people: [aiko, ben], turn: daily, start: '{start}' }}]"
        )
    };
    check(
        &daily("2026-03-07T09:00"),
        &[
            ("2026-03-07T14:00:00Z", "aiko"),
            ("2026-03-08T12:59:59Z", "aiko"),
            ("2026-03-08T13:00:00Z", "ben"),
            ("2026-03-09T13:00:00Z", "aiko"),
        ],
    );
    // 02:30 does not exist on the 8th: the turn begins at 03:30 of summer time.
    check(
        &daily("2026-03-07T02:30"),
        &[("2026-03-08T07:29:59Z", "aiko"), ("2026-03-08T07:30:00Z", "ben"), ("2026-03-09T06:30:00Z", "aiko")],
    );
    // 01:30 comes twice on 1 November: the first one counts.
    check(
        &daily("2026-10-31T01:30"),
        &[
            ("2026-11-01T05:29:59Z", "aiko"),
            ("2026-11-01T05:30:00Z", "ben"),
            ("2026-11-01T06:30:00Z", "ben"),
            ("2026-11-02T06:30:00Z", "aiko"),
        ],
    );
}

#[test]
fn the_sun_is_followed_round_the_world() {
    let sun = "    layers:
      - { people: [chie], turn: weekly, start: '2026-01-01T00:00' }
      - { time_zone: Asia/Tokyo, people: [aiko], turn: weekly, start: '2026-01-01T00:00', hours: [{ from: '09:00', until: '17:00' }] }
      - { time_zone: Europe/Berlin, people: [ben], turn: weekly, start: '2026-01-01T00:00', hours: [{ from: '09:00', until: '17:00', weekdays: [monday, tuesday, wednesday, thursday, friday] }] }";
    check(
        sun,
        &[
            ("2026-01-14T00:00:00Z", "aiko"),
            ("2026-01-14T07:59:59Z", "aiko"),
            ("2026-01-14T08:00:00Z", "ben"),
            ("2026-01-14T15:59:59Z", "ben"),
            ("2026-01-14T16:00:00Z", "chie"),
            // In summer Berlin begins an hour earlier, and stands above Tokyo.
            ("2026-07-15T06:59:59Z", "aiko"),
            ("2026-07-15T07:00:00Z", "ben"),
            // On Saturday Berlin does not work.
            ("2026-01-17T08:00:00Z", "chie"),
        ],
    );
    check(
        "    time_zone: Asia/Tokyo\n    layers: [{ people: [aiko], turn: weekly, start: '2026-01-01T00:00', hours: [{ from: '22:00', until: '06:00', weekdays: [friday] }] }]",
        &[
            ("2026-01-16T12:59:59Z", "nobody"),
            ("2026-01-16T13:00:00Z", "aiko"),
            ("2026-01-16T20:59:59Z", "aiko"),
            ("2026-01-16T21:00:00Z", "nobody"),
            ("2026-01-15T20:00:00Z", "nobody"),
        ],
    );
}

const OVERRIDES: &str = "    time_zone: Asia/Tokyo
    layers: [{ people: [aiko, ben], turn: weekly, start: '2026-11-02T09:00' }]
overrides:
  - { rota: primary, person: chie, from: '2026-11-30T00:00', until: '2026-12-02T00:00' }
  - { rota: primary, person: ben, from: '2026-12-01T12:00', until: '2026-12-03T00:00' }";

#[test]
fn of_overrides_that_overlap_the_later_one_counts() {
    check(
        OVERRIDES,
        &[
            ("2026-11-29T14:59:59Z", "ben"),
            ("2026-11-29T15:00:00Z", "chie"),
            ("2026-12-01T02:59:59Z", "chie"),
            ("2026-12-01T03:00:00Z", "ben"),
            ("2026-12-01T15:00:00Z", "ben"),
            ("2026-12-02T15:00:00Z", "aiko"),
        ],
    );
}

#[test]
fn shifts_are_the_answers_for_every_moment() {
    let range = TimeRange::new(at("2026-10-20T00:00:00Z"), at("2026-12-20T00:00:00Z"));
    for body in [
        OVERRIDES,
        "    layers:
      - { time_zone: Europe/Berlin, people: [aiko, ben], turn: daily, start: '2026-01-01T02:30' }
      - { time_zone: America/New_York, people: [chie], turn: weekly, start: '2026-01-01T00:00', hours: [{ from: '22:00', until: '06:00' }] }",
    ] {
        let on_call = rota(body);
        let rota = &on_call.rotas["primary"];
        let shifts = rota.shifts(range);
        assert!(shifts.windows(2).all(|pair| pair[0].until <= pair[1].from), "in order");
        let mut moment = range.start;
        while moment < range.end {
            let shift = shifts.iter().find(|shift| shift.from <= moment && moment < shift.until);
            assert_eq!(shift.map(|shift| shift.person.as_str()), rota.on_duty(moment), "{moment:?}");
            moment = moment + std::time::Duration::from_secs(600);
        }
    }
}

#[test]
fn a_calendar_file_holds_the_shifts() {
    let on_call = rota(OVERRIDES);
    let range = TimeRange::new(at("2026-11-02T00:00:00Z"), at("2026-11-16T00:00:00Z"));
    let shifts = on_call.rotas["primary"].shifts(range);
    let text = calendar(&on_call, "primary", &shifts, at("2026-11-01T12:34:56Z"));
    assert!(text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n") && text.ends_with("END:VCALENDAR\r\n"));
    assert_eq!(text.matches("BEGIN:VEVENT").count(), 2);
    for line in [
        "DTSTART:20261102T000000Z",
        "DTEND:20261109T000000Z",
        "DTSTAMP:20261101T123456Z",
        "SUMMARY:佐藤 愛子\\, 主任 (primary)",
        "SUMMARY:ben (primary)",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} is not in {text}");
    }
    assert!(text.lines().all(|line| line.len() <= 75));
    let uids = |text: &str| text.lines().filter(|line| line.starts_with("UID:")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(uids(&text), uids(&calendar(&on_call, "primary", &shifts, at("2026-11-02T00:00:00Z"))));
    let long = "長".repeat(60);
    let folded = calendar(&on_call, &long, &shifts, at("2026-11-01T12:34:56Z"));
    assert!(folded.split("\r\n").all(|line| line.len() <= 75));
    assert!(folded.replace("\r\n ", "").contains(&format!("X-WR-CALNAME:{long}\r\n")));
}
