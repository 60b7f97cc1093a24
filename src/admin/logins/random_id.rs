//! Random texts that nobody can guess, and digests of them.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Returns 244 random bits of the operating system's generator, as 64 hex digits.
pub(super) fn random_id() -> SecretString {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into()
}

/// Returns a digest for one purpose: digests of the same text for different purposes tell nothing
/// about each other.
pub(super) fn digest_for(purpose: &str, secret: &SecretString) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(purpose);
    digest.update([0]);
    digest.update(secret.expose_secret());
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_purposes_differ() {
        let (one, other) = (random_id(), random_id());

        assert_eq!(one.expose_secret().len(), 64);
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_ne!(digest_for("a", &one), digest_for("b", &one));
        assert_eq!(digest_for("a", &one), digest_for("a", &one));
    }
}
