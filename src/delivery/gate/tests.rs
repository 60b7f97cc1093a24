//! The states of a destination, one after another.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A gate after these signals, each at its second.
fn gate(signals: &[(i64, Signal)]) -> Gate {
    let mut gate = Gate::default();
    for (second, signal) in signals {
        gate.note(signal, at(*second), &Settings::default());
    }
    gate
}

fn fails(second: i64) -> (i64, Signal) {
    (second, Signal::Failing { hold_back_until: None })
}

fn held_back(second: i64, until: i64) -> (i64, Signal) {
    (second, Signal::Failing { hold_back_until: Some(at(until)) })
}

fn wrong(second: i64) -> (i64, Signal) {
    (second, Signal::Misconfigured { reason: "savio answered 401".to_owned() })
}

fn forbidden(second: i64) -> (i64, Signal) {
    (second, Signal::Forbidden { reason: "savio answered 403".to_owned() })
}

/// When the gate lets through a request, asked every second.
fn admitted(gate: &mut Gate, seconds: std::ops::Range<i64>) -> Vec<i64> {
    let admits = |second: &i64| gate.admit(at(*second), &Settings::default()).is_ok();
    seconds.filter(admits).collect()
}

fn is_open(gate: &Gate, second: i64) -> bool {
    gate.closed(at(second)).is_none()
}

#[test]
fn retry_after_holds_back_the_whole_destination() {
    let gate = gate(&[held_back(0, 60), held_back(1, 30)]);

    assert!(!is_open(&gate, 59) && is_open(&gate, 60));
    assert_eq!(gate.wakes_at(at(10)), Some(at(60)));
}

#[test]
fn the_breaker_opens_after_failures_in_a_row() {
    assert!(is_open(&gate(&[fails(0), fails(1), fails(2), fails(3)]), 4));
    assert!(!is_open(&gate(&[fails(0), fails(1), fails(2), fails(3), fails(4)]), 5));

    let between = (2, Signal::Healthy);
    assert!(is_open(&gate(&[fails(0), fails(1), between, fails(3), fails(4), fails(5)]), 6));
}

#[test]
fn an_open_breaker_lets_one_through_and_closes_when_that_works() {
    let mut gate = gate(&[fails(0), fails(0), fails(0), fails(0), fails(0)]);

    assert_eq!(admitted(&mut gate, 0..60), [30]);
    gate.note(&fails(35).1, at(35), &Settings::default());
    assert_eq!(admitted(&mut gate, 35..90), [65]);
    gate.note(&Signal::Healthy, at(66), &Settings::default());
    assert_eq!(admitted(&mut gate, 66..69), [66, 67, 68]);
}

#[test]
fn one_that_was_let_through_and_did_not_go_leaves_its_place() {
    let mut gate = gate(&[fails(0), fails(0), fails(0), fails(0), fails(0)]);

    assert_eq!(admitted(&mut gate, 30..40), [30]);
    gate.return_slot(at(40), &Settings::default());

    assert_eq!(admitted(&mut gate, 40..50), [40]);
}

#[test]
fn a_probe_goes_every_minute_and_ends_the_pause() {
    let (mut gate, settings) = (gate(&[wrong(0)]), Settings::default());
    let probes: Vec<i64> = (0..150).filter(|at_| gate.take_probe(at(*at_), &settings)).collect();

    assert_eq!(probes, [60, 120]);
    assert!(!is_open(&gate, 1_000_000));
    gate.note(&Signal::ProbePassed, at(150), &settings);
    assert!(is_open(&gate, 150));
}

#[test]
fn five_refusals_in_a_row_though_the_token_works_wait_for_a_person() {
    let four = [forbidden(0), forbidden(1), forbidden(2), forbidden(3)];
    assert!(is_open(&gate(&[&four[..], &[(4, Signal::Healthy), forbidden(5)]].concat()), 6));

    let mut gate = gate(&[&four[..], &[forbidden(4), wrong(5), (6, Signal::ProbePassed)]].concat());
    assert!(!is_open(&gate, 7) && !gate.take_probe(at(1_000), &Settings::default()));
    gate.resume(at(1_001));
    assert!(is_open(&gate, 1_001));
}

#[test]
fn the_relay_never_lifts_a_persons_pause() {
    let mut gate = gate(&[wrong(0)]);
    gate.stop("by a person", at(1));

    for signal in [Signal::Healthy, Signal::ProbePassed, fails(0).1, forbidden(0).1] {
        gate.note(&signal, at(100), &Settings::default());
        assert_eq!(gate.paused_by(), Some(PausedBy::Person));
    }
    gate.begin(None, at(200));
    assert!(!is_open(&gate, 1_000_000) && !gate.take_probe(at(1_000_000), &Settings::default()));

    gate.resume(at(1_000_001));
    assert!(is_open(&gate, 1_000_001));
}

#[test]
fn without_a_token_it_waits_for_a_start_with_one() {
    let mut gate = Gate::default();
    gate.begin(Some("SAVIO_API_TOKEN is not set"), at(0));

    gate.resume(at(1));
    assert_eq!(gate.closed(at(2)).unwrap().reason, "paused: SAVIO_API_TOKEN is not set");
    gate.begin(None, at(3));
    assert!(is_open(&gate, 3));
}

#[test]
fn the_clock_stands_still_while_nothing_can_go() {
    let five = [fails(100), fails(100), fails(100), fails(100), fails(100)];
    let cases: [(&[(i64, Signal)], u64); 5] = [
        (&[], 1_000),
        (&[held_back(100, 400)], 700),
        (&[wrong(100), (600, Signal::ProbePassed)], 500),
        (&[wrong(100)], 100),
        (&[&five[..], &[fails(500), (800, Signal::Healthy)]].concat(), 300),
    ];
    for (signals, seconds) in cases {
        let clock = gate(signals).clock(at(0), at(1_000));
        assert_eq!(clock, Duration::from_secs(seconds), "{signals:?}");
    }
}

#[test]
fn requests_go_at_even_distances_and_not_faster() {
    let settings = Settings { rate: Some("2/s".parse().unwrap()), ..Settings::default() };
    let mut gate = Gate::default();
    let half = |halves: i64| at(0) + jiff::SignedDuration::from_millis(500 * halves);

    let turns: Vec<_> = (0..5).map(|_| gate.admit(at(0), &settings).ok()).collect();

    assert_eq!(turns, [Some(half(0)), Some(half(1)), Some(half(2)), None, None]);
    assert_eq!((gate.room(at(0), &settings), gate.wakes_at(at(0))), (0, Some(half(3))));
    assert_eq!(gate.admit(at(9), &settings), Ok(at(9)), "what was not used is not made up for");
}

const DAY: i64 = 86_400;

/// The clock is set back by a day right after the second 10.
fn set_back(mut gate: Gate, settings: &Settings) -> Gate {
    gate.follow(at(10), settings);
    assert!(gate.follow(at(10 - DAY), settings), "something waits");
    gate
}

#[test]
fn a_clock_that_is_set_back_makes_no_wait_longer() {
    let settings = Settings::default();
    let five = [fails(10), fails(10), fails(10), fails(10), fails(10)];

    let held_back = set_back(gate(&[held_back(10, 70)]), &settings);
    assert!(!is_open(&held_back, 69 - DAY) && is_open(&held_back, 70 - DAY));

    let mut broken = set_back(gate(&five), &settings);
    assert_eq!(admitted(&mut broken, 10 - DAY..70 - DAY), [40 - DAY]);

    let mut wrong = set_back(gate(&[wrong(10)]), &settings);
    let probes: Vec<i64> =
        (10 - DAY..100 - DAY).filter(|second| wrong.take_probe(at(*second), &settings)).collect();
    assert_eq!(probes, [70 - DAY]);

    let settings = Settings { rate: Some("1/m".parse().unwrap()), ..settings };
    let mut paced = Gate::default();
    paced.admit(at(10), &settings).unwrap();
    let mut paced = set_back(paced, &settings);
    assert!(paced.admit(at(60 - DAY), &settings).is_err());
    assert_eq!(paced.admit(at(70 - DAY), &settings), Ok(at(70 - DAY)));
}

#[test]
fn a_clock_that_goes_forth_and_back_lets_no_more_through() {
    let settings = Settings { rate: Some("1/m".parse().unwrap()), ..Settings::default() };
    let mut gate = Gate::default();

    let mut admitted = 0;
    for second in 0..120 {
        // Each second the clock is a day ahead for a moment, and right again.
        gate.follow(at(second + DAY), &settings);
        gate.follow(at(second), &settings);
        admitted += usize::from(gate.admit(at(second), &settings).is_ok());
    }

    assert!(admitted <= 4, "{admitted} in two minutes, one a second before its turn");
}

#[test]
fn what_an_older_version_stored_is_bounded_by_the_settings() {
    let settings = Settings { rate: Some("1/m".parse().unwrap()), ..Settings::default() };
    let ahead = at(DAY).to_string();
    let old = serde_json::json!({
        "held_back_until": ahead, "breaker": ahead, "next_send_at": ahead, "failures": 5,
        "by_relay": { "reason": "r", "since": ahead, "ends": { "probe": { "due_at": ahead } } },
        "standstill": [{ "from": ahead, "until": Timestamp::MAX }],
    });
    let mut gate: Gate = serde_json::from_value(old).unwrap();

    assert!(gate.follow(at(0), &settings));

    assert!(gate.take_probe(at(60), &settings));
    gate.note(&Signal::ProbePassed, at(60), &settings);
    assert!(!is_open(&gate, 3_599) && is_open(&gate, 3_600));
    assert!(gate.admit(at(3_600), &settings).is_ok());
    assert!(!gate.follow(at(3_600), &settings), "nothing is left to follow");
}

#[test]
fn an_older_version_reads_what_this_one_stores() {
    let mut gate = gate(&[held_back(0, 60), fails(0), fails(0), fails(0), fails(0), wrong(1)]);
    let settings = Settings { rate: Some("1/m".parse().unwrap()), ..Settings::default() };
    gate.next_send = Some(Wait::new(at(0), at(60)));
    gate.follow(at(2), &settings);

    let stored = serde_json::to_value(&gate).unwrap();

    let text = |seconds| serde_json::Value::from(at(seconds).to_string());
    assert_eq!((&stored["held_back_until"], &stored["breaker"]), (&text(60), &text(30)));
    assert_eq!(stored["next_send_at"], text(60));
    assert_eq!(stored["by_relay"]["ends"]["probe"]["due_at"], text(61));
}

#[test]
fn time_stands_still_in_a_pause_though_the_clock_is_set_back() {
    let settings = Settings::default();
    let mut gate = gate(&[wrong(10)]);

    gate.follow(at(10 - DAY), &settings);

    assert_eq!(gate.clock(at(10 - 2 * DAY), at(4 * DAY)), Duration::from_hours(24));
}

#[test]
fn a_gate_is_the_same_after_it_was_kept() {
    let mut gate = gate(&[fails(0), held_back(1, 60), wrong(2), forbidden(3)]);
    gate.stop("by a person", at(4));

    let kept = serde_json::to_value(&gate).unwrap();

    assert_eq!(serde_json::from_value::<Gate>(kept).unwrap(), gate);
    assert_eq!(serde_json::from_str::<Gate>("{}").unwrap(), Gate::default());
}
