//! Tokens: made once, shown once, stored as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use model::{TenantId, Timestamp};
use sha2::{Digest as _, Sha256};

use super::{Role, Scope};
use crate::AppError;
use crate::ports::{Expect, RowKey, RowRange, RowWrite, StateStore, range_all};

/// The partition of all tokens.
const PARTITION: &str = "k#";
/// What every token starts with, so that a leaked one can be recognised.
const PREFIX: &str = "mihari_";
/// The version of a stored token.
const FORMAT_VERSION: u8 = 1;

/// What is known of a token; never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TokenRow {
    /// A person's or a machine's name: the author in histories.
    pub name: String,
    /// What it allows, sorted.
    pub scopes: Vec<Scope>,
    /// What its bearer's work is.
    pub role: Role,
    /// Whose data it opens.
    #[serde(with = "tenant_text")]
    pub tenant: TenantId,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
}

/// A token to make.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// A person's or a machine's name, 1 to 100 characters, one token a name and tenant.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// What its bearer's work is.
    pub role: Role,
    /// Whose data it opens.
    pub tenant: TenantId,
}

/// Makes a token from 32 random bytes and stores its hash. The answer is the only place where the token stands.
///
/// # Errors
/// `Invalid` for a bad name or no scope; `Conflict` when the tenant has a token of that name.
pub async fn create(
    state: &dyn StateStore,
    token: NewToken,
    random: [u8; 32],
    now: Timestamp,
) -> Result<String, AppError> {
    let name = token.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(AppError::Invalid(format!("token name {name:?} is not 1 to 100 printable characters")));
    }
    if token.scopes.is_empty() {
        return Err(AppError::Invalid("a token needs at least one of the scopes write, read, admin".to_owned()));
    }
    if list(state, now).await?.iter().any(|row| row.name == name && row.tenant == token.tenant) {
        return Err(AppError::Invalid(format!("tenant {} already has a token named {name:?}", token.tenant)));
    }
    let mut scopes = token.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let row = TokenRow { name, scopes, role: token.role, tenant: token.tenant, created_ms: now.as_millis() };
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let write = RowWrite::put(row_key(&hash(&text)), Expect::Absent, encode(&row)?);
    state.write(vec![write], now).await?;
    Ok(text)
}

/// All tokens, in order of name.
///
/// # Errors
/// When the store does not answer or a row cannot be read.
pub async fn list(state: &dyn StateStore, now: Timestamp) -> Result<Vec<TokenRow>, AppError> {
    let rows = range_all(state, RowRange::all(PARTITION), now).await?;
    let mut tokens = rows.iter().map(|row| decode(&row.value)).collect::<Result<Vec<_>, _>>()?;
    tokens.sort_by(|a, b| (&a.tenant, &a.name).cmp(&(&b.tenant, &b.name)));
    Ok(tokens)
}

/// Makes a tenant's token of that name worthless, and every session that was opened with it.
///
/// # Errors
/// `NotFound` when there is no such token.
pub async fn revoke(state: &dyn StateStore, tenant: &TenantId, name: &str, now: Timestamp) -> Result<(), AppError> {
    for row in range_all(state, RowRange::all(PARTITION), now).await? {
        let token = decode(&row.value)?;
        if token.name == name && token.tenant == *tenant {
            state.write(vec![RowWrite::delete(row.key, Expect::Version(row.version))], now).await?;
            return Ok(());
        }
    }
    Err(AppError::NotFound(format!("tenant {tenant} has no token named {name:?}")))
}

/// Looks a token up.
///
/// # Errors
/// When the store does not answer or the row cannot be read.
pub async fn find(state: &dyn StateStore, token: &str, now: Timestamp) -> Result<Option<TokenRow>, AppError> {
    find_hash(state, &hash(token), now).await
}

/// Looks a token up by its hash.
pub(super) async fn find_hash(
    state: &dyn StateStore,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<TokenRow>, AppError> {
    let row = state.get(&row_key(hash), now).await?;
    row.map(|row| decode(&row.value)).transpose()
}

/// What is stored of a token: tokens are 256 random bits, so a plain hash cannot be turned back.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The token of a request, from wherever agents put their keys.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(token) = text("authorization").and_then(from_authorization) {
        return Some(token);
    }
    ["x-api-key", "dd-api-key", "api-key", "x-amz-firehose-access-key"]
        .into_iter()
        .find_map(text)
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
}

fn from_authorization(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" | "apikey" => Some(rest.trim().to_owned()),
        "basic" => {
            let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            decoded.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

fn row_key(hash: &[u8; 32]) -> RowKey {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    RowKey::new(PARTITION, hex)
}

fn encode(row: &TokenRow) -> Result<Vec<u8>, AppError> {
    let mut value = vec![FORMAT_VERSION];
    serde_json::to_writer(&mut value, row).map_err(|error| AppError::Corrupt(format!("token: {error}")))?;
    Ok(value)
}

fn decode(value: &[u8]) -> Result<TokenRow, AppError> {
    match value.split_first() {
        Some((&FORMAT_VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| AppError::Corrupt(format!("token: {error}")))
        }
        Some((version, _)) => Err(AppError::Corrupt(format!("token: unknown format version {version}"))),
        None => Err(AppError::Corrupt("token: empty row".to_owned())),
    }
}

/// A tenant as its name.
mod tenant_text {
    use model::TenantId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(tenant: &TenantId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(tenant.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TenantId, D::Error> {
        TenantId::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_wherever_agents_put_it() {
        let cases = [
            ("authorization", "Bearer secret"),
            ("authorization", "bearer secret"),
            ("authorization", "Token secret"),
            ("authorization", "Basic dXNlcjpzZWNyZXQ="),
            ("authorization", "ApiKey secret"),
            ("x-api-key", "secret"),
            ("dd-api-key", "secret"),
            ("api-key", "secret"),
            ("x-amz-firehose-access-key", "secret"),
        ];
        for (name, value) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(from_headers(&headers).as_deref(), Some("secret"), "{name}: {value}");
        }
        assert_eq!(from_headers(&HeaderMap::new()), None);
    }
}
