//! The text format and metric streams against the tables, pages and requests of other projects, read in place from the
//! folder in `MIHARI_CORPORA`; one trial a case, ignored when the variable is unset.

#![expect(clippy::unwrap_used, reason = "a corpus that cannot be read is a failure")]

#[path = "corpora/metric_streams.rs"]
mod metric_streams;

use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use model::{Labels, Limits, Metadata, Timestamp};
use serde_json::Value;

/// What a page gives: labels, value, time in milliseconds.
type Read = Vec<(String, String, i64)>;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn main() {
    #[expect(clippy::disallowed_methods, reason = "a test harness is its own main")]
    let folder = std::env::var("MIHARI_CORPORA").ok().map(PathBuf::from);
    let trials = match folder {
        Some(folder) => {
            let trials = trials(&folder);
            assert!(!trials.is_empty(), "no case under {}", folder.display());
            trials
        }
        None => vec![Trial::test("corpora (set MIHARI_CORPORA)", || Ok(())).with_ignored_flag(true)],
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trials(folder: &Path) -> Vec<Trial> {
    let mut trials = metric_streams::trials(folder);
    for (index, case) in cases(folder, "expfmt_text_ok").into_iter().enumerate() {
        trials.push(Trial::test(format!("expfmt_text_ok {index}"), move || accepts(&case)));
    }
    for (table, input) in [("expfmt_text_errors", "in"), ("prom_text_errors", "input")] {
        for (index, case) in cases(folder, table).into_iter().enumerate() {
            trials.push(Trial::test(format!("{table} {index}"), move || refuses(&case, input)));
        }
    }
    for page in ["alltypes.237mfs.prom.txt", "e2e-output.txt", "prometheus_machine_metrics", "prometheus_metrics"] {
        let path = folder.join("exposition-dumps").join(page);
        trials.push(Trial::test(format!("page {page}"), move || reads_every_line(&path)));
    }
    trials
}

fn cases(folder: &Path, table: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("facts").join(format!("{table}.json"))).unwrap();
    let Value::Object(mut whole) = serde_json::from_str(&text).unwrap() else { panic!("{table} is an object") };
    whole.remove("cases").unwrap().as_array().unwrap().clone()
}

/// An accepted page gives exactly the families that the case lists.
fn accepts(case: &Value) -> Result<(), Failed> {
    let (mut read, said) = read(&input(&case["in"]))?;
    let mut expected: Read = case["out"].as_array().unwrap().iter().flat_map(family).collect();
    read.sort();
    expected.sort();
    if read != expected {
        return Err(format!("read {read:#?}\nexpected {expected:#?}").into());
    }
    case["out"].as_array().unwrap().iter().try_for_each(|family| says(&said, family))
}

/// The help and the type that a case lists are what the page says.
fn says(said: &[Metadata], family: &Value) -> Result<(), Failed> {
    let found = said.iter().find(|one| one.metric == text(&family["Name"]));
    let help = family.get("Help").map_or_else(String::new, text);
    let metric_type = family["Type"]["$expr"].as_str().and_then(|name| name.strip_prefix("dto.MetricType_"));
    let metric_type = metric_type.and_then(|name| name.strip_suffix(".Enum()")).map(str::to_lowercase);
    let metric_type = metric_type.filter(|name| name != "untyped").unwrap_or_else(|| "unknown".to_owned());
    let metric_type = metric_type.replace('_', "");
    let is_said = match found {
        // The tables have lost blanks that stand beside others.
        Some(one) => one.help.split_whitespace().eq(help.split_whitespace()) && one.metric_type.as_str() == metric_type,
        None => help.is_empty() && metric_type == "unknown",
    };
    if is_said { Ok(()) } else { Err(format!("{found:?} was read, expected {metric_type} and {help:?}").into()) }
}

/// A refused page is refused at the line that the case names; a case without an error is a page to accept.
fn refuses(case: &Value, field: &str) -> Result<(), Failed> {
    let page = input(&case[field]);
    let expected = case.get("errUTF8").or_else(|| case.get("err")).and_then(Value::as_str).unwrap();
    match (read(&page), expected) {
        (Ok(_), "") => Ok(()),
        (Ok((read, _)), _) => Err(format!("read {read:?}, expected {expected:?}").into()),
        (Err(error), _) => {
            let line =
                expected.strip_prefix("text format parsing error in line ").and_then(|rest| rest.split_once(':'));
            let right_line = line.is_none_or(|(line, _)| error.starts_with(&format!("line {line}: ")));
            if right_line && !expected.is_empty() {
                Ok(())
            } else {
                Err(format!("{error}, expected {expected:?}").into())
            }
        }
    }
}

/// A real page gives one sample a line that is no comment, with the value that stands last on it.
fn reads_every_line(path: &Path) -> Result<(), Failed> {
    let page = std::fs::read(path)?;
    let (read, _) = read(&page)?;
    let text = String::from_utf8(page)?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    if lines.len() != read.len() {
        return Err(format!("{} lines, {} samples", lines.len(), read.len()).into());
    }
    for (line, (labels, value, millis)) in lines.into_iter().zip(read) {
        let name = line.split(['{', ' ']).next().unwrap();
        let mut words = line.rsplit(' ');
        let last = words.next().unwrap();
        let stamped = millis != NOW.as_millis();
        let written = if stamped { words.next().unwrap() } else { last };
        let same_value = written.parse::<f64>().unwrap().to_string() == value;
        if !labels.starts_with(name) || !same_value || (stamped && last.parse::<i64>()? != millis) {
            return Err(format!("{line:?} was read as {labels} {value} {millis}").into());
        }
    }
    Ok(())
}

fn read(page: &[u8]) -> Result<(Read, Vec<Metadata>), String> {
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    let limits = Limits { sample_age_max: century, sample_ahead_max: century, ..Limits::default() };
    let page = wire::exposition::parse(page, &[], NOW, &limits).map_err(|error| error.to_string())?;
    let one = |series: model::BatchSeries<'_>| {
        (series.labels.to_string(), series.values[0].to_string(), series.timestamps[0].as_millis())
    };
    Ok((page.batch.iter().map(one).collect(), page.metadata))
}

/// The bytes of a case, which stand there as text or in hexadecimal.
fn input(value: &Value) -> Vec<u8> {
    match value.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let digits = value["$bytes_hex"].as_str().unwrap();
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
        }
    }
}

/// The series of a family as the tables list them.
fn family(family: &Value) -> Read {
    let name = text(&family["Name"]);
    let mut read = Vec::new();
    for metric in family["Metric"].as_array().unwrap() {
        let labels: Vec<(String, String)> = metric["Label"]
            .as_array()
            .map(|labels| labels.iter().map(|label| (text(&label["Name"]), text(&label["Value"]))).collect())
            .unwrap_or_default();
        let millis = metric.get("TimestampMs").map_or(NOW.as_millis(), |time| argument(time).parse().unwrap());
        for (suffix, bound, value) in points(metric) {
            let mut pairs = labels.clone();
            pairs.push(("__name__".to_owned(), format!("{name}{suffix}")));
            pairs.extend(bound.map(|bound| ("le".to_owned(), bound)));
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            read.push((Labels::from_pairs(pairs).unwrap().to_string(), value.to_string(), millis));
        }
    }
    read
}

/// Suffix, upper bound and value of each series of one metric.
fn points(metric: &Value) -> Vec<(&'static str, Option<String>, f64)> {
    for kind in ["Counter", "Gauge", "Untyped"] {
        if let Some(simple) = metric.get(kind) {
            return vec![("", None, number(&simple["Value"]))];
        }
    }
    let histogram = &metric["Histogram"];
    let count = histogram.get("SampleCount").unwrap_or(&histogram["SampleCountFloat"]);
    let mut points = vec![("_sum", None, number(&histogram["SampleSum"])), ("_count", None, number(count))];
    for bucket in histogram["Bucket"].as_array().unwrap() {
        let bound = argument(&bucket["UpperBound"]).replace("math.Inf(+1)", "+Inf");
        let count = bucket.get("CumulativeCount").unwrap_or(&bucket["CumulativeCountFloat"]);
        points.push(("_bucket", Some(bound), number(count)));
    }
    points
}

fn text(value: &Value) -> String {
    serde_json::from_str(&argument(value)).unwrap()
}

fn number(value: &Value) -> f64 {
    match argument(value).as_str() {
        "math.NaN()" => f64::NAN,
        "math.Inf(+1)" => f64::INFINITY,
        "math.Inf(-1)" => f64::NEG_INFINITY,
        plain => plain.parse().unwrap(),
    }
}

/// What stands between the outer brackets of `proto.String("x")`.
fn argument(value: &Value) -> String {
    let expression = value["$expr"].as_str().unwrap();
    expression[expression.find('(').unwrap() + 1..expression.rfind(')').unwrap()].to_owned()
}
