//! The snappy block format, without trusting what a block declares.

use crate::error::BodyError;

/// The most bytes that one byte of a snappy block can give: a copy of three bytes gives 64.
const EXPANSION_MAX: u64 = 22;

/// How a framed snappy stream starts.
const STREAM_START: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Decompresses a block that gives at most `limit_bytes`.
///
/// Allocates only after the declared length was compared with the limit and with what so short a block can give at
/// most, so that neither a bomb nor a lie costs memory or time.
///
/// # Errors
/// When the block is empty, truncated, corrupt or declares more than `limit_bytes`.
pub(crate) fn decompress(block: &[u8], limit_bytes: usize) -> Result<Vec<u8>, BodyError> {
    if block.starts_with(STREAM_START) {
        return Err(BodyError::SnappyStream);
    }
    let declared_bytes = declared_length(block)?;
    let fits = usize::try_from(declared_bytes).ok().filter(|&declared| declared <= limit_bytes);
    let Some(length) = fits else {
        return Err(BodyError::DecodedTooLarge { declared_bytes, limit_bytes });
    };
    let possible_bytes = (block.len() as u64).saturating_mul(EXPANSION_MAX);
    if declared_bytes > possible_bytes {
        return Err(BodyError::TruncatedSnappy { declared_bytes, got_bytes: possible_bytes });
    }
    let mut decompressed = vec![0; length];
    match snap::raw::Decoder::new().decompress(block, &mut decompressed) {
        Ok(written) => {
            decompressed.truncate(written);
            Ok(decompressed)
        }
        Err(snap::Error::HeaderMismatch { expected_len, got_len }) => {
            Err(BodyError::TruncatedSnappy { declared_bytes: expected_len, got_bytes: got_len })
        }
        Err(snap::Error::Literal { len, src_len, dst_len }) if src_len < len => {
            let got_bytes = declared_bytes - dst_len + src_len;
            Err(BodyError::TruncatedSnappy { declared_bytes, got_bytes })
        }
        Err(error) => Err(BodyError::CorruptSnappy { reason: reason(&error) }),
    }
}

/// The block that [`decompress`] gives `bytes` for.
///
/// # Panics
/// If there are 4 GiB or more.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("what we encode is far smaller than 4 GiB")
}

/// The length at the start of a block: up to five bytes, seven bits each, lowest first.
fn declared_length(block: &[u8]) -> Result<u64, BodyError> {
    let mut length = 0;
    for (index, &byte) in block.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(length);
        }
    }
    Err(BodyError::NotSnappy { empty: block.is_empty() })
}

fn reason(error: &snap::Error) -> String {
    let text = error.to_string();
    text.trim_start_matches("snappy: ").trim_start_matches("corrupt input (").trim_end_matches(')').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn check(block: &[u8], expected: &str) {
        assert_eq!(decompress(block, LIMIT).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_lie_about_the_length_is_found_before_anything_is_allocated() {
        let declares_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        check(
            &declares_4_gib,
            "body declares 4294967295 bytes after decompression, over the limit of 1048576 bytes (decoded_bytes_max)",
        );
        let declares_the_limit = [0x80, 0x80, 0x40, 0x00];
        check(&declares_the_limit, "truncated snappy block: 1048576 bytes declared, 88 bytes found");
    }

    #[test]
    fn what_is_no_block_is_named() {
        check(b"", "not a snappy block: the body is empty");
        check(&[0xff; 12], "not a snappy block: it does not start with a length");
        check(b"\xff\x06\x00\x00sNaPpY...", "snappy stream format, but remote write wants the snappy block format");
        check(&compress(b"abcdefgh")[..4], "truncated snappy block: 8 bytes declared, 2 bytes found");
        check(&[5, 0x0d, 0x01], "corrupt snappy block: expected valid offset but got offset 1; dst position: 0");
    }

    #[test]
    fn the_densest_block_stays_under_the_expansion_we_allow() {
        let zeros = vec![0; LIMIT];
        assert_eq!(decompress(&compress(&zeros), LIMIT).unwrap(), zeros);
    }
}
