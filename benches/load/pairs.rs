//! The relay and an earlier build of it, measured in turns, so that a slow minute of the machine falls on both.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::time::Duration;

use crate::process::Workshop;
use crate::report::middle_of;
use crate::sink::Sink;
use crate::stage::{Load, Measured};
use crate::{Failed, Plan};

#[derive(Debug)]
pub(crate) struct Pairs {
    rows: Vec<Row>,
}

/// What both builds did, in each round.
#[derive(Debug)]
struct Row {
    connections: usize,
    what: &'static str,
    rounds: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    before: Measured,
    now: Measured,
}

pub(crate) async fn measure(
    plan: &Plan,
    before: &Path,
    mappings: Option<&Path>,
) -> Result<Pairs, Failed> {
    // The relays run in other folders.
    let before = workshop(mappings)?.with_program(before.canonicalize()?);
    let now = workshop(mappings)?;
    let sink = Sink::start(plan.delay.clone())?;
    let mut rows = Vec::new();
    for &connections in &plan.connections {
        for (what, sink) in [("destination paused", None), ("delivering", Some(&sink))] {
            let mut rounds = Vec::new();
            for round in 1..=plan.rounds {
                eprintln!("{connections} connections, {what}, round {round} of {}", plan.rounds);
                let one = |workshop| measured(plan, connections, (workshop, sink));
                // Which goes first alternates: the disk may be busy with what the one before wrote.
                rounds.push(if round % 2 == 0 {
                    Pair { before: one(&before).await?, now: one(&now).await? }
                } else {
                    let now = one(&now).await?;
                    Pair { before: one(&before).await?, now }
                });
            }
            rows.push(Row { connections, what, rounds });
        }
    }
    Ok(Pairs { rows })
}

fn workshop(mappings: Option<&Path>) -> Result<Workshop, Failed> {
    let workshop = Workshop::new(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    Ok(match mappings {
        Some(folder) => workshop.with_mappings(folder.canonicalize()?),
        None => workshop,
    })
}

async fn measured(
    plan: &Plan,
    connections: usize,
    (workshop, sink): (&Workshop, Option<&Sink>),
) -> Result<Measured, Failed> {
    let load = Load { connections, during: Duration::from_secs(plan.seconds) };
    let bench = workshop.bench()?;
    let relay = plan.webhooks_for(workshop.relay(bench.path(), sink, plan.in_flight)?);
    let Some(sink) = sink else { return load.on(&relay).await };
    let delivered = load.delivered_by(&relay, sink).await?;
    let tally = delivered.delivery.tally;
    if tally.missing + tally.twice > 0 {
        return Err("events were lost or came twice".into());
    }
    Ok(delivered.accepting)
}

impl Display for Pairs {
    fn fmt(&self, page: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            page,
            "| connections | what | pairs | CPU µs before | now | change | per second before | now | change |"
        )?;
        writeln!(page, "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for Row { connections, what, rounds } in &self.rows {
            write!(page, "| {connections} | {what} | {} |", rounds.len())?;
            for of in [|it: &Measured| it.cpu.as_secs_f64() * 1e6, |it: &Measured| it.rate] {
                let middle = |of: &dyn Fn(&Pair) -> f64| middle_of(rounds.iter().map(of), |it| *it);
                let (before, now) = (middle(&|it| of(&it.before)), middle(&|it| of(&it.now)));
                // Of the pairs, and not of the two medians: both of a pair had the same minute.
                let change = middle(&|it| of(&it.now) / of(&it.before) - 1.0) * 100.0;
                write!(page, " {before:.0} | {now:.0} | {change:+.1} % |")?;
            }
            writeln!(page)?;
        }
        Ok(())
    }
}
