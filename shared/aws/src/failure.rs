//! What a failed call of an SDK means to the caller of a port.
//!
//! Messages carry the service's error code and the HTTP status, never its text: that repeats addresses and names.

use std::fmt::Debug;

use app::ports::PortError;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use model::ErrorKind;

/// The failure of a port's operation; its kind by [`kind`].
pub(crate) fn of<E: ProvideErrorMetadata + Debug>(operation: &'static str, error: &SdkError<E, Response>) -> PortError {
    PortError::new(kind(error), operation, describe(error))
}

/// What a failure asks of the caller: transport and server faults and refused credentials may pass, other refusals
/// stay.
pub(crate) fn kind<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> ErrorKind {
    let Some(service) = error.as_service_error() else {
        let is_ours = matches!(error, SdkError::ConstructionFailure(_));
        return if is_ours { ErrorKind::Bug } else { ErrorKind::Unavailable };
    };
    let code = service.code().unwrap_or("");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    if is_throttling(code) || status == 429 {
        ErrorKind::Throttled
    } else if is_mendable(code) || matches!(status, 401 | 403 | 404) || !(400..500).contains(&status) {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Invalid
    }
}

/// Codes that the service calls throttling in its documentation of common errors.
fn is_throttling(code: &str) -> bool {
    code.contains("Throttl") || matches!(code, "RequestLimitExceeded" | "TooManyRequestsException" | "SlowDown")
}

/// Codes of rights, keys and names that an operator puts right: until then nothing that was to be sent may be lost.
fn is_mendable(code: &str) -> bool {
    code.contains("AccessDenied")
        || matches!(
            code,
            "AuthorizationError"
                | "AuthorizationErrorException"
                | "ExpiredToken"
                | "ExpiredTokenException"
                | "InvalidClientTokenId"
                | "NotFound"
                | "SignatureDoesNotMatch"
                | "UnrecognizedClientException"
        )
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

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn service(code: &str, status: u16) -> SdkError<ErrorMetadata, Response> {
        let error = ErrorMetadata::builder().code(code).message("ops@example.com is not verified").build();
        SdkError::service_error(error, Response::new(StatusCode::try_from(status).unwrap(), SdkBody::empty()))
    }

    #[test]
    fn each_refusal_asks_for_something() {
        let cases = [
            ("Throttling", 400, ErrorKind::Throttled),
            ("ThrottlingException", 400, ErrorKind::Throttled),
            ("Throttled", 429, ErrorKind::Throttled),
            ("TooManyRequestsException", 429, ErrorKind::Throttled),
            ("InternalError", 500, ErrorKind::Unavailable),
            ("ServiceUnavailable", 503, ErrorKind::Unavailable),
            ("AuthorizationError", 403, ErrorKind::Unavailable),
            ("AccessDeniedException", 400, ErrorKind::Unavailable),
            ("UnrecognizedClientException", 400, ErrorKind::Unavailable),
            ("NotFound", 404, ErrorKind::Unavailable),
            ("InvalidParameter", 400, ErrorKind::Invalid),
            ("MessageRejected", 400, ErrorKind::Invalid),
        ];
        for (code, status, expected) in cases {
            assert_eq!(kind(&service(code, status)), expected, "{code}");
        }
        let late: SdkError<ErrorMetadata, Response> = SdkError::timeout_error("late");
        assert_eq!((kind(&late), describe(&late).as_str()), (ErrorKind::Unavailable, "AWS does not answer in time"));
        let unbuilt: SdkError<ErrorMetadata, Response> = SdkError::construction_failure("no topic");
        assert_eq!(kind(&unbuilt), ErrorKind::Bug);
    }

    #[test]
    fn a_message_has_the_code_and_not_the_text() {
        let error = of("messenger deliver", &service("MessageRejected", 400));
        assert_eq!(error.to_string(), "messenger deliver: AWS answers MessageRejected (HTTP 400)");
    }
}
