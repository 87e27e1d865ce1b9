use super::*;

/// The whole language takes a text; a stock server refuses it with a message, or takes it as well.
fn check(text: &str, refusal: Option<&str>) {
    assert!(parse(text).is_ok(), "{text}");
    let stock = parse_as(text, Profile::Prometheus, &Limits::default()).map(|_| ()).map_err(|error| error.to_string());
    let expected = refusal.map(|message| format!("{message}{SWITCHED_OFF}"));
    assert_eq!(stock.err(), expected, "{text}");
}

#[test]
fn a_stock_server_has_no_experiments() {
    let functions = Some("1:1: parse error: function \"info\" is not enabled");
    check("info(up)", functions);
    check("1 + max_of(1, 2)", Some("1:5: parse error: function \"max_of\" is not enabled"));
    let flag = "is experimental and must be enabled with --enable-feature=promql-experimental-functions";
    check("limitk(2, up)", Some(&format!("1:1: parse error: limitk() {flag}")));
    check("sum(limit_ratio(0.5, up))", Some(&format!("1:5: parse error: limit_ratio() {flag}")));
    check("up anchored", Some("1:1: parse error: anchored modifier is experimental and not enabled"));
    check("rate(up[5m] smoothed)", Some("1:6: parse error: smoothed modifier is experimental and not enabled"));
    check("up + fill (0) up", Some("1:1: parse error: binop fill modifiers are experimental and not enabled"));
    let durations = |place| format!("{place}: parse error: experimental duration expression is not enabled");
    check("up[5m+1m]", Some(&durations("1:4")));
    check("up[5m:step()]", Some(&durations("1:7")));
    check("up offset (5m)", Some(&durations("1:11")));
    check("up offset -range()", Some(&durations("1:11")));
}

#[test]
fn gaps_are_filled_between_vectors_that_are_matched() {
    for (text, message) in [
        ("a + fill (1) 2", "1:1: parse error: filling in missing series only allowed between instant vectors"),
        (
            "1 > bool fill_left (1) a",
            "1:1: parse error: filling in missing series only allowed between instant vectors",
        ),
        ("a and fill_right (1) b", "1:1: parse error: filling in missing series not allowed for set operators"),
    ] {
        assert_eq!(parse(text).map_err(|error| error.to_string()), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn a_plain_selector_says_what_it_matches() {
    let cases = [
        ("up{job=~\"a.*\"}", Ok(2)),
        ("{__name__=\"up\"}", Ok(1)),
        ("{\"http.status\"}", Ok(1)),
        ("{}", Err("1:1: parse error: match[] must contain at least one non-empty matcher")),
        ("{job=\"\"}", Err("1:1: parse error: match[] must contain at least one non-empty matcher")),
        ("up[5m]", Err("1:1: parse error: not a series selector")),
        ("up offset 5m", Err("1:1: parse error: modifiers are not allowed in a series selector")),
        ("up{", Err("1:4: parse error: unexpected end of input inside braces")),
        ("up up", Err("1:4: parse error: unexpected identifier \"up\"")),
    ];
    for (text, expected) in cases {
        let found = parse_selector(text).map(|matchers| matchers.len()).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn a_stock_server_has_all_else() {
    for text in [
        "up offset -5m",
        "up[300] @ start()",
        "sum_over_time(up[5m:1m] offset +1h)",
        "first_over_time(up[5m])",
        "topk(3, rate(up[5m]))",
        "start{end=\"foo\"}",
        "fill + anchored",
        "{\"http.status\"}",
    ] {
        check(text, None);
    }
}
