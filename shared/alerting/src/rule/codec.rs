//! The state of a group as bytes.
//!
//! ```text
//! version  u8 = 3 (1 had no history, 2 no windows and no unknown_since)
//! texts    count, then each: length, UTF-8          every distinct text once, in order of first use
//! slot     optional time
//! rules    count, then each:
//!   identity, expr       texts
//!   active     count, then each: labels, annotations, value f64, active_at, history varint, phase
//!   withdrawn  count, then each: labels, annotations, since, at, last_sent
//!   windows    count, then each: labels, held varint, known varint
//!   series     count, then each: labels
//!   last_run   flag; time, flag and error text, duration f64
//! ```
//! Counts, lengths and numbers of texts are LEB128 varints, times zigzag varints of milliseconds, labels and
//! annotations a count and pairs of texts, floats 8 bytes little-endian (NaN payloads survive).

use std::collections::BTreeMap;

use model::{Labels, Timestamp};

use super::evidence::Window;
use super::state::{Active, GroupState, LastRun, Phase, RuleState, StateError, Withdrawn};

const VERSION: u8 = 3;
/// The versions before, which are still read.
const WITHOUT_HISTORY: u8 = 1;
const WITHOUT_WINDOWS: u8 = 2;

impl GroupState {
    /// The state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.optional_time(self.slot);
        writer.count(self.rules.len());
        for (identity, rule) in &self.rules {
            writer.text(identity);
            writer.rule(rule);
        }
        writer.finish()
    }

    /// Reads what [`GroupState::encode`] gave.
    ///
    /// # Errors
    /// When the bytes are of another version or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader { rest: bytes, texts: Vec::new(), version: VERSION };
        reader.version = reader.byte()?;
        if !(WITHOUT_HISTORY..=VERSION).contains(&reader.version) {
            return Err(StateError::Version { found: reader.version, known: VERSION });
        }
        for _ in 0..reader.count()? {
            let length = reader.count()?;
            let text = std::str::from_utf8(reader.bytes(length)?).map_err(|_| StateError::Malformed)?;
            reader.texts.push(text.to_owned());
        }
        let slot = reader.optional_time()?;
        let mut rules = BTreeMap::new();
        for _ in 0..reader.count()? {
            rules.insert(reader.text()?, reader.rule()?);
        }
        if reader.rest.is_empty() { Ok(Self { slot, rules }) } else { Err(StateError::Malformed) }
    }
}

#[derive(Default)]
struct Writer {
    body: Vec<u8>,
    /// Each distinct text and its number.
    numbers: BTreeMap<String, usize>,
    texts: Vec<String>,
}

impl Writer {
    fn finish(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        push_varint(&mut bytes, self.texts.len() as u64);
        for text in &self.texts {
            push_varint(&mut bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn byte(&mut self, byte: u8) {
        self.body.push(byte);
    }

    fn count(&mut self, count: usize) {
        push_varint(&mut self.body, count as u64);
    }

    fn float(&mut self, value: f64) {
        self.body.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn time(&mut self, time: Timestamp) {
        let millis = time.as_millis();
        push_varint(&mut self.body, ((millis << 1) ^ (millis >> 63)).cast_unsigned());
    }

    fn optional_time(&mut self, time: Option<Timestamp>) {
        self.byte(u8::from(time.is_some()));
        if let Some(time) = time {
            self.time(time);
        }
    }

    fn text(&mut self, text: &str) {
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = self.texts.len();
                self.numbers.insert(text.to_owned(), number);
                self.texts.push(text.to_owned());
                number
            }
        };
        self.count(number);
    }

    fn pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        let pairs: Vec<_> = pairs.collect();
        self.count(pairs.len());
        for (name, value) in pairs {
            self.text(name);
            self.text(value);
        }
    }

    fn texts(&mut self, texts: &BTreeMap<String, String>) {
        self.pairs(texts.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }

    fn rule(&mut self, rule: &RuleState) {
        self.text(&rule.expr);
        self.count(rule.active.len());
        for (labels, alert) in &rule.active {
            self.pairs(labels.iter());
            self.active(alert);
        }
        self.count(rule.withdrawn.len());
        for (labels, alert) in &rule.withdrawn {
            self.pairs(labels.iter());
            self.texts(&alert.annotations);
            self.time(alert.since);
            self.time(alert.at);
            self.optional_time(alert.last_sent);
        }
        self.count(rule.windows.len());
        for (labels, window) in &rule.windows {
            self.pairs(labels.iter());
            push_varint(&mut self.body, window.held);
            push_varint(&mut self.body, window.known);
        }
        self.count(rule.series.len());
        for labels in &rule.series {
            self.pairs(labels.iter());
        }
        self.byte(u8::from(rule.last_run.is_some()));
        if let Some(run) = &rule.last_run {
            self.time(run.at);
            self.byte(u8::from(run.error.is_some()));
            if let Some(error) = &run.error {
                self.text(error);
            }
            self.float(run.duration_seconds);
        }
    }

    fn active(&mut self, alert: &Active) {
        self.texts(&alert.annotations);
        self.float(alert.value);
        self.time(alert.active_at);
        push_varint(&mut self.body, alert.history);
        match alert.phase {
            Phase::Pending => self.byte(0),
            Phase::Firing { since, last_sent, kept_since, unknown_since } => {
                self.byte(1);
                self.time(since);
                self.optional_time(last_sent);
                self.optional_time(kept_since);
                self.optional_time(unknown_since);
            }
            Phase::Resolved { since, at, last_sent } => {
                self.byte(2);
                self.time(since);
                self.time(at);
                self.optional_time(last_sent);
            }
        }
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
}

struct Reader<'a> {
    rest: &'a [u8],
    texts: Vec<String>,
    version: u8,
}

type Read<T> = Result<T, StateError>;

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Read<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn bytes(&mut self, length: usize) -> Read<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(StateError::Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(StateError::Malformed)?;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(StateError::Malformed)
    }

    /// A number of things, each of which takes at least a byte.
    fn count(&mut self) -> Read<usize> {
        let count = usize::try_from(self.varint()?).map_err(|_| StateError::Malformed)?;
        if count > self.rest.len() { Err(StateError::Malformed) } else { Ok(count) }
    }

    fn flag(&mut self) -> Read<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Malformed),
        }
    }

    fn float(&mut self) -> Read<f64> {
        let bytes = self.bytes(8)?.try_into().map_err(|_| StateError::Malformed)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    fn time(&mut self) -> Read<Timestamp> {
        let value = self.varint()?;
        Ok(Timestamp::from_millis((value >> 1).cast_signed() ^ -(value & 1).cast_signed()))
    }

    fn optional_time(&mut self) -> Read<Option<Timestamp>> {
        if self.flag()? { self.time().map(Some) } else { Ok(None) }
    }

    fn text(&mut self) -> Read<String> {
        let number = usize::try_from(self.varint()?).map_err(|_| StateError::Malformed)?;
        self.texts.get(number).cloned().ok_or(StateError::Malformed)
    }

    fn texts(&mut self) -> Read<BTreeMap<String, String>> {
        (0..self.count()?).map(|_| Ok((self.text()?, self.text()?))).collect()
    }

    fn labels(&mut self) -> Read<Labels> {
        let pairs = self.texts()?;
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Labels::from_pairs(pairs).map_err(|_| StateError::Malformed)
    }

    fn rule(&mut self) -> Read<RuleState> {
        let expr = self.text()?;
        let active = (0..self.count()?).map(|_| Ok((self.labels()?, self.active()?))).collect::<Read<_>>()?;
        let withdrawn = (0..self.count()?).map(|_| Ok((self.labels()?, self.withdrawn()?))).collect::<Read<_>>()?;
        let mut windows = BTreeMap::new();
        if self.version > WITHOUT_WINDOWS {
            for _ in 0..self.count()? {
                let labels = self.labels()?;
                windows.insert(labels, Window { held: self.varint()?, known: self.varint()? });
            }
        }
        let series = (0..self.count()?).map(|_| self.labels()).collect::<Read<_>>()?;
        let last_run = if self.flag()? { Some(self.last_run()?) } else { None };
        Ok(RuleState { expr, active, withdrawn, windows, series, last_run })
    }

    fn active(&mut self) -> Read<Active> {
        let annotations = self.texts()?;
        let value = self.float()?;
        let active_at = self.time()?;
        let history = if self.version > WITHOUT_HISTORY { self.varint()? } else { 0 };
        let phase = match self.byte()? {
            0 => Phase::Pending,
            1 => {
                let (since, last_sent) = (self.time()?, self.optional_time()?);
                let kept_since = self.optional_time()?;
                let unknown_since = if self.version > WITHOUT_WINDOWS { self.optional_time()? } else { None };
                Phase::Firing { since, last_sent, kept_since, unknown_since }
            }
            2 => Phase::Resolved { since: self.time()?, at: self.time()?, last_sent: self.optional_time()? },
            _ => return Err(StateError::Malformed),
        };
        Ok(Active { annotations, value, active_at, history, phase })
    }

    fn withdrawn(&mut self) -> Read<Withdrawn> {
        let annotations = self.texts()?;
        Ok(Withdrawn { annotations, since: self.time()?, at: self.time()?, last_sent: self.optional_time()? })
    }

    fn last_run(&mut self) -> Read<LastRun> {
        let at = self.time()?;
        let error = if self.flag()? { Some(self.text()?) } else { None };
        Ok(LastRun { at, error, duration_seconds: self.float()? })
    }
}
