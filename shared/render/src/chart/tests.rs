use super::*;
use crate::Zone;
use model::Language;

fn reader() -> Reader {
    let zone = Zone::named("Asia/Tokyo").unwrap();
    Reader { language: Language::English, zone, now: Timestamp::from_secs(4000) }
}

fn chart(points: &[(i64, f64)]) -> Chart {
    Chart {
        id: "cpu".to_owned(),
        title: "CPU <usage>".to_owned(),
        unit: Unit::Percent,
        range: TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(1000)),
        gap: Duration::from_secs(100),
        lines: vec![Line {
            name: "host \"a\"".to_owned(),
            points: points.iter().map(|&(secs, value)| (Timestamp::from_secs(secs), value)).collect(),
            is_ghost: false,
        }],
        thresholds: vec![Threshold { severity: State::Warning, value: 70.0 }],
        reach: None,
        note: None,
    }
}

fn path_of(chart: &Chart) -> String {
    curve::path(chart, &chart.lines[0], &Axis::of(chart))
}

#[test]
fn a_gap_stays_a_gap() {
    let cases = [
        (&[(0, 0.0), (100, 100.0)][..], "M0 168L100 0", ""),
        (&[(0, 0.0), (100, 100.0), (300, 50.0), (400, 50.0)], "M0 168L100 0M300 84L400 84", ""),
        (&[(0, 0.0), (100, f64::NAN), (200, 100.0)], "", "M0 168L0 168M200 0L200 0"),
        (&[(0, 100.0), (100, f64::INFINITY), (200, 0.0), (300, 0.0)], "M200 168L300 168", "M0 0L0 0"),
        (&[(-100, 100.0), (0, 100.0), (1100, 3.0)], "", "M0 0L0 0"),
        (&[], "", ""),
    ];
    for (points, line, dots) in cases {
        let chart = chart(points);
        assert_eq!(path_of(&chart), line, "{points:?}");
        assert_eq!(curve::dots(&chart, &chart.lines[0], &Axis::of(&chart)), dots, "{points:?}");
    }
}

#[test]
fn an_area_goes_down_to_zero_on_both_sides_of_a_gap() {
    let chart = chart(&[(0, 100.0), (100, 50.0), (500, 100.0), (600, 100.0)]);
    let area = curve::area(&chart, &chart.lines[0], &Axis::of(&chart));
    assert_eq!(area, "M0 0L100 84L100 168L0 168ZM500 0L600 0L600 168L500 168Z");
}

#[test]
fn a_threshold_is_shown_when_the_values_come_near_it() {
    let threshold = |points: &[(i64, f64)]| figure(&chart(points), &reader(), 3).into_string().contains("Warning 70%");
    assert!(!threshold(&[(0, 5.0), (100, 9.0)]));
    assert!(threshold(&[(0, 5.0), (100, 45.0)]));
    assert!(threshold(&[(0, 80.0)]));
}

#[test]
fn the_figure_escapes_names_and_says_the_same_as_a_table() {
    let html = figure(&chart(&[(0, 5.0), (100, 9.0)]), &reader(), 3).into_string();
    assert!(html.contains("<h3>CPU &lt;usage&gt;</h3>") && !html.contains("<usage>"), "{html}");
    assert!(html.contains("host &quot;a&quot;: last 9.00%"), "{html}");
    assert!(
        html.contains(r#"<time datetime="1970-01-01T09:01:40+09:00">1970-01-01 09:01:40</time></th><td>9.00%</td>"#)
    );
    assert!(html.contains("UTC+09:00"));
    assert!(!html.contains("style=") && !html.contains("<script"), "{html}");
}

#[test]
fn without_values_it_says_so_and_has_no_table() {
    let html = figure(&chart(&[]), &reader(), 3).into_string();
    assert!(html.contains("No data in this range") && !html.contains("<details"), "{html}");
}

#[test]
fn the_readout_lines_up_series_with_different_times() {
    let mut chart = chart(&[(0, 1.0), (200, 3.0)]);
    chart.lines.push(Line {
        name: "b".to_owned(),
        points: vec![(Timestamp::from_millis(100_500), 123_456.789), (Timestamp::from_secs(200), f64::NAN)],
        is_ghost: false,
    });
    let readout: serde_json::Value = serde_json::from_str(&readout(&chart, &Axis::of(&chart), &reader())).unwrap();
    assert_eq!(readout["times"], serde_json::json!([0.0, 100.5, 200.0]));
    assert_eq!(readout["values"], serde_json::json!([[1.0, null, 3.0], [null, 123_460.0, null]]));
    assert_eq!(readout["zone"], "Asia/Tokyo");
}

#[test]
fn the_largest_numbers_stay_on_the_plot() {
    for value in [f64::MAX, f64::MIN, f64::MIN_POSITIVE] {
        let path = path_of(&chart(&[(0, value), (100, 0.0)]));
        assert!(!path.contains("NaN") && !path.contains("inf"), "{value}: {path}");
    }
}
