//! Mail by SMTP.

use app::ports::{MailServer, PortError, PortResult, Receipt, Secret};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Identity, Tls, TlsParameters, TlsParametersBuilder, TlsVersion,
};
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
    server: &MailServer,
    guard: &Guard,
    settings: &NetSettings,
) -> PortResult<Receipt> {
    let smtp = &server.smtp;
    let (host, port) = split(&server.smarthost).ok_or_else(|| invalid("the mail server is not host:port"))?;
    let host = Host::parse(host).map_err(|_| invalid("the mail server has no valid name"))?;
    let addresses = guard.resolve(&borrowed(&host), port).await;
    let addresses = addresses.map_err(|error| PortError::new(error.kind(), DELIVER, error))?;
    let on_this_machine = addresses.iter().all(|address| address.ip().is_loopback());
    let mut last = None;
    for address in &addresses {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(port)
            .tls(tls(&host, port, on_this_machine, server, settings.smtp_tls)?)
            .hello_name(ClientId::Domain(smtp.hello.clone().unwrap_or_else(|| sender_domain(message))))
            .timeout(Some(settings.timeout));
        let own = smtp.username.clone().zip(smtp.password.as_ref().map(inline).transpose()?);
        let hosts = settings.smtp_credentials.as_ref().map(|login| (login.username.clone(), login.password.clone()));
        let transport = match own.or(hosts) {
            Some((username, password)) => transport.credentials(Credentials::new(username, password)),
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

/// How TLS is spoken: as the receiver says, else as the port and the host have it.
fn tls(host: &Host<String>, port: u16, on_this_machine: bool, server: &MailServer, wanted: SmtpTls) -> PortResult<Tls> {
    let smtp = &server.smtp;
    let name = match (&smtp.tls.server_name, host) {
        (Some(name), _) => name.clone(),
        (None, Host::Domain(name)) => name.clone(),
        (None, Host::Ipv4(address)) => address.to_string(),
        (None, Host::Ipv6(address)) => address.to_string(),
    };
    // Authorities of its own are the only ones that a receiver trusts.
    let known = if smtp.tls.ca.is_some() { CertificateStore::None } else { CertificateStore::WebpkiRoots };
    let parameters = TlsParameters::builder(name).certificate_store(known);
    let parameters = trusting(parameters, &smtp.tls)?.build_rustls();
    let parameters = parameters.map_err(|_| invalid("the certificates of `tls_config` cannot be used"))?;
    if smtp.implicit_tls.unwrap_or(port == IMPLICIT_TLS_PORT) {
        return Ok(Tls::Wrapper(parameters));
    }
    Ok(match (smtp.require_tls, wanted, on_this_machine) {
        (Some(true), ..) | (None, SmtpTls::Required, false) => Tls::Required(parameters),
        (Some(false), ..) | (None, SmtpTls::Required, true) => Tls::None,
        (None, SmtpTls::IfOffered, _) => Tls::Opportunistic(parameters),
    })
}

/// Whom to trust and what to show, as `tls_config` says.
fn trusting(mut parameters: TlsParametersBuilder, tls: &app::ports::Tls) -> PortResult<TlsParametersBuilder> {
    let pem = |secret: &Option<Secret>| secret.as_ref().map(inline).transpose();
    if let Some(ca) = pem(&tls.ca)? {
        // A file may hold several, one after the other.
        const END: &str = "-----END CERTIFICATE-----";
        for one in ca.split_inclusive(END).filter(|one| one.contains(END)) {
            let certificate = Certificate::from_pem(one.trim_start().as_bytes());
            let certificate = certificate.map_err(|_| invalid("`ca` of `tls_config` is no certificate in PEM"))?;
            parameters = parameters.add_root_certificate(certificate);
        }
    }
    if let (Some(cert), Some(key)) = (pem(&tls.cert)?, pem(&tls.key)?) {
        let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes());
        let identity =
            identity.map_err(|_| invalid("`cert` and `key` of `tls_config` are no certificate with its key"))?;
        parameters = parameters.identify_with(identity);
    }
    if tls.only_1_3 {
        parameters = parameters.set_min_tls_version(TlsVersion::Tlsv13);
    }
    Ok(parameters.dangerous_accept_invalid_certs(tls.skips_verification))
}

/// A secret that was revealed before.
fn inline(secret: &Secret) -> PortResult<String> {
    match secret {
        Secret::Inline(text) => Ok(text.clone()),
        Secret::File(_) => Err(PortError::new(ErrorKind::Bug, DELIVER, "a secret of the mail server was not revealed")),
    }
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
