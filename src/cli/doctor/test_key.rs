//! The key for test webhooks, asked of the running relay.

use secrecy::SecretString;
use serde::Deserialize;

use crate::cli::relay_client::{CallError, RelayClient};
use crate::config::Config;
use crate::doctor::public_address::{NoKey, TestKey};
use crate::intake::echo::EchoKey;

/// The answer of the admin API.
#[derive(Deserialize)]
struct KeyAnswer {
    key: String,
    body_bytes_max: usize,
}

/// Asks the running relay for a key.
pub(super) async fn issue(config: &Config) -> Result<TestKey, NoKey> {
    let answer = match RelayClient::of(config) {
        Ok(relay) => relay.optional().post::<KeyAnswer>("echo-keys").await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(KeyAnswer { key, body_bytes_max }) => {
            Ok(TestKey { key: EchoKey::from(SecretString::from(key)), body_bytes_max })
        }
        Err(CallError::NotRunning { .. } | CallError::NotARelay { .. } | CallError::NoPort) => {
            Err(NoKey::NoRelay)
        }
        Err(CallError::NotFound { .. }) => Err(NoKey::OlderRelay),
        Err(error) => Err(NoKey::Failed(error.to_string())),
    }
}
