//! Eight weeks of load in virtual time, through the rules of missing fields and of silent sources: no
//! false alarm, and each injected fault is found in time.

mod load;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::condition::{KnownFinding, RuleFinding};
use super::kinds::drift::{
    self, MissingField, RUN_MIN, SeenFields, ServedBlock, ServedBlocks, Windows,
};
use super::kinds::silent::{self, LiveHalfHour, SourceTraffic, number_of};
use crate::event::SourceName;
use crate::mapping_file::silence::SilenceLimit;
use crate::store::{FILLED_EVENTS_MAX, FieldUse};
use load::{BLOCK, COMPANY, EMAIL, Load, PROBLEM, SimulatedEvent, TITLE, at};

const SEEDS: [u64; 4] = [1, 7, 42, 20_261_130];

const TICK: SignedDuration = SignedDuration::from_mins(10);

/// One source under the eyes of both rules.
struct Simulation {
    source: SourceName,
    served: Vec<ServedBlocks>,
    windows: Windows,
    half_hours: Vec<LiveHalfHour>,
    events: Vec<SimulatedEvent>,
    /// Number of events that came so far.
    came: usize,
    /// Times at which the relay starts anew, in their order.
    restarts: Vec<Timestamp>,
    /// Fields for which the rule held, whatever came in the week before.
    by_rule: BTreeSet<String>,
}

impl Simulation {
    fn new(events: Vec<SimulatedEvent>, restarts: &[f64]) -> Simulation {
        let source: SourceName = "form".parse().unwrap();
        let fields = vec![
            (PROBLEM, "problem"),
            (EMAIL, "person_email"),
            (COMPANY, "company_name"),
            (TITLE, "tags"),
        ];
        let block = ServedBlock { id: BLOCK.into(), name: "feedback".to_owned(), fields };
        Simulation {
            served: vec![ServedBlocks { source: source.clone(), blocks: vec![block] }],
            source,
            windows: Windows::default(),
            half_hours: Vec::new(),
            events,
            came: 0,
            restarts: restarts.iter().map(|day| at(*day)).collect(),
            by_rule: BTreeSet::new(),
        }
    }

    /// Runs until one of the rules finds something, or the eight weeks are over.
    fn run(&mut self, silence: SilenceLimit) -> Option<(Timestamp, String)> {
        let (mut now, end) = (at(0.0), at(56.0));
        while now < end {
            now += TICK;
            self.receive(now);
            if let Some(key) = self.lost_field() {
                return Some((now, key));
            }
            if now.as_second() % 1_800 == 0
                && let Some(text) = self.silence(silence)
            {
                return Some((now, text));
            }
        }
        None
    }

    fn receive(&mut self, now: Timestamp) {
        if self.restarts.first().is_some_and(|at| *at <= now) {
            self.restarts.remove(0);
            self.start_anew();
        }
        let number = number_of(now - SignedDuration::from_secs(1));
        if self.half_hours.last().is_none_or(|it| it.number < number) {
            self.half_hours.push(LiveHalfHour { number, webhooks: 0 });
        }
        while let Some(event) = self.events.get(self.came).filter(|event| event.at <= now) {
            self.windows.note((&self.source, Some("form_response")), &[event.block()], event.at);
            if let Some(last) = self.half_hours.last_mut() {
                last.webhooks += 1;
            }
            self.came += 1;
        }
    }

    /// Knows what is stored, and nothing else.
    fn start_anew(&mut self) {
        self.windows = Windows::default();
        for event in &self.events[self.came.saturating_sub(FILLED_EVENTS_MAX)..self.came] {
            self.windows.note((&self.source, Some("form_response")), &[event.block()], event.at);
        }
    }

    fn lost_field(&mut self) -> Option<String> {
        let seen = SeenFields { windows: &self.windows, served: &self.served };
        let missing = drift::missing(seen);
        self.by_rule.extend(missing.iter().map(|it| it.key.clone()));
        let lost = missing.into_iter().filter(|it| drift::is_lost(&it.run, self.field_use(it)));
        lost.map(|it| it.key).next()
    }

    /// Returns what the store would find of the field.
    fn field_use(&self, MissingField { usual, .. }: &MissingField) -> FieldUse {
        let place = |time: Timestamp| self.events.partition_point(|event| event.at < time);
        let has = |event: &&SimulatedEvent| event.block().filled.has(usual.position);
        let of_times = usual.times.iter().map(|time| {
            self.events[place(time.start)..place(time.end)].iter().filter(has).count() as u64
        });
        let events = of_times.sum::<u64>().min(usual.events_max);
        FieldUse { events, is_known: place(usual.times[0].start) > 0 }
    }

    fn silence(&self, silence: SilenceLimit) -> Option<String> {
        let half_hours = &self.half_hours[..self.half_hours.len() - 1];
        let traffic = SourceTraffic { source: &self.source, silence, is_live: true, half_hours };
        match silent::judge(&[traffic], &[]) {
            RuleFinding::Known(KnownFinding { holds, .. }) => {
                holds.into_iter().next().map(|it| it.words.text)
            }
            RuleFinding::Unknown => None,
        }
    }
}

/// Deployments, on average one in three days, one of them twice within an hour.
const RESTARTS: [f64; 18] = [
    1.6, 4.6, 8.45, 11.7, 14.6, 16.6, 18.6, 22.4, 22.43, 25.6, 30.4, 33.7, 36.6, 39.6, 43.5, 46.6,
    50.4, 53.6,
];

#[test]
fn eight_weeks_of_usual_load_raise_no_alarm() {
    let mut by_rule = 0;
    for seed in SEEDS {
        for load in Load::ALL {
            let mut simulation = Simulation::new(load.events(seed), &RESTARTS);
            let found = simulation.run(SilenceLimit::Learned);
            assert_eq!(found, None, "{load:?}, seed {seed}");
            assert_eq!(simulation.came, simulation.events.len());
            by_rule += simulation.by_rule.len();
        }
    }
    // Otherwise no campaign came that the rule alone takes for a fault.
    assert!(by_rule >= 4, "{by_rule}");
}

/// What a fault does from its beginning on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    /// The field is in no request of the usual form.
    Lost(usize),
    /// A field without which there is no request is empty.
    NoRequest(usize),
    /// The sender sends nothing.
    Silence,
}

struct InjectedFault {
    load: Load,
    /// In days since the beginning, a Monday.
    begins: f64,
    effect: Effect,
    silence: SilenceLimit,
    /// In which it has to be found.
    hours: i64,
}

fn lost(load: Load, begins: f64, field: usize, hours: i64) -> InjectedFault {
    let (effect, silence) = (Effect::Lost(field), SilenceLimit::Learned);
    InjectedFault { load, begins, effect, silence, hours }
}

fn silent(load: Load, begins: f64, hours: i64) -> InjectedFault {
    InjectedFault { load, begins, effect: Effect::Silence, silence: SilenceLimit::Learned, hours }
}

fn faults() -> Vec<InjectedFault> {
    let day = |week: f64, day: f64, hour: f64| (week - 1.0) * 7.0 + day + hour / 24.0;
    let six_hours = SilenceLimit::After(std::time::Duration::from_hours(6));
    vec![
        // Some 300 events a day, at all hours.
        lost(Load::Shop, day(4.0, 1.0, 10.0), EMAIL, 4),
        lost(Load::Shop, day(5.0, 2.0, 20.0), COMPANY, 12),
        lost(Load::Shop, day(6.0, 5.0, 3.0), EMAIL, 12),
        lost(Load::Shop, day(2.0, 1.0, 12.0), EMAIL, 4),
        InjectedFault {
            effect: Effect::NoRequest(COMPANY),
            ..lost(Load::Shop, day(4.0, 3.0, 9.0), 0, 4)
        },
        // Some 40 on a day of work; before a weekend, on one, and after a holiday.
        lost(Load::Office, day(4.0, 1.0, 9.0), COMPANY, 24),
        lost(Load::Office, day(4.0, 4.0, 16.0), EMAIL, 96),
        lost(Load::Office, day(6.0, 5.0, 11.0), EMAIL, 72),
        lost(Load::Office, day(6.0, 4.0, 8.0), COMPANY, 96),
        InjectedFault {
            effect: Effect::NoRequest(EMAIL),
            ..lost(Load::Office, day(7.0, 0.0, 8.0), 0, 24)
        },
        // Some 6 on a day of work.
        lost(Load::Quiet, day(6.0, 0.0, 8.0), EMAIL, 120),
        // Bursts of 30, three times a week.
        lost(Load::Bursts, day(5.0, 0.0, 6.0), EMAIL, 72),
        // A second form without the field: during its campaign, and apart from it. On the day after one, less
        // than 95 of 100 events have the field, and nothing is found.
        lost(Load::TwoForms, day(5.0, 4.0, 10.0), COMPANY, 24),
        lost(Load::TwoForms, day(5.0, 1.0, 19.5), COMPANY, 24),
        silent(Load::Shop, day(4.0, 1.0, 2.0), 28),
        silent(Load::Office, day(5.0, 0.0, 9.0), 24 * 7),
        silent(Load::Quiet, day(5.0, 1.0, 9.0), 24 * 9),
        silent(Load::Bursts, day(5.0, 2.0, 9.0), 24 * 8),
        silent(Load::TwoForms, day(5.0, 4.0, 18.0), 24 * 7),
        InjectedFault { silence: six_hours, ..silent(Load::Shop, day(3.0, 2.0, 14.0), 7) },
    ]
}

#[test]
fn each_of_twenty_faults_is_found_in_time() {
    let faults = faults();
    assert_eq!(faults.len(), 20);
    for (number, fault) in (1..).zip(&faults) {
        let took: Vec<String> = SEEDS.iter().map(|seed| find(number, fault, *seed)).collect();
        let InjectedFault { load, effect, hours, .. } = fault;
        println!("{number:2} {load:?}, {effect:?}: {} (within {hours} h)", took.join(", "));
    }
}

fn find(number: u32, fault: &InjectedFault, seed: u64) -> String {
    let begins = at(fault.begins);
    let events = fault.load.events(seed).into_iter().filter_map(|mut event| {
        if event.at >= begins {
            match fault.effect {
                Effect::Lost(field) => event.lose(field),
                Effect::NoRequest(field) => event.make_no_request(field),
                Effect::Silence => return None,
            }
        }
        Some(event)
    });
    // Restarts too, in whose place nothing but what is stored is known.
    let mut restarts = RESTARTS.to_vec();
    restarts.extend([fault.begins + 0.05, fault.begins + 0.3]);
    restarts.sort_by(f64::total_cmp);

    let found = Simulation::new(events.collect(), &restarts).run(fault.silence);

    let (found_at, what) =
        found.unwrap_or_else(|| panic!("fault {number}, seed {seed}: not found"));
    let took = found_at.duration_since(begins);
    assert!(took > SignedDuration::ZERO, "fault {number}, seed {seed}: {what} before it");
    let is_right = match fault.effect {
        Effect::Silence => what.contains("has received nothing"),
        Effect::Lost(field) | Effect::NoRequest(field) => what.contains(load::name(field)),
    };
    assert!(is_right, "fault {number}, seed {seed}: {what}");
    let limit = SignedDuration::from_hours(fault.hours);
    assert!(took <= limit, "fault {number}, seed {seed}: {what} after {took}, and not {limit}");
    format!("{:.1} h", took.as_secs_f64() / 3_600.0)
}

#[test]
fn new_form_without_a_field_is_no_fault_while_the_usual_one_goes_on() {
    for seed in SEEDS {
        let (usual, campaign) = (Load::Office.events(seed), Load::campaign(seed, 23.9, 200));
        assert!(campaign.len() > RUN_MIN as usize);
        let mut events = [usual, campaign].concat();
        events.sort_by_key(|event| event.at);

        let mut simulation = Simulation::new(events, &RESTARTS);

        assert_eq!(simulation.run(SilenceLimit::Learned), None, "seed {seed}");
        assert!(!simulation.by_rule.is_empty(), "seed {seed}: the rule alone holds");
    }
}
