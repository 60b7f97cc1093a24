//! Whose turn it is, in small stories and for any events in any order.

use proptest::prelude::*;

use super::*;

fn tag(name: &str) -> Name {
    Name::new("tag", name).unwrap()
}

fn id(name: &str) -> Name {
    Name::new("upsert of a company", name).unwrap()
}

fn names(names: &[&str]) -> Wish {
    Wish { names: names.iter().map(|name| tag(name)).collect(), upsert: None }
}

fn upsert(name: &str) -> Wish {
    Wish { names: Vec::new(), upsert: Some(id(name)) }
}

/// Events in hand, mapped, in this order, each about to send what it wishes.
fn in_hand(events: &[(Place, &Wish)]) -> Names {
    let mut hands = Names::default();
    for (place, wish) in events {
        hands.arrive(*place);
        hands.plan(*place, wish.upsert.into_iter().collect());
    }
    hands
}

fn ready(names: &mut Names) -> Vec<Place> {
    std::iter::from_fn(|| names.next_ready(|_| true)).collect()
}

#[test]
fn one_names_what_is_new_until_it_succeeded_and_then_all_may() {
    let red = names(&["red"]);
    let mut hands = in_hand(&[(1, &red), (2, &red), (3, &red)]);

    assert_eq!(hands.take(1, red.clone()), Turn::Taken);
    assert_eq!(hands.take(3, red.clone()), Turn::Blocked);
    assert_eq!(hands.take(2, red.clone()), Turn::Blocked);
    hands.succeeded(1);

    assert_eq!(ready(&mut hands), [2, 3]);
    assert_eq!(hands.take(2, red.clone()), Turn::Taken);
    assert_eq!(hands.take(3, red), Turn::Taken);
}

#[test]
fn what_failed_lets_the_next_try_in_order_of_receipt() {
    let red = names(&["red"]);
    let mut hands = in_hand(&[(1, &red), (2, &red), (3, &red)]);
    for place in [1, 3, 2] {
        hands.take(place, red.clone());
    }

    hands.leave(1);

    assert_eq!(ready(&mut hands), [2]);
    assert_eq!(hands.take(2, red.clone()), Turn::Taken);
    hands.leave(2);
    assert_eq!(ready(&mut hands), [3]);
}

#[test]
fn all_names_are_taken_at_once_or_none() {
    let (both, red, blue) = (names(&["red", "blue"]), names(&["red"]), names(&["blue"]));
    let mut hands = in_hand(&[(1, &red), (2, &both), (3, &blue)]);

    assert_eq!(hands.take(1, red), Turn::Taken);
    assert_eq!(hands.take(2, both.clone()), Turn::Blocked);
    assert_eq!(hands.take(3, blue), Turn::Blocked, "the older one goes first");
    hands.leave(1);

    assert_eq!(ready(&mut hands), [2]);
    assert_eq!(hands.take(2, both), Turn::Taken);
}

#[test]
fn who_waits_for_an_upsert_keeps_no_name_from_others() {
    let six = upsert("6");
    let six_and_red = Wish { names: vec![tag("red")], ..six.clone() };
    let red = names(&["red"]);
    let mut hands = in_hand(&[(1, &six), (2, &six_and_red), (3, &red)]);

    assert_eq!(hands.take(1, six), Turn::Taken);
    assert_eq!(hands.take(2, six_and_red), Turn::Blocked);

    assert_eq!(hands.take(3, red), Turn::Taken);
}

#[test]
fn upserts_go_one_by_one_in_order_of_receipt_known_or_not() {
    let six = upsert("6");
    let mut hands = in_hand(&[(1, &six), (2, &six), (3, &six)]);

    assert_eq!(hands.take(3, six.clone()), Turn::Blocked, "the first has it before it");
    assert_eq!(hands.take(1, six.clone()), Turn::Taken);
    assert_eq!(hands.take(2, six.clone()), Turn::Blocked);
    hands.succeeded(1);
    assert_eq!(ready(&mut hands), [2]);

    assert_eq!(hands.take(2, six.clone()), Turn::Taken);
    hands.leave(2);
    assert_eq!(ready(&mut hands), [3]);
}

#[test]
fn an_upsert_waits_until_older_events_are_mapped() {
    let six = upsert("6");
    let mut hands = Names::default();
    hands.arrive(1);
    hands.arrive(2);
    hands.plan(2, vec![id("6")]);

    assert_eq!(hands.take(2, six), Turn::Blocked);
    assert!(ready(&mut hands).is_empty());
    hands.plan(1, Vec::new());

    assert_eq!(ready(&mut hands), [2]);
}

#[test]
fn an_upsert_waits_for_one_in_the_store_until_that_has_been_here() {
    let six = upsert("6");
    let mut hands = in_hand(&[(2, &six), (3, &six)]);

    assert_eq!(hands.take(2, six.clone()), Turn::Taken);
    assert_eq!(hands.wait_behind(2, 1), Turn::Blocked);
    assert_eq!(hands.take(3, six.clone()), Turn::Blocked);
    assert!(ready(&mut hands).is_empty());

    hands.arrive(1);
    hands.plan(1, vec![id("6")]);
    assert_eq!(hands.take(1, six), Turn::Taken);
    hands.succeeded(1);
    assert!(ready(&mut hands).is_empty(), "what it made is not in the store yet");
    hands.written(1);
    assert_eq!(ready(&mut hands), [2]);
}

#[test]
fn what_is_taken_stays_taken_for_the_same_request_whoever_arrives() {
    let six = upsert("6");
    let mut hands = in_hand(&[(2, &six)]);
    assert_eq!(hands.take(2, six.clone()), Turn::Taken);
    hands.arrive(1);

    assert_eq!(hands.take(2, six.clone()), Turn::Taken);
    hands.plan(1, vec![id("6")]);
    assert_eq!(hands.take(1, six), Turn::Blocked, "it is in flight");
    hands.leave(2);

    assert_eq!(ready(&mut hands), [1]);
}

#[test]
fn who_waits_for_the_store_may_ask_again() {
    let six = upsert("6");
    let mut hands = in_hand(&[(2, &six)]);
    hands.take(2, six.clone());
    hands.wait_behind(2, 1);

    hands.ask_again();

    assert_eq!(ready(&mut hands), [2]);
    assert_eq!(hands.take(2, six), Turn::Taken);
}

#[test]
fn beyond_the_bound_events_are_turned_away() {
    let red = names(&["red"]);
    let mut hands = Names::new(10, 4);
    let turns: Vec<Turn> = (1..6).map(|place| hands.take(place, red.clone())).collect();

    let (taken, blocked) = (Turn::Taken, Turn::Blocked);
    assert_eq!(turns, [taken, blocked, blocked, Turn::TurnedAway(1), Turn::TurnedAway(2)]);
    for place in 1..6 {
        hands.leave(place);
    }
    assert_eq!(hands.take(7, red.clone()), Turn::Taken);
}

/// Requests of an event: the tags and the internal_id of each, from few.
type Plan = Vec<(Vec<u8>, Option<u8>)>;

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let request = (prop::collection::vec(0..4_u8, 0..3), prop::option::of(0..3_u8));
    prop::collection::vec(prop::collection::vec(request, 1..4), 1..12)
}

fn wish((tags, upsert): &(Vec<u8>, Option<u8>)) -> Wish {
    let mut names: Vec<Name> = tags.iter().map(|name| tag(&name.to_string())).collect();
    names.sort_unstable();
    names.dedup();
    Wish { names, upsert: upsert.map(|name| id(&name.to_string())) }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Away,
    Unmapped,
    Asking,
    Flying,
    Waiting,
    Done,
}

/// Delivery, in one thread: chance says who makes the next step, and how it ends.
struct World {
    hands: Names,
    wishes: Vec<Vec<Wish>>,
    doing: Vec<Doing>,
    next: Vec<usize>,
    /// Whether the store has what the mapping made of the event.
    is_planned: Vec<bool>,
    known: BTreeSet<Name>,
    made: Vec<(Name, Place)>,
}

impl World {
    fn new(plans: &[Plan]) -> World {
        let wishes: Vec<Vec<Wish>> =
            plans.iter().map(|plan| plan.iter().map(wish).collect()).collect();
        let count = wishes.len();
        World {
            hands: Names::new(6, 1_000),
            wishes,
            doing: vec![Doing::Away; count],
            next: vec![0; count],
            is_planned: vec![false; count],
            known: BTreeSet::new(),
            made: Vec::new(),
        }
    }

    fn wish(&self, event: usize) -> Wish {
        self.wishes[event][self.next[event]].clone()
    }

    fn upserts(&self, event: usize) -> Vec<Name> {
        self.wishes[event][self.next[event]..].iter().filter_map(Wish::upsert).collect()
    }

    /// The event in the store that has this upsert before this one.
    fn older(&self, event: usize, upsert: Name) -> Option<Place> {
        let older = |at: &usize| {
            self.doing[*at] == Doing::Away
                && self.is_planned[*at]
                && self.upserts(*at).contains(&upsert)
        };
        (0..event).find(older).map(|at| at as Place)
    }

    fn step(&mut self, event: usize, chance: u8) {
        let place = event as Place;
        match self.doing[event] {
            Doing::Away => {
                self.hands.arrive(place);
                self.doing[event] = Doing::Unmapped;
            }
            Doing::Unmapped => {
                self.hands.plan(place, self.upserts(event));
                self.doing[event] = Doing::Asking;
            }
            Doing::Asking => self.ask(event),
            Doing::Flying if chance.is_multiple_of(4) => {
                self.hands.leave(place);
                self.doing[event] = Doing::Away;
            }
            Doing::Flying => self.succeed(event),
            Doing::Waiting | Doing::Done => {}
        }
    }

    fn ask(&mut self, event: usize) {
        let wish = self.wish(event);
        let mut turn = self.hands.take(event as Place, wish.clone());
        if let (Turn::Taken, Some(upsert)) = (turn, wish.upsert)
            && let Some(older) = self.older(event, upsert)
        {
            turn = self.hands.wait_behind(event as Place, older);
        }
        self.is_planned[event] |= turn == Turn::Taken;
        self.doing[event] = if turn == Turn::Taken { Doing::Flying } else { Doing::Waiting };
    }

    fn succeed(&mut self, event: usize) {
        let wish = self.wish(event);
        self.known.extend(&wish.names);
        self.made.extend(wish.upsert.map(|name| (name, event as Place)));
        self.next[event] += 1;
        self.hands.succeeded(event as Place);
        self.hands.written(event as Place);
        self.doing[event] = Doing::Asking;
        if self.next[event] == self.wishes[event].len() {
            self.hands.leave(event as Place);
            self.doing[event] = Doing::Done;
        }
    }

    fn wake(&mut self) {
        for place in ready(&mut self.hands) {
            self.doing[usize::try_from(place).unwrap()] = Doing::Asking;
        }
    }

    /// Nothing new is named twice at once, and no upsert made twice at once.
    fn is_exclusive(&self) -> bool {
        let mut seen = BTreeSet::new();
        let flying = (0..self.doing.len()).filter(|event| self.doing[*event] == Doing::Flying);
        flying
            .flat_map(|event| self.wish(event).all().collect::<Vec<_>>())
            .all(|name| self.known.contains(&name) || seen.insert(name))
    }
}

proptest! {
    #[test]
    fn nothing_is_named_twice_at_once_and_everything_comes_to_its_end(
        plans in plans(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..200),
    ) {
        let mut world = World::new(&plans);

        for (who, chance) in steps {
            world.step(who.index(plans.len()), chance);
            world.wake();
            prop_assert!(world.is_exclusive());
        }
        // Whatever happened: if nothing fails from now on, all come through.
        for _ in 0..100 * plans.len() {
            for event in 0..plans.len() {
                world.step(event, 1);
                world.wake();
                prop_assert!(world.is_exclusive());
            }
        }
        prop_assert!(world.doing.iter().all(|doing| *doing == Doing::Done), "{:?}", world.doing);
        prop_assert!(world.hands.hands.is_empty() && world.hands.taken.is_empty());
        prop_assert!(world.hands.lines.is_empty() && world.hands.upserts.is_empty());
        prop_assert_eq!(world.hands.waiting, 0);
    }

    #[test]
    fn upserts_of_events_that_come_in_order_are_made_in_order(
        plans in plans(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..300),
    ) {
        let mut world = World::new(&plans);
        for event in 0..plans.len() {
            world.step(event, 1);
        }

        for (who, chance) in steps {
            world.step(who.index(plans.len()), chance);
            world.wake();
        }

        let mut last = HashMap::new();
        for (name, place) in &world.made {
            let before = last.insert(*name, *place);
            prop_assert!(before <= Some(*place), "{:?}", world.made);
        }
    }
}
