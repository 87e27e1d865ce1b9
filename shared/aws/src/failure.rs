//! What a failed call of AWS asks of the caller.
//!
//! One table of codes tells what may pass from what stays. What stays is our own mistake where a store refuses, since
//! all its requests are made here ([`of_store`]); a service that carries what others wrote refuses that ([`of`]).
//! Failures of stores keep the service's own words for the log; those of other services carry the code and the HTTP
//! status alone, since their words repeat addresses and names.

use std::error::Error;
use std::fmt::Debug;

use app::ports::PortError;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use model::ErrorKind;

/// Codes by which the services say that it was too much at once, besides those that name throttling.
const THROTTLED: &[&str] = &[
    "LimitExceededException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "TooManyRequestsException",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Codes of requests that cannot succeed as they are, but may once an operator or time has changed something outside:
/// rights, names, credentials, clocks. Until then nothing that was to be stored or sent may be lost.
const MENDABLE: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "BadDigest",
    "ConditionalRequestConflict",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "MissingAuthenticationToken",
    "NoSuchBucket",
    "NotAuthorized",
    "NotFound",
    "OptInRequired",
    "RequestExpired",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ResourceNotFoundException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "XAmzContentChecksumMismatch",
];

/// Codes of requests that are over a limit which our own checks should have found.
const TOO_LARGE: &[&str] =
    &["EntityTooLarge", "ItemCollectionSizeLimitExceededException", "KeyTooLongError", "RequestEntityTooLarge"];

/// The failure of a store, with its own words.
pub(crate) fn of_store<E>(operation: &'static str, error: &SdkError<E, Response>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let Some(service) = error.as_service_error() else {
        return PortError::new(kind_without_answer(error), operation, DisplayErrorContext(error));
    };
    let status = status(error);
    let (code, message) = (service.code(), service.message());
    let kind = store_kind(code.unwrap_or_default(), message.unwrap_or_default(), status);
    let text = format!("{} (status {status}): {}", code.unwrap_or("no code"), message.unwrap_or("no message"));
    PortError::new(kind, operation, text)
}

/// What a store's refusal asks of the caller.
pub(crate) fn store_kind(code: &str, message: &str, status: u16) -> ErrorKind {
    passing_kind(code, status).unwrap_or_else(|| {
        let is_too_large = TOO_LARGE.contains(&code) || (code == "ValidationException" && message.contains("exceeded"));
        if is_too_large { ErrorKind::Invalid } else { ErrorKind::Bug }
    })
}

/// The failure of a service that carries what others wrote, without its words; its kind by [`kind`].
pub(crate) fn of<E: ProvideErrorMetadata + Debug>(operation: &'static str, error: &SdkError<E, Response>) -> PortError {
    PortError::new(kind(error), operation, describe(error))
}

/// What the failure of such a service asks of the caller.
pub(crate) fn kind<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> ErrorKind {
    let Some(service) = error.as_service_error() else { return kind_without_answer(error) };
    let status = status(error);
    let kind = passing_kind(service.code().unwrap_or_default(), status);
    kind.unwrap_or(if status == 404 { ErrorKind::Unavailable } else { ErrorKind::Invalid })
}

/// The code and the status of a failure; where there are none, what broke.
pub(crate) fn describe<E: ProvideErrorMetadata + Debug>(error: &SdkError<E, Response>) -> String {
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (error.as_service_error().and_then(ProvideErrorMetadata::code), status) {
        (Some(code), Some(status)) => format!("AWS answers {code} (HTTP {status})"),
        (None, Some(status)) => format!("AWS answers HTTP {status} without an error code"),
        (Some(code), None) => format!("AWS answers {code}"),
        (None, None) => match error {
            SdkError::TimeoutError(_) => "AWS does not answer in time".to_owned(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => "AWS does not answer in time".to_owned(),
            SdkError::DispatchFailure(_) => "AWS cannot be reached".to_owned(),
            SdkError::ConstructionFailure(_) => format!("the request cannot be built: {error:?}"),
            SdkError::ResponseError(_) | SdkError::ServiceError(_) | _ => "the answer of AWS cannot be read".to_owned(),
        },
    }
}

/// What a refusal asks of the caller that another try, an operator or time may mend; `None` for one that stays.
fn passing_kind(code: &str, status: u16) -> Option<ErrorKind> {
    if THROTTLED.contains(&code) || code.contains("Throttl") || status == 429 {
        Some(ErrorKind::Throttled)
    } else if MENDABLE.contains(&code) || matches!(status, 401 | 403) || !(400..500).contains(&status) {
        Some(ErrorKind::Unavailable)
    } else {
        None
    }
}

/// A request that never became one is our mistake; transport may work again.
fn kind_without_answer<E>(error: &SdkError<E, Response>) -> ErrorKind {
    if matches!(error, SdkError::ConstructionFailure(_)) { ErrorKind::Bug } else { ErrorKind::Unavailable }
}

/// The HTTP status of an answer; 0 where there is none.
fn status<E>(error: &SdkError<E, Response>) -> u16 {
    error.raw_response().map_or(0, |response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn service(code: &str, message: &str, status: u16) -> SdkError<ErrorMetadata, Response> {
        let error = ErrorMetadata::builder().code(code).message(message).build();
        SdkError::service_error(error, Response::new(StatusCode::try_from(status).unwrap(), SdkBody::empty()))
    }

    #[test]
    fn each_refusal_asks_for_something() {
        use ErrorKind::{Bug, Invalid, Throttled, Unavailable};
        // Code, words, status; what it is of a store, and of another service.
        let cases = [
            ("ProvisionedThroughputExceededException", "", 400, Throttled, Throttled),
            ("SlowDown", "Please reduce your request rate.", 503, Throttled, Throttled),
            ("Throttling", "", 400, Throttled, Throttled),
            ("ThrottlingException", "", 400, Throttled, Throttled),
            ("Throttled", "", 429, Throttled, Throttled),
            ("TooManyRequestsException", "", 429, Throttled, Throttled),
            ("", "", 429, Throttled, Throttled),
            ("InternalError", "", 500, Unavailable, Unavailable),
            ("ServiceUnavailable", "", 503, Unavailable, Unavailable),
            ("AccessDeniedException", "", 400, Unavailable, Unavailable),
            ("AuthorizationError", "", 403, Unavailable, Unavailable),
            ("InvalidObjectState", "", 403, Unavailable, Unavailable),
            ("UnrecognizedClientException", "", 400, Unavailable, Unavailable),
            ("ExpiredToken", "", 400, Unavailable, Unavailable),
            ("NoSuchBucket", "", 404, Unavailable, Unavailable),
            ("NotFound", "", 404, Unavailable, Unavailable),
            ("NotFoundException", "", 404, Bug, Unavailable),
            ("BadDigest", "", 400, Unavailable, Unavailable),
            ("ValidationException", "Item size has exceeded the maximum allowed size", 400, Invalid, Invalid),
            ("EntityTooLarge", "", 400, Invalid, Invalid),
            ("ValidationException", "ExpressionAttributeValues must not be empty", 400, Bug, Invalid),
            ("SerializationException", "", 400, Bug, Invalid),
            ("MessageRejected", "", 400, Bug, Invalid),
        ];
        for (code, words, status, of_a_store, of_a_service) in cases {
            let error = service(code, words, status);
            assert_eq!(of_store("a call", &error).kind(), of_a_store, "{code} {status}");
            assert_eq!(kind(&error), of_a_service, "{code} {status}");
        }
        let late: SdkError<ErrorMetadata, Response> = SdkError::timeout_error("late");
        assert_eq!((kind(&late), describe(&late).as_str()), (Unavailable, "AWS does not answer in time"));
        let unbuilt: SdkError<ErrorMetadata, Response> = SdkError::construction_failure("no topic");
        assert_eq!((kind(&unbuilt), of_store("a call", &unbuilt).kind()), (Bug, Bug));
    }

    #[test]
    fn only_stores_are_quoted() {
        let error = service("MessageRejected", "ops@example.com is not verified", 400);
        let told = of("messenger deliver", &error).to_string();
        assert_eq!(told, "messenger deliver: AWS answers MessageRejected (HTTP 400)");
        let told = of_store("object put", &error).to_string();
        assert_eq!(told, "object put: MessageRejected (status 400): ops@example.com is not verified");
    }
}
