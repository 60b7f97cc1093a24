//! Who may name what at Savio now: nothing new is made twice, and upserts keep their order. Pure.

mod known;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::event::{Name, Request};
use known::Known;

/// Names that are remembered to be at Savio; one that is forgotten is learned again.
const KNOWN_MAX: usize = 200_000;

/// Events that may wait here, each counted with its names.
const WAITING_MAX: usize = 100_000;

/// An event's place in the order of receipt.
pub(super) type Place = u64;

/// What a request needs for itself while it is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wish {
    names: Vec<Name>,
    upsert: Option<Name>,
}

impl Wish {
    pub(super) fn of(request: &Request) -> Wish {
        Wish { names: request.names(), upsert: request.upsert() }
    }

    pub(super) fn upsert(&self) -> Option<Name> {
        self.upsert
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Taken,
    /// The event waits here.
    Blocked,
    /// Too many wait here: it has to wait in the store, and is the n-th that has to.
    TurnedAway(u32),
}

/// The events in hand, and what their requests name.
///
/// Until a request that names something new has succeeded, no other that names it is in flight: which
/// names count is told at `Request::names`. Upserts of one thing go one by one, known or not.
///
/// A request takes all of its names at once or none. One that is blocked takes nothing and waits here.
/// Whoever was received first goes first, for each name and over all of them, so the oldest event that
/// waits for no upsert is never passed by: there is no starvation. What is taken is given back after
/// one attempt, and nobody who waits holds anything: there is no deadlock.
///
/// An upsert waits for each older event that has the same before it: for those in hand that are not
/// mapped yet, since it may be among theirs, and for one that waits in the store (`wait_behind`), since
/// its older state would overwrite this one later. Who waits for that keeps nobody else waiting.
#[derive(Debug)]
pub(super) struct Names {
    known: Known,
    hands: BTreeMap<Place, Hand>,
    /// Of requests in flight.
    taken: HashMap<Name, Place>,
    /// Who waits for the name only, and not for an upsert.
    lines: HashMap<Name, BTreeSet<Place>>,
    /// Who is in hand and has this upsert to make, or is making it.
    upserts: HashMap<Name, BTreeSet<Place>>,
    unmapped: BTreeSet<Place>,
    /// Upserts that wait until older events are mapped.
    early: BTreeSet<Place>,
    /// An older event in the store that has this upsert to make.
    behind: HashMap<Name, Place>,
    ready: BTreeSet<Place>,
    /// How much waits: events with their names.
    waiting: usize,
    waiting_max: usize,
    turned_away: u32,
    /// Names whose lines are to be looked at.
    touched: Vec<Name>,
}

#[derive(Debug, Default)]
struct Hand {
    stage: Stage,
    wish: Wish,
    is_in_line: bool,
    /// Not made yet, and one for each request.
    upserts: Vec<Name>,
    /// Made by this event while it was in hand.
    made: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Idle,
    Taken,
    Waiting,
    Ready,
}

/// What keeps a request from going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Name,
    Upsert,
    /// An older event is not mapped yet.
    Early,
}

impl Default for Names {
    fn default() -> Names {
        Names::new(KNOWN_MAX, WAITING_MAX)
    }
}

impl Names {
    fn new(known_max: usize, waiting_max: usize) -> Names {
        Names {
            known: Known::new(known_max),
            hands: BTreeMap::new(),
            taken: HashMap::new(),
            lines: HashMap::new(),
            upserts: HashMap::new(),
            unmapped: BTreeSet::new(),
            early: BTreeSet::new(),
            behind: HashMap::new(),
            ready: BTreeSet::new(),
            waiting: 0,
            waiting_max,
            turned_away: 0,
            touched: Vec::new(),
        }
    }

    /// An event came into our hands; what it names is not known yet.
    pub(super) fn arrive(&mut self, place: Place) {
        self.hands.entry(place).or_insert_with(|| {
            self.unmapped.insert(place);
            Hand::default()
        });
    }

    /// What the event still has to upsert: one for each request.
    pub(super) fn plan(&mut self, place: Place, upserts: Vec<Name>) {
        self.unmapped.remove(&place);
        for name in &upserts {
            self.upserts.entry(*name).or_default().insert(place);
        }
        let hand = self.hands.entry(place).or_default();
        let before = std::mem::replace(&mut hand.upserts, upserts);
        for name in before {
            self.forget_upsert(place, name);
        }
        self.look_at_early();
        self.look_at_touched();
    }

    /// Takes all that the request names, or nothing: then the event waits here until it is ready.
    pub(super) fn take(&mut self, place: Place, wish: Wish) -> Turn {
        if self.hands.get(&place).is_some_and(|hand| hand.has_taken(&wish)) {
            return Turn::Taken;
        }
        self.stop_waiting(place);
        self.give_back(place);
        let block = self.block(place, &wish);
        let turn = match block {
            None => Turn::Taken,
            Some(_) if self.waiting >= self.waiting_max => {
                self.turned_away = self.turned_away.saturating_add(1);
                Turn::TurnedAway(self.turned_away)
            }
            Some(_) => Turn::Blocked,
        };
        let hand = self.hands.entry(place).or_default();
        match turn {
            Turn::Taken => {
                hand.stage = Stage::Taken;
                self.taken.extend(wish.all().map(|name| (name, place)));
            }
            Turn::Blocked => {
                hand.stage = Stage::Waiting;
                self.waiting += wish.weight();
            }
            Turn::TurnedAway(_) => {}
        }
        hand.wish = wish;
        if let (Turn::Blocked, Some(block)) = (turn, block) {
            self.wait(place, block);
        }
        self.look_at_touched();
        turn
    }

    /// An older event in the store has the same upsert before it: what was taken is given back, and the
    /// event waits until that one has been here, or `ask_again`.
    pub(super) fn wait_behind(&mut self, place: Place, older: Place) -> Turn {
        let wish = self.hands.get(&place).map(|hand| hand.wish.clone()).unwrap_or_default();
        if let Some(upsert) = wish.upsert {
            self.behind.insert(upsert, older);
        }
        self.give_back(place);
        self.take(place, wish)
    }

    /// Savio has what was taken for: its names are known from now on.
    pub(super) fn succeeded(&mut self, place: Place) {
        let Some(hand) = self.hands.get_mut(&place) else { return };
        if hand.stage != Stage::Taken {
            return;
        }
        let Wish { names, upsert } = hand.wish.clone();
        for name in names {
            self.known.learn(name);
        }
        if let Some(upsert) = upsert {
            hand.made.push(upsert);
            if let Some(at) = hand.upserts.iter().position(|one| *one == upsert) {
                hand.upserts.swap_remove(at);
                self.forget_upsert(place, upsert);
            }
        }
        self.give_back(place);
        self.look_at_touched();
    }

    /// What the event made is in the store: who waits behind that need not wait for its end.
    pub(super) fn written(&mut self, place: Place) {
        let made = self.hands.get_mut(&place).map(|hand| std::mem::take(&mut hand.made));
        self.nobody_is_behind(place, &made.unwrap_or_default());
        self.look_at_touched();
    }

    /// The event goes out of our hands, settled or to wait in the store, and gives back what it has.
    pub(super) fn leave(&mut self, place: Place) {
        self.stop_waiting(place);
        self.give_back(place);
        self.unmapped.remove(&place);
        if let Some(hand) = self.hands.remove(&place) {
            for name in &hand.upserts {
                self.forget_upsert(place, *name);
            }
            self.nobody_is_behind(place, &hand.upserts);
            self.nobody_is_behind(place, &hand.made);
        }
        self.look_at_early();
        self.look_at_touched();
    }

    /// The oldest of those who waited and may go now; it keeps its turn until it takes or leaves.
    pub(super) fn next_ready(&mut self, can_go: impl Fn(&Place) -> bool) -> Option<Place> {
        let place = self.ready.iter().copied().find(can_go)?;
        self.ready.remove(&place);
        Some(place)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is known of older events in the store may be out of date: who waits for them may ask.
    pub(super) fn ask_again(&mut self) {
        self.touched.extend(self.behind.drain().map(|(name, _)| name));
        self.look_at_touched();
    }

    fn block(&self, place: Place, wish: &Wish) -> Option<Block> {
        let is_anothers = |name: &Name| self.taken.get(name).is_some_and(|by| *by != place);
        let has_older = |places: Option<&BTreeSet<Place>>| {
            places.and_then(BTreeSet::first).is_some_and(|first| *first < place)
        };
        if let Some(upsert) = &wish.upsert {
            let is_behind = self.behind.get(upsert).is_some_and(|older| *older < place);
            if is_anothers(upsert) || is_behind || has_older(self.upserts.get(upsert)) {
                return Some(Block::Upsert);
            }
            if has_older(Some(&self.unmapped)) {
                return Some(Block::Early);
            }
        }
        let mut new = wish.names.iter().filter(|name| !self.known.contains(**name));
        let is_blocked = new.any(|name| is_anothers(name) || has_older(self.lines.get(name)));
        is_blocked.then_some(Block::Name)
    }

    /// Only who needs nothing but names keeps others from them.
    fn wait(&mut self, place: Place, block: Block) {
        if block == Block::Early {
            self.early.insert(place);
        }
        if block == Block::Name {
            self.stand_in_line(place);
        } else {
            self.step_out_of_line(place);
        }
    }

    fn stand_in_line(&mut self, place: Place) {
        let Some(hand) = self.hands.get_mut(&place) else { return };
        hand.is_in_line = true;
        for name in hand.wish.names.iter().filter(|name| !self.known.contains(**name)) {
            self.lines.entry(*name).or_default().insert(place);
        }
    }

    fn step_out_of_line(&mut self, place: Place) {
        let Some(hand) = self.hands.get_mut(&place) else { return };
        if !std::mem::take(&mut hand.is_in_line) {
            return;
        }
        for name in &hand.wish.names {
            remove(&mut self.lines, *name, place);
            self.touched.push(*name);
        }
    }

    fn stop_waiting(&mut self, place: Place) {
        self.ready.remove(&place);
        self.early.remove(&place);
        self.step_out_of_line(place);
        if let Some(hand) = self.hands.get_mut(&place)
            && matches!(hand.stage, Stage::Waiting | Stage::Ready)
        {
            hand.stage = Stage::Idle;
            self.waiting -= hand.wish.weight();
        }
        if self.waiting < self.waiting_max / 2 {
            self.turned_away = 0;
        }
    }

    fn give_back(&mut self, place: Place) {
        let Some(hand) = self.hands.get_mut(&place) else { return };
        if hand.stage != Stage::Taken {
            return;
        }
        hand.stage = Stage::Idle;
        let wish = std::mem::take(&mut hand.wish);
        for name in wish.all() {
            self.taken.remove(&name);
            self.touched.push(name);
        }
    }

    /// One request fewer of the event has this upsert before it.
    fn forget_upsert(&mut self, place: Place, name: Name) {
        let has_more = self.hands.get(&place).is_some_and(|hand| hand.upserts.contains(&name));
        if !has_more {
            remove(&mut self.upserts, name, place);
        }
        self.touched.push(name);
    }

    fn nobody_is_behind(&mut self, place: Place, upserts: &[Name]) {
        for name in upserts {
            if self.behind.get(name) == Some(&place) {
                self.behind.remove(name);
                self.touched.push(*name);
            }
        }
    }

    fn look_at_early(&mut self) {
        while let Some(place) = self.early.first().copied()
            && self.unmapped.first().is_none_or(|unmapped| place < *unmapped)
        {
            self.early.remove(&place);
            self.look_at(place);
        }
    }

    fn look_at_touched(&mut self) {
        while let Some(name) = self.touched.pop() {
            // Of those who wait for what is not known only the first can go.
            let line = if self.known.contains(name) {
                self.lines.remove(&name).unwrap_or_default()
            } else {
                self.lines.get(&name).and_then(BTreeSet::first).copied().into_iter().collect()
            };
            let first = self.upserts.get(&name).and_then(BTreeSet::first).copied();
            for place in line.into_iter().chain(first) {
                self.look_at(place);
            }
        }
    }

    fn look_at(&mut self, place: Place) {
        let Some(hand) = self.hands.get(&place) else { return };
        if hand.stage != Stage::Waiting {
            return;
        }
        if let Some(block) = self.block(place, &hand.wish) {
            self.wait(place, block);
            return;
        }
        if let Some(hand) = self.hands.get_mut(&place) {
            hand.stage = Stage::Ready;
        }
        // Till it takes them, nobody younger may.
        self.stand_in_line(place);
        self.ready.insert(place);
    }
}

impl Hand {
    fn has_taken(&self, wish: &Wish) -> bool {
        self.stage == Stage::Taken && self.wish == *wish
    }
}

impl Wish {
    fn all(&self) -> impl Iterator<Item = Name> {
        self.names.iter().copied().chain(self.upsert)
    }

    fn weight(&self) -> usize {
        1 + self.names.len()
    }
}

fn remove(places: &mut HashMap<Name, BTreeSet<Place>>, name: Name, place: Place) {
    if let Some(here) = places.get_mut(&name) {
        here.remove(&place);
        if here.is_empty() {
            places.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests;
