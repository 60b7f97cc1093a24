//! TLS on a listener: the certificate in use, which another of the same files replaces while connections go on.

pub mod certificate;
pub(super) mod handshake;
pub mod pair;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::sign::SingleCertAndKey;

use certificate::Certificate;
use pair::{Pair, PairError, PairFiles};

/// The only protocol that a client may choose (ALPN). HTTP/2 would need limits of its own.
const PROTOCOL: &[u8] = b"http/1.1";

/// The certificate of a listener.
pub struct Tls {
    files: PairFiles,
    current: RwLock<InUse>,
}

struct InUse {
    pair: Pair,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub fn start(files: PairFiles) -> Result<Tls, PairError> {
        let current = RwLock::new(InUse::of(Pair::read(&files)?));
        Ok(Tls { files, current })
    }

    pub fn files(&self) -> &PairFiles {
        &self.files
    }

    /// Returns the certificate that new connections get.
    pub fn certificate(&self) -> Certificate {
        self.current.read().unwrap_or_else(PoisonError::into_inner).pair.certificate().clone()
    }

    /// Reads the files again, and returns their certificate if it is another one. An error leaves
    /// the one in use.
    pub fn reload(&self, now: Timestamp) -> Result<Option<Certificate>, PairError> {
        let pair = Pair::read(&self.files)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.pair.chain() == pair.chain() {
            return Ok(None);
        }
        // While senders accept the one in use, none that they refuse takes its place.
        if current.pair.check_validity(&self.files, now).is_ok() {
            pair.check_validity(&self.files, now)?;
        }
        let certificate = pair.certificate().clone();
        *current = InUse::of(pair);
        Ok(Some(certificate))
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl InUse {
    fn of(pair: Pair) -> InUse {
        let resolver = Arc::new(SingleCertAndKey::from(pair.certified_key()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions")
            .with_no_client_auth();
        // A configuration for each certificate: a session that is resumed would go on with the
        // certificate before, which may have been replaced because its key was lost.
        let mut config = config.with_cert_resolver(resolver);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        InUse { pair, config: Arc::new(config) }
    }
}
