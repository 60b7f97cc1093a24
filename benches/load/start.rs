//! How soon the relay takes webhooks after its start, and what it holds while nothing happens.

use std::time::Duration;

use tokio::time::sleep;

use crate::process::{Process, Workshop};
use crate::sink::Sink;
use crate::stage::numbers;
use crate::webhook::{HOOKS, Sender};
use crate::{Failed, Plan};

/// After the start: time in which a relay settles.
const SETTLING: Duration = Duration::from_secs(1);
const STARTS: usize = 5;

#[derive(Debug)]
pub(crate) struct Start {
    /// With a new store; the middle one of a few.
    pub(crate) new_store: Duration,
    /// With a store that a killed relay left behind.
    pub(crate) old_store: Duration,
    pub(crate) idle_mib: f64,
    /// Without the pages of the program itself, which the system shares and takes back.
    pub(crate) idle_own_mib: f64,
}

pub(crate) async fn measure(
    plan: &Plan,
    workshop: &Workshop,
    sink: &Sink,
) -> Result<Start, Failed> {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    let (mut idle_mib, mut idle_own_mib) = (0.0, 0.0);
    for _ in 0..STARTS {
        let bench = workshop.bench()?;
        let relay = workshop.relay(bench.path(), Some(sink), plan.in_flight)?;
        new.push(answered(&relay).await?);
        drop(relay);
        let relay = workshop.relay(bench.path(), Some(sink), plan.in_flight)?;
        old.push(answered(&relay).await?);
        sleep(SETTLING).await;
        idle_mib = relay.resident_mib()?.max(idle_mib);
        idle_own_mib = relay.own_mib()?.max(idle_own_mib);
    }
    Ok(Start { new_store: middle(new), old_store: middle(old), idle_mib, idle_own_mib })
}

/// Waits until the relay accepts.
pub(crate) async fn answered(relay: &Process) -> Result<Duration, Failed> {
    relay.first_answer(&webhook()).await
}

fn webhook() -> Vec<u8> {
    let mut request = Vec::new();
    Sender::new(HOOKS, false).write(&mut request, numbers().take(1));
    request
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
