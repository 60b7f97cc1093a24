//! One round at one number of connections: the ceilings, then the relay, paused and delivering.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::ceiling::Kind;
use crate::client::{Numbers, Posted, post};
use crate::process::{Process, Workshop};
use crate::sink::{Sink, Tally};
use crate::webhook::Sender;
use crate::{Failed, Plan};

const WARM_UP: Duration = Duration::from_millis(500);

/// All rounds of one number of connections.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) connections: usize,
    pub(crate) rounds: Vec<Round>,
}

#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) verify: Measured,
    pub(crate) durable: Measured,
    pub(crate) paused: Measured,
    pub(crate) delivered: Delivered,
    pub(crate) delivering: Delivered,
    /// In the order of the plan.
    pub(crate) others: Vec<Delivered>,
}

/// What a program did that delivers.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) accepting: Measured,
    pub(crate) delivery: Delivery,
}

#[derive(Debug)]
pub(crate) struct Measured {
    /// Accepted in a second.
    pub(crate) rate: f64,
    /// Sorted.
    pub(crate) waits: Vec<Duration>,
    pub(crate) refused: u64,
    /// Of the measured process, per accepted webhook; where it delivers, until all is delivered.
    pub(crate) cpu: Duration,
    pub(crate) peak_mib: f64,
}

/// What came of what was accepted.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Delivered in a second while webhooks came in.
    pub(crate) rate: f64,
    /// Accepted and delivered in a second, until the last arrival.
    pub(crate) through: f64,
    /// From the last acceptance to the last arrival.
    pub(crate) drain: Duration,
    pub(crate) accepted: usize,
    pub(crate) tally: Tally,
}

pub(crate) async fn round(
    plan: &Plan,
    connections: usize,
    workshop: &Workshop,
    sink: &Sink,
) -> Result<Round, Failed> {
    let load = Load { connections, during: Duration::from_secs(plan.seconds) };
    let bench = workshop.bench()?;
    let ceiling = |kind, bench: &TempDir| {
        let process = Workshop::ceiling(kind, bench.path(), (sink, plan.in_flight));
        process.map(|process| plan.webhooks_for(process))
    };
    let relay = |sink, bench: &TempDir| {
        let process = workshop.relay(bench.path(), sink, plan.in_flight);
        process.map(|process| plan.webhooks_for(process))
    };
    let verify = load.on(&ceiling(Kind::Verify, &bench)?).await?;
    let bench = workshop.bench()?;
    let durable = load.on(&ceiling(Kind::Durable, &bench)?).await?;
    let bench = workshop.bench()?;
    let paused = load.on(&relay(None, &bench)?).await?;
    let bench = workshop.bench()?;
    let ceiling = ceiling(Kind::Delivered, &bench)?;
    let delivered = load.delivered_by(&ceiling, sink).await?;
    drop(ceiling);
    let bench = workshop.bench()?;
    let relay = relay(Some(sink), &bench)?;
    let delivering = load.delivered_by(&relay, sink).await?;
    let mut others = Vec::new();
    for other in &plan.others {
        let bench = workshop.bench()?;
        others.push(load.delivered_by(&other.start(bench.path(), sink)?, sink).await?);
    }
    Ok(Round { verify, durable, paused, delivered, delivering, others })
}

pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) during: Duration,
}

impl Load {
    pub(crate) async fn on(&self, process: &Process) -> Result<Measured, Failed> {
        let numbers = numbers();
        warm_up(process, &numbers).await?;
        let before = process.cpu()?;
        let posted = post(process, self.connections, self.during, &numbers).await?;
        let cpu = process.cpu()?.saturating_sub(before);
        measured(posted, cpu, process)
    }

    pub(crate) async fn delivered_by(
        &self,
        relay: &Process,
        sink: &Sink,
    ) -> Result<Delivered, Failed> {
        let numbers = numbers();
        let mut accepted = warm_up(relay, &numbers).await?;
        sink.await_all(&accepted).await;
        let (before, arrived) = (relay.cpu()?, sink.arrivals());
        let posted = post(relay, self.connections, self.during, &numbers).await?;
        let meanwhile = sink.arrivals() - arrived;
        let end = Instant::now();
        accepted.extend(&posted.accepted);
        let tally = sink.await_all(&accepted).await;
        let drain = end.elapsed();
        // The last settlements follow their answers.
        sleep(Duration::from_millis(100)).await;
        let cpu = relay.cpu()?.saturating_sub(before);
        let rate = f64::from(u32::try_from(meanwhile)?) / posted.took.as_secs_f64();
        let arrived =
            posted.accepted.len() - usize::try_from(tally.missing)?.min(posted.accepted.len());
        let through = f64::from(u32::try_from(arrived)?) / (posted.took + drain).as_secs_f64();
        let accepted = accepted.len();
        let delivery = Delivery { rate, through, drain, accepted, tally };
        Ok(Delivered { accepting: measured(posted, cpu, relay)?, delivery })
    }
}

/// Numbers that no other process of this run has seen.
pub(crate) fn numbers() -> Numbers {
    static NUMBERS: std::sync::LazyLock<Numbers> = std::sync::LazyLock::new(Numbers::default);
    NUMBERS.clone()
}

async fn warm_up(process: &Process, numbers: &Numbers) -> Result<Vec<u64>, Failed> {
    let mut request = Vec::new();
    let first = numbers.take(1);
    Sender::new(&process.prefix, process.varies).write(&mut request, first);
    process.first_answer(&request).await?;
    let mut accepted = post(process, 4, WARM_UP, numbers).await?.accepted;
    accepted.push(first);
    Ok(accepted)
}

fn measured(mut posted: Posted, cpu: Duration, process: &Process) -> Result<Measured, Failed> {
    let rate = posted.rate();
    posted.waits.sort_unstable();
    let count = u32::try_from(posted.accepted.len().max(1))?;
    let (cpu, peak_mib) = (cpu / count, process.peak_mib()?);
    Ok(Measured { rate, waits: posted.waits, refused: posted.refused, cpu, peak_mib })
}
