//! The labels of many series, each told by how it differs from the one before.
//!
//! Sorted label sets share their beginning (the metric name) and often their end (`instance`, `job`): both are counted,
//! and only the middle is written. zstd does the rest.

use model::LabelsRef;

use crate::coding::{Reader, put_bytes, put_varint};
use crate::error::{Result, TsdbError};

/// Most bytes of text that one table may hold once it is unpacked.
const TABLE_BYTES_MAX: usize = 512 << 20;

/// Collects label sets in the order given.
#[derive(Debug, Default)]
pub(crate) struct TextWriter<'a> {
    previous: &'a [u8],
    /// Bytes shared with the beginning of the one before.
    starts: Vec<u8>,
    /// Bytes shared with the end of the one before.
    ends: Vec<u8>,
    /// Bytes between the two.
    lengths: Vec<u8>,
    middles: Vec<u8>,
}

impl<'a> TextWriter<'a> {
    pub(crate) fn push(&mut self, labels: LabelsRef<'a>) {
        let text = labels.as_text().as_bytes();
        let start = shared_start(self.previous, text);
        let (previous_rest, rest) = (&self.previous[start..], &text[start..]);
        let end = shared_end(previous_rest, rest);
        let middle = &rest[..rest.len() - end];
        put_varint(&mut self.starts, start as u64);
        put_varint(&mut self.ends, end as u64);
        put_varint(&mut self.lengths, middle.len() as u64);
        self.middles.extend_from_slice(middle);
        self.previous = text;
    }

    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        for section in [self.starts, self.ends, self.lengths, self.middles] {
            put_bytes(out, &section);
        }
    }
}

/// Gives back the label sets that a [`TextWriter`] took.
#[derive(Debug)]
pub(crate) struct TextReader<'a> {
    starts: Reader<'a>,
    ends: Reader<'a>,
    lengths: Reader<'a>,
    middles: Reader<'a>,
    current: Vec<u8>,
    next: Vec<u8>,
    total_bytes: usize,
}

const WHAT: &str = "label table";

impl<'a> TextReader<'a> {
    pub(crate) fn new(reader: &mut Reader<'a>) -> Result<Self> {
        let mut section = || reader.bytes().map(|bytes| Reader::new(bytes, WHAT));
        let (starts, ends, lengths, middles) = (section()?, section()?, section()?, section()?);
        Ok(Self { starts, ends, lengths, middles, current: Vec::new(), next: Vec::new(), total_bytes: 0 })
    }

    /// The next label set.
    pub(crate) fn read(&mut self) -> Result<LabelsRef<'_>> {
        let length =
            |reader: &mut Reader<'_>| reader.varint().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let (start, end) = (length(&mut self.starts)?, length(&mut self.ends)?);
        let middle_len = length(&mut self.lengths)?;
        let shared = start.checked_add(end).filter(|shared| *shared <= self.current.len());
        shared.ok_or(TsdbError::malformed(WHAT, "more is shared than there is"))?;
        let middle = self.middles.take(middle_len)?;
        self.next.clear();
        self.next.extend_from_slice(&self.current[..start]);
        self.next.extend_from_slice(middle);
        self.next.extend_from_slice(&self.current[self.current.len() - end..]);
        std::mem::swap(&mut self.current, &mut self.next);
        self.total_bytes += self.current.len();
        if self.total_bytes > TABLE_BYTES_MAX {
            return Err(TsdbError::malformed(WHAT, "it unpacks to too much text"));
        }
        let text = std::str::from_utf8(&self.current).map_err(|_| TsdbError::malformed(WHAT, "text is not UTF-8"))?;
        LabelsRef::from_text(text).map_err(|_| TsdbError::malformed(WHAT, "a label set is not canonical"))
    }
}

/// How many bytes of a text need not be written after another one.
pub(crate) fn shared_bytes(previous: &[u8], text: &[u8]) -> usize {
    let start = shared_start(previous, text);
    start + shared_end(&previous[start..], &text[start..])
}

/// How many bytes two texts share at the beginning.
fn shared_start(one: &[u8], two: &[u8]) -> usize {
    let len = one.len().min(two.len());
    let (one, two) = (&one[..len], &two[..len]);
    let (ones, twos) = (one.as_chunks::<8>().0, two.as_chunks::<8>().0);
    for (index, (a, b)) in ones.iter().zip(twos).enumerate() {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return index * 8 + difference.trailing_zeros() as usize / 8;
        }
    }
    let done = ones.len() * 8;
    done + one[done..].iter().zip(&two[done..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes two texts share at the end.
fn shared_end(one: &[u8], two: &[u8]) -> usize {
    let len = one.len().min(two.len());
    let (one, two) = (&one[one.len() - len..], &two[two.len() - len..]);
    let (ones, twos) = (one.as_rchunks::<8>().1, two.as_rchunks::<8>().1);
    for (index, (a, b)) in ones.iter().rev().zip(twos.iter().rev()).enumerate() {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return index * 8 + difference.leading_zeros() as usize / 8;
        }
    }
    let rest = len - ones.len() * 8;
    ones.len() * 8 + one[..rest].iter().rev().zip(two[..rest].iter().rev()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shared_bytes_are_counted_exactly(
            head in "[ab]{0,20}", one in "[ab]{0,20}", two in "[ab]{0,20}", tail in "[ab]{0,20}",
        ) {
            let (one, two) = (format!("{head}{one}{tail}"), format!("{head}{two}{tail}"));
            let (one, two) = (one.as_bytes(), two.as_bytes());
            let start = one.iter().zip(two).take_while(|(a, b)| a == b).count();
            let end = one.iter().rev().zip(two.iter().rev()).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(shared_start(one, two), start);
            prop_assert_eq!(shared_end(one, two), end);
        }
    }
}
