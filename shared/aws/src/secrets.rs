//! Secrets in the Parameter Store: what the configuration calls `ssm:/name`.
//!
//! A parameter is a `SecureString` (or any other); `ssm:/aws/reference/secretsmanager/NAME` reads a secret of Secrets
//! Manager through the same call. A value is read at most once in five minutes, and is in no error and no log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app::ports::{Delivery, Messenger, PortError, PortResult, Receipt, Secret};
use async_trait::async_trait;
use aws_sdk_ssm::Client;
use model::ErrorKind;

use crate::client::Clients;
use crate::failure;

/// What a file's name starts with when it is the name of a parameter.
const SCHEME: &str = "ssm:";
/// How long a value is used without asking again.
const FRESH_FOR: Duration = Duration::from_secs(300);

/// Reads secrets, and remembers them for a while. Cheap to clone.
#[derive(Clone)]
pub struct SsmSecrets {
    client: Client,
    clients: Clients,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
}

#[derive(Clone)]
struct Known {
    text: Arc<str>,
    /// Microseconds since the epoch.
    read_at: u64,
}

impl fmt::Debug for SsmSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SsmSecrets")
    }
}

/// For a host that reads secrets and tells nobody itself.
#[async_trait]
impl Messenger for SsmSecrets {
    async fn deliver(&self, _: &Delivery) -> PortResult<Receipt> {
        Err(PortError::new(ErrorKind::Bug, "messenger deliver", "this host was built for secrets alone"))
    }

    fn reaches_people(&self) -> bool {
        false
    }

    async fn reveal(&self, secret: &Secret) -> PortResult<String> {
        Self::reveal(self, "messenger reveal", secret).await.map(|found| found.text.to_string())
    }
}

/// A secret's text.
#[derive(Clone)]
pub(crate) struct Revealed {
    pub(crate) text: Arc<str>,
    /// Whether it may have changed since it was read.
    pub(crate) is_remembered: bool,
}

impl SsmSecrets {
    /// A reader; opens no connection.
    pub fn new(clients: &Clients) -> Self {
        Self { client: Client::new(clients.sdk_config()), clients: clients.clone(), known: Arc::default() }
    }

    /// The text of a secret, for `operation`.
    pub(crate) async fn reveal(&self, operation: &'static str, secret: &Secret) -> PortResult<Revealed> {
        let file = match secret {
            Secret::Inline(text) => return Ok(Revealed { text: text.as_str().into(), is_remembered: false }),
            Secret::File(file) => file,
        };
        let now = self.clients.clock_micros();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned();
        match known {
            Some(known) if now.abs_diff(known.read_at) < FRESH_FOR.as_micros().try_into().unwrap_or(u64::MAX) => {
                Ok(Revealed { text: known.text, is_remembered: true })
            }
            Some(_) | None => self.read(operation, file, now).await,
        }
    }

    /// The text of a secret as it is now, whatever is remembered.
    pub(crate) async fn reveal_again(&self, operation: &'static str, secret: &Secret) -> PortResult<Revealed> {
        match secret {
            Secret::Inline(_) => self.reveal(operation, secret).await,
            Secret::File(file) => self.read(operation, file, self.clients.clock_micros()).await,
        }
    }

    async fn read(&self, operation: &'static str, file: &str, now: u64) -> PortResult<Revealed> {
        let Some(name) = file.strip_prefix(SCHEME).filter(|name| !name.is_empty()) else {
            let message = format!("a function has no file {file}: name a parameter as in {SCHEME}/mihari/slack");
            return Err(PortError::new(ErrorKind::Invalid, operation, message));
        };
        let found = self.client.get_parameter().name(name).with_decryption(true).send().await;
        let found = found.map_err(|error| {
            // A parameter that is not there yet, or not allowed yet, may be soon.
            let is_throttled = failure::kind(&error) == ErrorKind::Throttled;
            let kind = if is_throttled { ErrorKind::Throttled } else { ErrorKind::Unavailable };
            PortError::new(kind, operation, format!("secret in {file}: {}", failure::describe(&error)))
        })?;
        let value = found.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
        let text: Arc<str> = value.trim_end().into();
        if text.is_empty() {
            return Err(PortError::new(ErrorKind::Unavailable, operation, format!("secret in {file}: it is empty")));
        }
        let known = Known { text: Arc::clone(&text), read_at: now };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(file.to_owned(), known);
        Ok(Revealed { text, is_remembered: false })
    }
}
