//! Comparison of the secrets that are found here with those of the running relay. It is given
//! fingerprints and answers which are right, so that no secret leaves a process.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::relay_client::{CallError, RelayClient};
use crate::config::Config;
use crate::doctor::finding::Finding;
use crate::doctor::secrets::{SECRETS, advice, found, judged, nonce};
use crate::mapping_file::file::MappingFile;
use crate::secret::{KeptSecret, PurposedSecret, SecretComparison, fingerprint};

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
    #[serde(default)]
    from: String,
    reason: String,
}

/// Compares the secrets that are found here with those of the running relay, if one runs.
pub(super) async fn in_use(config: &Config, files: &[MappingFile], findings: &mut Vec<Finding>) {
    let found = found(config, files);
    let answer = match RelayClient::of(config) {
        Ok(relay) => relay.optional().post_json("secrets/compare", &question(&found)).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => findings.extend(compared(&found, answer)),
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
    let nonce = nonce();
    let fingerprints = found.iter().filter_map(|PurposedSecret { purpose, secret }| {
        let fingerprint = fingerprint(nonce.as_bytes(), purpose, secret.value().ok()?);
        Some(json!({ "purpose": purpose.to_string(), "fingerprint": fingerprint }))
    });
    json!({ "secrets": fingerprints.collect::<Vec<_>>(), "nonce": nonce })
}

fn compared(found: &[PurposedSecret], answer: ComparisonAnswer) -> Vec<Finding> {
    let state = |it: PurposeState| match it.state.as_str() {
        "same" => SecretComparison::Same,
        "unused" => SecretComparison::Unused,
        _ => SecretComparison::Different,
    };
    let states: Vec<SecretComparison> = answer.secrets.into_iter().map(state).collect();
    let kept = answer.kept.into_iter().map(|KeptFile { purpose, from, reason }| KeptSecret {
        purpose,
        reference: from,
        reason,
    });
    judged((found, &states), &kept.collect::<Vec<_>>())
}
