//! The label set that identifies a series, in one piece of text.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// The stable 128-bit hash of a label set (XXH3 of its canonical text).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u128);

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Why a set of labels was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A label without a name.
    #[error("label with an empty name (its value is {value:?})")]
    EmptyName {
        /// The value that stood beside it.
        value: String,
    },
    /// The same name twice.
    #[error("duplicate label name {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Names out of order, where the sender must sort them.
    #[error("labels are not sorted: {name:?} follows {previous:?}")]
    Unsorted {
        /// The later name.
        name: String,
        /// The one before it.
        previous: String,
    },
    /// A name or value longer than any label may be.
    #[error("label text of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLong {
        /// Its length.
        size_bytes: usize,
        /// The most a label's text may have.
        limit_bytes: usize,
    },
    /// Canonical text that is none.
    #[error("malformed label text at byte {offset}")]
    Malformed {
        /// Where reading stopped.
        offset: usize,
    },
}

/// The longest name or value that canonical text can hold, in bytes.
const TEXT_MAX_BYTES: usize = 0xD7FF;

/// A borrowed label set: see [`Labels`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelsRef<'a>(&'a str);

/// The sorted labels that identify a series.
///
/// Held as *canonical text*: for each label in order of name, the byte length of the name as one Unicode scalar, the
/// name, the byte length of the value as one scalar, the value. It is valid UTF-8, delimits itself, needs one
/// allocation, is compared and hashed in one go, and is what the storage formats write.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// Builds a set from pairs in any order; pairs with an empty value are left out, since empty means absent.
    ///
    /// # Errors
    /// When a name is empty or stands there twice, or a text is too long.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LabelError> {
        let mut sorted: Vec<(&str, &str)> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let mut text = String::new();
        let mut previous = None;
        for (name, value) in sorted {
            if previous == Some(name) {
                return Err(LabelError::Duplicate { name: name.to_owned() });
            }
            push_label(&mut text, name, value)?;
            previous = Some(name);
        }
        Ok(Self(Arc::from(text)))
    }

    /// A borrowed view, which has all the reading methods.
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    /// The value of a label, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.as_ref().get(name)
    }

    /// The metric name, or the empty text.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Name and value of each label, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.as_ref().iter()
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The stable hash of the set.
    pub fn id(&self) -> SeriesId {
        self.as_ref().id()
    }

    /// The set without some labels.
    pub fn without(&self, names: &[&str]) -> Self {
        self.filtered(|name| !names.contains(&name))
    }

    /// The set with only some labels.
    pub fn with_only(&self, names: &[&str]) -> Self {
        self.filtered(|name| names.contains(&name))
    }

    /// A builder that starts from this set.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut buffer = LabelsBuffer::default();
        let kept = buffer.filtered(self.as_ref(), keep);
        if kept.0.len() == self.0.len() { self.clone() } else { kept.to_labels() }
    }
}

/// Room for label sets that are looked at and forgotten.
#[derive(Debug, Default)]
pub struct LabelsBuffer(String);

impl LabelsBuffer {
    /// A set without some labels, copied only where what is left does not stand together.
    pub fn without<'a>(&'a mut self, labels: LabelsRef<'a>, names: &[&str]) -> LabelsRef<'a> {
        self.filtered(labels, |name| !names.contains(&name))
    }

    /// A set with only some labels, copied only where they do not stand together.
    pub fn with_only<'a>(&'a mut self, labels: LabelsRef<'a>, names: &[&str]) -> LabelsRef<'a> {
        self.filtered(labels, |name| names.contains(&name))
    }

    fn filtered<'a>(&'a mut self, labels: LabelsRef<'a>, keep: impl Fn(&str) -> bool) -> LabelsRef<'a> {
        let mut runs = labels.runs(keep);
        let first = runs.next().unwrap_or("");
        let Some(second) = runs.next() else { return LabelsRef(first) };
        self.0.clear();
        [first, second].into_iter().chain(runs).for_each(|run| self.0.push_str(run));
        LabelsRef(&self.0)
    }
}

impl<'a> LabelsRef<'a> {
    /// Reads canonical text, checking order, uniqueness and lengths.
    ///
    /// # Errors
    /// When the text is not what [`LabelsRef::as_text`] gives.
    pub fn from_text(text: &'a str) -> Result<Self, LabelError> {
        let mut offset = 0;
        let mut previous = "";
        while offset < text.len() {
            let malformed = LabelError::Malformed { offset };
            let (name, after_name) = read_piece(text, offset).ok_or_else(|| malformed.clone())?;
            let (value, after_value) = read_piece(text, after_name).ok_or_else(|| malformed.clone())?;
            if name.is_empty() || value.is_empty() || (offset > 0 && name <= previous) {
                return Err(malformed);
            }
            previous = name;
            offset = after_value;
        }
        Ok(Self(text))
    }

    /// Takes canonical text that was checked before, by this crate.
    pub(crate) const fn from_valid_text(text: &'a str) -> Self {
        Self(text)
    }

    /// The canonical text.
    pub fn as_text(self) -> &'a str {
        self.0
    }

    /// The value of a label, if the set has it.
    #[inline]
    pub fn get(self, wanted: &str) -> Option<&'a str> {
        let first = wanted.as_bytes().first();
        for (name, value) in self.iter() {
            if name == wanted {
                return Some(value);
            }
            if name.as_bytes().first() > first {
                return None;
            }
        }
        None
    }

    /// The pieces of the text that hold labels to keep, neighbours together.
    fn runs<Keep: Fn(&str) -> bool>(self, keep: Keep) -> Runs<'a, Keep> {
        Runs { text: self.0, labels: self.iter(), keep }
    }

    /// Name and value of each label, in order of name.
    pub fn iter(self) -> LabelsIter<'a> {
        LabelsIter { rest: self.0 }
    }

    /// The stable hash of the set.
    pub fn id(self) -> SeriesId {
        SeriesId(xxh3_128(self.0.as_bytes()))
    }

    /// An owned copy.
    pub fn to_labels(self) -> Labels {
        Labels(Arc::from(self.0))
    }
}

impl Ord for LabelsRef<'_> {
    /// By name, then value, label after label, as Prometheus sorts series.
    fn cmp(&self, other: &Self) -> Ordering {
        let same = common_bytes(self.0.as_bytes(), other.0.as_bytes());
        // The first pieces that differ decide; all before them have the same lengths in both texts.
        let mut offset = 0;
        while let Some((_, end)) = read_piece(self.0, offset).filter(|(_, end)| *end <= same) {
            offset = end;
        }
        let piece = |text| read_piece(text, offset).map(|(piece, _)| piece);
        piece(self.0).cmp(&piece(other.0))
    }
}

impl PartialOrd for LabelsRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

/// Iterates over the labels of a [`LabelsRef`].
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, after_name) = read_piece(self.rest, 0)?;
        let (value, after_value) = read_piece(self.rest, after_name)?;
        self.rest = &self.rest[after_value..];
        Some((name, value))
    }
}

/// See [`LabelsRef::runs`].
struct Runs<'a, Keep> {
    text: &'a str,
    labels: LabelsIter<'a>,
    keep: Keep,
}

impl<'a, Keep: Fn(&str) -> bool> Iterator for Runs<'a, Keep> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let at = |labels: &LabelsIter<'_>| self.text.len() - labels.rest.len();
        let mut start = at(&self.labels);
        while !(self.keep)(self.labels.next()?.0) {
            start = at(&self.labels);
        }
        let mut end = at(&self.labels);
        while let Some((name, _)) = self.labels.next() {
            if !(self.keep)(name) {
                break;
            }
            end = at(&self.labels);
        }
        Some(&self.text[start..end])
    }
}

/// Prints the set as PromQL writes it: `metric{a="b"}`.
impl fmt::Display for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.get(METRIC_NAME);
        let plain_name = name.filter(|name| is_legacy_name(name, ":"));
        f.write_str(plain_name.unwrap_or(""))?;
        let mut labels = self.iter().filter(|(name, _)| plain_name.is_none() || *name != METRIC_NAME).peekable();
        if labels.peek().is_none() {
            return if plain_name.is_none() { f.write_str("{}") } else { Ok(()) };
        }
        f.write_str("{")?;
        for (index, (name, value)) in labels.enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            if is_legacy_name(name, "") {
                write!(f, "{separator}{name}={value:?}")?;
            } else {
                write!(f, "{separator}{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Changes labels one by one and gives back a valid set.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: std::collections::BTreeMap<String, String>,
}

impl LabelsBuilder {
    /// A builder with no label.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            self.pairs.remove(name);
        } else {
            self.pairs.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.remove(name);
        self
    }

    /// The value of a label so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.get(name).map(String::as_str)
    }

    /// The finished set.
    ///
    /// # Errors
    /// When a name is empty or a text too long.
    pub fn build(&self) -> Result<Labels, LabelError> {
        Labels::from_pairs(self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// Whether a name is one of Prometheus's classic names, which need no quotes; `also` lists further characters.
fn is_legacy_name(name: &str, also: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(allowed)
}

/// Appends one label to canonical text.
pub(crate) fn push_label(text: &mut String, name: &str, value: &str) -> Result<(), LabelError> {
    if name.is_empty() {
        return Err(LabelError::EmptyName { value: value.to_owned() });
    }
    for piece in [name, value] {
        text.push(length_scalar(piece.len())?);
        text.push_str(piece);
    }
    Ok(())
}

/// The scalar that stands for a length.
pub(crate) fn length_scalar(size_bytes: usize) -> Result<char, LabelError> {
    let too_long = LabelError::TooLong { size_bytes, limit_bytes: TEXT_MAX_BYTES };
    if size_bytes > TEXT_MAX_BYTES {
        return Err(too_long);
    }
    u32::try_from(size_bytes).ok().and_then(char::from_u32).ok_or(too_long)
}

/// The piece that starts at `offset`, and where the next one starts.
#[inline]
fn read_piece(text: &str, offset: usize) -> Option<(&str, usize)> {
    let (start, length) = match *text.as_bytes().get(offset)? {
        short @ 0..0x80 => (offset + 1, usize::from(short)),
        _ => {
            let length = text.get(offset..)?.chars().next()?;
            (offset + length.len_utf8(), length as usize)
        }
    };
    Some((text.get(start..start + length)?, start + length))
}

/// How many bytes two texts share at their start.
fn common_bytes(one: &[u8], two: &[u8]) -> usize {
    let words = one.chunks_exact(8).zip(two.chunks_exact(8)).take_while(|(one, two)| one == two).count() * 8;
    words + one[words..].iter().zip(&two[words..]).take_while(|(one, two)| one == two).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn order_of_the_pairs_does_not_matter_and_empty_means_absent() {
        let one = labels(&[("b", "2"), ("a", "1"), ("c", "")]);
        let two = labels(&[("a", "1"), ("b", "2")]);
        assert_eq!(one, two);
        assert_eq!(one.id(), two.id());
        assert_eq!(one.get("c"), None);
        assert_eq!(one.get("b"), Some("2"));
    }

    #[test]
    fn a_name_twice_or_empty_is_refused_by_name() {
        let twice = Labels::from_pairs([("a", "1"), ("a", "2")]).unwrap_err();
        assert_eq!(twice.to_string(), "duplicate label name \"a\"");
        assert!(matches!(Labels::from_pairs([("", "x")]), Err(LabelError::EmptyName { .. })));
    }

    #[test]
    fn prints_as_promql_writes_it() {
        let cases = [
            (labels(&[]), "{}"),
            (labels(&[("__name__", "up")]), "up"),
            (labels(&[("__name__", "up"), ("job", "a\"b")]), r#"up{job="a\"b"}"#),
            (labels(&[("__name__", "dotted.name"), ("x", "1")]), r#"{__name__="dotted.name", x="1"}"#),
            (labels(&[("dotted.label", "1")]), r#"{"dotted.label"="1"}"#),
        ];
        for (labels, expected) in cases {
            assert_eq!(labels.to_string(), expected);
        }
    }

    #[test]
    fn sorts_label_after_label() {
        let mut sets = [labels(&[("a", "b")]), labels(&[("a", "aaaa"), ("b", "c")]), labels(&[("a", "aaaa")])];
        sets.sort();
        assert_eq!(sets.map(|set| set.to_string()), [r#"{a="aaaa"}"#, r#"{a="aaaa", b="c"}"#, r#"{a="b"}"#]);
    }

    type Pairs = std::collections::BTreeMap<String, String>;

    /// Sets that share much; values longer than a byte counts.
    fn pairs() -> impl Strategy<Value = Pairs> {
        proptest::collection::btree_map("[a-c]{1,2}", prop_oneof!["[a-b]{1,9}", "(ab){60,70}"], 0..6)
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back(pairs in proptest::collection::btree_map(".{1,300}", ".{1,300}", 0..12)) {
            let set = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            let again = LabelsRef::from_text(set.as_ref().as_text()).unwrap();
            prop_assert_eq!(again.to_labels(), set.clone());
            let read: Vec<_> = set.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(read, pairs.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn sets_are_ordered_and_filtered_as_their_pairs_are(
            one in pairs(), two in pairs(), names in proptest::collection::vec("[a-c]{1,2}", 0..4),
        ) {
            let set = |pairs: &Pairs| Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            let (left, right) = (set(&one), set(&two));
            prop_assert_eq!(left.cmp(&right), one.iter().cmp(two.iter()));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let chosen = |wanted: bool| -> Pairs {
                let fits = |name: &str| names.contains(&name) == wanted;
                one.iter().filter(|(name, _)| fits(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
            };
            prop_assert_eq!(left.with_only(&names), set(&chosen(true)));
            prop_assert_eq!(left.without(&names), set(&chosen(false)));
            let mut buffer = LabelsBuffer::default();
            prop_assert_eq!(buffer.with_only(left.as_ref(), &names).to_labels(), left.with_only(&names));
            prop_assert_eq!(buffer.without(left.as_ref(), &names).to_labels(), left.without(&names));
            for name in names {
                prop_assert_eq!(left.get(name), one.get(name).map(String::as_str));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(labels) = LabelsRef::from_text(&text) {
                let again = labels.to_labels().without(&[]);
                prop_assert_eq!(again.as_ref().as_text(), text.as_str());
            }
        }
    }
}
