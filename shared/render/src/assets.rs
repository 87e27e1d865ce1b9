//! Our own style sheets, script and mark, carried in the binary and served under names that change with their content.

use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64;

/// A file under `/assets/`.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its path, with a hash of its content: may be cached for ever.
    pub path: String,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub content: &'static str,
}

const STYLE: &str = concat!(
    include_str!("../assets/tokens.css"),
    include_str!("../assets/chart.css"),
    include_str!("../assets/page.css")
);
const SCRIPT: &str = include_str!("../assets/mihari.js");
const MARK: &str = include_str!("../assets/mark.svg");

/// The style of a report, which carries it inside.
pub const REPORT_STYLE: &str = concat!(
    include_str!("../assets/tokens.css"),
    include_str!("../assets/chart.css"),
    include_str!("../assets/report.css")
);

/// The style sheet of all pages.
pub fn style() -> &'static Asset {
    static ASSET: LazyLock<Asset> = LazyLock::new(|| asset("mihari", "css", "text/css; charset=utf-8", STYLE));
    &ASSET
}

/// The script of all pages.
pub fn script() -> &'static Asset {
    static ASSET: LazyLock<Asset> = LazyLock::new(|| asset("mihari", "js", "text/javascript; charset=utf-8", SCRIPT));
    &ASSET
}

/// The mark: the icon of a browser's tab.
pub fn mark() -> &'static Asset {
    static ASSET: LazyLock<Asset> = LazyLock::new(|| asset("mark", "svg", "image/svg+xml", MARK));
    &ASSET
}

/// The asset that a path names.
pub fn find(path: &str) -> Option<&'static Asset> {
    [style(), script(), mark()].into_iter().find(|asset| asset.path == path)
}

fn asset(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Asset {
    let hash = xxh3_64(content.as_bytes());
    Asset { path: format!("/assets/{name}-{hash:016x}.{extension}"), content_type, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: &str = include_str!("../assets/tokens.css");

    #[test]
    fn only_the_current_names_are_found() {
        assert!(find(&style().path).is_some_and(|asset| asset.content.contains("--ink")));
        assert!(find("/assets/mihari-0000000000000000.css").is_none());
        assert!(find("/assets/../Cargo.toml").is_none());
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for text in [STYLE, SCRIPT, REPORT_STYLE] {
            assert!(!text.contains("://"), "an asset names another site");
            assert!(!text.contains("@import") && !text.contains("eval("), "an asset loads further code");
        }
    }

    /// The relative luminance of a colour, as WCAG 2 defines it.
    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        let linear = |value: f64| if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(channel(1)) + 0.7152 * linear(channel(3)) + 0.0722 * linear(channel(5))
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn colour<'a>(theme: &'a str, name: &str) -> &'a str {
        let start = theme.find(&format!("--{name}:")).unwrap_or_else(|| panic!("no colour {name}"));
        let rest = &theme[start..];
        let hash = rest.find('#').unwrap();
        &rest[hash..hash + 7]
    }

    #[test]
    fn colours_have_the_contrast_that_wcag_asks_for() {
        let (light, dark) = TOKENS.split_once("prefers-color-scheme: dark").expect("two themes");
        for (theme, scheme) in [(light, "light"), (dark, "dark")] {
            for surface in ["paper", "surface"] {
                let surface_colour = colour(theme, surface);
                for text in ["ink", "soft", "accent", "critical", "warning", "ok", "info"] {
                    let ratio = contrast(colour(theme, text), surface_colour);
                    assert!(ratio >= 4.5, "{scheme}: {text} on {surface} has {ratio:.2}");
                }
                for line in ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "edge"] {
                    let ratio = contrast(colour(theme, line), surface_colour);
                    assert!(ratio >= 3.0, "{scheme}: {line} on {surface} has {ratio:.2}");
                }
            }
        }
    }
}
