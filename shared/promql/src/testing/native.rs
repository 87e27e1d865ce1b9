//! Native histograms in scripts: `{{schema:0 count:4 sum:5 buckets:[1 2 1]}}`, and those made of classic ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Buckets, CounterReset, Histogram, HistogramParts, Labels, METRIC_NAME, Schema, fold_histograms};

use super::compare::almost_equal;
use crate::value::format_float;

/// A histogram as it was written down.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) histogram: Arc<Histogram>,
    /// Whether the text says something about counter resets.
    pub(super) has_hint: bool,
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.histogram == other.histogram
    }
}

impl Written {
    /// Whether a histogram is this one but for rounding.
    pub(super) fn fits(&self, found: &Histogram) -> bool {
        let (wanted, found) = (self.histogram.parts(), found.parts());
        let hints_fit = !self.has_hint || wanted.counter_reset == found.counter_reset;
        let bounds = |parts: &HistogramParts| match &parts.schema {
            Schema::Custom(bounds) => bounds.to_vec(),
            Schema::Exponential(_) => Vec::new(),
        };
        let (bounds_wanted, bounds_found) = (bounds(wanted), bounds(found));
        hints_fit
            && wanted.schema.number() == found.schema.number()
            && bounds_wanted.len() == bounds_found.len()
            && bounds_wanted.iter().zip(&bounds_found).all(|(left, right)| almost_equal(*left, *right))
            && almost_equal(wanted.zero_threshold, found.zero_threshold)
            && almost_equal(wanted.zero_count, found.zero_count)
            && almost_equal(wanted.count, found.count)
            && almost_equal(wanted.sum, found.sum)
            && same_buckets(&wanted.positive, &found.positive)
            && same_buckets(&wanted.negative, &found.negative)
    }
}

fn same_buckets(wanted: &Buckets, found: &Buckets) -> bool {
    let mut pairs: BTreeMap<i32, (f64, f64)> = BTreeMap::new();
    wanted.iter().for_each(|(index, count)| pairs.entry(index).or_default().0 = count);
    found.iter().for_each(|(index, count)| pairs.entry(index).or_default().1 = count);
    pairs.values().all(|(wanted, found)| almost_equal(*wanted, *found))
}

/// Reads what stands between double braces.
pub(super) fn read(text: &str) -> Result<Written, String> {
    let mut fields = Fields::default();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("{rest:?} is no property of a histogram"))?;
        let value_end = match after.strip_prefix('[') {
            Some(list) => list.find(']').ok_or("a list is not closed")? + 2,
            None => after.find(char::is_whitespace).unwrap_or(after.len()),
        };
        let (value, behind) = after.split_at(value_end);
        fields.set(key.trim(), value)?;
        rest = behind.trim_start();
    }
    fields.finish()
}

#[derive(Default)]
struct Fields {
    numbers: BTreeMap<String, f64>,
    lists: BTreeMap<String, Vec<f64>>,
    hint: Option<CounterReset>,
}

impl Fields {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let bad = |value: &str| format!("{value:?} is no value of {key:?} of a histogram");
        match key {
            "counter_reset_hint" => {
                self.hint = Some(match value {
                    "unknown" => CounterReset::Unknown,
                    "reset" => CounterReset::Reset,
                    "not_reset" => CounterReset::NotReset,
                    "gauge" => CounterReset::Gauge,
                    other => return Err(bad(other)),
                });
            }
            "schema" | "sum" | "count" | "z_bucket" | "z_bucket_w" | "offset" | "n_offset" => {
                self.numbers.insert(key.to_owned(), value.parse().map_err(|_| bad(value))?);
            }
            "buckets" | "n_buckets" | "custom_values" => {
                let list = value.strip_prefix('[').and_then(|list| list.strip_suffix(']')).ok_or_else(|| bad(value))?;
                let numbers: Result<Vec<f64>, _> = list.split_whitespace().map(str::parse).collect();
                self.lists.insert(key.to_owned(), numbers.map_err(|_| bad(value))?);
            }
            other => return Err(format!("{other:?} is no property of a histogram")),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Written, String> {
        let number = |key: &str| self.numbers.get(key).copied().unwrap_or(0.0);
        let mut list = |key: &str| self.lists.remove(key).unwrap_or_default();
        let bounds = list("custom_values");
        let run = |offset: i32, counts| Buckets::from_run(offset, counts).map_err(|error| error.to_string());
        let parts = HistogramParts {
            schema: Schema::new(whole(number("schema"))?, &bounds).map_err(|error| error.to_string())?,
            counter_reset: self.hint.unwrap_or_default(),
            count: number("count"),
            sum: number("sum"),
            zero_threshold: number("z_bucket_w"),
            zero_count: number("z_bucket"),
            positive: run(whole(number("offset"))?, list("buckets"))?,
            negative: run(whole(number("n_offset"))?, list("n_buckets"))?,
        };
        let histogram = Histogram::new(parts).map_err(|error| error.to_string())?;
        Ok(Written { histogram: Arc::new(histogram), has_hint: self.hint.is_some() })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn whole(number: f64) -> Result<i32, String> {
    if number.fract() == 0.0 && number.abs() < 1e9 { Ok(number as i32) } else { Err(format!("{number} is not whole")) }
}

/// The histogram and so many more, each with a step added or taken away.
pub(super) fn series(first: &Written, step: &Written, is_added: bool, count: usize) -> Result<Vec<Written>, String> {
    let mut all = vec![first.clone()];
    let mut last = first.clone();
    for _ in 0..count {
        let sign = if is_added { 1.0 } else { -1.0 };
        let folded = fold_histograms(&[&last.histogram, &step.histogram], |numbers| numbers[0] + sign * numbers[1]);
        last.histogram = Arc::new(folded.map_err(|error| error.to_string())?.histogram);
        all.push(last.clone());
    }
    Ok(all)
}

/// A histogram in the notation that [`read`] reads, its buckets in one run.
pub(super) fn written(histogram: &Histogram) -> String {
    let parts = histogram.parts();
    let mut fields = Vec::new();
    if parts.schema.number() != 0 {
        fields.push(format!("schema:{}", parts.schema.number()));
    }
    let numbers = [
        ("count", parts.count),
        ("sum", parts.sum),
        ("z_bucket", parts.zero_count),
        ("z_bucket_w", parts.zero_threshold),
    ];
    fields.extend(
        numbers
            .into_iter()
            .filter(|(_, value)| *value != 0.0)
            .map(|(key, value)| format!("{key}:{}", format_float(value))),
    );
    let list = |values: &[f64]| values.iter().map(|value| format_float(*value)).collect::<Vec<_>>().join(" ");
    if let Schema::Custom(bounds) = &parts.schema {
        fields.push(format!("custom_values:[{}]", list(bounds)));
    }
    match parts.counter_reset {
        CounterReset::Unknown => {}
        CounterReset::Reset => fields.push("counter_reset_hint:reset".to_owned()),
        CounterReset::NotReset => fields.push("counter_reset_hint:not_reset".to_owned()),
        CounterReset::Gauge => fields.push("counter_reset_hint:gauge".to_owned()),
    }
    for (offset_key, key, buckets) in
        [("offset", "buckets", &parts.positive), ("n_offset", "n_buckets", &parts.negative)]
    {
        let counts: BTreeMap<i32, f64> = buckets.iter().filter(|(_, count)| *count != 0.0).collect();
        let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
            continue;
        };
        if first != 0 {
            fields.push(format!("{offset_key}:{first}"));
        }
        let run: Vec<f64> = (first..=last).map(|index| counts.get(&index).copied().unwrap_or(0.0)).collect();
        fields.push(format!("{key}:[{}]", list(&run)));
    }
    format!("{{{{{}}}}}", fields.join(" "))
}

/// What storage knows of resets: histograms that went on counting lie in one chunk, the first of which says nothing.
pub(super) fn with_stored_hint(histogram: &Arc<Histogram>, before: Option<&Arc<Histogram>>) -> Arc<Histogram> {
    let hint = histogram.counter_reset();
    if hint == CounterReset::Gauge {
        return Arc::clone(histogram);
    }
    let plain = histogram.as_ref().clone().with_counter_reset(CounterReset::Unknown);
    let goes_on = before.is_some_and(|before| {
        before.counter_reset() != CounterReset::Gauge
            && hint != CounterReset::Reset
            && before.schema() == plain.schema()
            && before.parts().zero_threshold.to_bits() == plain.parts().zero_threshold.to_bits()
            && !plain.is_reset_since(before)
    });
    Arc::new(if goes_on { plain.with_counter_reset(CounterReset::NotReset) } else { plain })
}

/// Classic histograms on their way to become native ones.
#[derive(Debug, Default)]
pub(super) struct Classic(BTreeMap<Labels, BTreeMap<i64, Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// Upper bounds and how many observations are below.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

impl Classic {
    /// Takes in a sample of a series of a classic histogram.
    pub(super) fn add(&mut self, labels: &Labels, time: i64, value: f64) {
        let name = labels.metric_name();
        let Some((base, suffix)) =
            name.rsplit_once('_').filter(|(_, last)| matches!(*last, "bucket" | "count" | "sum"))
        else {
            return;
        };
        let upper = labels.get("le").and_then(|le| le.parse::<f64>().ok());
        let Ok(base) = labels.to_builder().remove("le").set(METRIC_NAME, base).build() else { return };
        let counts = self.0.entry(base).or_default().entry(time).or_default();
        match (suffix, upper) {
            ("bucket", Some(upper)) if !counts.buckets.iter().any(|(bound, _)| bound.to_bits() == upper.to_bits()) => {
                counts.buckets.push((upper, value));
            }
            ("count", _) => counts.count = Some(value),
            ("sum", _) => counts.sum = value,
            _ => {}
        }
    }

    /// The native histograms with custom buckets, by series and time.
    pub(super) fn finish(self) -> Result<Vec<(Labels, i64, Arc<Histogram>)>, String> {
        let mut all = Vec::new();
        for (labels, times) in self.0 {
            for (time, counts) in times {
                if !counts.buckets.is_empty() {
                    let histogram = counts.native().map_err(|error| format!("{labels}: {error}"))?;
                    all.push((labels.clone(), time, Arc::new(histogram)));
                }
            }
        }
        Ok(all)
    }
}

impl Counts {
    fn native(mut self) -> Result<Histogram, String> {
        self.buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let highest = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(highest);
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut below = 0.0;
        let mut own = Vec::new();
        for (_, count) in &self.buckets {
            if *count < below {
                return Err("counts of buckets fall".to_owned());
            }
            own.push(count - below);
            below = *count;
        }
        let bounds: Vec<f64> = self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect();
        let parts = HistogramParts {
            schema: Schema::new(-53, &bounds).map_err(|error| error.to_string())?,
            count,
            sum: self.sum,
            positive: Buckets::from_run(0, own).map_err(|error| error.to_string())?,
            ..HistogramParts::default()
        };
        Histogram::new(parts).map(Histogram::compact).map_err(|error| error.to_string())
    }
}
