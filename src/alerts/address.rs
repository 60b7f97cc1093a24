//! The address of a target, made of its secrets, which may change while the relay runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::endpoint::Endpoint;
use crate::secret::Secret;

/// An endpoint, or the reason why there is none.
pub(super) type CurrentEndpoint = Arc<Result<Endpoint, String>>;

pub(super) struct Address {
    secrets: Mutex<AddressSecrets>,
    endpoint: watch::Sender<CurrentEndpoint>,
}

/// The values, or the reasons why they are missing.
#[derive(Clone)]
struct AddressSecrets {
    url: Result<SecretString, String>,
    headers: BTreeMap<String, Result<SecretString, String>>,
}

impl Address {
    pub(super) fn new(url: &Secret, headers: &BTreeMap<String, Secret>) -> Address {
        let value = |secret: &Secret| secret.value().cloned().map_err(str::to_owned);
        let headers = headers.iter().map(|(name, secret)| (name.clone(), value(secret))).collect();
        let secrets = AddressSecrets { url: value(url), headers };
        let endpoint = watch::Sender::new(Arc::new(secrets.endpoint()));
        Address { secrets: Mutex::new(secrets), endpoint }
    }

    pub(super) fn current(&self) -> CurrentEndpoint {
        Arc::clone(&self.endpoint.borrow())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<CurrentEndpoint> {
        self.endpoint.subscribe()
    }

    pub(super) fn replace_url(&self, url: &SecretString) -> Result<(), String> {
        self.replace(|secrets| secrets.url = Ok(url.clone()))
    }

    pub(super) fn replace_header(&self, name: &str, value: &SecretString) -> Result<(), String> {
        self.replace(|secrets| drop(secrets.headers.insert(name.to_owned(), Ok(value.clone()))))
    }

    /// Fails with the reason if nothing can be sent with it; then what worked before still counts.
    fn replace(&self, change: impl FnOnce(&mut AddressSecrets)) -> Result<(), String> {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = secrets.clone();
        change(&mut new);
        let endpoint = new.endpoint();
        let result = endpoint.as_ref().map(|_| ()).map_err(Clone::clone);
        // One of several secrets is kept while others are still missing.
        if result.is_ok() || self.endpoint.borrow().is_err() {
            *secrets = new;
            self.endpoint.send_replace(Arc::new(endpoint));
        }
        result
    }
}

impl AddressSecrets {
    fn endpoint(&self) -> Result<Endpoint, String> {
        let url = self.url.as_ref().map_err(Clone::clone)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = value.as_ref().map_err(Clone::clone)?;
            let unfit = || format!("no HTTP header can carry the value of `{name}`");
            let name = HeaderName::try_from(name).map_err(|_| unfit())?;
            let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| unfit())?;
            // Keeps it out of debug output of the HTTP client.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Endpoint::new(url.expose_secret(), headers)
    }
}
