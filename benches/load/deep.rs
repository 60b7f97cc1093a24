//! What a very long queue costs: memory, the next start, delivery out of it.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::client::Connection;
use crate::process::{Process, Workshop};
use crate::sink::Sink;
use crate::stage::numbers;
use crate::webhook::{BATCH, HOOKS, Sender};
use crate::{Failed, Plan};

const SETTLING: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Deep {
    pub(crate) queued: u64,
    /// Holding the queue, once all of it is there.
    pub(crate) filled_mib: f64,
    pub(crate) start: Duration,
    pub(crate) idle_mib: f64,
    /// Delivering out of it.
    pub(crate) delivering_mib: f64,
    pub(crate) delivery_rate: f64,
}

pub(crate) async fn measure(plan: &Plan, workshop: &Workshop, sink: &Sink) -> Result<Deep, Failed> {
    let bench = workshop.bench()?;
    let relay = workshop.relay(bench.path(), None, plan.in_flight)?;
    fill(&relay, plan.queued).await?;
    let filled_mib = relay.resident_mib()?;
    drop(relay);

    let relay = workshop.relay(bench.path(), None, plan.in_flight)?;
    let mut request = Vec::new();
    Sender::new(HOOKS, false).write(&mut request, numbers().take(1));
    let start = relay.first_answer(&request).await?;
    sleep(SETTLING).await;
    let idle_mib = relay.resident_mib()?;
    drop(relay);

    let relay = workshop.relay(bench.path(), Some(sink), plan.in_flight)?;
    let (delivery_rate, delivering_mib) = deliver(&relay, plan, sink).await?;
    Ok(Deep { queued: plan.queued, filled_mib, start, idle_mib, delivering_mib, delivery_rate })
}

async fn fill(relay: &Process, count: u64) -> Result<(), Failed> {
    let mut request = Vec::new();
    Sender::write_batch(&mut request, numbers().take(BATCH));
    relay.first_answer(&request).await?;
    let mut connection = Connection::open(relay.address).await?;
    for _ in 1..count.div_ceil(BATCH) {
        Sender::write_batch(&mut request, numbers().take(BATCH));
        let status = connection.call(&request).await?;
        if !(200..300).contains(&status) {
            return Err(format!("the queue cannot be filled: {status}").into());
        }
    }
    Ok(())
}

/// For as long as a stage, or until the queue is empty; gives rate and memory.
async fn deliver(relay: &Process, plan: &Plan, sink: &Sink) -> Result<(f64, f64), Failed> {
    let (before, start) = (sink.arrivals(), Instant::now());
    while start.elapsed() < Duration::from_secs(plan.seconds)
        && sink.arrivals() - before < plan.queued
    {
        sleep(Duration::from_millis(50)).await;
    }
    let count = u32::try_from(sink.arrivals() - before)?;
    Ok((f64::from(count) / start.elapsed().as_secs_f64(), relay.resident_mib()?))
}
