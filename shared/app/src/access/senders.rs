//! Senders that were let in of late: a busy one costs no look-up a request.
//!
//! Only for requests that send samples, which are nearly all there are. Whoever asks or changes something is looked up
//! each time, so a revoked token sees nothing from that moment on; one that sends is taken for the rest of the time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use model::Timestamp;

use super::{Caller, Proof, token};
use crate::load::Cache;

/// Most senders that are remembered.
const SENDERS_MAX: usize = 1000;

/// Senders by the hash of their token, and when they were looked up.
#[derive(Debug)]
pub(crate) struct Senders {
    memory: Duration,
    let_in: Mutex<Cache<[u8; 32], (Caller, Timestamp)>>,
}

impl Senders {
    /// Remembers each sender for so long; zero for never.
    pub(crate) const fn new(memory: Duration) -> Self {
        Self { memory, let_in: Mutex::new(Cache::new(SENDERS_MAX)) }
    }

    /// Who shows the token of a request, if that was looked up a short time ago.
    pub(crate) fn known(&self, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
        if self.memory.is_zero() {
            return None;
        }
        let (caller, at) = self.let_in().get(&token::hash(&token::from_headers(headers)?))?;
        (at <= now && now < at + self.memory).then_some(caller)
    }

    /// Remembers who showed the token of a request.
    pub(crate) fn remember(&self, headers: &HeaderMap, caller: &Caller, now: Timestamp) {
        if self.memory.is_zero() || caller.proof != Proof::Token {
            return;
        }
        if let Some(token) = token::from_headers(headers) {
            self.let_in().insert(token::hash(&token), (caller.clone(), now), 1);
        }
    }

    fn let_in(&self) -> MutexGuard<'_, Cache<[u8; 32], (Caller, Timestamp)>> {
        self.let_in.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{Request, StatusCode};
    use model::{Limits, TenantId};

    use super::*;
    use crate::access::{self, Access, NewToken, Role, Scope, SessionKey};
    use crate::config::Config;
    use crate::faults::{FaultPlan, Faulty};
    use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
    use crate::{App, Ports, Settings, Stopwatch};

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn headers(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        headers
    }

    fn caller(proof: Proof) -> Caller {
        let tenant = TenantId::default_tenant();
        Caller { tenant, name: "a".to_owned(), role: Role::Tech, scopes: vec![Scope::Write], proof }
    }

    #[test]
    fn a_token_is_known_for_its_time_and_no_other_is() {
        let senders = Senders::new(Duration::from_secs(30));
        senders.remember(&headers("one"), &caller(Proof::Token), NOW);
        let known = |token: &str, secs: i64| {
            senders.known(&headers(token), Timestamp::from_millis(NOW.as_millis() + secs * 1000)).is_some()
        };
        let cases = [("one", 0, true), ("one", 29, true), ("one", 30, false), ("one", -1, false), ("two", 0, false)];
        for (token, secs, expected) in cases {
            assert_eq!(known(token, secs), expected, "{token} after {secs} s");
        }
        assert_eq!(senders.known(&HeaderMap::new(), NOW), None);
    }

    #[test]
    fn nobody_is_remembered_without_a_token_or_where_that_is_off() {
        let senders = Senders::new(Duration::from_secs(30));
        senders.remember(&headers("one"), &caller(Proof::Open), NOW);
        senders.remember(&headers("one"), &caller(Proof::Session { csrf: String::new() }), NOW);
        assert_eq!(senders.known(&headers("one"), NOW), None);
        let off = Senders::new(Duration::ZERO);
        off.remember(&headers("one"), &caller(Proof::Token), NOW);
        assert_eq!(off.known(&headers("one"), NOW), None);
    }

    async fn status(app: &App, token: &str, path: &str, now: Timestamp) -> StatusCode {
        let request = if path == "/firehose" { Request::post(path) } else { Request::get(path) };
        let request = request.header("x-api-key", token).body(Bytes::from_static(b"{}")).unwrap();
        crate::http::handle(app, request, [0; 32], now).await.status()
    }

    #[tokio::test]
    async fn a_revoked_token_sends_for_the_rest_of_its_time_and_reads_nothing() {
        let plan = FaultPlan::none();
        let ports = Ports {
            wal: Arc::new(MemoryWal::default()),
            objects: Arc::new(MemoryObjectStore::default()),
            state: Arc::new(Faulty::new(Arc::new(MemoryStateStore::default()), Arc::clone(&plan))),
            topic: Arc::new(MemoryTopic::default()),
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let settings = Settings { sender_memory: Duration::from_secs(30), ..Settings::default() };
        let session = (Access::Tokens, SessionKey::new([7; 32]));
        let app = App::new(ports, settings, Limits::default(), Stopwatch::stopped(), Config::default(), session);
        let (state, tenant) = (Arc::clone(&app.ports.state), TenantId::default_tenant());
        let scopes = vec![Scope::Write, Scope::Read];
        let new = NewToken { name: "a".to_owned(), scopes, role: Role::Ops, tenant: tenant.clone() };
        let token = access::create(state.as_ref(), new, [1; 32], NOW).await.unwrap();
        let reads = plan.calls("state get");
        for _ in 0..3 {
            assert_eq!(status(&app, &token, "/firehose", NOW).await, StatusCode::BAD_REQUEST, "let in, and no request");
        }
        assert_eq!(plan.calls("state get") - reads, 1);
        assert_eq!(status(&app, &token, "/api/v1/query?query=1", NOW).await, StatusCode::OK);
        access::revoke(state.as_ref(), &tenant, "a", NOW).await.unwrap();
        for (secs, expected) in
            [(0, StatusCode::BAD_REQUEST), (29, StatusCode::BAD_REQUEST), (30, StatusCode::UNAUTHORIZED)]
        {
            let now = NOW + Duration::from_secs(secs);
            assert_eq!(status(&app, &token, "/firehose", now).await, expected, "after {secs} s");
            assert_eq!(status(&app, &token, "/api/v1/query?query=1", now).await, StatusCode::UNAUTHORIZED);
        }
    }
}
