//! Names for readers that know only classic letters.

use super::{is_classic_metric_name, is_name_byte};

/// What becomes of a name with other than classic letters, digits, `_` and `:`. Any other name stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Nothing: it is quoted.
    AllowUtf8,
    /// Each other character becomes `_`.
    #[default]
    Underscores,
    /// A dot becomes `_dot_`, `_` and each other character `__`.
    Dots,
    /// `U__`, then `__` for `_` and `_<hex>_` for each other character, if there is one.
    Values,
}

impl Escaping {
    /// The scheme of the parameter `escaping` of a content type.
    pub fn named(text: &str) -> Option<Self> {
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values].into_iter().find(|one| one.as_str() == text)
    }

    /// As it stands in a content type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// A metric or label name as its reader is to see it.
    pub fn escape(self, name: &str) -> String {
        if name.is_empty() || is_classic_metric_name(name) || self == Self::AllowUtf8 {
            return name.to_owned();
        }
        let mut out = String::from(if self == Self::Values { "U__" } else { "" });
        for (index, char) in name.char_indices() {
            let is_classic = u8::try_from(char).is_ok_and(|byte| is_name_byte(byte, index) || byte == b':');
            match (self, char) {
                (Self::Dots | Self::Values, '_') => out.push_str("__"),
                (Self::Dots, '.') => out.push_str("_dot_"),
                _ if is_classic => out.push(char),
                (Self::Dots, _) => out.push_str("__"),
                (Self::Values, _) => out.push_str(&format!("_{:x}_", u32::from(char))),
                _ => out.push('_'),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_prometheus_escapes_them() {
        let cases = [
            ("a:b_c", ["a:b_c", "a:b_c", "a:b_c", "a:b_c"]),
            ("http.status", ["http.status", "http_status", "http_dot_status", "U__http_2e_status"]),
            ("a_b.c", ["a_b.c", "a_b_c", "a__b_dot_c", "U__a__b_2e_c"]),
            ("1x", ["1x", "_x", "__x", "U___31_x"]),
            ("温度 é", ["温度 é", "____", "________", "U___6e29__5ea6__20__e9_"]),
            ("", ["", "", "", ""]),
        ];
        for (name, expected) in cases {
            let schemes = ["allow-utf-8", "underscores", "dots", "values"];
            let found = schemes.map(|scheme| Escaping::named(scheme).unwrap().escape(name));
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(Escaping::named("none"), None);
    }
}
