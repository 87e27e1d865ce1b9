//! What all SDK clients share: region, credentials, one pool of connections, retries, time limits.
//!
//! Nothing is looked up: where the values come from (the environment of a function, a test) is the host's business, so
//! no credential chain and no profile file is read. Root certificates are built in, and for AWS itself only those that
//! AWS names: the HTTP client of a release build is ready in 0.15 ms with them, in 1 ms with all of Mozilla's, and in 10
//! ms or more with the system's.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

pub use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
pub use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// Longest single try of a call.
pub(crate) const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest call with all its tries: below ingest's write deadline of 20 s.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(15);
/// Most tries of one call.
const ATTEMPTS_MAX: u32 = 5;
/// The wait before the second try, at most; doubled with each further one, and drawn at random below that.
const BACKOFF_START: Duration = Duration::from_millis(50);
/// The longest such wait.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Where the deployment is, and who calls.
#[derive(Clone)]
pub struct AwsSettings {
    /// The region, such as `ap-northeast-1`.
    pub region: String,
    /// An emulator or a private endpoint for all services, `http://127.0.0.1:4566`; AWS itself when there is none.
    pub endpoint: Option<String>,
    /// Who calls. The credentials of a function's role stay valid for the life of its process.
    pub credentials: Credentials,
    /// The name of the one table.
    pub table: String,
    /// The name of the one bucket.
    pub bucket: String,
    /// The host's clock: requests are signed with it, and row versions start from it.
    pub clock: SharedTimeSource,
}

impl fmt::Debug for AwsSettings {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSettings")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("table", &self.table)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// What all SDK clients share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    settings: AwsSettings,
    sdk_config: SdkConfig,
}

impl Clients {
    /// Prepares the clients; opens no connection.
    pub fn new(settings: AwsSettings) -> Self {
        let http_client = https_client(&settings);
        Self::with_http_client(settings, http_client)
    }

    /// Prepares clients over a given HTTP client, such as one that replays answers.
    pub fn with_http_client(settings: AwsSettings, http_client: SharedHttpClient) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .operation_attempt_timeout(ATTEMPT_TIME_MAX)
            .operation_timeout(CALL_TIME_MAX)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS_MAX)
            .with_initial_backoff(BACKOFF_START)
            .with_max_backoff(BACKOFF_MAX);
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(settings.credentials.clone()))
            .http_client(http_client)
            .retry_config(retries)
            .timeout_config(timeouts)
            .sleep_impl(TokioSleep::new())
            .time_source(settings.clock.clone());
        config.set_endpoint_url(settings.endpoint.clone());
        Self { settings, sdk_config: config.build() }
    }

    /// From which an adapter makes its SDK client: `aws_sdk_sns::Client::new(clients.sdk_config())`.
    pub const fn sdk_config(&self) -> &SdkConfig {
        &self.sdk_config
    }

    /// What it was made from.
    pub const fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    /// The host's clock, in microseconds since the epoch; 0 for a clock before it.
    pub fn clock_micros(&self) -> u64 {
        let since_epoch = self.settings.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The root certificates of AWS's own endpoints: those of Amazon Trust Services, as
/// <https://www.amazontrust.com/repository/> lists them.
const AMAZON_ROOTS: &str = include_str!("client/amazon.pem");

/// One pool of connections for all services.
fn https_client(settings: &AwsSettings) -> SharedHttpClient {
    let context = TlsContext::builder().with_trust_store(roots(settings)).build();
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.expect("it has no invalid combination"))
        .build_https()
}

/// The root certificates that a deployment needs: Amazon's, unless it calls somebody else's endpoints or those in China.
fn roots(settings: &AwsSettings) -> TrustStore {
    if settings.endpoint.is_none() && !settings.region.starts_with("cn-") {
        return TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    }
    let pem: String = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|certificate| pem(certificate)).collect();
    TrustStore::empty().with_pem_certificate(pem)
}

/// A certificate in the only form the HTTP client takes.
fn pem(certificate: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(region: &str, endpoint: Option<&str>) -> AwsSettings {
        AwsSettings {
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            credentials: Credentials::new("AKIDEXAMPLE", "very secret", None, None, "test"),
            table: "table".to_owned(),
            bucket: "bucket".to_owned(),
            clock: SharedTimeSource::new(SystemTimeSource::new()),
        }
    }

    #[test]
    fn amazons_certificates_are_those_that_mozilla_trusts() {
        let trusted: Vec<String> =
            webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        let mut certificates = 0;
        for part in AMAZON_ROOTS.split("-----BEGIN CERTIFICATE-----").skip(1) {
            let body = part.split("-----END").next().expect("it has an end").replace('\n', "");
            assert!(trusted.contains(&body), "{body}");
            certificates += 1;
        }
        assert_eq!(certificates, 5);
    }

    #[test]
    fn others_than_aws_are_trusted_where_an_endpoint_is_named_or_in_china() {
        let certificates = |settings: &AwsSettings| format!("{:?}", roots(settings)).len();
        let amazon = certificates(&settings("ap-northeast-1", None));
        assert!(certificates(&settings("cn-north-1", None)) > 10 * amazon);
        assert!(certificates(&settings("ap-northeast-1", Some("https://s3.example.com"))) > 10 * amazon);
    }

    #[test]
    fn settings_show_no_secret() {
        let clients = Clients::new(settings("ap-northeast-1", None));
        for text in [format!("{:?}", clients.settings()), format!("{clients:?}")] {
            assert!(!text.contains("very secret"), "{text}");
        }
    }
}
