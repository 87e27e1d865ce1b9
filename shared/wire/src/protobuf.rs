//! Walks a protobuf message in place.

use crate::error::{ProtobufError, ProtobufProblem};

/// Wire type of a variable-length number.
pub(crate) const VARINT: u8 = 0;
/// Wire type of eight bytes.
pub(crate) const FIXED64: u8 = 1;
/// Wire type of a length and as many bytes.
pub(crate) const BYTES: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
/// Wire type of four bytes.
const FIXED32: u8 = 5;

/// How deep groups may nest in a field that is skipped.
const GROUP_DEPTH_MAX: usize = 32;

/// The number of a field with the form it comes in.
pub(crate) const fn tag(field: u64, wire_type: u8) -> u64 {
    field << 3 | wire_type as u64
}

/// What is left of a message, with the place where it ends in the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads a whole message.
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, end: message.len() }
    }

    /// What was not read yet.
    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Where that starts, in bytes from the start of the whole message.
    #[inline]
    pub(crate) const fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Passes over so many bytes; `false` and nothing done when there are fewer.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize) -> bool {
        let rest = self.rest.get(bytes..);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The tag of the next field; `None` at the end.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<u64>, ProtobufError> {
        if self.rest.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    /// A variable-length number.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, ProtobufError> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            if index == 9 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        let truncated = self.rest.len() < 10;
        Err(self.error(if truncated { ProtobufProblem::Truncated } else { ProtobufProblem::NumberTooLong }))
    }

    /// The eight bytes of a double.
    #[inline]
    pub(crate) fn double(&mut self) -> Result<f64, ProtobufError> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or_else(|| self.error(ProtobufProblem::Truncated))?;
        self.rest = rest;
        Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
    }

    /// A length and as many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], ProtobufError> {
        self.message().map(|message| message.rest)
    }

    /// A length and a message of as many bytes.
    #[inline]
    pub(crate) fn message(&mut self) -> Result<Self, ProtobufError> {
        let start = *self;
        let length = self.varint()?;
        let fits = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let Some((bytes, rest)) = fits else {
            let left = self.rest.len();
            return Err(start.error(ProtobufProblem::LengthPastEnd { length, left }));
        };
        self.rest = rest;
        Ok(Self { rest: bytes, end: self.end - rest.len() })
    }

    /// Passes over the field whose tag was just read; `known` names the fields that have another form than it.
    #[cold]
    pub(crate) fn skip(&mut self, tag: u64, known: &[(u64, &'static str, u8)]) -> Result<(), ProtobufError> {
        if let Some(&(field, name, expected)) = known.iter().find(|(field, ..)| *field == tag >> 3) {
            let found = wire_type(tag);
            return Err(self.error(ProtobufProblem::WrongWireType { field, name, found, expected }));
        }
        let mut groups = 0_usize;
        let mut tag = tag;
        loop {
            self.skip_one(tag, &mut groups)?;
            if groups == 0 {
                return Ok(());
            }
            tag = self.tag()?.ok_or_else(|| self.error(ProtobufProblem::Groups))?;
        }
    }

    fn skip_one(&mut self, tag: u64, groups: &mut usize) -> Result<(), ProtobufError> {
        if tag >> 3 == 0 || tag > u64::from(u32::MAX) {
            return Err(self.error(ProtobufProblem::InvalidTag { tag }));
        }
        match wire_type(tag) {
            VARINT => self.varint().map(drop),
            FIXED64 => self.double().map(drop),
            BYTES => self.bytes().map(drop),
            FIXED32 => {
                let (_, rest) =
                    self.rest.split_first_chunk::<4>().ok_or_else(|| self.error(ProtobufProblem::Truncated))?;
                self.rest = rest;
                Ok(())
            }
            GROUP_START if *groups < GROUP_DEPTH_MAX => {
                *groups += 1;
                Ok(())
            }
            GROUP_END if *groups > 0 => {
                *groups -= 1;
                Ok(())
            }
            GROUP_START | GROUP_END => Err(self.error(ProtobufProblem::Groups)),
            _ => Err(self.error(ProtobufProblem::InvalidTag { tag })),
        }
    }

    #[cold]
    fn error(&self, problem: ProtobufProblem) -> ProtobufError {
        ProtobufError { offset: self.offset(), problem }
    }
}

fn wire_type(tag: u64) -> u8 {
    u8::try_from(tag & 7).expect("three bits fit a byte")
}

/// Appends a variable-length number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits fit a byte") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("less than 128"));
}

/// Appends a field of bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, tag(field, BYTES));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_read_back() {
        for bits in 0..=64 {
            let number = if bits == 0 { 0 } else { u64::MAX >> (64 - bits) };
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(Reader::new(&bytes).varint().unwrap(), number, "{bits} bits");
            let cut = Reader::new(&bytes[..bytes.len() - 1]).varint().unwrap_err();
            assert_eq!(cut.problem, ProtobufProblem::Truncated, "{bits} bits");
        }
    }

    #[test]
    fn bad_numbers_and_lengths_say_where() {
        let check = |bytes: &[u8], expected: &str| {
            let mut reader = Reader::new(bytes);
            let error = reader.tag().and_then(|tag| reader.skip(tag.unwrap(), &[(9, "nine", BYTES)])).unwrap_err();
            assert_eq!(error.to_string(), format!("at byte {expected}"), "{bytes:02x?}");
        };
        let place = "of the decompressed message:";
        check(&[0x08, 0x80], &format!("1 {place} the message ends inside a number"));
        check(
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &format!("1 {place} a number of more than 64 bits"),
        );
        check(&[0x0a, 5, 1, 2], &format!("1 {place} a field of 5 bytes where only 2 bytes are left"));
        check(&[0x0d, 1, 2], &format!("1 {place} the message ends inside a number"));
        check(&[0x48, 1], &format!("1 {place} field 9 (nine) has wire type 0, expected 2"));
        check(&[0x0c], &format!("1 {place} unbalanced or too deeply nested groups"));
        check(&[0x0b, 0x08, 1], &format!("3 {place} unbalanced or too deeply nested groups"));
        check(&[0x0f], &format!("1 {place} tag 15 has no valid field number and wire type"));
        check(&[0x02], &format!("1 {place} tag 2 has no valid field number and wire type"));
    }

    #[test]
    fn fields_of_every_form_are_passed_over() {
        let forms: [&[u8]; 5] = [
            &[0x78, 0x96, 1],
            &[0x79, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x7a, 2, 1, 2],
            &[0x7b, 0x08, 1, 0x7c],
            &[0x7d, 1, 2, 3, 4],
        ];
        for form in forms {
            let mut reader = Reader::new(form);
            let tag = reader.tag().unwrap().unwrap();
            reader.skip(tag, &[]).unwrap();
            assert_eq!(reader.tag().unwrap(), None, "{form:02x?}");
        }
    }
}
