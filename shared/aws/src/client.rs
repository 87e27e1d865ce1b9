//! What all SDK clients share: region, credentials, one pool of connections, retries, time limits.
//!
//! Nothing is looked up: where the values come from (the environment of a function, a test) is the host's business, so
//! no credential chain and no profile file is read, and building takes well under a millisecond but for the TLS roots.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SharedTimeSource;
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
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest call with all its tries: below ingest's write deadline of 20 s.
const CALL_TIME_MAX: Duration = Duration::from_secs(15);
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
        Self::with_http_client(settings, https_client())
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

/// One pool of connections for all services, with Mozilla's root certificates built in: reading the system's costs
/// milliseconds at every start.
fn https_client() -> SharedHttpClient {
    let mut roots = TrustStore::empty();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        roots.add_pem_certificate(pem(certificate));
    }
    let context = TlsContext::builder().with_trust_store(roots).build().expect("it has no invalid combination");
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https()
}

/// A certificate in the only form the HTTP client takes.
fn pem(certificate: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(certificate))
}
