//! What a mail looks like on its way.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use app::ports::{Address, Content, Delivery, PortError, PortResult};
use lettre::Message;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, MultiPartKind, SinglePart};
use model::{ErrorKind, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use crate::{DELIVER, drawn};

pub(crate) mod pictures;

/// A mail as a service takes it that sends raw messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender's address, without a name.
    pub from: String,
    /// The recipients' addresses, without names.
    pub to: Vec<String>,
    /// The message with all its headers (RFC 5322).
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Mail {
    /// Without addresses and text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mail({} recipients, {} bytes)", self.to.len(), self.bytes.len())
    }
}

/// Writes a delivery as a mail: text and HTML as alternatives, pictures that are in the HTML as `data:` URLs as parts
/// of their own, which more programs show. `sender` replaces the address it is from; the name before it stays.
///
/// # Errors
/// `Invalid` when the delivery is no mail, or a mailbox in it is none.
pub fn mime(delivery: &Delivery, sender: Option<&str>) -> PortResult<Mail> {
    let (Address::Email { from, to, .. }, Content::Email { subject, text, html, headers, thread }) =
        (&delivery.address, &delivery.content)
    else {
        return Err(invalid("the delivery is no mail"));
    };
    let from = match sender {
        None => from.clone(),
        Some(sender) => {
            let named: Mailbox = from.parse().map_err(|_| invalid("the sender is no mailbox"))?;
            let address = sender.parse().map_err(|_| invalid("the sender is no mailbox"))?;
            Mailbox::new(named.name, address).to_string()
        }
    };
    let letter = Letter { from: &from, to, subject, text, html, headers, thread: thread.as_deref() };
    let message = compose(&letter, &delivery.idempotency_key, delivery.time)?;
    let envelope = message.envelope();
    Ok(Mail {
        from: envelope.from().map(ToString::to_string).unwrap_or_default(),
        to: envelope.to().iter().map(ToString::to_string).collect(),
        bytes: message.formatted(),
    })
}

/// What is to be written to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a [String],
    pub(crate) subject: &'a str,
    pub(crate) text: &'a str,
    pub(crate) html: &'a str,
    pub(crate) headers: &'a BTreeMap<String, String>,
    pub(crate) thread: Option<&'a str>,
}

/// Says that no person wrote it, so that absence notices stay away (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Writes a mail: text and HTML as alternatives in UTF-8, pictures beside the HTML that shows them. The same letter, key and time give the same bytes, and the
/// same key the same `Message-ID`, by which mail programs and servers drop repeats.
pub(crate) fn compose(letter: &Letter<'_>, idempotency_key: &str, time: Timestamp) -> PortResult<Message> {
    let from: Mailbox = letter.from.parse().map_err(|_| invalid("the sender is no mailbox"))?;
    let hash = xxh3_128(idempotency_key.as_bytes());
    let id = format!("<{hash:032x}@{}>", from.email.domain());
    let root =
        letter.thread.map(|thread| format!("<{:032x}.thread@{}>", xxh3_128(thread.as_bytes()), from.email.domain()));
    let mut message = Message::builder().from(from).subject(one_line(letter.subject)).message_id(Some(id));
    if let Some(root) = root {
        // No mail has this id: all of them answer it, so that none of them need be the first.
        message = message.in_reply_to(root.clone()).references(root);
    }
    for (index, mailbox) in letter.to.iter().enumerate() {
        let problem = || invalid(format!("recipient {} of {} is no mailbox", index + 1, letter.to.len()));
        message = message.to(mailbox.parse().map_err(|_| problem())?);
    }
    let message = message.date(system_time(time)).header(AutoSubmitted);
    let message = match (letter.text, letter.html) {
        (text, "") => message.singlepart(SinglePart::plain(text.to_owned())),
        ("", html) => match html_part(html, hash)? {
            HtmlPart::Alone(html) => message.singlepart(html),
            HtmlPart::WithPictures(parts) => message.multipart(parts),
        },
        (text, html) => {
            let parts = MultiPart::builder()
                .kind(MultiPartKind::Alternative)
                .boundary(format!("mihari-{hash:032x}"))
                .singlepart(SinglePart::plain(text.to_owned()));
            message.multipart(match html_part(html, hash)? {
                HtmlPart::Alone(html) => parts.singlepart(html),
                HtmlPart::WithPictures(related) => parts.multipart(related),
            })
        }
    };
    let mut message = message.map_err(|error| invalid(format!("the mail cannot be written: {error}")))?;
    for (name, value) in letter.headers {
        let known = HeaderName::new_from_ascii(name.clone());
        let known = known.map_err(|_| invalid(format!("{name:?} is no name of a header")))?;
        message.headers_mut().insert_raw(HeaderValue::new(known, one_line(value)));
    }
    Ok(message)
}

/// What shows the HTML of a mail.
enum HtmlPart {
    Alone(SinglePart),
    WithPictures(MultiPart),
}

/// The HTML, and beside it the pictures that it shows.
fn html_part(html: &str, hash: u128) -> PortResult<HtmlPart> {
    let (html, pictures) = pictures::taken_out(html, &format!("{hash:032x}"));
    let html = SinglePart::html(html);
    if pictures.is_empty() {
        return Ok(HtmlPart::Alone(html));
    }
    let mut related = MultiPart::builder()
        .kind(MultiPartKind::Related)
        .boundary(format!("mihari-related-{hash:032x}"))
        .singlepart(html);
    for mut picture in pictures {
        if picture.content_type == "image/svg+xml"
            && let Some(png) = drawn::png(&picture.bytes)
        {
            (picture.content_type, picture.bytes) = ("image/png".to_owned(), png);
        }
        let kind = ContentType::parse(&picture.content_type);
        let kind = kind.map_err(|_| invalid("a picture has no content type"))?;
        related = related.singlepart(Attachment::new_inline(picture.id).body(picture.bytes, kind));
    }
    Ok(HtmlPart::WithPictures(related))
}

/// A subject has one line; what would break it becomes a space.
fn one_line(subject: &str) -> String {
    subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A time as the mail library takes it; times before 1970 become 1970.
fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(0))
}

fn invalid(message: impl std::fmt::Display) -> PortError {
    PortError::new(ErrorKind::Invalid, DELIVER, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    static NO_HEADERS: BTreeMap<String, String> = BTreeMap::new();

    fn letter<'a>(to: &'a [String], subject: &'a str) -> Letter<'a> {
        let text = "CPU 使用率が 90 % を超えました。\n";
        Letter {
            from: "Mihari 見張り <mihari@example.com>",
            to,
            subject,
            text,
            html: "<p>CPU 使用率が <b>90 %</b> を超えました。</p>",
            headers: &NO_HEADERS,
            thread: None,
        }
    }

    #[test]
    fn a_japanese_mail_looks_like_this() {
        let to = ["運用 <ops@example.com>".to_owned(), "dev@example.com".to_owned()];
        let time = Timestamp::from_secs(1_700_000_000);
        let message = compose(&letter(&to, "【警告】CPU 使用率 (web-1)"), "tenant/group/3", time).unwrap();
        insta::assert_snapshot!(String::from_utf8(message.formatted()).unwrap().replace("\r\n", "\n"));
    }

    #[test]
    fn the_same_key_gives_the_same_bytes() {
        let to = ["ops@example.com".to_owned()];
        let bytes = |key| compose(&letter(&to, "件名"), key, Timestamp::from_secs(5)).unwrap().formatted();
        assert_eq!(bytes("a"), bytes("a"));
        assert_ne!(bytes("a"), bytes("b"));
    }

    #[test]
    fn a_mail_with_a_picture_looks_like_this() {
        let html = "<p><img alt=\"CPU\" src=\"data:image/png;base64,iVBORw0KGgo=\"></p>";
        let delivery = Delivery {
            idempotency_key: "report/1".to_owned(),
            address: Address::Email {
                from: "Mihari <mihari@mihari.invalid>".to_owned(),
                to: vec!["運用 <ops@example.com>".to_owned()],
                server: None,
            },
            content: Content::Email {
                subject: "report".to_owned(),
                text: "CPU".to_owned(),
                html: html.to_owned(),
                headers: BTreeMap::new(),
                thread: None,
            },
            time: Timestamp::from_secs(1_700_000_000),
        };
        let mail = mime(&delivery, Some("watch@example.com")).unwrap();
        assert_eq!(
            (mail.from.as_str(), mail.to.as_slice()),
            ("watch@example.com", &["ops@example.com".to_owned()][..])
        );
        insta::assert_snapshot!(String::from_utf8(mail.bytes).unwrap().replace("\r\n", "\n"));
        let error = mime(&delivery, Some("watch")).unwrap_err();
        assert_eq!(error.to_string(), "messenger deliver: the sender is no mailbox");
    }

    #[test]
    fn mails_of_a_thread_answer_the_same_message() {
        let to = ["ops@example.com".to_owned()];
        let headers = |key: &str, thread: Option<&'static str>| {
            let mail = compose(&Letter { thread, ..letter(&to, "s") }, key, Timestamp::default()).unwrap();
            let text = String::from_utf8(mail.formatted()).unwrap();
            let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            (of("In-Reply-To: "), of("References: "), of("Message-ID: ").unwrap())
        };
        let (first, second, other) = (headers("1", Some("g")), headers("2", Some("g")), headers("3", Some("h")));
        assert_eq!((&first.0, &first.1), (&second.0, &second.1));
        assert!(first.0.as_ref().is_some_and(|id| id.starts_with('<') && id.ends_with(".thread@example.com>")));
        assert_eq!(first.0, first.1);
        assert_ne!(first.2, second.2);
        assert_ne!(first.0, other.0);
        assert_eq!(headers("4", None).0, None);
    }

    #[test]
    fn a_drawing_goes_out_as_a_picture_that_every_program_shows() {
        use base64::Engine as _;
        let svg =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><rect width=\"5\" height=\"5\"/></svg>";
        let data = base64::engine::general_purpose::STANDARD.encode(svg);
        let html = format!("<p><img alt=\"CPU\" src=\"data:image/svg+xml;base64,{data}\"></p>");
        let to = ["ops@example.com".to_owned()];
        let mail = compose(&Letter { html: &html, ..letter(&to, "s") }, "k", Timestamp::default()).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        assert!(text.contains("Content-Type: image/png") && text.contains("iVBORw0KGgo"), "{text}");
        assert!(!text.contains("svg+xml"), "{text}");
    }

    #[test]
    fn a_subject_cannot_smuggle_headers() {
        let to = ["ops@example.com".to_owned()];
        let message =
            compose(&letter(&to, "a\r\nBcc: victim@example.com\r\n\r\nbody"), "k", Timestamp::default()).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(!text.contains("\r\nBcc:"), "{text}");
    }

    #[test]
    fn a_bad_mailbox_is_refused_without_its_name() {
        let good = "ops@example.com".to_owned();
        for (from, to, expected) in [
            ("nobody", vec![good.clone()], "the sender is no mailbox"),
            ("mihari@example.com", vec![good, "yamada taro".to_owned()], "recipient 2 of 2 is no mailbox"),
            ("mihari@example.com", vec!["a@b\r\nBcc: x@y".to_owned()], "recipient 1 of 1 is no mailbox"),
        ] {
            let letter = Letter { from, ..letter(&to, "subject") };
            let error = compose(&letter, "k", Timestamp::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert_eq!(error.to_string(), format!("messenger deliver: {expected}"));
        }
    }

    #[test]
    fn headers_of_a_receiver_and_bodies_of_one_part() {
        let to = ["ops@example.com".to_owned()];
        let headers =
            [("Reply-To", "desk@example.com"), ("From", "当番 <b@example.com>"), ("X-Priority", "1\r\nBcc: x@y")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let letter = Letter { html: "", headers: &headers, ..letter(&to, "s") };
        let message = compose(&letter, "key", Timestamp::default()).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        for line in ["Reply-To: desk@example.com", "X-Priority: 1  Bcc: x@y", "Content-Type: text/plain; charset=utf-8"]
        {
            assert!(head.lines().any(|one| one == line), "{head}");
        }
        assert_eq!(head.matches("From: ").count(), 1, "{head}");
        assert!(!head.contains("\r\nBcc"), "no header gets in by a value: {head}");
        let from = message.envelope().from().map(ToString::to_string);
        assert_eq!(from.as_deref(), Some("mihari@example.com"), "the envelope keeps the sender");
        let html = compose(&Letter { text: "", html: "<p>x</p>", ..letter }, "key", Timestamp::default()).unwrap();
        let html = String::from_utf8(html.formatted()).unwrap();
        assert!(html.contains("Content-Type: text/html; charset=utf-8") && !html.contains("multipart"), "{html}");
        let bad = [("no name".to_owned(), "x".to_owned())].into();
        let error = compose(&Letter { headers: &bad, ..letter }, "key", Timestamp::default()).unwrap_err();
        assert!(error.to_string().contains("no name of a header"), "{error}");
    }
}
