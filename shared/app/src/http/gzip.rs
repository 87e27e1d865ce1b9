//! Answers compressed for those who take that.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};

use super::Reply;

/// Smaller bodies are not worth compressing.
const GZIP_FROM_BYTES: usize = 1024;
/// The fast end: what a function saves in time costs more than a tenth of the bytes.
const GZIP_LEVEL: u32 = 3;

/// Whether a client takes a compressed answer (RFC 9110, 12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all("accept-encoding").into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |text| text.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && quality.is_some_and(|quality| quality > 0.0)
    })
}

/// The answer, compressed where the client takes that and it pays.
pub fn compressed(mut reply: Reply, accepts_gzip: bool) -> Reply {
    if !is_compressible(&reply) {
        return reply;
    }
    reply.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    if !accepts_gzip {
        return reply;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(reply.body().len() / 4), Compression::new(GZIP_LEVEL));
    let written = encoder.write_all(reply.body()).and_then(|()| encoder.finish());
    *reply.body_mut() = written.expect("writing to memory cannot fail").into();
    reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    reply
}

fn is_compressible(reply: &Reply) -> bool {
    let content_type = reply.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_text = content_type.starts_with("text/")
        || ["json", "javascript", "svg+xml"].iter().any(|kind| content_type.contains(kind));
    is_text && reply.body().len() >= GZIP_FROM_BYTES && !reply.headers().contains_key(CONTENT_ENCODING)
}
