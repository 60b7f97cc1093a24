//! Check of a running relay's secrets: whether they are the ones that are found where the files say.

use uuid::Uuid;

use super::finding::Finding;
use crate::config::Config;
use crate::mapping_file::file::MappingFile;
use crate::secret::{
    KeptSecret, PurposedSecret, SecretComparison, SecretLocation, SecretsInUse, fingerprint,
};

/// Heading of all findings about the secrets of the running relay.
pub(crate) const SECRETS: &str = "secrets in use";

/// Returns the secrets that are found now.
pub(crate) fn found(config: &Config, files: &[MappingFile]) -> Vec<PurposedSecret> {
    let own = config.secrets().into_iter();
    let all = own.chain(files.iter().flat_map(MappingFile::purposed_secrets));
    all.filter(|it| it.secret.value().is_ok()).collect()
}

/// Returns a random text for fingerprints.
pub(crate) fn nonce() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Compares the secrets that are found now with those that this relay uses.
pub(super) fn in_use(found: &[PurposedSecret], used: &SecretsInUse) -> Vec<Finding> {
    let nonce = nonce();
    let compare = |PurposedSecret { purpose, secret }: &PurposedSecret| {
        let value = secret.value().ok()?;
        let own = fingerprint(nonce.as_bytes(), purpose, value);
        Some(used.compare(&purpose.to_string(), nonce.as_bytes(), &own))
    };
    let states: Vec<SecretComparison> = found.iter().filter_map(compare).collect();
    judged((found, &states), &used.kept())
}

/// Judges the secrets by the result of their comparison, in the same order, and those whose files cannot
/// be used.
pub(crate) fn judged(
    (found, states): (&[PurposedSecret], &[SecretComparison]),
    kept: &[KeptSecret],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (PurposedSecret { purpose, secret }, state) in found.iter().zip(states) {
        let location = secret.location();
        let what = match state {
            SecretComparison::Same => continue,
            SecretComparison::Unused => {
                format!("{purpose}: the running relay has no value, and {location} has one")
            }
            SecretComparison::Different => {
                format!("{purpose}: the running relay still uses another value than {location} has")
            }
        };
        findings.push(Finding::wrong(SECRETS, what).advice(advice(location)));
    }
    for KeptSecret { purpose, reason, .. } in kept {
        let what = format!("{purpose}: {reason}, so the running relay uses the value from before");
        let advice = "correct the file, then send SIGHUP to the relay";
        findings.push(Finding::warning(SECRETS, what).advice(advice));
    }
    if findings.is_empty() {
        let what = format!("the running relay uses all {} that are found here", found.len());
        findings.push(Finding::ok(SECRETS, what));
    }
    findings
}

/// Returns how the running relay learns of a new value.
pub(crate) fn advice(location: &SecretLocation) -> &'static str {
    if location.is_credential() {
        "restart the service: systemd copies its credentials only when it starts"
    } else if location.is_file() {
        "send SIGHUP to the relay, which reads files again"
    } else {
        "restart the relay: variables are only read at its start"
    }
}
