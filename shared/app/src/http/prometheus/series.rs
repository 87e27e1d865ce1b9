//! Which series there are, and which names and values their labels have.

use std::collections::BTreeSet;

use http::StatusCode;
use model::{Labels, TenantId, TimeRange, Timestamp};

use super::{TRUNCATED, failure, selectors};
use crate::http::{Params, Reply, Route, json, reply};
use crate::query;
use crate::{App, AppError};

/// `/api/v1/labels`, `/api/v1/label/<name>/values` and `/api/v1/series`.
pub(in crate::http) async fn series(
    app: &App,
    tenant: &TenantId,
    path: &str,
    params: &Params,
    now: Timestamp,
) -> Reply {
    let result = async {
        let selectors = selectors(params)?;
        if path == "/api/v1/series" && selectors.is_empty() {
            return Err(AppError::Invalid("no match[] parameter provided".to_owned()));
        }
        let start = params.time("start")?.unwrap_or(Timestamp::MIN);
        let end = params.time("end")?.unwrap_or(Timestamp::MAX);
        let limit = params.limit()?.unwrap_or(usize::MAX);
        let found = if end < start {
            Vec::new()
        } else {
            query::series(app, tenant, &selectors, TimeRange::new(start, end), now).await?
        };
        let (data, all) = match label_of(path) {
            Some(name) => texts(&found, limit, |labels, add| labels.get(&name).into_iter().for_each(add)),
            None if path == "/api/v1/labels" => {
                texts(&found, limit, |labels, add| labels.iter().map(|(name, _)| name).for_each(add))
            }
            None => (json::label_sets(&found[..found.len().min(limit)]), found.len()),
        };
        let cut = (all > limit).then(|| TRUNCATED.to_owned());
        Ok(reply::json(StatusCode::OK, json::success(&data, cut.as_slice(), &[])))
    };
    result.await.unwrap_or_else(|error| failure(Route::Series, &error))
}

/// The label of `/api/v1/label/<name>/values`; names with other than classic characters come escaped as `U__...`.
pub(in crate::http) fn label_of(path: &str) -> Option<String> {
    let name = path.strip_prefix("/api/v1/label/")?.strip_suffix("/values")?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    if name.is_empty() || name.contains('/') {
        return None;
    }
    Some(unescape(&name).unwrap_or_else(|| name.into_owned()))
}

/// Undoes Prometheus's escaping of names: `U__`, then `__` for `_` and `_<hex>_` for any other character.
fn unescape(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut text = String::new();
    while let Some(position) = rest.find('_') {
        text.push_str(&rest[..position]);
        let (code, after) = rest[position + 1..].split_once('_')?;
        match code {
            "" => text.push('_'),
            _ => text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?),
        }
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// A sorted list of distinct texts of the label sets, at most `limit`, and how many there are in all.
fn texts<'a>(
    found: &'a [Labels],
    limit: usize,
    visit: impl Fn(&'a Labels, &mut dyn FnMut(&'a str)),
) -> (String, usize) {
    let mut distinct = BTreeSet::new();
    for labels in found {
        visit(labels, &mut |text| {
            distinct.insert(text);
        });
    }
    (json::texts(distinct.iter().copied().take(limit)), distinct.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_names_are_read_from_the_path() {
        let cases = [
            ("/api/v1/label/job/values", Some("job")),
            ("/api/v1/label/__name__/values", Some("__name__")),
            ("/api/v1/label/U__http_2e_status/values", Some("http.status")),
            ("/api/v1/label/U__a__b/values", Some("a_b")),
            ("/api/v1/label/U__bad_zz_/values", Some("U__bad_zz_")),
            ("/api/v1/label//values", None),
            ("/api/v1/label/a%2Fb/values", None),
            ("/api/v1/labels", None),
        ];
        for (path, expected) in cases {
            assert_eq!(label_of(path).as_deref(), expected, "{path}");
        }
    }
}
