//! Families to text.

use super::{Family, Point, is_classic_label_name, is_classic_metric_name};

/// Writes a page.
pub fn encode(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        let name = if is_classic_metric_name(&family.name) { family.name.clone() } else { quoted(&family.name) };
        if !family.help.is_empty() {
            text.push_str(&format!("# HELP {name} {}\n", family.help.replace('\\', r"\\").replace('\n', r"\n")));
        }
        text.push_str(&format!("# TYPE {name} {}\n", family.family_type.as_str()));
        for point in &family.points {
            push_point(&mut text, &family.name, point);
        }
    }
    text
}

fn push_point(text: &mut String, family: &str, point: &Point) {
    let name = format!("{family}{}", point.suffix);
    let label = |(name, value): &(String, String)| {
        let name = if is_classic_label_name(name) { name.clone() } else { quoted(name) };
        format!("{name}={}", quoted(value))
    };
    let mut inside: Vec<String> = point.labels.iter().map(label).collect();
    if is_classic_metric_name(&name) {
        text.push_str(&name);
    } else {
        inside.insert(0, quoted(&name));
    }
    if !inside.is_empty() {
        text.push_str(&format!("{{{}}}", inside.join(",")));
    }
    text.push(' ');
    text.push_str(&number(point.value));
    if let Some(timestamp) = point.timestamp {
        text.push_str(&format!(" {}", timestamp.as_millis()));
    }
    text.push('\n');
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\""))
}

/// Writes a number with the fewest digits that read back the same: plain for exponents from -4 to 5, else with an
/// exponent of at least two digits; `NaN`, `+Inf` and `-Inf`.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("this form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a small number");
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
