//! Links to one page of one report that work without a token, for those whom a report is passed on to.
//!
//! `/r/<tenant>/<id>.<language>.html?e=<end in seconds>&s=<signature>`: the signature is an HMAC-SHA-256 over the path
//! and the end under the deployment's key, so a link opens nothing but what it was made for, until it ends. Whoever
//! has the link can read the page; nothing else can be done with it.

use std::time::Duration;

use model::{Language, TenantId, Timestamp};

use super::Format;
use crate::access::SessionKey;

/// What the path of every link starts with.
pub const PREFIX: &str = "/r/";
/// How long a link works that somebody takes from the page of reports.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a link works that stands in a mail.
pub const MAIL_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Ends are whole hours, so that a page that refreshes itself shows the same link for an hour.
const STEP: Duration = Duration::from_secs(3600);

/// Why a link does not open anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is not one that we made.
    #[error("the link is not whole, or was changed on its way")]
    Altered,
    /// It worked until some time ago.
    #[error("the link has expired")]
    Expired,
}

/// What a link opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whose report.
    pub tenant: TenantId,
    /// The report's id.
    pub id: String,
    /// Which form of it.
    pub format: Format,
}

/// A link to a report's page, without the address of the deployment before it.
pub fn make(
    key: &SessionKey,
    tenant: &TenantId,
    id: &str,
    language: Language,
    lifetime: Duration,
    now: Timestamp,
) -> String {
    let path = format!("{PREFIX}{tenant}/{id}.{}.html", language.tag());
    let ends = ((now + lifetime).align_down(STEP) + STEP).as_millis() / 1000;
    let signature = key.sign_link(&path, ends);
    format!("{path}?e={ends}&s={signature}")
}

/// What a link opens, by its path and its parameters `e` and `s`.
///
/// # Errors
/// When it is not one of ours, or no longer.
pub fn open(key: &SessionKey, path: &str, ends: &str, signature: &str, now: Timestamp) -> Result<Opened, LinkError> {
    let seconds: i64 = ends.parse().map_err(|_| LinkError::Altered)?;
    if !key.verify_link(path, seconds, signature) {
        return Err(LinkError::Altered);
    }
    if Timestamp::from_secs(seconds) <= now {
        return Err(LinkError::Expired);
    }
    let (tenant, file) = path.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')).ok_or(LinkError::Altered)?;
    let tenant = TenantId::new(tenant).map_err(|_| LinkError::Altered)?;
    let (id, format) = Format::of_file(file).ok_or(LinkError::Altered)?;
    Ok(Opened { tenant, id: id.to_owned(), format })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_321_800);
    const ID: &str = "2026-11-21/Asia.Tokyo/final";

    fn key() -> SessionKey {
        SessionKey::new([7; 32])
    }

    fn link() -> (String, String, String) {
        let link = make(&key(), &TenantId::default_tenant(), ID, Language::Japanese, LIFETIME, NOW);
        let (path, query) = link.split_once("?e=").unwrap();
        let (ends, signature) = query.split_once("&s=").unwrap();
        (path.to_owned(), ends.to_owned(), signature.to_owned())
    }

    #[test]
    fn a_link_opens_what_it_was_made_for_until_it_ends() {
        let (path, ends, signature) = link();
        assert_eq!(path, "/r/default/2026-11-21/Asia.Tokyo/final.ja.html");
        let expected =
            Opened { tenant: TenantId::default_tenant(), id: ID.to_owned(), format: Format::Html(Language::Japanese) };
        let last = NOW + LIFETIME;
        for now in [NOW, last] {
            assert_eq!(open(&key(), &path, &ends, &signature, now), Ok(expected.clone()));
        }
        assert_eq!(open(&key(), &path, &ends, &signature, last + STEP), Err(LinkError::Expired));
    }

    #[test]
    fn it_is_the_same_for_an_hour() {
        let at = |now| make(&key(), &TenantId::default_tenant(), ID, Language::Japanese, LIFETIME, now);
        let hour = NOW.align_down(STEP);
        assert_eq!(at(hour), at(hour + Duration::from_secs(3599)));
        assert_ne!(at(hour), at(hour + STEP));
    }

    #[test]
    fn whatever_is_altered_opens_nothing() {
        let (path, ends, signature) = link();
        let later = (ends.parse::<i64>().unwrap() + 3600).to_string();
        let other_session = key().sign("mihari_token", NOW);
        let cases = [
            (path.replace("default", "other"), ends.clone(), signature.clone()),
            (path.replace("21", "20"), ends.clone(), signature.clone()),
            (path.replace(".ja.", ".en."), ends.clone(), signature.clone()),
            (path.replace(".ja.html", ".json"), ends.clone(), signature.clone()),
            (path.clone(), later, signature.clone()),
            (path.clone(), String::new(), signature.clone()),
            (path.clone(), format!("+{ends}"), signature.clone()),
            (path.clone(), ends.clone(), signature[1..].to_owned()),
            (path.clone(), ends.clone(), String::new()),
            (path.clone(), ends.clone(), signature.to_lowercase()),
            (path.clone(), ends.clone(), other_session.rsplit('.').next().unwrap().to_owned()),
        ];
        for (path, ends, signature) in cases.into_iter().filter(|case| *case != link()) {
            let opened = open(&key(), &path, &ends, &signature, NOW);
            // A sign before the number changes nothing that was signed.
            let is_same_number = ends.starts_with('+');
            assert_eq!(opened.is_err(), !is_same_number, "{path} {ends} {signature}: {opened:?}");
        }
        let other_key = SessionKey::new([8; 32]);
        assert_eq!(open(&other_key, &path, &ends, &signature, NOW), Err(LinkError::Altered));
    }
}
