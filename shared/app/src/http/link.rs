//! `/r/...`: a report for whoever has the link.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Request, StatusCode};
use model::Timestamp;

use super::{HttpError, Params, Reply, reply};
use crate::report::link::{self, LinkError};
use crate::report::{self, Place};
use crate::{App, AppError, access, pages};

/// How long the store's own link works that a click leads to.
const STORE_LINK_LIFETIME: Duration = Duration::from_secs(300);

/// Leads to the report that a link names, or brings it where the store has no door of its own. An altered or expired
/// link is a page that says so, with the status 403; it asks nothing of the store.
pub(super) async fn handle(app: &App, request: &Request<Bytes>, now: Timestamp) -> Result<Reply, HttpError> {
    let params = Params::of(request);
    let (ends, signature) = (params.get("e").unwrap_or(""), params.get("s").unwrap_or(""));
    let mut reply = match link::open(app.session_key(), request.uri().path(), ends, signature, now) {
        Ok(opened) => {
            let place = report::place(app, &opened.tenant, &opened.id, opened.format, STORE_LINK_LIFETIME).await?;
            follow(place, &opened)?
        }
        Err(error) => refusal(app, request, error),
    };
    // The address is a key: whoever is linked to from the page must not learn it.
    reply.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

fn follow(place: Option<Place>, opened: &link::Opened) -> Result<Reply, AppError> {
    match place {
        Some(Place::Elsewhere(url)) => {
            let url = HeaderValue::from_str(&url)
                .map_err(|error| AppError::Bug(format!("the store's link is no header value: {error}")))?;
            let mut reply = reply::empty(StatusCode::FOUND);
            reply.headers_mut().insert(LOCATION, url);
            Ok(reply)
        }
        Some(Place::Here(bytes)) => Ok(pages::report_file(opened.format, bytes)),
        None => Err(AppError::NotFound("the report is no longer kept".to_owned())),
    }
}

fn refusal(app: &App, request: &Request<Bytes>, error: LinkError) -> Reply {
    let language = access::language(request.headers(), &app.settings);
    let text = match error {
        LinkError::Altered => render::Text::LinkAltered,
        LinkError::Expired => render::Text::LinkExpired,
    };
    pages::error(app, request.headers(), StatusCode::FORBIDDEN, text.in_language(language))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use model::Language;

    use super::*;
    use crate::faults::{FaultPlan, Faulty};
    use crate::memory::MemoryObjectStore;
    use crate::pages::testing::{NOW, World, tenant};
    use crate::ports::{ByteRange, ObjectPage, ObjectStore, PortResult};
    use crate::report::daily;

    async fn get(app: &App, path: &str) -> Reply {
        let request = Request::get(path).header("accept-language", "en").body(Bytes::new()).unwrap();
        crate::http::handle(app, request, [0; 32], NOW).await
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
        reply.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A deployment that needs tokens, with a report, and a link to it.
    async fn with_report(world: &World) -> (App, String) {
        let app = world.app(&[], &FaultPlan::none());
        world.collect_all("a", NOW - Duration::from_secs(600), NOW, Duration::from_secs(15)).await;
        let entry = daily(&app, &tenant(), "2026-11-22".parse().unwrap(), NOW).await.unwrap();
        app.require_tokens();
        let link = link::make(app.session_key(), &tenant(), &entry.id, Language::English, link::LIFETIME, NOW);
        (app, link)
    }

    #[tokio::test]
    async fn a_link_brings_the_report_without_a_token() {
        let world = World::default();
        let (app, link) = with_report(&world).await;
        let reply = get(&app, &link).await;
        assert_eq!(reply.status(), StatusCode::OK);
        assert!(String::from_utf8_lossy(reply.body()).contains("2026-11-22"));
        assert_eq!(header(&reply, "referrer-policy"), "no-referrer");
        assert_eq!(header(&reply, "cache-control"), "no-store");
        assert!(header(&reply, "content-security-policy").contains("default-src 'none'"));
        let listed = get(&app, "/reports").await;
        assert_eq!(listed.status(), StatusCode::SEE_OTHER, "all else needs a token");
    }

    #[tokio::test]
    async fn an_altered_or_expired_link_is_a_page_that_asks_nothing_of_the_store() {
        let world = World::default();
        let (_, link) = with_report(&world).await;
        let plan = FaultPlan::none();
        let mut app = world.app(&[], &plan);
        app.ports.state = Arc::new(Faulty::new(Arc::clone(&app.ports.state), Arc::clone(&plan)));
        let expired = link::make(
            app.session_key(),
            &tenant(),
            "2026-11-21/UTC/final",
            Language::English,
            Duration::ZERO,
            NOW - link::LIFETIME,
        );
        let cases = [
            (link.replace(".en.", ".ja."), "was changed on its way"),
            (link.replace("?e=", "?e=9"), "was changed on its way"),
            (link.split_once("&s=").unwrap().0.to_owned(), "was changed on its way"),
            ("/r/".to_owned(), "was changed on its way"),
            (expired, "has expired"),
        ];
        for (path, text) in cases {
            let reply = get(&app, &path).await;
            assert_eq!(reply.status(), StatusCode::FORBIDDEN, "{path}");
            assert_eq!(header(&reply, "content-type"), "text/html; charset=utf-8");
            assert!(String::from_utf8_lossy(reply.body()).contains(text), "{path}");
            assert_eq!(header(&reply, "referrer-policy"), "no-referrer");
        }
        assert_eq!(["object get", "object link", "state get"].map(|call| plan.calls(call)), [0, 0, 0]);
        let request = Request::post(&link).body(Bytes::new()).unwrap();
        assert_eq!(crate::http::handle(&app, request, [0; 32], NOW).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_report_that_is_gone_is_not_found() {
        let world = World::default();
        let app = world.app(&[], &FaultPlan::none());
        let id = "2026-11-20/Asia.Tokyo/final";
        let link = link::make(app.session_key(), &tenant(), id, Language::English, link::LIFETIME, NOW);
        let reply = get(&app, &link).await;
        assert_eq!(reply.status(), StatusCode::NOT_FOUND);
        assert!(String::from_utf8_lossy(reply.body()).contains("no longer kept"));
    }

    /// A store with a door of its own, as S3 is.
    #[derive(Debug)]
    struct WithDoor(Arc<MemoryObjectStore>);

    #[async_trait]
    impl ObjectStore for WithDoor {
        async fn put_new(&self, key: &str, bytes: Bytes) -> PortResult<()> {
            self.0.put_new(key, bytes).await
        }

        async fn get(&self, key: &str, range: ByteRange) -> PortResult<Bytes> {
            self.0.get(key, range).await
        }

        async fn list(&self, prefix: &str, cursor: Option<&str>) -> PortResult<ObjectPage> {
            self.0.list(prefix, cursor).await
        }

        async fn delete(&self, key: &str) -> PortResult<()> {
            self.0.delete(key).await
        }

        async fn link(&self, key: &str, lifetime: Duration) -> PortResult<Option<String>> {
            Ok(Some(format!("https://bucket.example/{key}?expires={}", lifetime.as_secs())))
        }
    }

    #[tokio::test]
    async fn where_the_store_has_a_door_the_link_leads_there_for_five_minutes() {
        let world = World::default();
        let (mut app, link) = with_report(&world).await;
        app.ports.objects = Arc::new(WithDoor(Arc::clone(&world.objects)));
        let reply = get(&app, &link).await;
        assert_eq!(reply.status(), StatusCode::FOUND);
        let location = header(&reply, "location");
        assert!(location.starts_with("https://bucket.example/reports/tenant=default/daily/2026-11-22/"), "{location}");
        assert!(location.ends_with("/report.en.html?expires=300"), "{location}");
        assert_eq!(header(&reply, "referrer-policy"), "no-referrer");
    }
}
