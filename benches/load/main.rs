//! What the relay costs: rates, waits, CPU and memory, beside two ceilings of the same machine.
//!
//! `cargo bench --bench load -- --help` tells what can be chosen.

mod ceiling;
mod client;
mod deep;
mod process;
mod report;
mod sink;
mod stage;
mod start;
mod webhook;

use std::error::Error;
use std::path::Path;

use clap::Parser;

use crate::process::Workshop;
use crate::report::Report;
use crate::sink::Sink;

type Failed = Box<dyn Error + Send + Sync>;

/// Measures the relay on this machine, which the load tool shares with it.
#[derive(Debug, Parser)]
#[command(name = "load", max_term_width = 100)]
struct Options {
    /// At most half a minute in all, for CI: few connections, short stages, a small queue
    #[arg(long)]
    short: bool,
    /// How many connections post at a time, one measurement for each
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    connections: Option<Vec<usize>>,
    /// How long each stage posts
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// How often each stage is measured; the middle one counts
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How many events the deep queue holds; 0 leaves it out
    #[arg(long, value_name = "N")]
    queued: Option<u64>,
    /// The relay's `max_in_flight`; left out, its default
    #[arg(long, value_name = "N")]
    in_flight: Option<usize>,
    /// Serve one of the ceilings instead: how this program runs itself
    #[arg(long, value_name = "CEILING", hide = true)]
    ceiling: Option<ceiling::Kind>,
    /// Cargo gives this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured, and for how long.
#[derive(Debug)]
struct Plan {
    connections: Vec<usize>,
    seconds: u64,
    rounds: usize,
    queued: u64,
    in_flight: Option<usize>,
}

impl Plan {
    fn of(options: &Options) -> Plan {
        let (connections, seconds, rounds, queued) = if options.short {
            (vec![16], 2, 1, 20_000)
        } else {
            (vec![1, 16, 64], 10, 3, 1_000_000)
        };
        Plan {
            connections: options.connections.clone().unwrap_or(connections),
            seconds: options.seconds.unwrap_or(seconds),
            rounds: options.rounds.unwrap_or(rounds).max(1),
            queued: options.queued.unwrap_or(queued),
            in_flight: options.in_flight,
        }
    }
}

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(kind) = options.ceiling {
        return ceiling::serve(kind);
    }
    let report = runtime.block_on(measure(&Plan::of(&options)))?;
    print!("{report}");
    if report.is_sound() { Ok(()) } else { Err("events were lost or came twice".into()) }
}

async fn measure(plan: &Plan) -> Result<Report, Failed> {
    let workshop = Workshop::new(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let sink = Sink::start()?;
    let start = Some(start::measure(&workshop, &sink).await?);
    let mut report = Report { start, ..Report::default() };
    for &connections in &plan.connections {
        let mut rounds = Vec::new();
        for round in 1..=plan.rounds {
            eprintln!("{connections} connections, round {round} of {}", plan.rounds);
            rounds.push(stage::round(plan, connections, &workshop, &sink).await?);
        }
        report.stages.push(stage::Stages { connections, rounds });
    }
    if plan.queued > 0 {
        eprintln!("a queue of {} events", plan.queued);
        report.deep = Some(deep::measure(plan, &workshop, &sink).await?);
    }
    Ok(report)
}
