//! The events of sources of several sorts, drawn at random.

use jiff::{SignedDuration, Timestamp};

use crate::event::{FieldSet, FilledBlock};

pub(super) const BLOCK: &str = "feedback[0] 1";

/// Positions of fields.
pub(super) const PROBLEM: usize = 0;
pub(super) const EMAIL: usize = 5;
pub(super) const COMPANY: usize = 7;
pub(super) const TITLE: usize = 9;

/// Days on which nobody works, beside weekends: a Thursday, and a Monday.
const HOLIDAYS: [u32; 2] = [38, 21];

pub(super) fn name(field: usize) -> &'static str {
    match field {
        EMAIL => "person_email",
        COMPANY => "company_name",
        TITLE => "tags",
        _ => "problem",
    }
}

/// Returns the time so many days after the beginning, which is a Monday.
pub(super) fn at(days: f64) -> Timestamp {
    // 2026-08-31T00:00:00Z.
    let beginning = Timestamp::from_second(1_788_134_400).unwrap();
    beginning + SignedDuration::from_secs_f64((days * 86_400.0).round())
}

/// Draws numbers, the same from each seed (splitmix64).
struct Draws(u64);

impl Draws {
    /// Returns a number from 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u32::try_from((it ^ (it >> 31)) >> 32).unwrap();
        f64::from(bits) / 4_294_967_296.0
    }

    fn is(&mut self, chance: f64) -> bool {
        self.next() < chance
    }
}

#[derive(Debug, Clone)]
pub(super) struct SimulatedEvent {
    pub(super) at: Timestamp,
    filled: FieldSet,
    missing: FieldSet,
}

impl SimulatedEvent {
    fn draw(days: f64, company: f64, draws: &mut Draws) -> SimulatedEvent {
        let mut event = SimulatedEvent {
            at: at(days),
            filled: FieldSet::of(PROBLEM),
            missing: FieldSet::default(),
        };
        for (field, chance) in [(EMAIL, 0.985), (COMPANY, company), (TITLE, 0.6)] {
            let field = FieldSet::of(field);
            if draws.is(chance) {
                event.filled = event.filled.with(field);
            } else {
                event.missing = event.missing.with(field);
            }
        }
        event
    }

    pub(super) fn block(&self) -> FilledBlock {
        FilledBlock { block: BLOCK.into(), filled: self.filled, missing: self.missing }
    }

    pub(super) fn lose(&mut self, field: usize) {
        let field = FieldSet::of(field);
        self.filled = self.filled.without(field);
        self.missing = self.missing.with(field);
    }

    pub(super) fn make_no_request(&mut self, field: usize) {
        (self.filled, self.missing) = (FieldSet::default(), FieldSet::of(field));
    }
}

/// The sort of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// At all hours, by night less.
    Shop,
    /// On days of work, and few on others.
    Office,
    /// Few, on days of work.
    Quiet,
    /// Many at a time, three times a week, and few between.
    Bursts,
    /// An office, with a second form that has no company: some of it all the time, and campaigns by night and on
    /// weekends, when the first form is quiet.
    TwoForms,
    /// Once a week, many.
    Weekly,
}

impl Load {
    pub(super) const ALL: [Load; 6] =
        [Load::Shop, Load::Office, Load::Quiet, Load::Bursts, Load::TwoForms, Load::Weekly];

    /// Returns eight weeks of events, in their order.
    pub(super) fn events(self, seed: u64) -> Vec<SimulatedEvent> {
        let mut draws = Draws(seed);
        let mut events = Vec::new();
        for minute in 0..56 * 24 * 60 {
            let rate = self.rate(minute);
            if draws.is(rate) {
                let days = (f64::from(minute) + draws.next()) / 1_440.0;
                events.push(SimulatedEvent::draw(days, 0.985, &mut draws));
            }
        }
        if self == Load::TwoForms {
            for week in 0_u32..8 {
                let start = f64::from(week) * 7.0;
                // On Tuesday evening each week; on some Saturdays all day; and now and then.
                events.extend(Load::campaign(seed + u64::from(week), start + 1.8, 180));
                if week % 3 == 2 {
                    events.extend(Load::campaign(seed + u64::from(week), start + 5.3, 900));
                }
            }
        }
        events.sort_by_key(|event| event.at);
        events
    }

    /// Returns answers to another form without a company, one in four minutes, for so many minutes.
    pub(super) fn campaign(seed: u64, begins: f64, minutes: u32) -> Vec<SimulatedEvent> {
        let mut draws = Draws(seed ^ u64::from(minutes));
        let mut events = Vec::new();
        for minute in 0..minutes {
            if draws.is(0.25) {
                let days = begins + (f64::from(minute) + draws.next()) / 1_440.0;
                events.push(SimulatedEvent::draw(days, 0.0, &mut draws));
            }
        }
        events
    }

    /// Returns how probable an event is in a minute.
    fn rate(self, minute: u32) -> f64 {
        let (day, hour) = (minute / 1_440, minute / 60 % 24);
        let works = day % 7 < 5 && !HOLIDAYS.contains(&day);
        let office = |a_day: f64| match (works, hour) {
            (true, 9..12 | 13..18) => a_day / 480.0 * 0.93,
            (true, 8 | 12 | 18..21) => a_day / 300.0 * 0.07,
            _ => 0.0,
        };
        match self {
            Load::Shop if hour < 6 => 0.06,
            Load::Shop => 0.24,
            Load::Office => office(40.0) + 1.0 / 1_440.0,
            Load::Quiet => office(6.0),
            Load::TwoForms => office(60.0),
            Load::Bursts => {
                let is_burst = [0, 2, 4].contains(&(day % 7)) && minute % 1_440 / 20 == 21;
                if is_burst { 1.0 } else { 4.0 / 1_440.0 }
            }
            Load::Weekly if day % 7 == 0 && hour == 7 => 0.5,
            Load::Weekly => 0.0,
        }
    }
}
