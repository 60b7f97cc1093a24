//! The deliveries: one for each destination, with the mappings of the sources that send to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tracing::warn;

use super::error::RelayError;
use crate::config::{self, Config, DestinationConfigs};
use crate::delivery::mapper::Mapper;
use crate::delivery::{
    Delivery, Destination, EventObserver, MappingInService, Mappings, ProcessContext,
};
use crate::http_client::error_chain;
use crate::mapping_file::file::MappingFile;
use crate::parse_memory::ParseMemory;
use crate::savio::{self, BaseUrl, Client, ClientError};
use crate::store::{MappingText, Sqlite};
use crate::telemetry::metrics::{Attempts, DeadEvents};
use crate::telemetry::traces::Traces;
use crate::{admin, clock};

/// Parts that all destinations share.
pub(super) struct Shared {
    traces: Traces,
    mapper: Arc<Mapper>,
    observer: EventObserver,
}

impl Shared {
    /// Makes what all destinations share; `memory` is for the payloads that are mapped.
    pub(super) fn new(
        traces: &Traces,
        memory: &Arc<ParseMemory>,
        observer: EventObserver,
    ) -> Shared {
        let mapper = Arc::new(Mapper::new(Arc::clone(memory)));
        Shared { traces: traces.clone(), mapper, observer }
    }
}

pub(super) struct Deliveries {
    by_destination: BTreeMap<String, Arc<Delivery>>,
    /// Destinations that had no token at the start, with the reason.
    without_token: BTreeMap<String, String>,
    /// Settings of the clients, to make new ones for new tokens.
    clients: BTreeMap<String, ClientConfig>,
    /// The counters of all destinations.
    pub(super) attempts: Attempts,
    pub(super) dead: DeadEvents,
}

impl Deliveries {
    pub(super) fn new(
        config: &Config,
        store: &Arc<Sqlite>,
        files: &[MappingFile],
        shared: Shared,
    ) -> Result<Deliveries, RelayError> {
        let Shared { traces, mapper, observer } = shared;
        let process = ProcessContext { mapper, observer, traces, ..ProcessContext::default() };
        let mut by_destination = BTreeMap::new();
        let mut without_token = BTreeMap::new();
        let mut clients = BTreeMap::new();
        for (name, to) in &config.destinations {
            let client_config = ClientConfig::of(name, to);
            let client = match to.token.value() {
                Ok(token) => Ok(client_config.client(token)?),
                Err(reason) => Err(reason.to_owned()),
            };
            clients.insert(name.clone(), client_config);
            if let Err(reason) = &client {
                without_token.insert(name.clone(), reason.clone());
            }
            let max_in_flight = to.max_in_flight;
            let destination = Destination { name: name.clone(), client, max_in_flight };
            let settings = to.delivery(&config.delivery);
            let process = process.clone();
            let delivery = Delivery::sharing(process, store.clone(), destination, settings);
            by_destination.insert(name.clone(), Arc::new(delivery));
        }
        let ProcessContext { attempts, dead, .. } = process;
        let deliveries = Deliveries { by_destination, without_token, clients, attempts, dead };
        deliveries.replace_mappings(files);
        Ok(deliveries)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        self.by_destination.values()
    }

    /// Returns the deliveries by the names of their destinations.
    pub(super) fn by_name(&self) -> BTreeMap<String, Arc<Delivery>> {
        self.by_destination.clone()
    }

    /// Returns the handles of the destinations for the admin API.
    pub(super) fn admin_handles(
        &self,
        destinations: &DestinationConfigs,
    ) -> BTreeMap<String, admin::DestinationHandle> {
        let handle = |(name, to): (&String, &config::DestinationConfig)| {
            let delivery = Arc::clone(self.by_destination.get(name)?);
            let base_url = to.base_url.to_string();
            Some((name.clone(), admin::DestinationHandle { base_url, delivery }))
        };
        destinations.iter().filter_map(handle).collect()
    }

    /// Replaces all mappings of all destinations.
    pub(super) fn replace_mappings(&self, files: &[MappingFile]) {
        let now = clock::now();
        for (name, delivery) in &self.by_destination {
            let own = files.iter().filter(|file| file.destination() == name);
            let mappings: Mappings = own
                .filter_map(|file| {
                    let (source, mapping) = file.mapped()?;
                    let text = Arc::new(MappingText::new(&file.document.text, now));
                    let mapping = Arc::clone(mapping);
                    Some((source.clone(), MappingInService { mapping, text }))
                })
                .collect();
            delivery.replace_mappings(mappings);
        }
    }

    /// Sends with another token from now on.
    pub(super) async fn replace_token(
        &self,
        destination: &str,
        token: &SecretString,
    ) -> Result<(), String> {
        let named = self.by_destination.get(destination).zip(self.clients.get(destination));
        let Some((delivery, config)) = named else { return Ok(()) };
        let client = config.client(token).map_err(|error| error_chain(&error))?;
        let replaced = delivery.replace_client(client, clock::now()).await;
        // The client is replaced all the same: only the pause is not recorded yet.
        if let Err(error) = replaced {
            warn!(%error, destination, "cannot record the state of {destination}");
        }
        Ok(())
    }

    /// Returns the destinations to which nothing is sent at present, and the reason.
    pub(super) fn closed(&self) -> Vec<(&str, String)> {
        let now = clock::now();
        let all = self.by_destination.iter();
        let closed = all.filter_map(|(name, it)| Some((name.as_str(), it.why_closed(now)?.reason)));
        closed.collect()
    }

    /// Returns the destinations of live sources that have no token, and the reason.
    pub(super) fn without_token(&self, files: &[MappingFile]) -> Vec<(&str, &str)> {
        let now = clock::now();
        let is_live = |file: &&MappingFile| {
            file.source.as_ref().is_some_and(|it| it.off_reason(now).is_none())
        };
        let live: BTreeSet<&str> =
            files.iter().filter(is_live).map(MappingFile::destination).collect();
        let paused = self.without_token.iter().filter(|(name, _)| live.contains(name.as_str()));
        paused.map(|(name, reason)| (name.as_str(), reason.as_str())).collect()
    }
}

/// What a client of a destination has beside its token.
struct ClientConfig {
    name: String,
    base_url: BaseUrl,
    timeout: Duration,
    insecure: bool,
}

impl ClientConfig {
    fn of(name: &str, to: &config::DestinationConfig) -> ClientConfig {
        let base_url = to.base_url.clone();
        let name = name.to_owned();
        ClientConfig { name, base_url, timeout: to.timeout, insecure: to.insecure }
    }

    fn client(&self, token: &SecretString) -> Result<Client, ClientError> {
        let (base_url, token) = (self.base_url.clone(), token.clone());
        let client = Client::new(savio::Settings { base_url, token, timeout: self.timeout })?;
        Ok(client.insecure(self.insecure).named(&self.name))
    }
}
