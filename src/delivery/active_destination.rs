//! The Savio account of a destination while it is delivered to. Its client can be replaced, as when
//! the token changes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use super::settings::Destination;
use crate::event::Request;
use crate::savio::{Client, ProbeError, SendResult};

/// The client, or the reason why there is none.
pub(super) type CurrentClient = Arc<Result<Client, String>>;

pub(super) struct ActiveDestination {
    pub(super) name: String,
    pub(super) max_in_flight: usize,
    current: RwLock<Current>,
}

struct Current {
    client: CurrentClient,
    replaced_at: Option<Timestamp>,
}

impl ActiveDestination {
    pub(super) fn new(destination: Destination) -> ActiveDestination {
        let Destination { name, client, max_in_flight } = destination;
        let current = Current { client: Arc::new(client), replaced_at: None };
        ActiveDestination { name, max_in_flight, current: RwLock::new(current) }
    }

    pub(super) fn client(&self) -> CurrentClient {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).client)
    }

    /// Replaces the client. Requests in flight are finished with the old one.
    pub(super) fn replace_client(&self, client: Client, now: Timestamp) {
        let current = Current { client: Arc::new(Ok(client)), replaced_at: Some(now) };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Returns whether an answer to a request of this time may concern an earlier client.
    pub(super) fn was_replaced_since(&self, sent_at: Timestamp) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.replaced_at.is_some_and(|at| at >= sent_at)
    }

    pub(super) async fn send(&self, request: &Request) -> SendResult {
        match &*self.client() {
            Ok(client) => client.send(request).await,
            Err(reason) => SendResult::NotSent { reason: reason.clone() },
        }
    }

    pub(super) async fn probe(&self) -> Result<(), ProbeError> {
        match &*self.client() {
            Ok(client) => client.probe().await,
            Err(reason) => Err(ProbeError { status: None, reason: reason.clone() }),
        }
    }

    /// Fails if the token must not be sent to the address as it resolves now. Without a client no
    /// token is sent.
    pub(super) async fn permitted(&self) -> Result<(), String> {
        match &*self.client() {
            Ok(client) => client.permitted().await,
            Err(_) => Ok(()),
        }
    }
}

impl fmt::Debug for ActiveDestination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client();
        formatter
            .debug_struct("ActiveDestination")
            .field("name", &self.name)
            .field("client", &client)
            .finish_non_exhaustive()
    }
}
