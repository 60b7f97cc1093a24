//! Secrets for the bundled sources, invented for one run.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::cli::error::CommandError;
use crate::event::SourceName;
use crate::intake::signature::{Signature, SigningKey};
use crate::mapping_file::location::Location;
use crate::secret::Environment;

/// The source that takes what people send by hand: its webhook is a line of `curl`.
pub(super) const OWN_SOURCE: &str = "form";

pub(super) struct DemoSecrets {
    /// The variables that the mapping files name.
    pub(super) environment: Environment,
    /// The key that signs for each source.
    pub(super) signers: BTreeMap<SourceName, SigningKey>,
    form: String,
}

impl DemoSecrets {
    /// Invents the secrets that the bundled mapping files name, and the keys that sign for them.
    pub(super) fn invent() -> Result<DemoSecrets, CommandError> {
        let mut secrets = DemoSecrets {
            environment: Environment::new(),
            signers: BTreeMap::new(),
            form: String::new(),
        };
        for file in Location::bundled().files(&[], &Environment::new())? {
            let Some(source) = &file.source else { continue };
            let is_own = source.name.as_str() == OWN_SOURCE;
            let invented = if is_own { Some(short_token()) } else { invent(&source.signature) };
            let Some((secret, signer)) = invented else { continue };
            for named in file.named_secrets() {
                let variable = named.trim_start_matches("env:").to_owned();
                secrets.environment.insert(variable, secret.expose_secret().to_owned());
            }
            if is_own {
                secret.expose_secret().clone_into(&mut secrets.form);
            }
            let key = source.signature.signing_key(&signer);
            secrets.signers.extend(key.map(|key| (source.name.clone(), key)));
        }
        Ok(secrets)
    }

    /// Returns the secret with which anybody may send to the source for webhooks by hand.
    // Not secret beyond this run: the relay is on this machine, and its store is deleted.
    pub(super) fn of_form(&self) -> &str {
        &self.form
    }
}

/// Returns a token that fits into a line of a terminal, for a sender that shows it as it is.
fn short_token() -> (SecretString, SecretString) {
    let token = SecretString::from(Uuid::new_v4().simple().to_string());
    (token.clone(), token)
}

fn invent(signature: &Signature) -> Option<(SecretString, SecretString)> {
    // Not all 32 bytes are a key: one of ECDSA has to be less than the order of the curve.
    (0..8).find_map(|_| {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        seed[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        signature.generate_trial(&seed)
    })
}
