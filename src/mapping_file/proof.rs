//! What a mapping file says about who may send, and where the events go. Whoever may change what
//! becomes of the events may not change that.

use jiff::civil::Date;

use super::secrets::SecretRef;
use crate::intake::handshake::HandshakeRule;
use crate::intake::provider::Provider;
use crate::intake::signature::Signature;
use crate::secret::SecretLocation;

/// These keys as they are meant: two texts that mean the same have the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    pub provider: Option<String>,
    /// In their order.
    pub secrets: Vec<NamedSecret>,
    signature: Option<Signature>,
    handshakes: Vec<HandshakeRule>,
    destination: String,
}

/// A secret as a mapping file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecret {
    pub location: SecretLocation,
    /// Last day on which it is valid, UTC.
    pub until: Option<Date>,
}

impl Proof {
    pub(super) fn new(
        (name, provider): (Option<&str>, &Provider),
        secrets: Option<&[SecretRef]>,
        destination: &str,
    ) -> Proof {
        let secrets = secrets
            .unwrap_or_default()
            .iter()
            .map(|it| NamedSecret { location: it.secret.location().clone(), until: it.until });
        Proof {
            provider: name.map(str::to_owned),
            secrets: secrets.collect(),
            signature: provider.signature.clone(),
            handshakes: provider.handshakes.clone(),
            destination: destination.to_owned(),
        }
    }

    /// Returns the keys of a mapping file whose meaning is another one.
    pub fn differences(&self, other: &Proof) -> Vec<&'static str> {
        let all = [
            ("secrets", self.secrets != other.secrets),
            ("[signature]", self.signature != other.signature),
            ("[[handshake]]", self.handshakes != other.handshakes),
            ("destination", self.destination != other.destination),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// Returns whether requests are proved just as this proof says it, whatever the secrets are.
    pub fn is_proved_as(&self, other: &Proof) -> bool {
        self.signature.is_some()
            && self.signature == other.signature
            && self.handshakes == other.handshakes
    }
}
