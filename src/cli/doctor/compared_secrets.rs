//! Check of a running relay's secrets: whether they are the ones that are found here. The relay is
//! given fingerprints and answers which are right, so that no secret leaves a process.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::finding::Finding;
use crate::cli::relay_client::{CallError, RelayClient};
use crate::config::Config;
use crate::mapping_file::file::MappingFile;
use crate::secret::{PurposedSecret, SecretLocation, fingerprint};

const SECRETS: &str = "secrets in use";

#[derive(Debug, Deserialize)]
struct ComparisonAnswer {
    secrets: Vec<PurposeState>,
    kept: Vec<KeptFile>,
}

#[derive(Debug, Deserialize)]
struct PurposeState {
    state: String,
}

#[derive(Debug, Deserialize)]
struct KeptFile {
    purpose: String,
    reason: String,
}

/// Compares the secrets that are found here with those of the running relay, if one runs.
pub(super) async fn in_use(config: &Config, files: &[MappingFile], findings: &mut Vec<Finding>) {
    let own = config.secrets().into_iter();
    let own = own.chain(files.iter().flat_map(MappingFile::purposed_secrets));
    let found: Vec<PurposedSecret> = own.filter(|it| it.secret.value().is_ok()).collect();
    let answer = match RelayClient::of(config) {
        Ok(relay) => relay.optional().post_json("secrets/compare", &question(&found)).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => findings.extend(compared(&found, &answer)),
        Err(CallError::WrongToken { .. }) => {
            let location = config.admin.token.location();
            let what = format!(
                "the running relay does not accept the admin token that {location} has now: it \
                 still uses another, and its other secrets cannot be compared"
            );
            findings.push(Finding::wrong(SECRETS, what).advice(advice(location)));
        }
        // That none runs, or another program, is reported with the addresses.
        Err(CallError::NotRunning { .. } | CallError::NotARelay { .. } | CallError::NoPort) => {}
        Err(error) => findings.push(Finding::unseen(SECRETS, error.to_string())),
    }
}

fn question(found: &[PurposedSecret]) -> Value {
    let nonce = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let fingerprints = found.iter().filter_map(|PurposedSecret { purpose, secret }| {
        let fingerprint = fingerprint(nonce.as_bytes(), purpose, secret.value().ok()?);
        Some(json!({ "purpose": purpose.to_string(), "fingerprint": fingerprint }))
    });
    json!({ "secrets": fingerprints.collect::<Vec<_>>(), "nonce": nonce })
}

fn compared(found: &[PurposedSecret], answer: &ComparisonAnswer) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (PurposedSecret { purpose, secret }, compared) in found.iter().zip(&answer.secrets) {
        let location = secret.location();
        let what = match compared.state.as_str() {
            "same" => continue,
            "unused" => {
                format!("{purpose}: the running relay has no value, and {location} has one")
            }
            _ => {
                format!("{purpose}: the running relay still uses another value than {location} has")
            }
        };
        findings.push(Finding::wrong(SECRETS, what).advice(advice(location)));
    }
    for KeptFile { purpose, reason } in &answer.kept {
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

fn advice(location: &SecretLocation) -> &'static str {
    if location.is_credential() {
        "restart the service: systemd copies its credentials only when it starts"
    } else if location.is_file() {
        "send SIGHUP to the relay, which reads files again"
    } else {
        "restart the relay: variables are only read at its start"
    }
}
