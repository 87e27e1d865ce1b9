//! Small pieces that all formats are made of: varints, a reader that never runs over, compression with a bound, and a
//! sealed envelope for values of any kind.

use std::cell::RefCell;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Result, TsdbError};

/// Most bytes one compressed piece may unpack to.
const RAW_BYTES_MAX: usize = 256 << 20;
/// zstd packs at most a 128 KB block into four bytes; a piece that claims more was not written by us.
const RATIO_MAX: usize = 1 << 16;

/// Appends an unsigned number, seven bits a byte, the lowest first.
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

/// Appends a signed number; small ones of either sign stay short.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Folds the sign into the lowest bit.
pub(crate) const fn zigzag(value: i64) -> u64 {
    value.cast_unsigned() << 1 ^ (value >> 63).cast_unsigned()
}

/// Undoes [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// The lowest eight bits.
pub(crate) const fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// Reads what the `put_` functions wrote; every method says what is missing instead of running over the end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of bytes that errors call `what`.
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The bytes that were not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(TsdbError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(TsdbError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    ///
    /// # Errors
    /// When there is none.
    pub fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next unsigned number.
    ///
    /// # Errors
    /// When the bytes end inside of it or it has more than 64 bits.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(TsdbError::malformed(self.what, "a number has more than 64 bits"))
    }

    /// The next signed number.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed(&mut self) -> Result<i64> {
        self.varint().map(unzigzag)
    }

    /// A number of things that each take at least `item_bytes_min` of the bytes that follow, so that no count makes
    /// the caller reserve more memory than the input justifies; 0 when they may take none.
    ///
    /// # Errors
    /// When there cannot be that many.
    pub fn count(&mut self, item_bytes_min: usize) -> Result<usize> {
        let count = self.varint()?;
        let count = usize::try_from(count).ok().filter(|count| {
            *count <= RAW_BYTES_MAX && count.checked_mul(item_bytes_min).is_some_and(|bytes| bytes <= self.rest.len())
        });
        count.ok_or(TsdbError::malformed(self.what, "a count is larger than what follows"))
    }

    /// A length and that many bytes.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// A length and that many bytes of UTF-8.
    ///
    /// # Errors
    /// When there are not that many or they are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str> {
        let what = self.what;
        std::str::from_utf8(self.bytes()?).map_err(|_| TsdbError::malformed(what, "text is not UTF-8"))
    }

    /// Checks that all bytes were read.
    ///
    /// # Errors
    /// When some are left.
    pub fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(TsdbError::malformed(self.what, "bytes are left over")) }
    }
}

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends `raw` compressed with zstd. The working memory is kept by the thread.
pub(crate) fn compress(out: &mut Vec<u8>, raw: &[u8], level: i32) {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(known, _)| *known != level) {
            *slot = Some((level, compressor(level)));
        }
        let (_, compressor) = slot.as_mut().expect("it was just set");
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(raw.len()), 0);
        let len = compressor.compress_to_buffer(raw, &mut out[start..]).expect("there is room for the worst case");
        out.truncate(start + len);
    });
}

fn compressor(level: i32) -> zstd::bulk::Compressor<'static> {
    let mut compressor = zstd::bulk::Compressor::new(level).expect("zstd has this level");
    compressor.include_contentsize(false).expect("a frame may go without its size");
    compressor.include_checksum(false).expect("a frame may go without a checksum");
    compressor
}

/// Appends the `raw_len` bytes that `packed` unpacks to.
pub(crate) fn decompress(out: &mut Vec<u8>, packed: &[u8], raw_len: usize, what: &'static str) -> Result<()> {
    if raw_len > RAW_BYTES_MAX || raw_len / RATIO_MAX > packed.len() {
        return Err(TsdbError::malformed(what, "it claims to unpack to too much"));
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = slot.get_or_insert_with(decompressor);
        let start = out.len();
        out.resize(start + raw_len, 0);
        let len = decompressor
            .decompress_to_buffer(packed, &mut out[start..])
            .map_err(|_| TsdbError::malformed(what, "it cannot be unpacked"))?;
        if len == raw_len { Ok(()) } else { Err(TsdbError::malformed(what, "it unpacks to another length")) }
    })
}

fn decompressor() -> zstd::bulk::Decompressor<'static> {
    zstd::bulk::Decompressor::new().expect("there is memory for a decompressor")
}

const SEAL_HEAD_BYTES: usize = 9;

/// Wraps a value for storage: a format version, a checksum, the length, the content compressed.
///
/// ```text
/// | version u8 | XXH3-64 of all that follows, u64 LE | raw length varint | zstd |
/// ```
pub fn seal(version: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0; SEAL_HEAD_BYTES];
    put_varint(&mut out, content.len() as u64);
    compress(&mut out, content, 1);
    finish_seal(&mut out, version);
    out
}

/// Unwraps what [`seal`] gave.
///
/// # Errors
/// When the bytes are of another version or were changed.
pub fn unseal(bytes: &[u8], version: u8, what: &'static str) -> Result<Vec<u8>> {
    let mut reader = open_seal(bytes, version, what)?;
    let raw_len = usize::try_from(reader.varint()?).map_err(|_| TsdbError::malformed(what, "too long"))?;
    let mut content = Vec::new();
    decompress(&mut content, reader.rest(), raw_len, what)?;
    Ok(content)
}

/// Fills in version and checksum of an envelope whose first nine bytes were left free.
pub(crate) fn finish_seal(out: &mut [u8], version: u8) {
    let checksum = xxh3_64(&out[SEAL_HEAD_BYTES..]);
    out[0] = version;
    out[1..SEAL_HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// Checks version and checksum of an envelope; the reader stands on what follows.
pub(crate) fn open_seal<'a>(bytes: &'a [u8], version: u8, what: &'static str) -> Result<Reader<'a>> {
    let mut reader = Reader::new(bytes, what);
    let found = reader.byte()?;
    if found != version {
        return Err(TsdbError::Version { what, found, known: version });
    }
    let checksum = u64::from_le_bytes(reader.array()?);
    if checksum != xxh3_64(reader.rest()) {
        return Err(TsdbError::Checksum { what });
    }
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_back(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, unsigned);
            put_signed(&mut out, signed);
            let mut reader = Reader::new(&out, "numbers");
            prop_assert_eq!(reader.varint(), Ok(unsigned));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn a_changed_envelope_is_refused(content in proptest::collection::vec(any::<u8>(), 0..300), at: usize, bit in 0u8..8) {
            let sealed = seal(3, &content);
            prop_assert_eq!(unseal(&sealed, 3, "value"), Ok(content));
            let mut changed = sealed.clone();
            let at = at % changed.len();
            changed[at] ^= 1u8 << bit;
            prop_assert!(unseal(&changed, 3, "value").is_err());
            prop_assert!(unseal(&sealed[..at], 3, "value").is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader::new(&bytes, "bytes");
            while !reader.rest().is_empty() && reader.varint().is_ok() && reader.text().is_ok() {}
        }
    }

    #[test]
    fn a_claim_of_too_much_is_refused_before_memory_is_taken() {
        for raw_len in [RAW_BYTES_MAX + 1, RATIO_MAX * 5] {
            let error = decompress(&mut Vec::new(), &[1, 2, 3], raw_len, "piece").unwrap_err();
            assert_eq!(error.to_string(), "piece is malformed: it claims to unpack to too much");
        }
    }
}
