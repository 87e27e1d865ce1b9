//! Sessions: a signed cookie that stands for a token, and the CSRF token of its forms.
//!
//! The cookie is `<hash of the token>.<end in seconds>.<signature>`, signed with HMAC-SHA-256 under a key of the
//! deployment. Revoking the token ends the session, since the token is looked up by its hash on every request.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use model::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::token;
use crate::AppError;
use crate::ports::{Expect, RowKey, RowWrite, StateStore};

/// The name of the cookie.
pub const SESSION_COOKIE: &str = "mihari_session";
/// How long a session lasts.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// The deployment's key for signatures.
#[derive(Clone)]
pub struct SessionKey([u8; 32]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

impl SessionKey {
    /// A key of 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The deployment's key: the stored one, or these random bytes, which then are stored.
    ///
    /// # Errors
    /// When the store does not answer or holds something else.
    pub async fn load_or_create(state: &dyn StateStore, random: [u8; 32], now: Timestamp) -> Result<Self, AppError> {
        let key = RowKey::new("y#", "session-key");
        if state.get(&key, now).await?.is_none() {
            let mut value = vec![1];
            value.extend_from_slice(&random);
            match state.write(vec![RowWrite::put(key.clone(), Expect::Absent, value)], now).await {
                Ok(_) => {}
                Err(error) if error.kind() == model::ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        let row = state.get(&key, now).await?;
        let bytes = row.as_ref().and_then(|row| row.value.strip_prefix(&[1])).and_then(|key| key.try_into().ok());
        bytes.map(Self).ok_or_else(|| AppError::Corrupt("the session key is not 32 bytes".to_owned()))
    }

    /// The cookie of a new session for a token.
    pub fn sign(&self, token: &str, now: Timestamp) -> String {
        let ends = (now + SESSION_LIFETIME).as_millis() / 1000;
        let claim = format!("{}.{ends}", URL_SAFE_NO_PAD.encode(token::hash(token)));
        let signature = self.mac("session", &claim);
        format!("{claim}.{signature}")
    }

    /// The hash of the token that a cookie stands for, if the signature is ours and the session has not ended.
    pub fn verify(&self, cookie: &str, now: Timestamp) -> Option<[u8; 32]> {
        let (claim, signature) = cookie.rsplit_once('.')?;
        if !same(&self.mac("session", claim), signature) {
            return None;
        }
        let (hash, ends) = claim.split_once('.')?;
        if Timestamp::from_secs(ends.parse().ok()?) <= now {
            return None;
        }
        URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()
    }

    /// The token that forms of this session carry.
    pub fn csrf(&self, cookie: &str) -> String {
        self.mac("csrf", cookie)
    }

    /// The signature of a link: of its path, and when it ends, in seconds since the epoch.
    pub(crate) fn sign_link(&self, path: &str, ends: i64) -> String {
        self.mac("link", &format!("{path}\n{ends}"))
    }

    /// Whether a link's signature is ours.
    pub(crate) fn verify_link(&self, path: &str, ends: i64, signature: &str) -> bool {
        same(&self.sign_link(path, ends), signature)
    }

    /// The token of a link at which one person answers for one page: 132 bits of a signature over what it is about.
    pub(crate) fn answer_token(&self, about: &str) -> String {
        let mut signature = self.mac("answer", about);
        signature.truncate(22);
        signature
    }

    /// Whether the token of such a link is ours.
    pub(crate) fn verify_answer(&self, about: &str, token: &str) -> bool {
        same(&self.answer_token(about), token)
    }

    fn mac(&self, purpose: &str, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

/// The session cookie of a request.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, SESSION_COOKIE)
}

/// The value of a cookie of a request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all("cookie").into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

/// Compares two secrets in a time that tells nothing about them.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn a_session_ends_and_cannot_be_altered() {
        let key = SessionKey::new([7; 32]);
        let cookie = key.sign("mihari_token", NOW);
        assert_eq!(key.verify(&cookie, NOW), Some(token::hash("mihari_token")));
        assert_eq!(key.verify(&cookie, NOW + SESSION_LIFETIME), None);
        assert_eq!(SessionKey::new([8; 32]).verify(&cookie, NOW), None);
        let longer = cookie.replacen(".17", ".27", 1);
        assert_eq!(key.verify(&longer, NOW), None);
        for bad in ["", ".", "..", "a.b.c"] {
            assert_eq!(key.verify(bad, NOW), None, "{bad:?}");
        }
    }

    #[test]
    fn cookies_are_read_by_name() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", "a=1; mihari_session=x.y.z; b=2".parse().unwrap());
        assert_eq!(from_headers(&headers), Some("x.y.z"));
        assert_eq!(cookie(&headers, "b"), Some("2"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
