//! Alerts: tells people of issues, once, by messages to their chat or to any HTTP server.

mod address;
mod due;
mod endpoint;
mod failures;
mod heartbeat;
mod hourly;
mod message;
mod settings;
mod target;
mod task;

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::intake::Intake;
use crate::issues::Board;
use crate::secret::SecretPurpose;
use crate::store::Store;
use crate::telemetry::metrics::AlertCounts;
pub use endpoint::AlertAnswer;
use heartbeat::Heartbeat;
pub use settings::{Format, HeartbeatSettings, Rules, Settings, TARGETS_MAX, TargetSettings};
use target::ConfiguredTarget;
pub use target::TestResult;
pub use task::AlertTask;

/// All targets of alerts, and the heartbeat.
pub struct Alerts {
    targets: Vec<Arc<ConfiguredTarget>>,
    heartbeat: Option<Arc<Heartbeat>>,
    pub counts: AlertCounts,
}

impl fmt::Debug for Alerts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.targets.iter().map(|target| &target.name);
        formatter.debug_list().entries(names).finish()
    }
}

impl Alerts {
    /// `public_url` is where people reach the pages.
    pub fn new(settings: Settings, public_url: Option<&str>) -> Alerts {
        let new =
            |settings| Arc::new(ConfiguredTarget::new(settings, public_url.map(str::to_owned)));
        Alerts {
            heartbeat: settings.heartbeat.as_ref().map(|it| Arc::new(Heartbeat::new(it))),
            targets: settings.targets.into_iter().map(new).collect(),
            counts: AlertCounts::default(),
        }
    }

    /// Returns the task of each target.
    pub fn tasks(&self, board: &Arc<Board>, store: &Arc<dyn Store>) -> Vec<AlertTask> {
        let of = |target: &Arc<ConfiguredTarget>| {
            let (board, store) = (Arc::clone(board), Arc::clone(store));
            AlertTask::new(Arc::clone(target), board, store, self.counts.clone())
        };
        self.targets.iter().map(of).collect()
    }

    /// Returns the task of the heartbeat, if there is one.
    pub fn heartbeat<S: Future<Output = ()>>(
        &self,
        intake: &Arc<Intake>,
        shutdown: S,
    ) -> Option<impl Future<Output = ()> + use<S>> {
        let heartbeat = self.heartbeat.clone()?;
        Some(heartbeat.run(Arc::clone(intake), self.counts.clone(), shutdown))
    }

    /// Returns what cannot be sent, each with the reason.
    pub fn unusable(&self) -> Vec<(String, String)> {
        let targets = self.targets.iter().map(|it| (format!("alerts {}", it.name), &it.address));
        let heartbeat = self.heartbeat.iter().map(|it| ("the heartbeat".to_owned(), &it.address));
        let reason = |(what, address): (String, &address::Address)| {
            let current = address.current();
            current.as_ref().as_ref().err().map(|reason| (what, reason.clone()))
        };
        targets.chain(heartbeat).filter_map(reason).collect()
    }

    /// Uses another value of a secret from now on. Fails with the reason if it cannot be used.
    pub fn replace_secret(
        &self,
        purpose: &SecretPurpose,
        value: &SecretString,
    ) -> Result<(), String> {
        let target = |name: &str| {
            let target = self.targets.iter().find(|target| target.name == name);
            target.ok_or_else(|| {
                "there were no such alerts at the start: restart the relay".to_owned()
            })
        };
        match purpose {
            SecretPurpose::Alert(name) => target(name)?.address.replace_url(value),
            SecretPurpose::AlertHeader(name, header) => {
                target(name)?.address.replace_header(header, value)
            }
            SecretPurpose::Heartbeat => match &self.heartbeat {
                Some(heartbeat) => heartbeat.address.replace_url(value),
                None => Err("there was no heartbeat at the start: restart the relay".to_owned()),
            },
            SecretPurpose::Destination(_)
            | SecretPurpose::Admin
            | SecretPurpose::AdminToken(_)
            | SecretPurpose::AdminProxy
            | SecretPurpose::Header(_)
            | SecretPurpose::Source(_) => Ok(()),
        }
    }

    /// Sends a test to the target of this name, or to all. Returns nothing if there is no such target.
    pub async fn test(&self, name: Option<&str>, now: Timestamp) -> Option<Vec<TestResult>> {
        let named = |target: &&Arc<ConfiguredTarget>| name.is_none_or(|name| target.name == name);
        let targets: Vec<_> = self.targets.iter().filter(named).collect();
        if targets.is_empty() && name.is_some() {
            return None;
        }
        Some(join_all(targets.into_iter().map(|target| target.test(now))).await)
    }
}
