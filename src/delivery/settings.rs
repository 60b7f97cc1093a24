//! What a destination is, and how it is delivered to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{gate, outcome};
use crate::event::{Request, SourceName};
use crate::mapping::Mapping;
use crate::savio::{Client, SendResult};

/// The mapping of each source. An event of a source that is not here waits.
pub type Mappings = BTreeMap<SourceName, Arc<Mapping>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub retry: outcome::Settings,
    pub gate: gate::Settings,
    /// How long an event stays claimed unless the claim is renewed, as it is while work on it goes on.
    pub lease: Duration,
    pub shutdown_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            retry: outcome::Settings::default(),
            gate: gate::Settings::default(),
            lease: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(8),
        }
    }
}

/// A Savio account.
#[derive(Debug)]
pub struct Destination {
    pub name: String,
    /// Else why nothing can be sent: it is paused for that.
    pub client: Result<Client, String>,
    pub max_in_flight: usize,
}

impl Destination {
    pub(super) async fn send(&self, request: &Request) -> SendResult {
        match &self.client {
            Ok(client) => client.send(request).await,
            Err(reason) => SendResult::NotSent { reason: reason.clone() },
        }
    }

    pub(super) async fn probe(&self) -> Result<(), String> {
        match &self.client {
            Ok(client) => client.probe().await,
            Err(reason) => Err(reason.clone()),
        }
    }

    /// Whether the token may go to the address as it is now; without a client none goes.
    pub(super) async fn permitted(&self) -> Result<(), String> {
        match &self.client {
            Ok(client) => client.permitted().await,
            Err(_) => Ok(()),
        }
    }
}
