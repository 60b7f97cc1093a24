//! A destination and the settings of its delivery.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{gate, outcome};
use crate::event::SourceName;
use crate::mapping::Mapping;
use crate::savio::Client;
use crate::store::MappingText;

/// The mapping of each source. Events of a source without one wait.
pub type Mappings = BTreeMap<SourceName, MappingInService>;

/// A mapping, and the text that it was compiled from, by which its events are recorded.
#[derive(Debug, Clone)]
pub struct MappingInService {
    pub mapping: Arc<Mapping>,
    pub text: Arc<MappingText>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub retry: outcome::Settings,
    pub gate: gate::Settings,
    /// Time for which an event stays claimed unless its claim is renewed, as it is during the work
    /// on it.
    pub lease: Duration,
    pub shutdown_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            retry: outcome::Settings::default(),
            gate: gate::Settings::default(),
            lease: Duration::from_mins(1),
            // Docker kills a container 10 s after SIGTERM: two remain to give back claims and to
            // close the store.
            shutdown_timeout: Duration::from_secs(8),
        }
    }
}

/// A Savio account.
#[derive(Debug)]
pub struct Destination {
    pub name: String,
    /// An error is the reason why nothing can be sent, for which the destination is paused.
    pub client: Result<Client, String>,
    pub max_in_flight: usize,
}
