//! Pictures in a mail: `data:` URLs, which many mail programs do not show, become parts with an id of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a picture starts that is in the HTML itself.
const START: &str = "src=\"data:";

/// A picture that the HTML shows as `cid:<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) id: String,
    pub(crate) content_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// Takes the pictures out of the HTML. What cannot be read stays as it is. `seed` makes the ids those of one mail.
pub(crate) fn taken_out(html: &str, seed: &str) -> (String, Vec<Picture>) {
    let mut left = String::with_capacity(html.len());
    let mut pictures = Vec::new();
    let mut rest = html;
    while let Some(place) = rest.find(START) {
        let (before, found) = rest.split_at(place);
        left.push_str(before);
        let url = &found[START.len()..];
        match url.find('"').and_then(|end| Some((end, read(&url[..end])?))) {
            Some((end, (content_type, bytes))) => {
                let id = format!("{}-{seed}@mihari", pictures.len() + 1);
                left.push_str(&format!("src=\"cid:{id}\""));
                pictures.push(Picture { id, content_type, bytes });
                rest = &url[end + 1..];
            }
            None => {
                left.push_str(START);
                rest = url;
            }
        }
    }
    left.push_str(rest);
    (left, pictures)
}

/// Reads `image/png;base64,...`.
fn read(url: &str) -> Option<(String, Vec<u8>)> {
    let (content_type, data) = url.split_once(";base64,")?;
    let is_picture = content_type.strip_prefix("image/").is_some_and(|kind| {
        !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    let bytes = STANDARD.decode(data).ok()?;
    is_picture.then(|| (content_type.to_owned(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_leave_an_id_behind() {
        let html =
            "<img alt=\"a\" src=\"data:image/png;base64,AAE=\"> and <img src=\"data:image/svg+xml;base64,/w==\">.";
        let (left, pictures) = taken_out(html, "k");
        assert_eq!(left, "<img alt=\"a\" src=\"cid:1-k@mihari\"> and <img src=\"cid:2-k@mihari\">.");
        let picture = |id: &str, content_type: &str, bytes: &[u8]| Picture {
            id: id.to_owned(),
            content_type: content_type.to_owned(),
            bytes: bytes.to_vec(),
        };
        assert_eq!(
            pictures,
            [picture("1-k@mihari", "image/png", &[0, 1]), picture("2-k@mihari", "image/svg+xml", &[255])]
        );
    }

    #[test]
    fn everything_else_stays() {
        for html in [
            "",
            "<p>no picture</p>",
            "<img src=\"https://example.com/a.png\">",
            "<img src=\"data:image/png;base64,%%\">",
            "<img src=\"data:image/png,abc\">",
            "<img src=\"data:text/html;base64,AAE=\">",
            "<img src=\"data:image/png;base64,AAE=",
        ] {
            assert_eq!(taken_out(html, "k"), (html.to_owned(), Vec::new()), "{html}");
        }
    }
}
