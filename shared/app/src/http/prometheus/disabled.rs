//! What a Prometheus does only when its flags allow it, and this server never: it says so, as a stock Prometheus does.

use http::StatusCode;

use crate::http::{Reply, json, reply};

/// The start of the paths that change what is stored.
const ADMIN: &str = "/api/v1/admin/tsdb/";
/// The paths that change the process.
const LIFECYCLE: [&str; 2] = ["/-/quit", "/-/reload"];

/// Whether a path is one of these.
pub(in crate::http) fn is_disabled(path: &str) -> bool {
    let admin = ["clean_tombstones", "delete_series", "snapshot"];
    LIFECYCLE.contains(&path) || path.strip_prefix(ADMIN).is_some_and(|what| admin.contains(&what))
}

/// The answer at any of them.
pub(in crate::http) fn disabled(path: &str) -> Reply {
    if LIFECYCLE.contains(&path) {
        let message = "Lifecycle API is not enabled: a changed configuration is taken within a minute.\n";
        return reply::text(StatusCode::FORBIDDEN, message);
    }
    let message = "admin APIs disabled: samples go when their retention ends";
    reply::json(StatusCode::SERVICE_UNAVAILABLE, json::error("unavailable", message))
}
