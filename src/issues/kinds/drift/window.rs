//! Which of the last events had a field, as bits.

use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

/// Number of events before a run of which is known whether they had the field.
pub const BEFORE: u8 = 100;

const BITS: u128 = (1 << BEFORE) - 1;

/// The last events of one field: those before it went missing, and those since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// The newest event is the lowest bit.
    before: u128,
    known: u8,
    run: Option<MissingRun>,
}

/// Events in a row without the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingRun {
    pub events: u64,
    /// When the first and the last of them were received.
    pub since: Timestamp,
    pub until: Timestamp,
    /// Days from the first event on in which any of them came, as bits; the first seven.
    days: u8,
}

impl MissingRun {
    pub(super) fn new(at: Timestamp) -> MissingRun {
        MissingRun { events: 0, since: at, until: at, days: 0 }
    }

    pub(super) fn add(&mut self, at: Timestamp) {
        self.events = self.events.saturating_add(1);
        // Where the clock was set back, or an older event was mapped late, the span begins anew: it
        // never seems longer than it was.
        if at < self.since {
            *self = MissingRun { events: self.events, ..MissingRun::new(at) };
        }
        self.until = self.until.max(at);
        let day = u32::try_from(at.duration_since(self.since).as_hours() / 24).ok();
        self.days |= day.and_then(|day| 1_u8.checked_shl(day)).unwrap_or_default();
    }

    /// Returns the days in which any of the events came, from the first event on, up to the last one.
    pub fn days(&self) -> Vec<Range<Timestamp>> {
        let begin = |day: u32| self.since + SignedDuration::from_hours(24 * i64::from(day));
        let days = (0..u8::BITS).filter(|day| self.days & (1 << day) != 0);
        days.map(|day| begin(day)..begin(day + 1).min(self.until)).collect()
    }

    pub fn span(&self) -> SignedDuration {
        self.until.duration_since(self.since)
    }
}

impl Window {
    pub fn note(&mut self, had: bool, at: Timestamp) {
        if had {
            let missing = self.run.take().map_or(0, |run| run.events);
            self.push(missing, false);
            self.push(1, true);
            return;
        }
        self.run.get_or_insert(MissingRun::new(at)).add(at);
    }

    fn push(&mut self, events: u64, had: bool) {
        let events = u8::try_from(events).unwrap_or(BEFORE).min(BEFORE);
        for _ in 0..events {
            self.before = (self.before << 1 | u128::from(had)) & BITS;
        }
        self.known = self.known.saturating_add(events).min(BEFORE);
    }

    /// Returns how many of the hundred events before the run had the field; none if fewer are known.
    pub fn had(&self) -> Option<u32> {
        (self.known == BEFORE).then(|| self.before.count_ones())
    }

    pub fn run(&self) -> Option<MissingRun> {
        self.run
    }

    /// Returns how many events in a row have the field, up to the last one.
    pub fn in_a_row(&self) -> u32 {
        match self.run {
            Some(_) => 0,
            None => self.before.trailing_ones().min(u32::from(self.known)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn window(history: &str) -> Window {
        let mut window = Window::default();
        for (minute, had) in (0..).zip(history.chars()) {
            window.note(had == '+', at(minute));
        }
        window
    }

    #[test]
    fn events_before_a_run_stay_known_however_long_it_is() {
        let long = window(&("-".repeat(3) + &"+".repeat(97) + &"-".repeat(500)));

        assert_eq!(long.had(), Some(97));
        let run = long.run().unwrap();
        assert_eq!((run.events, run.span().as_mins(), run.until), (500, 499, at(599)));
        assert_eq!(window(&"+".repeat(99)).had(), None, "too few are known");
    }

    #[test]
    fn run_ends_with_the_next_event_that_has_the_field() {
        let ended = window(&("+".repeat(100) + "----++"));
        assert_eq!((ended.had(), ended.run(), ended.in_a_row()), (Some(96), None, 2));
        let forgotten = window(&("+".repeat(100) + &"-".repeat(300) + "+"));
        assert_eq!((forgotten.had(), forgotten.in_a_row()), (Some(1), 1));
        assert_eq!(window("+++").in_a_row(), 3);
        assert_eq!(window("+++-").in_a_row(), 0);
    }

    #[test]
    fn span_begins_anew_when_the_clock_was_set_back() {
        let mut window = Window::default();
        for minute in [100, 105, 40, 45] {
            window.note(false, at(minute));
        }
        assert_eq!(window.run().unwrap().span().as_mins(), 5);
    }

    #[test]
    fn days_of_a_run_are_those_with_any_event() {
        let day = 24 * 60;
        let mut window = Window::default();
        for minute in [7, 9, 3 * day + 8, 30 * day] {
            window.note(false, at(minute));
        }
        let days = window.run().unwrap().days();
        assert_eq!(days, [at(7)..at(day + 7), at(3 * day + 7)..at(4 * day + 7)]);
        let mut short = Window::default();
        short.note(false, at(0));
        short.note(false, at(40));
        assert_eq!(short.run().unwrap().days(), [at(0)..at(40)]);
    }
}
