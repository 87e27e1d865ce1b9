//! Bodies as they were before their content encoding.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use model::Limits;

use crate::error::{BodyError, excerpt};

/// The body as it was before its encoding: gzip, or none.
///
/// # Errors
/// When it is too large, before or after, or is not what its encoding says.
pub fn unpack<'a>(body: &'a [u8], encoding: Option<&str>, limits: &Limits) -> Result<Cow<'a, [u8]>, BodyError> {
    let (size_bytes, limit_bytes) = (body.len(), limits.body_bytes_max);
    if size_bytes > limit_bytes {
        return Err(BodyError::TooLarge { size_bytes, limit_bytes });
    }
    match encoding.map(str::trim) {
        None | Some("" | "identity") => Ok(Cow::Borrowed(body)),
        Some(gzip) if gzip.eq_ignore_ascii_case("gzip") => gunzip(body, limits.decoded_bytes_max).map(Cow::Owned),
        Some(other) => Err(BodyError::UnknownEncoding { found: excerpt(other.as_bytes()) }),
    }
}

fn gunzip(body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut unpacked = Vec::with_capacity(body.len().saturating_mul(4).min(limit_bytes));
    let mut reader = MultiGzDecoder::new(body).take(limit_bytes as u64 + 1);
    reader.read_to_end(&mut unpacked).map_err(|error| BodyError::CorruptGzip { reason: error.to_string() })?;
    if unpacked.len() > limit_bytes {
        return Err(BodyError::UnpackedTooLarge { limit_bytes });
    }
    Ok(unpacked)
}
