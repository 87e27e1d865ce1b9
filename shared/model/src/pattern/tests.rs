use super::*;

fn read(pattern: &str) -> Result<Regex, PatternError> {
    whole(pattern, PATTERN_BYTES_MAX)
}

#[test]
fn patterns_mean_what_they_mean_to_re2() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        // Sets that stand for ASCII only.
        (r"\w+", &["a_1"], &["é", "東京", ""]),
        (r"\W+", &["東京", " é"], &["a"]),
        (r"\d", &["7"], &["\u{0667}"]),
        (r"[\d-]+", &["7-7"], &["\u{0667}"]),
        (r"[^\W]+", &["abc"], &["é"]),
        (r"[\D]", &["\u{0667}", "x"], &["7"]),
        (r"\s", &[" ", "\t", "\u{c}"], &["\u{b}", "\u{a0}"]),
        (r"a\b.*", &["a-", "aé"], &["ab"]),
        (r"a\B.*", &["ab"], &["a-"]),
        // What is a character of its own in brackets.
        ("[[a]pi", &["api", "[pi"], &["pi"]),
        ("[a&&p]+i", &["api", "&i"], &[]),
        ("[a-p&&[^b]]+", &["a]", "&]]", "^]"], &["a"]),
        ("[a~~b]+", &["a~b"], &["c"]),
        ("[]a]+", &["]a"], &["b"]),
        ("[^]a]+", &["b"], &["]", "a"]),
        ("[a-]+", &["a-"], &["b"]),
        ("[-a]+", &["a-"], &["b"]),
        (r"[\w-p]+", &["a-p"], &["."]),
        ("[[:alpha:]_]+", &["aB_"], &["1"]),
        ("[[:^digit:]]", &["a"], &["1"]),
        ("[[.a.]]", &["a]", ".]", "[]"], &["a"]),
        ("[!-~]", &["#"], &[" "]),
        // Escapes.
        (r"\<api\>", &["<api>"], &["api"]),
        (r"\b{start}", &[], &["", "a"]),
        (r"\Qa.b\E+", &["a.b", "a.bb"], &["aXb"]),
        (r"\Qa|b", &["a|b"], &["a", "b"]),
        (r"\141\x62\x{63}\007", &["abc\u{7}"], &[]),
        (r"\a\f\n\r\t\v\_\-\/\#\&", &["\u{7}\u{c}\n\r\t\u{b}_-/#&"], &[]),
        (r"\pL\p{Lu}\PL\p{^L}\P{^Han}", &["aB1-京"], &["aB1-a"]),
        // Flags and groups.
        ("(?i)a(?-i:b)", &["Ab", "ab"], &["AB"]),
        ("a(?)b(?:c)", &["abc"], &[]),
        ("(?ii-s).", &["a"], &["\n"]),
        ("(?U)a+", &["aa"], &[]),
        ("(?P<x>a)(?P<x>b)(?P<1>c)(?<y>d)", &["abcd"], &[]),
        // Braces that count nothing.
        ("a{,2}", &["a{,2}"], &["aa"]),
        ("a{1,b", &["a{1,b"], &[]),
        ("a{}{01}x{2}y{1,}z{1,2}?", &["a{}{01}xxyyz"], &["axyz"]),
        ("{a}]", &["{a}]"], &[]),
        ("a{0}b{1000}|", &[""], &["b"]),
        ("(|a)b|", &["ab", "b", ""], &[]),
        (".*", &["", "a\nb"], &[]),
    ];
    for (pattern, matching, other) in cases {
        let regex = read(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        matching.iter().for_each(|text| assert!(regex.is_match(text), "{pattern} does not match {text:?}"));
        other.iter().for_each(|text| assert!(!regex.is_match(text), "{pattern} matches {text:?}"));
    }
}

#[test]
fn what_re2_refuses_is_refused_in_the_words_of_go() {
    let cases = [
        ("(a", "missing closing ): `(a`"),
        ("a)|(b", "unexpected ): `a)|(b`"),
        ("a[b", "missing closing ]: `[b`"),
        ("a[]", "missing closing ]: `[]`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[a--p]", "invalid character class range: `a--`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\p{sc=Han}", r"invalid character class range: `\p{sc=Han}`"),
        (r"\pé", r"invalid character class range: `\pé`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\u0061", r"invalid escape sequence: `\u`"),
        (r"\x6", r"invalid escape sequence: `\x6`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("({2}?)", "missing argument to repetition operator: `{2}?`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a???", "invalid nested repetition operator: `???`"),
        ("a{1}{2}", "invalid nested repetition operator: `{1}{2}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        ("((x|a{10}){10}b){11}?", "invalid repeat count: `{11}?`"),
        ("(?x)a b", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?--i)a", "invalid or unsupported Perl syntax: `(?--`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?P=a)", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?", "invalid or unsupported Perl syntax: `(?`"),
        ("(?<", "invalid or unsupported Perl syntax: `(?<`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?P<é>a)", "invalid named capture: `(?P<é>`"),
        ("(?P<>a)", "invalid named capture: `(?P<>`"),
    ];
    for (pattern, reason) in cases {
        let error = read(pattern).expect_err(pattern);
        assert_eq!(error.to_string(), format!("error parsing regexp: {reason}"), "{pattern}");
    }
}

#[test]
fn groups_keep_their_numbers_and_names() {
    let regex = read(r"(?P<a>.)(?:.)(?P<a>.)(\Q(\E)").unwrap();
    let found = regex.captures("1234").is_none().then(|| regex.captures("123(").unwrap()).unwrap();
    assert_eq!((&found["a"], &found[1], &found[2], &found[3]), ("1", "1", "3", "("));
    assert_eq!(anywhere(r"\d+", PATTERN_BYTES_MAX).unwrap().replace_all("a1b22", "x"), "axbx");
}

#[test]
fn what_is_too_large_says_so() {
    let error = whole(&r"(\pL{30}){30}".repeat(3), 10_000).unwrap_err();
    assert!(error.to_string().contains("exceeds size limit of 10000 bytes"), "{error}");
}
