//! A sign of life: calls a URL while the relay is ready, for a service that raises an alarm when the
//! calls stay out.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{info, warn};

use super::address::Address;
use super::settings::HeartbeatSettings;
use crate::intake::Intake;
use crate::telemetry::metrics::AlertCounts;

pub(super) struct Heartbeat {
    pub(super) address: Address,
    every: Duration,
}

impl Heartbeat {
    pub(super) fn new(settings: &HeartbeatSettings) -> Heartbeat {
        let HeartbeatSettings { url, every } = settings;
        Heartbeat { address: Address::new(url, &BTreeMap::new()), every: *every }
    }

    pub(super) async fn run(
        self: Arc<Heartbeat>,
        intake: Arc<Intake>,
        counts: AlertCounts,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut shutdown = pin!(shutdown);
        let mut ticks = interval_at(Instant::now(), self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_failing = false;
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => {}
            }
            let result = tokio::select! {
                () = &mut shutdown => return,
                result = self.beat(&intake) => result,
            };
            match result {
                None => {}
                Some(Ok(())) => {
                    counts.heartbeat(true);
                    if was_failing {
                        info!("the heartbeat arrives again");
                    }
                    was_failing = false;
                }
                Some(Err(reason)) => {
                    counts.heartbeat(false);
                    if !was_failing {
                        warn!(reason, "the heartbeat failed: {reason}");
                    }
                    was_failing = true;
                }
            }
        }
    }

    /// Calls once; nothing if the relay is not ready, or has no URL to call.
    async fn beat(&self, intake: &Intake) -> Option<Result<(), String>> {
        let endpoint = self.address.current();
        let endpoint = endpoint.as_ref().as_ref().ok()?;
        if !intake.is_ready().await {
            return None;
        }
        Some(match endpoint.ping().await {
            Ok(answer) if answer.is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status)),
            Err(reason) => Err(reason),
        })
    }
}
