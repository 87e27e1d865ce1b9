//! Who may do what: tokens, sessions, roles, tenants.
//!
//! A request shows a token in one of the places where agents put their keys, or a session cookie that was got for a
//! token at `/login`. While no token exists, a process on a loopback address needs none ([`Access::Open`]): it serves
//! only loopback `Host` and `Origin` values, and the header `X-Scope-OrgID` chooses the tenant. With tokens, the
//! tenant comes from the token alone.

mod preferences;
mod senders;
mod session;
mod token;

use http::HeaderMap;
use jiff::tz::TimeZone;
use model::{Language, TenantId, Timestamp};

use crate::ports::StateStore;
use crate::{AppError, Settings};

pub use preferences::{LANGUAGE_COOKIE, TIME_ZONE_COOKIE, language, time_zone};
pub(crate) use senders::Senders;
pub use session::{SESSION_COOKIE, SESSION_LIFETIME, SessionKey, cookie};
pub use token::{NewToken, TokenRow, create, find, list, revoke};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Sending samples.
    Write,
    /// Queries, pages and reports.
    Read,
    /// Tokens and changes.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Admin];

    /// The scope's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// The scope of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// What a person's work is, which decides the pages and reports they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Operations: everything.
    Ops,
    /// Engineering: everything but access.
    Tech,
    /// Management: the overview and reports, and no queries of their own.
    Exec,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Ops, Self::Tech, Self::Exec];

    /// The role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ops => "ops",
            Self::Tech => "tech",
            Self::Exec => "exec",
        }
    }

    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// Who looks at a page, and how they want it.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Whose data they see.
    pub tenant: TenantId,
    /// The name of the token they came with; empty without one.
    pub name: String,
    /// What they may see.
    pub role: Role,
    /// Whether they came with a token and can log out.
    pub logged_in: bool,
    /// The language of the page.
    pub language: Language,
    /// The time zone of the page.
    pub time_zone: TimeZone,
    /// The token that every changing form of the page carries.
    pub csrf: String,
    /// Whether they may answer alerts.
    pub may_answer: bool,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose data it is about.
    pub tenant: TenantId,
    /// The name of the token; empty where none is needed.
    pub name: String,
    /// What the caller's work is.
    pub role: Role,
    /// What the caller may do, sorted.
    pub scopes: Vec<Scope>,
    /// How the caller showed who it is.
    pub proof: Proof,
}

/// How a caller showed who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: none is needed.
    Open,
    /// A token in a header.
    Token,
    /// The right to invoke the deployment itself, past its HTTP front door (see [`crate::http::operator`]).
    Operator,
    /// A session cookie; changes need a CSRF token beside it.
    Session {
        /// The token that changing forms carry.
        csrf: String,
    },
}

/// Why a request was turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token where one is needed.
    #[error("a token is needed: send it as `Authorization: Bearer <token>`, or log in at /login")]
    Missing,
    /// A token nobody knows, or that was revoked, or a session that has ended.
    #[error("the token is unknown, was revoked or has expired")]
    Unknown,
    /// A token without the right.
    #[error("the token lacks the scope `{}`", .0.as_str())]
    Scope(Scope),
    /// Something that the role does not see.
    #[error("the role `{}` does not see this", .0.as_str())]
    Role(Role),
    /// What belongs to the whole deployment: its own metrics, its configuration.
    #[error("this is the whole deployment's and for the tenant {0} only")]
    Deployment(TenantId),
    /// A name that is not this machine's: another site's page is talking through somebody's browser.
    #[error("{header} {value:?} is not a loopback name: without tokens only loopback names are served")]
    NotLoopback {
        /// Which header.
        header: &'static str,
        /// Its value.
        value: String,
    },
    /// A changing form without the page's CSRF token.
    #[error("the form has expired: reload the page and send it again")]
    Csrf,
    /// A tenant's name that is none.
    #[error("X-Scope-OrgID: {0}")]
    Tenant(#[from] model::TenantError),
}

/// How callers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// On loopback while no token exists: nobody needs one.
    Open,
    /// Everybody needs a token.
    Tokens,
}

impl Caller {
    /// The caller as the reader of a page.
    pub fn viewer(&self, headers: &HeaderMap, settings: &Settings) -> Viewer {
        let csrf = match &self.proof {
            Proof::Open | Proof::Token | Proof::Operator => String::new(),
            Proof::Session { csrf } => csrf.clone(),
        };
        Viewer {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            role: self.role,
            logged_in: matches!(self.proof, Proof::Token | Proof::Session { .. }),
            language: language(headers, settings),
            time_zone: time_zone(headers, settings),
            csrf,
            may_answer: self.scopes.contains(&Scope::Write),
        }
    }
}

/// Finds out who a request comes from.
///
/// # Errors
/// The outer error is the store's; the inner one is the caller's.
pub async fn identify(
    access: Access,
    headers: &HeaderMap,
    state: &dyn StateStore,
    session_key: &SessionKey,
    default_tenant: &TenantId,
    now: Timestamp,
) -> Result<Result<Caller, Refusal>, AppError> {
    if access == Access::Open {
        return Ok(open_caller(headers, default_tenant));
    }
    if let Some(token) = token::from_headers(headers) {
        let found = find(state, &token, now).await?;
        return Ok(found.map(|row| caller(row, Proof::Token)).ok_or(Refusal::Unknown));
    }
    let Some(session) = session::from_headers(headers) else { return Ok(Err(Refusal::Missing)) };
    let Some(hash) = session_key.verify(session, now) else { return Ok(Err(Refusal::Unknown)) };
    let found = token::find_hash(state, &hash, now).await?;
    let proof = Proof::Session { csrf: session_key.csrf(session) };
    Ok(found.map(|row| caller(row, proof)).ok_or(Refusal::Unknown))
}

impl Caller {
    /// Checks that the caller has a scope.
    ///
    /// # Errors
    /// When it has not.
    pub fn require(&self, scope: Scope) -> Result<(), Refusal> {
        if self.scopes.contains(&scope) { Ok(()) } else { Err(Refusal::Scope(scope)) }
    }

    /// Checks the CSRF token of a changing form. Only sessions need one: a browser adds a cookie by itself. It may also
    /// repeat a token that somebody typed in as a Basic password, against which [`check_origin`] stands; without tokens
    /// the `Origin` was checked.
    ///
    /// # Errors
    /// When the token is not the session's.
    pub fn check_csrf(&self, sent: &str) -> Result<(), Refusal> {
        match &self.proof {
            Proof::Open | Proof::Token | Proof::Operator => Ok(()),
            Proof::Session { csrf } if session::same(csrf, sent) => Ok(()),
            Proof::Session { .. } => Err(Refusal::Csrf),
        }
    }
}

fn caller(row: TokenRow, proof: Proof) -> Caller {
    Caller { tenant: row.tenant, name: row.name, role: row.role, scopes: row.scopes, proof }
}

/// The caller where no token exists, if the request comes from this machine's own pages and programs.
fn open_caller(headers: &HeaderMap, default_tenant: &TenantId) -> Result<Caller, Refusal> {
    for header in ["host", "origin"] {
        let Some(value) = headers.get(header) else { continue };
        let value = value.to_str().unwrap_or("");
        if !is_loopback(value) {
            return Err(Refusal::NotLoopback { header, value: value.chars().take(200).collect() });
        }
    }
    let tenant = match headers.get("x-scope-orgid") {
        Some(value) => TenantId::new(value.to_str().unwrap_or(""))?,
        None => default_tenant.clone(),
    };
    Ok(Caller { tenant, name: String::new(), role: Role::Ops, scopes: Scope::ALL.to_vec(), proof: Proof::Open })
}

/// Checks that what a browser sends comes from a page of ours: its `Origin`, where there is one, is the host that was
/// asked, or the address that people reach the pages at, if a proxy stands between.
///
/// # Errors
/// When it comes from another site.
pub fn check_origin(headers: &HeaderMap, external_url: &str) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text("origin") else { return Ok(()) };
    let origin_host = origin.split_once("://").map_or("", |(_, host)| host);
    let is_ours = text("host").is_some_and(|host| host.eq_ignore_ascii_case(origin_host));
    if is_ours || origin.eq_ignore_ascii_case(external_url) { Ok(()) } else { Err(Refusal::Csrf) }
}

/// Whether a `Host` or `Origin` value names this machine by a loopback name.
pub fn is_loopback(value: &str) -> bool {
    let value = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://")).unwrap_or(value);
    let host = match value.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => value.split(':').next().unwrap_or(""),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_served_without_tokens() {
        let cases = [
            ("127.0.0.1:9099", true),
            ("localhost", true),
            ("LOCALHOST:9099", true),
            ("[::1]:9099", true),
            ("http://localhost:9099", true),
            ("127.3.2.1", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:80", false),
            ("http://evil.example#localhost", false),
            ("null", false),
            ("", false),
            ("192.168.0.4:9099", false),
        ];
        for (value, expected) in cases {
            assert_eq!(is_loopback(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_change_from_another_site_is_refused() {
        let cases = [
            (None, true),
            (Some("https://api.example"), true),
            (Some("https://API.example"), true),
            (Some("https://mihari.example"), true),
            (Some("https://evil.example"), false),
            (Some("http://mihari.example"), false),
            (Some("null"), false),
        ];
        for (origin, is_taken) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("host", "api.example".parse().unwrap());
            origin.map(|origin| headers.insert("origin", origin.parse().unwrap()));
            assert_eq!(check_origin(&headers, "https://mihari.example").is_ok(), is_taken, "{origin:?}");
        }
    }

    #[test]
    fn without_tokens_a_header_chooses_the_tenant() {
        let mut headers = HeaderMap::new();
        let default = TenantId::default_tenant();
        assert_eq!(open_caller(&headers, &default).unwrap().tenant, default);
        headers.insert("x-scope-orgid", "team-a".parse().unwrap());
        assert_eq!(open_caller(&headers, &default).unwrap().tenant.as_str(), "team-a");
        headers.insert("x-scope-orgid", "a/b".parse().unwrap());
        assert!(matches!(open_caller(&headers, &default), Err(Refusal::Tenant(_))));
        headers.insert("origin", "https://evil.example".parse().unwrap());
        assert!(matches!(open_caller(&headers, &default), Err(Refusal::NotLoopback { header: "origin", .. })));
    }

    #[test]
    fn a_session_needs_its_own_csrf_token() {
        let proof = Proof::Session { csrf: "right".to_owned() };
        let caller = Caller {
            tenant: TenantId::default_tenant(),
            name: "aiko".to_owned(),
            role: Role::Tech,
            scopes: vec![Scope::Read],
            proof,
        };
        assert_eq!(caller.check_csrf("right"), Ok(()));
        assert_eq!(caller.check_csrf("wrong"), Err(Refusal::Csrf));
        assert_eq!(caller.require(Scope::Admin), Err(Refusal::Scope(Scope::Admin)));
    }
}
