//! What was measured, as tables in Markdown, and whether each accepted event came exactly once.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::deep::Deep;
use crate::settled::{Both, Pair, Settled};
use crate::stage::{Delivered, Delivery, Measured, Round, Stages};
use crate::start::Start;

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) start: Option<Start>,
    /// Names of the programs that were compared.
    pub(crate) others: Vec<String>,
    pub(crate) stages: Vec<Stages>,
    pub(crate) deep: Option<Deep>,
    pub(crate) settled: Option<Settled>,
}

impl Report {
    /// Whether everything that was accepted came once.
    pub(crate) fn is_sound(&self) -> bool {
        let mut rounds = self.stages.iter().flat_map(|stages| &stages.rounds);
        rounds.all(|round| {
            let tallies = [&round.delivered, &round.delivering].map(|it| it.delivery.tally);
            tallies.iter().all(|tally| tally.missing == 0 && tally.twice == 0)
        })
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
            "\n| connections | what | through per second | of ceiling | delivered per second meanwhile | last arrival after | accepted | missing | twice |"
        )?;
        writeln!(page, "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for Stages { connections, rounds } in &self.stages {
            let ceiling = through(rounds, |round| &round.delivered);
            write!(page, "| {connections} | ceiling: verify, keep, post, keep | ")?;
            delivery_row(page, &ceiling.delivery, &ceiling.delivery)?;
            write!(page, "| {connections} | relay, delivering | ")?;
            let relay = through(rounds, |round| &round.delivering);
            delivery_row(page, &relay.delivery, &ceiling.delivery)?;
            for (at, name) in self.others.iter().enumerate() {
                write!(page, "| {connections} | {name} | ")?;
                let other = through(rounds, |round| &round.others[at]);
                delivery_row(page, &other.delivery, &ceiling.delivery)?;
            }
        }
        writeln!(page)?;
        if let Some(start) = &self.start {
            write!(page, "{start}")?;
        }
        if let Some(deep) = &self.deep {
            write!(page, "{deep}")?;
        }
        if let Some(settled) = &self.settled {
            write!(page, "{settled}")?;
        }
        Ok(())
    }
}

type Of = fn(&Round) -> &Measured;

const ROWS: [(&str, Of); 5] = [
    ("ceiling: verify", |round| &round.verify),
    ("ceiling: verify, keep", |round| &round.durable),
    ("relay, destination paused", |round| &round.paused),
    ("ceiling: verify, keep, post, keep", |round| &round.delivered.accepting),
    ("relay, delivering", |round| &round.delivering.accepting),
];

/// The round with the middle rate.
fn middle(rounds: &[Round], of: Of) -> &Measured {
    middle_of(rounds.iter().map(of), |it| it.rate)
}

pub(crate) fn middle_of<T>(all: impl Iterator<Item = T>, by: impl Fn(&T) -> f64) -> T {
    let mut all: Vec<T> = all.collect();
    all.sort_by(|a, b| by(a).total_cmp(&by(b)));
    let middle = all.len() / 2;
    all.swap_remove(middle)
}

/// The round in which the middle number of events went through.
fn through(rounds: &[Round], of: impl Fn(&Round) -> &Delivered) -> &Delivered {
    middle_of(rounds.iter().map(of), |it| it.delivery.through)
}

fn delivery_row(page: &mut Formatter<'_>, it: &Delivery, ceiling: &Delivery) -> fmt::Result {
    let (through, rate, ms) = (it.through, it.rate, it.drain.as_millis());
    let ratio = through / ceiling.through * 100.0;
    let (accepted, missing, twice) = (it.accepted, it.tally.missing, it.tally.twice);
    writeln!(
        page,
        "{through:.0} | {ratio:.0} % | {rate:.0} | {ms} ms | {accepted} | {missing} | {twice} |"
    )
}

fn rate(rounds: &[Round], of: Of) -> f64 {
    middle(rounds, of).rate
}

fn at_percent(it: &Measured, percent: usize) -> Duration {
    let last = it.waits.len().saturating_sub(1);
    it.waits.get(last * percent / 100).copied().unwrap_or_default()
}

fn row(page: &mut Formatter<'_>, it: &Measured, ratio: f64) -> fmt::Result {
    let ms = |wait: Duration| wait.as_secs_f64() * 1000.0;
    let at = |percent: usize| ms(at_percent(it, percent));
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

type Side = fn(&Pair) -> &Both;

impl Display for Settled {
    fn fmt(&self, page: &mut Formatter<'_>) -> fmt::Result {
        let ms = |measured: &Measured| at_percent(measured, 99).as_secs_f64() * 1000.0;
        writeln!(page, "\n| settled events | what | per second | p99 ms |")?;
        writeln!(page, "| ---: | --- | ---: | ---: |")?;
        let sides: [(u64, Side); 2] = [(0, |pair| &pair.empty), (self.events, |pair| &pair.full)];
        for (events, side) in sides {
            let paused = middle_of(self.rounds.iter().map(|pair| &side(pair).paused), |it| it.rate);
            let delivering =
                middle_of(self.rounds.iter().map(|pair| &side(pair).delivering), |it| {
                    it.delivery.through
                });
            let (rate, p99) = (paused.rate, ms(paused));
            writeln!(page, "| {events} | relay, destination paused | {rate:.0} | {p99:.2} |")?;
            let (rate, p99) = (delivering.delivery.through, ms(&delivering.accepting));
            writeln!(page, "| {events} | relay, delivering | {rate:.0} | {p99:.2} |")?;
        }
        Ok(())
    }
}
