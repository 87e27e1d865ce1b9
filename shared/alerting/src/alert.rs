//! An alert as the rules hand it to the notifications.

use std::collections::BTreeMap;
use std::fmt;

use model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};

/// One alert: a label set for which something holds, or no longer holds.
///
/// This is the message on the alert topic. Rules send it again and again while it holds and for a while after it ended,
/// so every message stands alone and a lost one heals itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about; with `alertname`. Identity.
    #[serde(with = "labels_map")]
    pub labels: Labels,
    /// Text for people; not identity.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    #[serde(with = "millis")]
    pub starts_at: Timestamp,
    /// When it ended, or will have ended unless told otherwise (alerts of outside senders only); `None` while one of
    /// our rules holds.
    #[serde(with = "optional_millis", default)]
    pub ends_at: Option<Timestamp>,
    /// Until when the sender vouches for a firing alert: the next message comes long before. Running past it does not
    /// end an alert of our own rules.
    #[serde(with = "optional_millis", default)]
    pub valid_until: Option<Timestamp>,
    /// The time of the newest sample that made it fire, where the sender knows it: the message that announces an alert of
    /// our own rules says it, later ones need not.
    #[serde(with = "optional_millis", default, skip_serializing_if = "Option::is_none")]
    pub sampled_at: Option<Timestamp>,
    /// Where a person can look at the expression.
    pub generator_url: String,
    /// When it was sent; of two messages about one alert the younger counts.
    #[serde(with = "millis")]
    pub updated_at: Timestamp,
}

impl Alert {
    /// Whether it has ended by `now`.
    pub fn is_resolved(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    /// The rule's name, or the empty text.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("")
    }

    /// The identity of the alert.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.labels)
    }
}

/// The identity of an alert's label set, as Alertmanager computes and prints it: FNV-1a with 64 bits over name, 0xFF,
/// value, 0xFF of each label in order of name (prometheus/common `model/signature.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    const SEPARATOR: u8 = 0xff;

    /// The fingerprint of a label set.
    pub fn of(labels: &Labels) -> Self {
        let bytes = labels.iter().flat_map(|(name, value)| {
            let piece = |text: &'_ str| text.bytes().chain([Self::SEPARATOR]).collect::<Vec<u8>>();
            [piece(name), piece(value)].into_iter().flatten()
        });
        Self(fnv(bytes))
    }
}

/// FNV-1a with 64 bits.
pub(crate) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    const OFFSET: u64 = 14_695_981_039_346_656_037;
    const PRIME: u64 = 1_099_511_628_211;
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Labels as a JSON object.
mod labels_map {
    use std::collections::BTreeMap;

    use model::Labels;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(labels.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        let pairs = BTreeMap::<String, String>::deserialize(deserializer)?;
        Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).map_err(de::Error::custom)
    }
}

/// A time as milliseconds since the epoch.
mod millis {
    use model::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.as_millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_millis)
    }
}

/// A time that may be missing.
mod optional_millis {
    use model::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(Timestamp::as_millis).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn fingerprints_are_those_of_alertmanager() {
        // The empty set is the offset basis, printed.
        assert_eq!(Fingerprint::of(&Labels::empty()).to_string(), "cbf29ce484222325");
        // FNV-1a of "a" 0xFF "b" 0xFF, computed byte by byte as the definition says.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in [b'a', 0xff, b'b', 0xff] {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        assert_eq!(Fingerprint::of(&labels(&[("a", "b")])), Fingerprint(hash));
    }

    #[test]
    fn a_message_reads_back() {
        let alert = Alert {
            labels: labels(&[("alertname", "cpu_usage"), ("instance", "見張り")]),
            annotations: BTreeMap::from([("description".to_owned(), "CPU使用率が90%を超えています".to_owned())]),
            starts_at: Timestamp::from_secs(60),
            ends_at: None,
            valid_until: Some(Timestamp::from_secs(300)),
            sampled_at: Some(Timestamp::from_secs(58)),
            generator_url: "http://localhost/graph".to_owned(),
            updated_at: Timestamp::from_secs(60),
        };
        let text = serde_json::to_string(&alert).unwrap();
        assert_eq!(serde_json::from_str::<Alert>(&text).unwrap(), alert);
        let without = text.replace("\"sampled_at\":58000,", "");
        let older = Alert { sampled_at: None, ..alert };
        assert_eq!(serde_json::from_str::<Alert>(&without).unwrap(), older, "a message of an older build");
    }

    #[test]
    fn only_an_end_that_has_come_resolves() {
        let mut alert = Alert {
            labels: Labels::empty(),
            annotations: BTreeMap::new(),
            starts_at: Timestamp::from_secs(0),
            ends_at: None,
            valid_until: Some(Timestamp::from_secs(10)),
            sampled_at: None,
            generator_url: String::new(),
            updated_at: Timestamp::from_secs(0),
        };
        assert!(!alert.is_resolved(Timestamp::from_secs(100)));
        alert.ends_at = Some(Timestamp::from_secs(100));
        assert!(!alert.is_resolved(Timestamp::from_secs(99)));
        assert!(alert.is_resolved(Timestamp::from_secs(100)));
    }
}
