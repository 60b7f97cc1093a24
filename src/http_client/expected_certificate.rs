//! TLS with the relay on this machine. It is called by its address, for which its certificate is not
//! valid: so exactly the certificate in its file is expected, and no other is accepted. Only a question
//! that gives nothing away accepts any.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};

/// A server with another certificate than the expected one.
#[derive(Debug, thiserror::Error)]
#[error("it presents another certificate than the one in {}", .file.display())]
pub(super) struct OtherCertificate {
    file: PathBuf,
}

/// Returns the settings of a client that accepts this certificate, from this file, and no other.
pub fn expecting(certificate: CertificateDer<'static>, file: PathBuf) -> ClientConfig {
    settings(Some((certificate, file)))
}

/// Returns the settings of a client that accepts any certificate. It must not send a secret.
pub fn expecting_any() -> ClientConfig {
    settings(None)
}

fn settings(expected: Option<(CertificateDer<'static>, PathBuf)>) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let verifier = ExpectedCertificate { expected, provider: Arc::clone(&provider) };
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

#[derive(Debug)]
struct ExpectedCertificate {
    /// With its file; none if any is accepted.
    expected: Option<(CertificateDer<'static>, PathBuf)>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ExpectedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.expected {
            Some((expected, file)) if end_entity != expected => {
                let other = Arc::new(OtherCertificate { file: file.clone() });
                Err(Error::InvalidCertificate(CertificateError::Other(OtherError(other))))
            }
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_key(|with| verify_tls12_signature(message, certificate, signature, with))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_key(|with| verify_tls13_signature(message, certificate, signature, with))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ExpectedCertificate {
    /// Whoever has the expected certificate, which is public, has to have its key too.
    fn verify_key(
        &self,
        verify: impl FnOnce(&WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.expected {
            Some(_) => verify(&self.provider.signature_verification_algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }
}
