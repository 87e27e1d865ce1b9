//! Mail by SMTP.

use app::ports::{PortError, PortResult, Receipt};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use model::ErrorKind;
use url::Host;

use crate::{DELIVER, Guard, NetSettings, SmtpTls};

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 25;
/// The port at which TLS is spoken from the first byte.
const IMPLICIT_TLS_PORT: u16 = 465;

/// Hands a mail to a server.
pub(crate) async fn send(
    message: &Message,
    smarthost: &str,
    guard: &Guard,
    settings: &NetSettings,
) -> PortResult<Receipt> {
    let (host, port) = split(smarthost).ok_or_else(|| invalid("the mail server is not host:port"))?;
    let host = Host::parse(host).map_err(|_| invalid("the mail server has no valid name"))?;
    let addresses = guard.resolve(&borrowed(&host), port).await;
    let addresses = addresses.map_err(|error| PortError::new(error.kind(), DELIVER, error))?;
    let on_this_machine = addresses.iter().all(|address| address.ip().is_loopback());
    let mut last = None;
    for address in &addresses {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(port)
            .tls(tls(&host, port, on_this_machine, settings.smtp_tls)?)
            .hello_name(ClientId::Domain(sender_domain(message)))
            .timeout(Some(settings.timeout));
        let transport = match &settings.smtp_credentials {
            Some(login) => transport.credentials(Credentials::new(login.username.clone(), login.password.clone())),
            None => transport,
        };
        match transport.build().send(message.clone()).await {
            Ok(response) => return Ok(Receipt::noted(format!("SMTP {}", response.code()))),
            // Another address helps only when this one did not answer.
            Err(error) if error.status().is_none() && !error.is_tls() => last = Some(failure(&error)),
            Err(error) => return Err(failure(&error)),
        }
    }
    Err(last.unwrap_or_else(|| PortError::new(ErrorKind::Unavailable, DELIVER, "the mail server has no address")))
}

/// The name and the port of a server; IPv6 addresses stand in brackets.
fn split(smarthost: &str) -> Option<(&str, u16)> {
    if smarthost.ends_with(']') || !smarthost.contains(':') {
        return (!smarthost.is_empty()).then_some((smarthost, DEFAULT_PORT));
    }
    let (host, port) = smarthost.rsplit_once(':')?;
    (!host.is_empty()).then_some((host, port.parse().ok()?))
}

fn borrowed(host: &Host<String>) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    }
}

fn tls(host: &Host<String>, port: u16, on_this_machine: bool, wanted: SmtpTls) -> PortResult<Tls> {
    let name = match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let parameters = TlsParameters::builder(name).certificate_store(CertificateStore::WebpkiRoots).build_rustls();
    let parameters = parameters.map_err(|error| PortError::new(ErrorKind::Bug, DELIVER, error))?;
    Ok(match (port, wanted, on_this_machine) {
        (IMPLICIT_TLS_PORT, ..) => Tls::Wrapper(parameters),
        (_, SmtpTls::Required, false) => Tls::Required(parameters),
        (_, SmtpTls::Required, true) => Tls::None,
        (_, SmtpTls::IfOffered, _) => Tls::Opportunistic(parameters),
    })
}

/// How we greet the server: by the domain we write from.
fn sender_domain(message: &Message) -> String {
    message.envelope().from().map_or_else(|| "localhost".to_owned(), |from| from.domain().to_owned())
}

/// A failure without the server's words, which repeat mailboxes.
fn failure(error: &lettre::transport::smtp::Error) -> PortError {
    let answer = error.status().map_or_else(String::new, |code| format!(" with {code}"));
    let (kind, what) = if error.is_permanent() {
        (ErrorKind::Invalid, "the mail server refuses")
    } else if error.is_transient() {
        (ErrorKind::Throttled, "the mail server asks to try later")
    } else if error.is_timeout() {
        (ErrorKind::Unavailable, "the mail server does not answer")
    } else if error.is_tls() {
        (ErrorKind::Unavailable, "the mail server offers no TLS that can be trusted")
    } else if error.is_client() {
        (ErrorKind::Unavailable, "the mail server does not offer what is needed, such as STARTTLS or the log-in")
    } else {
        (ErrorKind::Unavailable, "the mail server cannot be reached")
    };
    PortError::new(kind, DELIVER, format!("{what}{answer}"))
}

fn invalid(message: &str) -> PortError {
    PortError::new(ErrorKind::Invalid, DELIVER, message)
}

#[cfg(test)]
mod tests;
