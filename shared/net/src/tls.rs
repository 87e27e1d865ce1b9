//! TLS with HTTP servers: whom to trust, and what to show.

use std::sync::Arc;

use app::ports::{PortError, PortResult, Secret, Tls};
use model::ErrorKind;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use crate::DELIVER;

/// rustls with ring, and what a receiver says of it. Its secrets are revealed.
///
/// # Errors
/// `Invalid` when a certificate or a key is none in PEM.
pub(crate) fn client_config(tls: &Tls) -> PortResult<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let only_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    let versions = if tls.only_1_3 { only_1_3 } else { rustls::ALL_VERSIONS };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("ring speaks all protocol versions that rustls does");
    if tls.skips_verification {
        let any = Arc::new(AnyCertificate(provider));
        return showing(builder.dangerous().with_custom_certificate_verifier(any), tls);
    }
    showing(builder.with_root_certificates(roots(tls)?), tls)
}

/// Whom to trust: the receiver's own authorities and nobody else, or the roots of Mozilla.
fn roots(tls: &Tls) -> PortResult<RootCertStore> {
    let Some(ca) = &tls.ca else { return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }) };
    let mut own = RootCertStore::empty();
    for certificate in certificates(ca, "`ca` of `tls_config` is no certificate in PEM")? {
        own.add(certificate).map_err(|_| invalid("`ca` of `tls_config` cannot be trusted"))?;
    }
    Ok(own)
}

/// With the certificate that proves who asks.
fn showing(builder: ConfigBuilder<ClientConfig, WantsClientCert>, tls: &Tls) -> PortResult<ClientConfig> {
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else { return Ok(builder.with_no_client_auth()) };
    const NONE: &str = "`cert` and `key` of `tls_config` are no certificate with its key";
    let chain = certificates(cert, NONE)?;
    let key = PrivateKeyDer::from_pem_slice(inline(key)?.as_bytes()).map_err(|_| invalid(NONE))?;
    builder.with_client_auth_cert(chain, key).map_err(|_| invalid(NONE))
}

/// The certificates of a text, at least one.
fn certificates(pem: &Secret, or_else: &str) -> PortResult<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(inline(pem)?.as_bytes()).collect();
    read.ok().filter(|read| !read.is_empty()).ok_or_else(|| invalid(or_else))
}

fn inline(secret: &Secret) -> PortResult<&str> {
    match secret {
        Secret::Inline(text) => Ok(text),
        Secret::File(_) => Err(PortError::new(ErrorKind::Bug, DELIVER, "a secret of `tls_config` was not revealed")),
    }
}

fn invalid(message: &str) -> PortError {
    PortError::new(ErrorKind::Invalid, DELIVER, message)
}

/// Takes any certificate, as `insecure_skip_verify` asks for; whoever shows it must have its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
