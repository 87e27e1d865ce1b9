use super::*;

mod receivers;

fn expand(source: &str) -> Result<String, TemplateError> {
    let pairs = [("__name__", "cpu_usage"), ("instance", "web-1:9100"), ("見", "張")];
    let labels = Labels::from_pairs(pairs).unwrap();
    let external_labels = BTreeMap::from([("region".to_owned(), "tokyo".to_owned())]);
    let environment = Environment {
        labels: &labels,
        value: 93.456,
        external_labels: &external_labels,
        external_url: "http://localhost:9090/path/prefix",
        now: Timestamp::from_secs(1_353_755_652),
        query: &|expr| match expr {
            "two" => Ok(["b", "a"].map(|name| (Labels::from_pairs([("instance", name)]).unwrap(), 11.0)).to_vec()),
            "none" => Ok(Vec::new()),
            other => Err(format!("cannot run {other:?}")),
        },
    };
    Template::parse(source)?.expand(&environment)
}

fn check(source: &str, expected: &str) {
    assert_eq!(expand(source).as_deref(), Ok(expected), "{source}");
}

#[test]
fn what_rules_write() {
    let cases = [
        ("plain 見張り", "plain 見張り"),
        ("{{ $labels.instance }} is at {{ $value }}", "web-1:9100 is at 93.456"),
        ("{{ .Labels.instance }} is at {{ .Value }}", "web-1:9100 is at 93.456"),
        ("{{ $labels.missing }}|{{ $labels.見 }}", "|張"),
        ("{{ $labels }}", "map[__name__:cpu_usage instance:web-1:9100 見:張]"),
        ("{{ $externalLabels.region }} {{ $externalURL }}", "tokyo http://localhost:9090/path/prefix"),
        ("{{ printf \"%.1f%%\" $value }}", "93.5%"),
        ("{{ $value | printf \"%.1f\" }}", "93.5"),
        ("{{ $value | humanize }} {{ 0.5 | humanizePercentage }} {{ 3661 | humanizeDuration }}", "93.46 50% 1h 1m 1s"),
        ("{{ \"web server\" | title | printf \"%q\" }}", "\"Web Server\""),
        ("{{ $labels.instance | stripPort | toUpper }}", "WEB-1"),
        ("{{ reReplaceAll \"-(\\\\d)\" \" no. $1\" \"web-1\" }}", "web no. 1"),
    ];
    for (source, expected) in cases {
        check(source, expected);
    }
}

#[test]
fn branches_variables_and_scopes() {
    let cases = [
        ("{{ if gt $value 90.0 }}high{{ else if gt $value 50.0 }}middle{{ else }}low{{ end }}", "high"),
        ("{{ if gt $value 95.0 }}high{{ else if gt $value 50.0 }}middle{{ else }}low{{ end }}", "middle"),
        ("{{ if and (gt $value 90.0) (lt $value 95.0) }}yes{{ end }}", "yes"),
        ("{{ if or false $labels.missing }}yes{{ else }}no{{ end }}", "no"),
        ("{{ if not $labels.missing }}none{{ end }}", "none"),
        ("{{ if eq $labels.instance \"a\" \"web-1:9100\" }}yes{{ end }}", "yes"),
        ("a {{- with $labels.instance }} {{ . }} {{- else }} none {{- end }} b", "a web-1:9100 b"),
        ("a {{- with $labels.missing }} {{ . }} {{- else }} none {{- end }} b", "a none b"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ $x }}{{ end }}{{ $x }}", "32"),
        ("{{ range $i, $e := query \"two\" }}{{ $i }}={{ $e.Labels.instance }} {{ end }}", "0=b 1=a "),
        (
            "{{ range query \"two\" | sortByLabel \"instance\" }}{{ .Labels.instance }}:{{ .Value }} {{ end }}",
            "a:11 b:11 ",
        ),
        ("{{ range query \"none\" }}x{{ else }}nothing{{ end }}", "nothing"),
        (
            "{{ range query \"two\" }}{{ if eq .Labels.instance \"b\" }}{{ continue }}{{ end }}{{ .Value }}{{ end }}",
            "11",
        ),
        ("{{ range query \"two\" }}{{ .Labels.instance }}{{ break }}{{ end }}", "b"),
        ("{{ define \"n\" }}<{{ . }}>{{ end }}{{ template \"n\" $value }}{{ template \"n\" \"x\" }}", "<93.456><x>"),
        ("{{ block \"n\" 5 }}[{{ . }}]{{ end }}", "[5]"),
        ("{{ query \"two\" | first | value }} {{ (query \"two\" | first).Labels.instance }}", "11 b"),
        ("{{ index $labels \"instance\" }} {{ len \"abc\" }} {{ slice \"abcd\" 1 3 }}", "web-1:9100 3 bc"),
        ("{{ printf \"%s %s\" $labels.instance .Labels.instance }}", "web-1:9100 web-1:9100"),
        ("{{ $.Labels.instance }}", "web-1:9100"),
        ("{{ with 1 }}{{ $.Value }}{{ end }}", "93.456"),
        ("{{ 1800 | toDuration }} {{ 0 | toTime }}", "30m0s 1970-01-01 00:00:00 +0000 UTC"),
        ("{{ (1800 | toDuration).Minutes }} {{ (0 | toTime).Format \"Jan 2\" }}", "30 Jan 1"),
        ("{{ $t := 0 | toTime }}{{ $t.Year }} {{ ($t.Add (60 | toDuration)).Unix }}", "1970 60"),
        ("{{ define \"n\" }}<{{ . }}>{{ end }}{{ tmpl \"n\" 5 | printf \"%s!\" }}", "<5>!"),
        ("{{ printf \"%T %T\" 1 $value }} {{ js \"it's\" }}", "int float64 it\\'s"),
    ];
    for (source, expected) in cases {
        check(source, expected);
    }
}

#[test]
fn faults_read_as_those_of_go() {
    let cases = [
        (
            "{{ humanize \"one\" }}",
            "template: t:1:115: executing \"t\" at <humanize \"one\">: error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax",
        ),
        (
            "x\n  {{ $value | gt 1 }}",
            "template: t:2:14: executing \"t\" at <gt 1>: error calling gt: incompatible types for comparison",
        ),
        (
            "{{ humanize 1 2 }}",
            "template: t:1:115: executing \"t\" at <humanize>: wrong number of args for humanize: want 1 got 2",
        ),
        ("{{ nosuch }}", "template: t:1: function \"nosuch\" not defined"),
    ];
    for (source, expected) in cases {
        assert_eq!(expand(source).unwrap_err().in_go_words("t"), expected, "{source}");
    }
}

#[test]
fn faults_are_named_with_their_line() {
    let cases = [
        ("{{ nosuch }}", "1: function \"nosuch\" not defined"),
        ("\n{{ $nosuch }}", "2: undefined variable \"$nosuch\""),
        ("{{ $nosuch = 1 }}", "1: undefined variable \"$nosuch\""),
        ("{{ if true }}", "1: a branch without {{end}}"),
        ("{{ end }}", "1: unexpected {{end}}"),
        ("{{ else }}", "1: unexpected {{else}}"),
        ("{{ break }}", "1: {{break}} outside {{range}}"),
        ("{{ $value | 1 }}", "1: a constant cannot take the result of a pipeline"),
        ("{{ }}", "1: missing value for an action"),
        (
            "{{ .Nosuch }}",
            "1: can't evaluate field Nosuch in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
        ),
        ("{{ gt $value 90 }}", "1: error calling gt: incompatible types for comparison"),
        ("{{ humanize \"one\" }}", "1: error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax"),
        ("{{ query \"none\" | first }}", "1: error calling first: first() called on vector with no elements"),
        ("{{ if false }}{{ call $value }}{{ end }}{{ call 1 2 }}", "1: error calling call: non-function 1 of type int"),
        ("{{ template \"nosuch\" }}", "1: template \"nosuch\" not defined"),
        (
            "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
            "in template \"a\", line 1: templates call each other deeper than 100",
        ),
        ("{{ range 100000 }}{{ range 100000 }}x{{ end }}{{ end }}", "1: prints more than 65536 bytes"),
        ("{{ range 100000 }}{{ range 100000 }}{{ $x := 1 }}{{ end }}{{ end }}", "1: takes more than 100000 steps"),
    ];
    for (source, expected) in cases {
        assert_eq!(expand(source).unwrap_err().to_string(), expected, "{source}");
    }
    let deep = format!("{}1{}", "{{ ( ".to_owned() + &"(".repeat(200), ")".repeat(201) + " }}");
    assert_eq!(expand(&deep).unwrap_err().to_string(), "1: nested deeper than 100");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(source in r#"(\{\{|\}\}|-| |\(|\)|\.|\$|x|if|end|else|range|:=|=|\||,|"|'|`|1|e|labels|printf|%|/\*|\*/|\n|見)*"#) {
        // Whatever comes out is fine: a text or a fault.
        let outcome = expand(&source);
        proptest::prop_assert!(outcome.is_ok() || outcome.is_err());
    }
}
