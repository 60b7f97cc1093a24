//! The watchdog of the service manager, which restarts a relay that no longer works.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{error, info};

use super::notify_socket::{Notification, NotifySocket};
use crate::secret::Environment;

/// Time for which a part may be silent before the relay counts as stuck.
// A store that another program locks answers every 5 s (`BUSY_TIMEOUT`), and one whose log was
// removed waits another 6 s. A stall of a busy machine or a slow disk passes by itself: the relay
// answers 503 meanwhile, and a restart would only add to the load.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Fewest rounds of silence, however long they are.
const ROUNDS_MIN: u128 = 2;

/// Tells the service manager, at half of the time that it allows, that the relay works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watchdog {
    interval: Duration,
    /// Silent rounds after which the relay counts as stuck.
    // Counted, not measured: after a pause of the whole machine the clock has jumped, and no part
    // had the time to answer.
    rounds_max: u32,
}

impl Watchdog {
    /// Returns the watchdog that the service manager set for this process.
    pub(super) fn of(environment: &Environment) -> Option<Watchdog> {
        let number = |name| environment.get(name)?.parse::<u64>().ok();
        let time = Duration::from_micros(number("WATCHDOG_USEC")?);
        // Another process inherited the variables, such as one that this one was started by.
        let is_for_another =
            environment.get("WATCHDOG_PID").is_some_and(|id| id != std::process::id().to_string());
        (!is_for_another && !time.is_zero()).then(|| Watchdog::every(time / 2, SILENCE_MAX))
    }

    fn every(interval: Duration, silence_max: Duration) -> Watchdog {
        let interval = interval.max(Duration::from_micros(1));
        let rounds = silence_max.as_nanos().div_ceil(interval.as_nanos()).max(ROUNDS_MIN);
        Watchdog { interval, rounds_max: u32::try_from(rounds).unwrap_or(u32::MAX) }
    }

    /// Reports while no part is stuck; never returns. `silent_parts` returns the parts that do not
    /// answer within a time.
    pub(super) async fn run(
        &self,
        socket: &NotifySocket,
        silent_parts: impl AsyncFn(Duration) -> Vec<&'static str>,
    ) {
        let mut silences: Vec<Silence> = Vec::new();
        let mut was_stuck = false;
        loop {
            let next = Instant::now() + self.interval;
            let stuck = silences.iter().find(|it| it.rounds >= self.rounds_max);
            if stuck.is_some() != was_stuck {
                self.log_change(stuck);
            }
            was_stuck = stuck.is_some();
            if stuck.is_none() {
                socket.send(&[Notification::Watchdog]);
            }
            silences = prolonged(&silences, &silent_parts(self.interval).await);
            sleep_until(next).await;
        }
    }

    fn log_change(&self, stuck: Option<&Silence>) {
        let Some(Silence { part, rounds }) = stuck else {
            info!("all parts of the relay answer again");
            return;
        };
        error!(
            "{part} has not answered for {:?}: the service manager restarts the relay unless it answers soon",
            self.interval * *rounds
        );
    }
}

/// A part, and the rounds in a row in which it did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Silence {
    part: &'static str,
    rounds: u32,
}

/// Returns the silences after another round.
fn prolonged(silences: &[Silence], silent: &[&'static str]) -> Vec<Silence> {
    let rounds = |part| silences.iter().find(|it| it.part == part).map_or(0, |it| it.rounds);
    silent.iter().map(|part| Silence { part, rounds: rounds(*part).saturating_add(1) }).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn set(variables: &[(&str, &str)]) -> Option<Watchdog> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Watchdog::of(&variables.collect())
    }

    #[test]
    fn watchdog_is_set_for_this_process_only() {
        let own = std::process::id().to_string();
        let minute = ("WATCHDOG_USEC", "60000000");
        let expected = Watchdog { interval: Duration::from_secs(30), rounds_max: 2 };
        assert_eq!(set(&[minute]), Some(expected));
        assert_eq!(set(&[minute, ("WATCHDOG_PID", &own)]), Some(expected));
        assert_eq!(set(&[minute, ("WATCHDOG_PID", "1")]), None);
        for usec in ["0", "", "soon"] {
            assert_eq!(set(&[("WATCHDOG_USEC", usec)]), None, "{usec}");
        }
        assert_eq!(set(&[]), None);
    }

    #[test]
    fn short_watchdog_allows_as_much_silence_as_a_long_one() {
        for (seconds, rounds) in [(1, 120), (20, 6), (60, 2), (600, 2)] {
            let usec = (seconds * 1_000_000_u64).to_string();
            assert_eq!(set(&[("WATCHDOG_USEC", &usec)]).unwrap().rounds_max, rounds, "{seconds} s");
        }
    }

    #[test]
    fn silence_counts_the_rounds_in_a_row_of_each_part() {
        let one = prolonged(&[], &["store", "listener"]);
        let two = prolonged(&one, &["store"]);

        assert_eq!(two, [Silence { part: "store", rounds: 2 }]);
        assert_eq!(prolonged(&two, &["listener"]), [Silence { part: "listener", rounds: 1 }]);
    }

    #[tokio::test]
    async fn pings_stop_while_a_part_is_stuck() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let received = UnixDatagram::bind(&path).unwrap();
        received.set_nonblocking(true).unwrap();
        let variable = ("NOTIFY_SOCKET".to_owned(), path.display().to_string());
        let socket = NotifySocket::of(&Environment::from([variable])).unwrap();
        let watchdog = Watchdog::every(Duration::from_millis(1), Duration::from_millis(3));
        let pings = RefCell::new(Vec::new());
        let nine_rounds = async |_| {
            let count = std::iter::from_fn(|| received.recv(&mut [0; 16]).ok()).count();
            pings.borrow_mut().push(count);
            let round = pings.borrow().len();
            match round {
                3..=7 => vec!["the store"],
                9 => std::future::pending().await,
                _ => Vec::new(),
            }
        };
        let ended = async {
            while pings.borrow().len() < 9 {
                tokio::task::yield_now().await;
            }
        };

        tokio::select! {
            () = watchdog.run(&socket, nine_rounds) => {}
            () = ended => {}
        }

        assert_eq!(*pings.borrow(), [1, 1, 1, 1, 1, 0, 0, 0, 1]);
    }
}
