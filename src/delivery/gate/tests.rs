//! Sequences of signals, and the state of the gate after them.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Returns a gate after these signals, each at its second.
fn gate(signals: &[(i64, Signal)]) -> Gate {
    let mut gate = Gate::default();
    for (second, signal) in signals {
        gate.note(signal, at(*second), &Settings::default());
    }
    gate
}

fn fails(second: i64) -> (i64, Signal) {
    (second, failing_signal(None))
}

fn failing_signal(hold_back_until: Option<Timestamp>) -> Signal {
    Signal::Failing { reason: "Savio answered 503 (not available)".to_owned(), hold_back_until }
}

fn held_back(second: i64, until: i64) -> (i64, Signal) {
    (second, failing_signal(Some(at(until))))
}

fn wrong(second: i64) -> (i64, Signal) {
    (second, Signal::Misconfigured { reason: "Savio answered 401".to_owned() })
}

fn forbidden(second: i64) -> (i64, Signal) {
    (second, Signal::Forbidden { reason: "Savio answered 403".to_owned() })
}

/// Returns the seconds at which the gate admits a request, if one is tried every second.
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
fn breaker_opens_after_five_failures_in_a_row() {
    assert!(is_open(&gate(&[fails(0), fails(1), fails(2), fails(3)]), 4));
    assert!(!is_open(&gate(&[fails(0), fails(1), fails(2), fails(3), fails(4)]), 5));

    let between = (2, Signal::Healthy);
    assert!(is_open(&gate(&[fails(0), fails(1), between, fails(3), fails(4), fails(5)]), 6));
}

#[test]
fn open_breaker_admits_one_and_closes_on_success() {
    let mut gate = gate(&[fails(0), fails(0), fails(0), fails(0), fails(0)]);

    assert_eq!(admitted(&mut gate, 0..60), [30]);
    gate.note(&fails(35).1, at(35), &Settings::default());
    assert_eq!(admitted(&mut gate, 35..90), [65]);
    gate.note(&Signal::Healthy, at(66), &Settings::default());
    assert_eq!(admitted(&mut gate, 66..69), [66, 67, 68]);
}

#[test]
fn returned_slot_of_an_open_breaker_admits_another() {
    let mut gate = gate(&[fails(0), fails(0), fails(0), fails(0), fails(0)]);

    assert_eq!(admitted(&mut gate, 30..40), [30]);
    gate.return_slot(at(40), &Settings::default());

    assert_eq!(admitted(&mut gate, 40..50), [40]);
}

#[test]
fn probe_is_due_every_minute_and_ends_the_pause() {
    let (mut gate, settings) = (gate(&[wrong(0)]), Settings::default());
    let probes: Vec<i64> = (0..150).filter(|at_| gate.take_probe(at(*at_), &settings)).collect();

    assert_eq!(probes, [60, 120]);
    assert!(!is_open(&gate, 1_000_000));
    gate.note(&Signal::ProbePassed, at(150), &settings);
    assert!(is_open(&gate, 150));
}

#[test]
fn five_forbidden_requests_pause_until_a_person_resumes() {
    let four = [forbidden(0), forbidden(1), forbidden(2), forbidden(3)];
    assert!(is_open(&gate(&[&four[..], &[(4, Signal::Healthy), forbidden(5)]].concat()), 6));

    let mut gate = gate(&[&four[..], &[forbidden(4), wrong(5), (6, Signal::ProbePassed)]].concat());
    assert!(!is_open(&gate, 7) && !gate.take_probe(at(1_000), &Settings::default()));
    gate.resume(at(1_001));
    assert!(is_open(&gate, 1_001));
}

#[test]
fn pause_by_a_person_is_ended_by_a_person_only() {
    let mut gate = gate(&[wrong(0)]);
    gate.pause_by_person("by a person", at(1));

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
fn missing_token_pauses_until_a_start_with_one() {
    let mut gate = Gate::default();
    gate.begin(Some("SAVIO_API_TOKEN is not set"), at(0));

    gate.resume(at(1));
    assert_eq!(gate.closed(at(2)).unwrap().reason, "SAVIO_API_TOKEN is not set");
    gate.begin(None, at(3));
    assert!(is_open(&gate, 3));
}

#[test]
fn age_does_not_grow_during_downtime() {
    let five = [fails(100), fails(100), fails(100), fails(100), fails(100)];
    let cases: [(&[(i64, Signal)], u64); 5] = [
        (&[], 1_000),
        (&[held_back(100, 400)], 700),
        (&[wrong(100), (600, Signal::ProbePassed)], 500),
        (&[wrong(100)], 100),
        (&[&five[..], &[fails(500), (800, Signal::Healthy)]].concat(), 300),
    ];
    for (signals, seconds) in cases {
        let clock = gate(signals).time_open(at(0), at(1_000));
        assert_eq!(clock, Duration::from_secs(seconds), "{signals:?}");
    }
}

#[test]
fn rate_spaces_requests_evenly() {
    let settings = Settings { rate: Some("2/s".parse().unwrap()), ..Settings::default() };
    let mut gate = Gate::default();
    let half = |halves: i64| at(0) + jiff::SignedDuration::from_millis(500 * halves);

    let turns: Vec<_> = (0..5).map(|_| gate.admit(at(0), &settings).ok()).collect();

    assert_eq!(turns, [Some(half(0)), Some(half(1)), Some(half(2)), None, None]);
    assert_eq!((gate.room(at(0), &settings), gate.wakes_at(at(0))), (0, Some(half(3))));
    assert_eq!(gate.admit(at(9), &settings), Ok(at(9)), "what was not used is not made up for");
}

const DAY: i64 = 86_400;

/// Sets the clock back by a day right after second 10.
fn set_back(mut gate: Gate, settings: &Settings) -> Gate {
    gate.follow(at(10), settings);
    assert!(gate.follow(at(10 - DAY), settings), "no wait was shortened");
    gate
}

#[test]
fn clock_set_back_lengthens_no_wait() {
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
fn clock_going_forth_and_back_admits_no_more() {
    let settings = Settings { rate: Some("1/m".parse().unwrap()), ..Settings::default() };
    let mut gate = Gate::default();

    let mut admitted = 0;
    for second in 0..120 {
        // Each second the clock is a day ahead for a moment, and right again.
        gate.follow(at(second + DAY), &settings);
        gate.follow(at(second), &settings);
        admitted += usize::from(gate.admit(at(second), &settings).is_ok());
    }

    // At the beginning, and then up to a second before each turn.
    assert!(admitted <= 4, "{admitted} in two minutes");
}

#[test]
fn state_of_an_older_version_is_limited_by_the_settings() {
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
fn stored_state_is_readable_by_an_older_version() {
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
fn clock_set_back_in_a_pause_keeps_the_downtime() {
    let settings = Settings::default();
    let mut gate = gate(&[wrong(10)]);

    gate.follow(at(10 - DAY), &settings);

    assert_eq!(gate.time_open(at(10 - 2 * DAY), at(4 * DAY)), Duration::from_hours(24));
}

#[test]
fn stored_gate_is_restored_unchanged() {
    let mut gate = gate(&[fails(0), held_back(1, 60), wrong(2), forbidden(3)]);
    gate.pause_by_person("by a person", at(4));

    let stored = serde_json::to_value(&gate).unwrap();

    assert_eq!(serde_json::from_value::<Gate>(stored).unwrap(), gate);
    assert_eq!(serde_json::from_str::<Gate>("{}").unwrap(), Gate::default());
}

#[test]
fn replaced_token_makes_a_probe_due_in_every_pause_by_the_relay() {
    let settings = Settings::default();
    let mut missing = Gate::default();
    missing.begin(Some("SAVIO_API_TOKEN is not set"), at(0));
    let refused = gate(&[wrong(0)]);
    let all_refused = gate(&(0..5).map(forbidden).collect::<Vec<_>>());
    for mut gate in [missing, refused, all_refused] {
        assert!(!gate.take_probe(at(5), &settings));

        gate.note(&Signal::TokenReplaced, at(5), &settings);

        assert!(gate.closed(at(5)).is_some(), "nothing is sent before the probe");
        assert!(gate.take_probe(at(5), &settings));
        gate.note(&Signal::ProbePassed, at(6), &settings);
        assert_eq!(gate.closed(at(6)), None);
    }
}

#[test]
fn replaced_token_changes_nothing_in_a_pause_by_a_person() {
    let settings = Settings::default();
    let mut gate = Gate::default();
    gate.pause_by_person("by a person", at(0));

    gate.note(&Signal::TokenReplaced, at(5), &settings);

    assert!(!gate.take_probe(at(5), &settings));
    assert_eq!(gate.paused_by(), Some(PausedBy::Person));
}
