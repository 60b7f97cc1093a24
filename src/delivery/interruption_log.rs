//! From the states of a gate, one after the other, to the log of its interruptions. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::store::{Interruption, InterruptionChange, InterruptionKind};

/// A backoff that begins so soon after another one is the same.
pub(super) const MERGED_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// What is in the log of a destination and may still change: of each kind the last one, if it goes on or could
/// be extended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct InterruptionLog(Vec<Interruption>);

impl InterruptionLog {
    /// Takes what is stored, oldest first.
    pub(super) fn new(recent: Vec<Interruption>) -> InterruptionLog {
        InterruptionLog(recent.into_iter().filter(may_change).rev().collect())
    }

    /// Returns what has to be written so that the log says what keeps requests from being sent now, and the log
    /// as it is then.
    pub(super) fn follow(
        &self,
        current: &[Interruption],
        now: Timestamp,
    ) -> (Vec<InterruptionChange>, InterruptionLog) {
        let mut changes = Vec::new();
        let mut log = Vec::new();
        for kind in InterruptionKind::ALL {
            let of_kind = |it: &&Interruption| it.kind == kind;
            let logged = self.0.iter().find(of_kind).filter(|it| is_near(it.ended_at, now));
            let next = match (logged, current.iter().find(of_kind)) {
                (None, None) => continue,
                (None, Some(new)) => {
                    changes.push(InterruptionChange::Began(new.clone()));
                    new.clone()
                }
                (Some(logged), Some(goes_on)) => {
                    Interruption { ended_at: goes_on.ended_at, ..logged.clone() }
                }
                (Some(logged), None) => {
                    let end = logged.ended_at.unwrap_or(now).min(now).max(logged.began_at);
                    Interruption { ended_at: Some(end), ..logged.clone() }
                }
            };
            if let (Some(logged), Some(end)) = (logged, next.ended_at)
                && logged.ended_at != next.ended_at
            {
                changes.push(InterruptionChange::EndsAt(kind, end));
            }
            log.extend(Some(next).filter(may_change));
        }
        (changes, InterruptionLog(log))
    }
}

/// A pause that has ended is over; a backoff may be extended.
fn may_change(it: &Interruption) -> bool {
    it.ended_at.is_none() || it.kind == InterruptionKind::Backoff
}

/// Returns whether it goes on, or ended so shortly before that what begins now continues it.
fn is_near(ended_at: Option<Timestamp>, now: Timestamp) -> bool {
    ended_at.is_none_or(|end| now.duration_since(end) <= MERGED_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::gate::{Gate, Settings, Signal};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// A gate with its log, which is written after each change.
    #[derive(Default)]
    struct Logged {
        gate: Gate,
        log: InterruptionLog,
        /// Kind, begin and end in seconds.
        rows: Vec<(InterruptionKind, i64, Option<i64>)>,
    }

    fn second(time: Timestamp) -> i64 {
        time.as_second() - 1_800_000_000
    }

    impl Logged {
        fn after(&mut self, now: i64, change: impl FnOnce(&mut Gate)) {
            change(&mut self.gate);
            let (changes, log) = self.log.follow(&self.gate.interruptions(at(now)), at(now));
            self.log = log;
            for change in changes {
                match change {
                    InterruptionChange::Began(it) => {
                        self.rows.push((it.kind, second(it.began_at), it.ended_at.map(second)));
                    }
                    InterruptionChange::EndsAt(kind, end) => {
                        let row = self.rows.iter_mut().rev().find(|row| row.0 == kind).unwrap();
                        row.2 = Some(second(end));
                    }
                }
            }
            let (again, _) = self.log.follow(&self.gate.interruptions(at(now)), at(now));
            assert_eq!(again, [], "what is written need not be written again");
        }

        fn note(&mut self, now: i64, signal: &Signal) {
            self.after(now, |gate| gate.note(signal, at(now), &Settings::default()));
        }
    }

    fn fails(hold_back_until: Option<i64>) -> Signal {
        let hold_back_until = hold_back_until.map(at);
        Signal::Failing { reason: "Savio answered 503".to_owned(), hold_back_until }
    }

    fn wrong() -> Signal {
        Signal::Misconfigured { reason: "Savio answered 401".to_owned() }
    }

    #[test]
    fn pauses_are_logged_from_begin_to_end() {
        let mut logged = Logged::default();
        logged.note(10, &wrong());
        logged.note(20, &wrong());
        logged.after(30, |gate| gate.pause_by_person("by a person", at(30)));
        logged.note(40, &Signal::ProbePassed);
        logged.after(50, |gate| gate.resume(at(50)));
        logged.after(60, |gate| gate.pause_by_person("by a person", at(60)));

        let by_person = InterruptionKind::PausedByPerson;
        let by_answer = InterruptionKind::PausedByAnswer;
        let rows = [(by_answer, 10, Some(40)), (by_person, 30, Some(50)), (by_person, 60, None)];
        assert_eq!(logged.rows, rows);
    }

    #[test]
    fn breaker_is_logged_until_a_request_succeeds() {
        let mut logged = Logged::default();
        for second in 1..=5 {
            logged.note(second, &fails(None));
        }
        // The one request that is admitted fails, and the breaker waits anew.
        logged.after(40, |gate| {
            gate.admit(at(40), &Settings::default()).unwrap();
        });
        logged.note(41, &fails(None));
        logged.note(90, &Signal::Healthy);

        assert_eq!(logged.rows, [(InterruptionKind::Breaker, 5, Some(90))]);
    }

    #[test]
    fn backoffs_that_follow_each_other_are_one() {
        let mut logged = Logged::default();
        logged.note(0, &fails(Some(60)));
        logged.note(1, &fails(Some(30)));
        logged.note(62, &fails(Some(100)));
        logged.note(63, &Signal::Healthy);
        logged.note(110, &Signal::Healthy);
        logged.note(200, &fails(Some(230)));

        let backoff = InterruptionKind::Backoff;
        assert_eq!(logged.rows, [(backoff, 0, Some(100)), (backoff, 200, Some(230))]);
    }

    #[test]
    fn start_ends_what_is_over_and_goes_on_with_the_rest() {
        let open = |kind, began_at| Interruption {
            kind,
            reason: "r".to_owned(),
            began_at: at(began_at),
            ended_at: None,
        };
        let stored =
            vec![open(InterruptionKind::NoToken, 0), open(InterruptionKind::PausedByPerson, 5)];
        let mut gate = Gate::default();
        gate.pause_by_person("by a person", at(5));
        gate.begin(None, at(100));

        let (changes, _) =
            InterruptionLog::new(stored).follow(&gate.interruptions(at(100)), at(100));

        assert_eq!(changes, [InterruptionChange::EndsAt(InterruptionKind::NoToken, at(100))]);
    }

    #[test]
    fn clock_set_back_ends_nothing_before_it_began() {
        let mut logged = Logged::default();
        logged.note(1_000, &wrong());
        logged.note(10, &Signal::ProbePassed);

        assert_eq!(logged.rows, [(InterruptionKind::PausedByAnswer, 1_000, Some(1_000))]);
    }
}
