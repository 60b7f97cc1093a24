//! The secrets with which the running relay works, by what each is for, so that another process can
//! ask whether they are the ones that it finds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::environment::Environment;
use super::found::Secret;

/// What a secret is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretPurpose {
    /// The token of a destination.
    Destination(String),
    /// `admin.token`.
    Admin,
    /// One of `[[admin.tokens]]`.
    AdminToken(String),
    /// `admin.proxy_auth.secret_header`.
    AdminProxy,
    /// A header for the collector of traces.
    Header(String),
    /// The URL of a target of alerts.
    Alert(String),
    /// A header for a target of alerts: the target's name and the header's.
    AlertHeader(String, String),
    /// The URL of the heartbeat.
    Heartbeat,
    Source(String),
}

impl fmt::Display for SecretPurpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretPurpose::Destination(name) => write!(formatter, "destination {name}"),
            SecretPurpose::Admin => formatter.write_str("admin.token"),
            SecretPurpose::AdminToken(name) => write!(formatter, "admin token {name}"),
            SecretPurpose::AdminProxy => formatter.write_str("admin proxy"),
            SecretPurpose::Header(name) => write!(formatter, "traces header {name}"),
            SecretPurpose::Alert(name) => write!(formatter, "alerts {name}"),
            SecretPurpose::AlertHeader(name, header) => {
                write!(formatter, "alerts {name} header {header}")
            }
            SecretPurpose::Heartbeat => formatter.write_str("heartbeat"),
            SecretPurpose::Source(name) => write!(formatter, "source {name}"),
        }
    }
}

/// A secret together with what it is for.
#[derive(Debug, Clone)]
pub struct PurposedSecret {
    pub purpose: SecretPurpose,
    pub secret: Secret,
}

impl PurposedSecret {
    /// Looks it up once more, as a secret of one line.
    #[must_use]
    pub fn read_again(&self, environment: &Environment) -> PurposedSecret {
        let purpose = self.purpose.clone();
        PurposedSecret { purpose, secret: self.secret.read_again(environment) }
    }
}

/// A secret, or a certificate with its key, of the running relay whose file cannot be used now, so
/// that an earlier value counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSecret {
    pub purpose: String,
    /// As the configuration names it.
    pub reference: String,
    pub reason: String,
}

/// Result of comparing a value with those of the running relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretComparison {
    Same,
    Different,
    /// The running relay has no secret for this purpose.
    Unused,
}

/// The current secrets of the running relay.
#[derive(Debug, Default)]
pub struct SecretsInUse {
    secrets: RwLock<BTreeMap<SecretPurpose, Vec<Secret>>>,
    /// Certificates whose files cannot be used now, by the section that names them.
    kept_certificates: RwLock<BTreeMap<&'static str, KeptSecret>>,
}

impl SecretsInUse {
    /// Replaces the secrets for the purposes of these.
    pub fn set(&self, secrets: impl IntoIterator<Item = PurposedSecret>) {
        let mut new: BTreeMap<SecretPurpose, Vec<Secret>> = BTreeMap::new();
        for PurposedSecret { purpose, secret } in secrets {
            new.entry(purpose).or_default().push(secret);
        }
        self.secrets.write().unwrap_or_else(PoisonError::into_inner).extend(new);
    }

    /// Returns the first secret for a purpose.
    pub fn current(&self, purpose: &SecretPurpose) -> Option<Secret> {
        let current = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        current.get(purpose)?.first().cloned()
    }

    /// Returns whether this is not the value that is used for its purpose.
    pub fn differs(&self, new: &PurposedSecret) -> bool {
        let Ok(value) = new.secret.value() else { return false };
        let current = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let own = current.get(&new.purpose).into_iter().flatten();
        let mut own = own.filter_map(|secret| secret.value().ok());
        !own.any(|own| own.expose_secret() == value.expose_secret())
    }

    /// Returns the other token of the admin API that has this value.
    // A request's role follows from its token, so that no two may be the same.
    pub fn twin(&self, new: &PurposedSecret) -> Option<SecretPurpose> {
        let value = new.secret.value().ok()?;
        let current = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let is_twin = |secret: &Secret| {
            secret.value().is_ok_and(|own| own.expose_secret() == value.expose_secret())
        };
        let mut others = current.iter().filter(|(purpose, _)| {
            matches!(purpose, SecretPurpose::Admin | SecretPurpose::AdminToken(_))
                && **purpose != new.purpose
        });
        others.find(|(_, all)| all.iter().any(is_twin)).map(|(purpose, _)| purpose.clone())
    }

    /// Sets whether the certificate of a section, such as `server.tls`, is an earlier one than that in
    /// its file, and why.
    pub fn set_kept_certificate(&self, section: &'static str, kept: Option<KeptSecret>) {
        let mut all = self.kept_certificates.write().unwrap_or_else(PoisonError::into_inner);
        match kept {
            Some(kept) => drop(all.insert(section, kept)),
            None => drop(all.remove(section)),
        }
    }

    /// Returns the secrets and certificates whose files cannot be used now.
    pub fn kept(&self) -> Vec<KeptSecret> {
        let current = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let all = current.iter().flat_map(|(purpose, all)| all.iter().map(move |it| (purpose, it)));
        let kept = all.filter_map(|(purpose, secret)| {
            let reason = secret.kept()?.to_owned();
            let reference = secret.location().reference();
            Some(KeptSecret { purpose: purpose.to_string(), reference, reason })
        });
        let certificates = self.kept_certificates.read().unwrap_or_else(PoisonError::into_inner);
        kept.chain(certificates.values().cloned()).collect()
    }

    /// Compares a value, of which only the fingerprint is known, with those for its purpose.
    pub fn compare(&self, purpose: &str, nonce: &[u8], presented: &str) -> SecretComparison {
        let current = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let of_purpose = current.iter().find(|(own, _)| own.to_string() == purpose);
        let values =
            of_purpose.into_iter().flat_map(|(own, all)| all.iter().map(move |it| (own, it)));
        let mut comparison = SecretComparison::Unused;
        for (purpose, secret) in values {
            let Ok(value) = secret.value() else { continue };
            let own = fingerprint(nonce, purpose, value);
            if own.as_bytes().ct_eq(presented.as_bytes()).into() {
                return SecretComparison::Same;
            }
            comparison = SecretComparison::Different;
        }
        comparison
    }
}

/// Returns a digest of the value that depends on a random text of this one request.
// So that it tells nothing in another request. The value itself never leaves its process. The running
// relay gives out no fingerprint, only whether one is right: with it, a weak secret could be guessed
// at leisure.
pub fn fingerprint(nonce: &[u8], purpose: &SecretPurpose, value: &SecretString) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(nonce).expect("HMAC takes keys of any length");
    mac.update(purpose.to_string().as_bytes());
    mac.update(&[0]);
    mac.update(value.expose_secret().as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}
