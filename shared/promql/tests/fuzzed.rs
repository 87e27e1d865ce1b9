//! Texts that nobody would write: each is refused, or is a query that has an answer or an error. Nothing panics.
//!
//! The entry is that of the fuzz target in `tests/fuzz`; here it gets pieces of the language in any order, and
//! expressions with pieces taken out, put in or doubled. `PROPTEST_CASES` makes it run longer.

#[path = "../../../tests/fuzz/entry.rs"]
mod entry;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Texts that are expressions, to be spoilt. What libFuzzer found is among them.
const EXPRESSIONS: &[&str] = &[
    "1 / -0s",
    "sum by (l) (rate(a[5m])) / on (l) group_left (m) count(b offset 1m)",
    "histogram_quantile(0.9, rate(h[2m])) or h @ end() and ignoring (le) hc",
    "max_over_time((a - b > bool 2)[5m:30s] @ 600 offset -1m)",
    "topk(2, a) unless limit_ratio(-0.5, {__name__=~\"a|b\", l!=\"x\"})",
    "label_replace(info(info(a, {}), {x=~\".*\"}), \"n\", \"$1\", \"l\", \"(.*)\")",
    "quantile_over_time(scalar(a{l=\"x\"}), hc[1m]) </ 2 ^ -1",
    "rate(a[step() + 1m] smoothed) + fill (0) increase(b[max_of(1m, 30s)] anchored)",
    "count_values without (l) (\"v\", histogram_fraction(0, 1, sum(h) * 2 + h))",
    "predict_linear(a[10m], 600) atan2 clamp(month(), 1, -1) % 0 == 1e3",
    "histogram_quantiles(b, \"q\", 0.1, 2) or absent_over_time(c{l=\"q\"}[1m])",
    "double_exponential_smoothing(a[5m], 0.5, 0.1) * on () group_right () sort_by_label(h, \"l\")",
];

/// Pieces of the language.
const PIECES: &[&str] = &[
    "a",
    "b",
    "h",
    "hc",
    "{l=\"x\"}",
    "[5m]",
    "[1m:10s]",
    "[1m:]",
    "(",
    ")",
    "sum",
    "topk(1, ",
    "rate(",
    "irate(",
    "histogram_quantile(0.5, ",
    "avg_over_time(",
    "ts_of_max_over_time(",
    "changes(",
    "delta(",
    " by (l) ",
    " without (__name__) ",
    " offset -5m",
    " @ 900",
    " @ start()",
    " + ",
    " - ",
    "*",
    "/",
    "%",
    "^",
    " == bool ",
    " > ",
    " and ",
    " or ",
    " unless ",
    " on (l) ",
    " ignoring (m) ",
    " group_left ",
    " group_right (m) ",
    " bool ",
    "1",
    "NaN",
    "-Inf",
    "5m",
    "1e308",
    "0",
    "\"x\"",
    "'",
    "`",
    ",",
    ":",
    "-",
    "!",
    "=~",
    "</",
    ">/",
    " smoothed",
    " anchored",
    "stddev(",
    "stdvar_over_time(",
    "resets(",
    "info(",
    "scalar(",
    "vector(",
    "time()",
    "count_values(\"l\", ",
    "#",
    "\n",
    "🦀",
    "\\",
    "}",
    "]",
    "timestamp(",
    "sort(",
    "deriv(",
    "mad_over_time(",
    "label_join(",
    " fill(1) ",
    "0x",
    "1_",
];

fn pieces() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 1..14).prop_map(|pieces| pieces.concat())
}

/// An expression with a few pieces put in, and a few characters taken out or doubled.
fn spoilt() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..3_u8, proptest::sample::select(PIECES));
    (proptest::sample::select(EXPRESSIONS), proptest::collection::vec(edit, 0..4)).prop_map(|(expression, edits)| {
        let mut characters: Vec<char> = expression.chars().collect();
        for (index, kind, piece) in edits {
            let at = index.index(characters.len().max(1)).min(characters.len());
            match kind {
                0 => drop(characters.splice(at..at, piece.chars())),
                1 if at < characters.len() => drop(characters.remove(at)),
                _ => characters.extend_from_within(at..(at + 6).min(characters.len())),
            }
        }
        characters.into_iter().collect()
    })
}

/// Calls of one function or operator around another: most of them are well typed.
fn nested() -> impl Strategy<Value = String> {
    (proptest::sample::select(EXPRESSIONS), proptest::sample::select(EXPRESSIONS), 0..8_u8).prop_map(
        |(left, right, kind)| match kind {
            0 => format!("({left}) + ({right})"),
            1 => format!("avg_over_time(({left})[3m:20s])"),
            2 => format!("stddev by (l) (({left}) or ({right}))"),
            3 => format!("histogram_quantile(scalar({left}), {right})"),
            4 => format!("changes((-({left}))[10m:1m] offset 3m)"),
            5 => format!("({left}) == on (l) group_left () ({right})"),
            6 => format!("bottomk(scalar({left}), {right})"),
            _ => format!("clamp_max({left}, scalar({right})) </ ({right})"),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_122),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_text_makes_a_query_panic(choice in any::<u8>(), text in prop_oneof![spoilt(), nested(), pieces()]) {
        let bytes: Vec<u8> = std::iter::once(choice).chain(text.bytes()).collect();
        entry::promql(&bytes);
    }
}

#[test]
fn the_expressions_to_be_spoilt_are_expressions() {
    for expression in EXPRESSIONS {
        promql::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    }
}
