//! What a failed call of AWS asks of the caller.

use app::ports::PortError;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use model::ErrorKind;

/// Codes by which the services say that it was too much at once.
const THROTTLED: &[&str] = &[
    "LimitExceededException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Codes of requests that cannot succeed as they are, but may once an operator or time has changed something outside:
/// rights, names, credentials, clocks. A sender keeps what it has until then.
const MENDABLE: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
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

/// What a failed call asks of the caller, with the service's own words for the log.
pub(crate) fn port_error<E>(operation: &'static str, error: &SdkError<E, Response>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let SdkError::ServiceError(answer) = error else {
        let is_ours = matches!(error, SdkError::ConstructionFailure(_));
        let kind = if is_ours { ErrorKind::Bug } else { ErrorKind::Unavailable };
        return PortError::new(kind, operation, DisplayErrorContext(error));
    };
    let status = answer.raw().status().as_u16();
    let (code, message) = (answer.err().code(), answer.err().message());
    let kind = kind_of(code.unwrap_or_default(), message.unwrap_or_default(), status);
    let text = format!("{} (status {status}): {}", code.unwrap_or("no code"), message.unwrap_or("no message"));
    PortError::new(kind, operation, text)
}

/// What an answer asks of the caller.
pub(crate) fn kind_of(code: &str, message: &str, status: u16) -> ErrorKind {
    if THROTTLED.contains(&code) || status == 429 {
        ErrorKind::Throttled
    } else if status >= 500 || MENDABLE.contains(&code) {
        ErrorKind::Unavailable
    } else if TOO_LARGE.contains(&code) || (code == "ValidationException" && message.contains("exceeded")) {
        ErrorKind::Invalid
    } else {
        ErrorKind::Bug
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_apart_what_a_caller_can_do() {
        let cases = [
            ("ProvisionedThroughputExceededException", "", 400, ErrorKind::Throttled),
            ("SlowDown", "Please reduce your request rate.", 503, ErrorKind::Throttled),
            ("", "", 429, ErrorKind::Throttled),
            ("InternalError", "", 500, ErrorKind::Unavailable),
            ("ServiceUnavailable", "", 503, ErrorKind::Unavailable),
            ("AccessDeniedException", "", 400, ErrorKind::Unavailable),
            ("ExpiredToken", "", 400, ErrorKind::Unavailable),
            ("NoSuchBucket", "", 404, ErrorKind::Unavailable),
            ("BadDigest", "", 400, ErrorKind::Unavailable),
            ("ValidationException", "Item size has exceeded the maximum allowed size", 400, ErrorKind::Invalid),
            ("EntityTooLarge", "", 400, ErrorKind::Invalid),
            ("ValidationException", "ExpressionAttributeValues must not be empty", 400, ErrorKind::Bug),
            ("SerializationException", "", 400, ErrorKind::Bug),
        ];
        for (code, message, status, expected) in cases {
            assert_eq!(kind_of(code, message, status), expected, "{code} {status}");
        }
    }
}
