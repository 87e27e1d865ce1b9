//! What came out of tests, as JUnit XML.

/// The tests of one file.
#[derive(Debug, Default)]
pub(super) struct Suite {
    pub(super) name: String,
    /// When it began, such as `2026-11-22T21:05:00`.
    pub(super) timestamp: String,
    /// Why the file as a whole could not be run.
    pub(super) error: Option<String>,
    pub(super) cases: Vec<Case>,
}

/// One test.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) failures: Vec<String>,
}

/// The suites as one document.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut xml = "<testsuites>".to_owned();
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|case| case.failures.len()).sum();
        let errors = usize::from(suite.error.is_some());
        xml.push_str(&format!(
            r#"<testsuite name="{}" tests="{}" failures="{failures}" errors="{errors}" skipped="0" timestamp="{}">"#,
            escape(&suite.name),
            suite.cases.len() + errors,
            suite.timestamp
        ));
        if let Some(error) = &suite.error {
            xml.push_str(&format!(r#"<testcase name="unknown"><error>{}</error></testcase>"#, escape(error)));
        }
        for case in &suite.cases {
            xml.push_str(&format!(r#"<testcase name="{}">"#, escape(&case.name)));
            case.failures.iter().for_each(|text| xml.push_str(&format!("<failure>{}</failure>", escape(text))));
            xml.push_str("</testcase>");
        }
        xml.push_str("</testsuite>");
    }
    xml.push_str("</testsuites>");
    xml
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push_str("&#xA;"),
            '\t' => escaped.push_str("&#x9;"),
            '\r' => escaped.push_str("&#xD;"),
            c if c < ' ' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_counts_what_failed() {
        let case = Case { name: "a <b>".to_owned(), failures: vec!["x\ny".to_owned()] };
        let suite = Suite { name: "f.yml".to_owned(), timestamp: "t".to_owned(), cases: vec![case], error: None };
        assert_eq!(
            document(&[suite]),
            "<testsuites><testsuite name=\"f.yml\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" \
             timestamp=\"t\"><testcase name=\"a &lt;b&gt;\"><failure>x&#xA;y</failure></testcase></testsuite></testsuites>"
        );
    }
}
