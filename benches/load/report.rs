//! What was measured, as tables in Markdown, and whether each accepted event came exactly once.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::deep::Deep;
use crate::stage::{Measured, Round, Stages};
use crate::start::Start;

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) start: Option<Start>,
    pub(crate) stages: Vec<Stages>,
    pub(crate) deep: Option<Deep>,
}

impl Report {
    /// Whether everything that was accepted came once.
    pub(crate) fn is_sound(&self) -> bool {
        let mut rounds = self.stages.iter().flat_map(|stages| &stages.rounds);
        rounds.all(|round| round.delivery.tally.missing == 0 && round.delivery.tally.twice == 0)
    }
}

impl Display for Report {
    fn fmt(&self, page: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            page,
            "| connections | what | per second | of durable | p50 ms | p90 | p99 | max | CPU µs | peak MiB | refused |"
        )?;
        writeln!(
            page,
            "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for Stages { connections, rounds } in &self.stages {
            let durable = rate(rounds, |round| &round.durable);
            for (name, of) in ROWS {
                let ratio = rate(rounds, of) / durable * 100.0;
                write!(page, "| {connections} | {name} | ")?;
                row(page, middle(rounds, of), ratio)?;
            }
        }
        writeln!(
            page,
            "\n| connections | accepted | delivered per second meanwhile | last arrival after | missing | twice |"
        )?;
        writeln!(page, "| ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for Stages { connections, rounds } in &self.stages {
            for Round { delivery: it, .. } in rounds {
                let (ms, tally) = (it.drain.as_millis(), it.tally);
                let (accepted, rate) = (it.accepted, it.rate);
                let (missing, twice) = (tally.missing, tally.twice);
                writeln!(
                    page,
                    "| {connections} | {accepted} | {rate:.0} | {ms} ms | {missing} | {twice} |"
                )?;
            }
        }
        writeln!(page)?;
        if let Some(start) = &self.start {
            write!(page, "{start}")?;
        }
        if let Some(deep) = &self.deep {
            write!(page, "{deep}")?;
        }
        Ok(())
    }
}

type Of = fn(&Round) -> &Measured;

const ROWS: [(&str, Of); 4] = [
    ("ceiling: verify", |round| &round.verify),
    ("ceiling: verify, keep", |round| &round.durable),
    ("relay, destination paused", |round| &round.paused),
    ("relay, delivering", |round| &round.delivering),
];

/// The round with the middle rate.
fn middle(rounds: &[Round], of: Of) -> &Measured {
    let mut all: Vec<&Measured> = rounds.iter().map(of).collect();
    all.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    all[all.len() / 2]
}

fn rate(rounds: &[Round], of: Of) -> f64 {
    middle(rounds, of).rate
}

fn row(page: &mut Formatter<'_>, it: &Measured, ratio: f64) -> fmt::Result {
    let ms = |wait: Duration| wait.as_secs_f64() * 1000.0;
    let at = |percent: usize| {
        let last = it.waits.len().saturating_sub(1);
        it.waits.get(last * percent / 100).copied().map_or(0.0, ms)
    };
    let (rate, cpu, peak, refused) = (it.rate, it.cpu.as_micros(), it.peak_mib, it.refused);
    let [p50, p90, p99, max] = [50, 90, 99, 100].map(at);
    writeln!(
        page,
        "{rate:.0} | {ratio:.0} % | {p50:.2} | {p90:.2} | {p99:.2} | {max:.1} | {cpu} | {peak:.0} | {refused} |"
    )
}

impl Display for Start {
    fn fmt(&self, page: &mut Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_millis();
        writeln!(page, "- first 2xx after start: {} ms with a new store", ms(self.new_store))?;
        writeln!(page, "- first 2xx after kill -9 and start: {} ms", ms(self.old_store))?;
        let (all, own) = (self.idle_mib, self.idle_own_mib);
        writeln!(
            page,
            "- idle memory: {all:.1} MiB, of which {own:.1} MiB are not the program itself"
        )
    }
}

impl Display for Deep {
    fn fmt(&self, page: &mut Formatter<'_>) -> fmt::Result {
        writeln!(page, "- with {} events queued:", self.queued)?;
        writeln!(page, "  - memory once it was filled: {:.1} MiB", self.filled_mib)?;
        writeln!(page, "  - first 2xx after kill -9 and start: {} ms", self.start.as_millis())?;
        writeln!(page, "  - memory, idle after that start: {:.1} MiB", self.idle_mib)?;
        writeln!(page, "  - memory, delivering: {:.1} MiB", self.delivering_mib)?;
        writeln!(page, "  - delivered: {:.0} per second", self.delivery_rate)
    }
}
