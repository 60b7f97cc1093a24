//! What the relay costs: rates, waits, CPU and memory, beside two ceilings of the same machine.
//!
//! `cargo bench --bench load -- --help` tells what can be chosen.

mod ceiling;
mod client;
mod deep;
mod pairs;
mod process;
mod regression;
mod report;
mod settled;
mod sink;
mod stage;
mod start;
mod webhook;

use std::error::Error;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::process::{Other, Process, Workshop};
use crate::report::Report;
use crate::sink::Sink;

type Failed = Box<dyn Error + Send + Sync>;

/// Measures the relay on this machine, which the load tool shares with it.
#[derive(Debug, Parser)]
#[command(name = "load", max_term_width = 100)]
struct Options {
    /// About a minute in all, for CI: few connections, short stages, a small queue. Fails if the
    /// relay takes more CPU time in relation to the ceilings than it did
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
    /// How many settled events the long history holds; 0 leaves it out
    #[arg(long, value_name = "N")]
    settled: Option<u64>,
    /// The relay's `max_in_flight`, and that of the ceiling which delivers
    #[arg(long, value_name = "N", default_value_t = 64)]
    in_flight: usize,
    /// The stand-in for Savio answers after a random time between these, such as 50-300
    #[arg(long, value_name = "MS-MS", value_parser = delay, default_value = "0-0")]
    delay: RangeInclusive<u64>,
    /// Another program to compare with, started in an empty folder with `PORT` and `SINK` set: it takes
    /// the same webhooks at PREFIX and the source's name, and posts each body to `http://$SINK/`
    #[arg(long, value_name = "NAME,PREFIX,COMMAND")]
    other: Vec<Other>,
    /// Only compare with this build of the relay, in turns: in each round both accept with their
    /// destination paused, and both deliver
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Folder with a typeform.toml and a github.toml that both builds can read
    #[arg(long, value_name = "FOLDER", requires = "before")]
    mappings: Option<PathBuf>,
    /// Serve one of the ceilings instead: how this program runs itself
    #[arg(long, value_name = "CEILING", hide = true)]
    ceiling: Option<ceiling::Kind>,
    /// Cargo gives this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured, and for how long.
#[derive(Debug, Clone)]
struct Plan {
    connections: Vec<usize>,
    seconds: u64,
    rounds: usize,
    queued: u64,
    settled: u64,
    in_flight: usize,
    others: Vec<Other>,
    delay: RangeInclusive<u64>,
    /// Set where builds are compared. With webhooks of one length, a few bytes more of each event may
    /// be a page of the store more, or none.
    varies: bool,
}

impl Plan {
    fn of(options: &Options) -> Plan {
        let (connections, seconds, rounds, queued, settled) = if options.short {
            (vec![16], 1, 5, 20_000, 0)
        } else {
            (vec![1, 16, 64], 2, 5, 1_000_000, 5_000_000)
        };
        Plan {
            connections: options.connections.clone().unwrap_or(connections),
            seconds: options.seconds.unwrap_or(seconds),
            rounds: options.rounds.unwrap_or(rounds).max(1),
            queued: options.queued.unwrap_or(queued),
            settled: options.settled.unwrap_or(settled),
            in_flight: options.in_flight,
            others: options.other.clone(),
            delay: options.delay.clone(),
            varies: options.short || options.before.is_some(),
        }
    }

    fn webhooks_for(&self, mut process: Process) -> Process {
        process.varies = self.varies;
        process
    }
}

fn delay(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let (from, to) = text.split_once('-').ok_or("write MS-MS")?;
    Ok(number(from)?..=number(to)?)
}

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(kind) = options.ceiling {
        return ceiling::serve(kind);
    }
    let plan = Plan::of(&options);
    if let Some(before) = &options.before {
        let pairs = runtime.block_on(pairs::measure(&plan, before, options.mappings.as_deref()))?;
        print!("{pairs}");
        return Ok(());
    }
    let report = runtime.block_on(measure(&plan))?;
    print!("{report}");
    if !report.is_sound() {
        return Err("events were lost or came twice".into());
    }
    if options.short { runtime.block_on(regression::check(&plan, report)) } else { Ok(()) }
}

async fn measure(plan: &Plan) -> Result<Report, Failed> {
    let workshop = Workshop::new(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let sink = Sink::start(plan.delay.clone())?;
    let start = Some(start::measure(plan, &workshop, &sink).await?);
    let others = plan.others.iter().map(|other| other.name.clone()).collect();
    let mut report = Report { start, others, ..Report::default() };
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
    if plan.settled > 0 {
        eprintln!("writing {} settled events", plan.settled);
        report.settled = Some(settled::measure(plan, &workshop, &sink).await?);
    }
    Ok(report)
}
