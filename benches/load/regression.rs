//! Whether the relay takes more CPU time than it did, in relation to the ceilings of the same run.

use crate::report::{Report, middle_of};
use crate::stage::{Measured, Round};
use crate::{Failed, Plan, measure};

// CPU time of an event in the relay, as a multiple of the ceiling that does the same. Times depend on
// the machine, and rates on its disk; these vary least, but by more between machines than between runs: on
// a slower one the same program had 1.9 and 3.8. These are the medians of nine `--short` runs on the machine
// with the highest, so that none fails for what it is; `--before` is the precise comparison. Written down
// when they improve or when a change is worth its price.
const ACCEPTING: f64 = 2.10;
const DELIVERING: f64 = 4.96;

/// How much more than these is a regression.
const TOLERANCE: f64 = 1.05;

/// A regression shows in each of so many runs, a busy machine in one or two.
const RUNS: usize = 3;

pub(crate) async fn check(plan: &Plan, first: Report) -> Result<(), Failed> {
    let mut report = first;
    // Each of the two has to be right in one run, not both in the same.
    let (mut accepts, mut delivers) = (false, false);
    for run in 1..=RUNS {
        let (accepting, delivering) = ratios(&report);
        println!(
            "CPU time over that of the ceiling: accepting {accepting:.2} (limit {:.2}), delivering \
             {delivering:.2} (limit {:.2})",
            ACCEPTING * TOLERANCE,
            DELIVERING * TOLERANCE
        );
        accepts |= accepting <= ACCEPTING * TOLERANCE;
        delivers |= delivering <= DELIVERING * TOLERANCE;
        if accepts && delivers {
            return Ok(());
        }
        if run < RUNS {
            report = measure(&Plan { queued: 0, ..plan.clone() }).await?;
        }
    }
    Err(format!("an event takes more CPU time than it did, in each of {RUNS} runs").into())
}

fn ratios(report: &Report) -> (f64, f64) {
    let rounds = || report.stages.iter().flat_map(|stages| &stages.rounds);
    let cpu = |it: &Measured| it.cpu.as_secs_f64();
    let ratio = |of: fn(&Round) -> (&Measured, &Measured)| {
        middle_of(
            rounds().map(|round| {
                let (relay, ceiling) = of(round);
                cpu(relay) / cpu(ceiling)
            }),
            |ratio| *ratio,
        )
    };
    let accepting = ratio(|round| (&round.paused, &round.durable));
    let delivering = ratio(|round| (&round.delivering.accepting, &round.delivered.accepting));
    (accepting, delivering)
}
