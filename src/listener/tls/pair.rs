//! Reads a certificate and its private key, each from a file, and says of each mistake what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use secrecy::{ExposeSecret, SecretString};

use super::certificate::{Certificate, Validity};
use crate::secret;

/// The files of a certificate and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairFile {
    Certificate,
    Key,
}

impl PairFile {
    fn error(self, what: String, advice: Option<&str>) -> PairError {
        PairError { file: self, what, advice: advice.map(str::to_owned) }
    }
}

/// Reason for which a certificate and a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", advice.as_deref().map(|it| format!("; {it}")).unwrap_or_default())]
pub struct PairError {
    /// The file in which it can be corrected.
    pub file: PairFile,
    /// A sentence that names the file.
    pub what: String,
    /// What to do, unless `what` says it.
    pub advice: Option<String>,
}

/// A certificate with those of its issuers, and its private key.
pub struct Pair {
    certificate: Certificate,
    key: Arc<CertifiedKey>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pair")
            .field("names", &self.certificate.names)
            .finish_non_exhaustive()
    }
}

impl Pair {
    /// Reads both files. Whether the certificate is valid now is left to the caller.
    pub fn read(files: &PairFiles) -> Result<Pair, PairError> {
        let file = CertificateFile(&files.certificate);
        let chain = file.read()?;
        let key = KeyFile(&files.key).read()?;
        let certificate = file.parse(&chain)?;
        if !is_of(&*key, &chain[0]) {
            return Err(mismatch(files, &*key, &chain));
        }
        Ok(Pair { certificate, key: Arc::new(CertifiedKey::new(chain, key)) })
    }

    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Fails if the certificate, read from these files, is not valid now.
    pub(super) fn check_validity(
        &self,
        files: &PairFiles,
        now: Timestamp,
    ) -> Result<(), PairError> {
        let Certificate { begins_at, ends_at, .. } = &self.certificate;
        let (what, advice) = match self.certificate.validity(now) {
            Validity::Valid | Validity::EndsSoon => return Ok(()),
            Validity::NotYet => {
                (format!("is not valid before {begins_at:.0}"), "is this machine's clock right?")
            }
            Validity::Ended => (format!("ended on {ends_at:.0}"), "renew it"),
        };
        let path = files.certificate.display();
        let what = format!("the certificate in the file {path} {what}");
        Err(PairFile::Certificate.error(what, Some(advice)))
    }

    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// Reads only the certificate, for a client that expects it.
pub fn read_certificate(path: &Path) -> Result<Certificate, PairError> {
    let file = CertificateFile(path);
    file.parse(&file.read()?)
}

struct CertificateFile<'f>(&'f Path);

impl CertificateFile<'_> {
    /// Returns at least one certificate.
    fn read(&self) -> Result<Vec<CertificateDer<'static>>, PairError> {
        let path = self.0.display();
        let text = secret::read_file(self.0).map_err(CertificateFile::unreadable)?;
        let read: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let chain = read.map_err(|error| {
            PairFile::Certificate
                .error(format!("the file {path} is damaged: {}", damage(&error)), Some(COPY_AGAIN))
        })?;
        if !chain.is_empty() {
            return Ok(chain);
        }
        let advice = if text.contains("PRIVATE KEY-----") {
            "it holds a private key: `cert` and `key` may be exchanged"
        } else if text.contains("CERTIFICATE REQUEST-----") {
            "it holds a request for a certificate: name the file that the authority sent back"
        } else {
            "name the file with the certificate and those of its issuers in PEM form, which begins \
             with -----BEGIN CERTIFICATE-----"
        };
        Err(PairFile::Certificate
            .error(format!("there is no certificate in the file {path}"), Some(advice)))
    }

    fn parse(&self, chain: &[CertificateDer<'static>]) -> Result<Certificate, PairError> {
        let first = &chain[0];
        let parsed = Certificate::parse(chain);
        // What rustls cannot read, most clients refuse.
        let parsed = parsed.filter(|_| ParsedCertificate::try_from(first).is_ok());
        parsed.ok_or_else(|| {
            let path = self.0.display();
            let what = format!("the first certificate in the file {path} cannot be read");
            PairFile::Certificate.error(
                what,
                Some("it has to be an X.509 certificate of version 3: get another one"),
            )
        })
    }

    fn unreadable(what: String) -> PairError {
        let advice = what.ends_with("is not UTF-8").then_some(
            "a certificate has to be in PEM form, which is text; `openssl x509 -inform der -in FILE \
             -out cert.pem` converts one in DER form",
        );
        PairFile::Certificate.error(what, advice)
    }
}

struct KeyFile<'f>(&'f Path);

impl KeyFile<'_> {
    fn read(&self) -> Result<Arc<dyn SigningKey>, PairError> {
        let path = self.0.display();
        let text = secret::read_file(self.0).map_err(KeyFile::unreadable)?;
        let text = SecretString::from(text);
        let pem = text.expose_secret();
        // `BEGIN ENCRYPTED PRIVATE KEY`, and `Proc-Type: 4,ENCRYPTED` in the older form.
        if pem.contains("ENCRYPTED") {
            let what = format!("the private key in the file {path} is encrypted");
            let advice = "nobody can enter its password at a start: decrypt it with `openssl pkey -in \
                          FILE -out key.pem`, and let only the relay's user read that";
            return Err(PairFile::Key.error(what, Some(advice)));
        }
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                let advice = if pem.contains("-----BEGIN CERTIFICATE-----") {
                    "it holds a certificate: `cert` and `key` may be exchanged"
                } else {
                    "name the file with the private key in PEM form, which begins with -----BEGIN \
                     PRIVATE KEY-----"
                };
                PairFile::Key
                    .error(format!("there is no private key in the file {path}"), Some(advice))
            }
            error => {
                let what = format!("the file {path} is damaged: {}", damage(&error));
                PairFile::Key.error(what, Some(COPY_AGAIN))
            }
        })?;
        any_supported_type(&key).map_err(|_| {
            let what = format!("the private key in the file {path} cannot be used");
            let advice =
                "it has to be of RSA with 2048 to 4096 bits, ECDSA (P-256 or P-384) or Ed25519";
            PairFile::Key.error(what, Some(advice))
        })
    }

    fn unreadable(what: String) -> PairError {
        let advice = what.ends_with("is not UTF-8").then_some(
            "a private key has to be in PEM form, which is text; `openssl pkey -inform der -in FILE \
             -out key.pem` converts one in DER form",
        );
        PairFile::Key.error(what, advice)
    }
}

const COPY_AGAIN: &str = "copy it again, whole";

/// Returns whether the key is the certificate's.
fn is_of(key: &dyn SigningKey, certificate: &CertificateDer<'_>) -> bool {
    let of_certificate = ParsedCertificate::try_from(certificate);
    of_certificate
        .is_ok_and(|it| key.public_key().is_some_and(|own| own == it.subject_public_key_info()))
}

fn mismatch(files: &PairFiles, key: &dyn SigningKey, chain: &[CertificateDer<'_>]) -> PairError {
    let (certificate, path) = (files.certificate.display(), files.key.display());
    if chain.iter().any(|other| is_of(key, other)) {
        return PairError {
            file: PairFile::Certificate,
            what: format!("the certificates in the file {certificate} are in the wrong order"),
            advice: Some("the server's own comes first, then its issuer's".to_owned()),
        };
    }
    PairError {
        file: PairFile::Key,
        what: format!(
            "the private key in the file {path} does not belong to the certificate in the file \
             {certificate}"
        ),
        advice: Some(
            "name the files of the same request, and replace both at a renewal".to_owned(),
        ),
    }
}

/// Returns what is wrong with a PEM file, without the library's words: they may hold a part of a key.
fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a line -----END ...----- is missing",
        pem::Error::IllegalSectionStart { .. } => "a line -----BEGIN ...----- is not complete",
        pem::Error::Base64Decode(_) => {
            "between -----BEGIN and -----END is something else than base64"
        }
        _ => "it is not in PEM form",
    }
}
