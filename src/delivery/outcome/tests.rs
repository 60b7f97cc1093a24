//! The outcome table, row by row.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_795_341_600, 0); // 2026-11-22T10:00:00Z
const FIRST: AttemptContext<'_> = AttemptContext {
    now: NOW,
    account: "Savio",
    age: Duration::ZERO,
    tries: 0,
    jitter: 0,
    is_last_try: false,
    has_given_id: true,
    optional: &[],
};
const UNKNOWN: AttemptContext<'_> = AttemptContext { has_given_id: false, ..FIRST };
const LAST: AttemptContext<'_> = AttemptContext { is_last_try: true, ..FIRST };
const LATE: AttemptContext<'_> = AttemptContext { age: Duration::from_hours(72), ..FIRST };
const FIVE_SECONDS: Decision = Decision::Retry { wait: Duration::from_secs(5) };
const WRONG: [u16; 11] = [101, 301, 302, 304, 308, 401, 402, 403, 404, 405, 407];

fn reply(status: u16, content: BodyKind) -> ApiResponse {
    ApiResponse { status, retry_after: None, content, text: "no such tag".to_owned() }
}

fn check(answer: &SendResult, outcome: Outcome, decision: Decision) {
    let verdict = judge(answer, FIRST, &Settings::default());
    assert_eq!((verdict.outcome, verdict.decision), (outcome, decision), "{answer:?}");
}

fn check_status(statuses: &[u16], outcome: Outcome, decision: &Decision) {
    for status in statuses {
        check(&SendResult::Reply(reply(*status, BodyKind::Other)), outcome, decision.clone());
    }
}

fn check_content(status: u16, content: BodyKind, savio_id: Option<Value>) {
    check(&SendResult::Reply(reply(status, content)), Outcome::Done, Decision::Done { savio_id });
}

#[test]
fn success_is_done_and_its_id_stored() {
    check_content(201, BodyKind::Object { id: Some(json!(7)) }, Some(json!(7)));
    check_content(200, BodyKind::Object { id: None }, None);
    check_content(204, BodyKind::Empty, None);
    check_content(201, BodyKind::Other, None);
    check_content(201, BodyKind::Cut { is_declared_json: false }, None);
    check_content(200, BodyKind::Cut { is_declared_json: true }, None);
}

#[test]
fn created_without_an_object_needs_an_earlier_id() {
    let settings = Settings::default();
    for content in [BodyKind::Other, BodyKind::Cut { is_declared_json: false }] {
        let answer = SendResult::Reply(reply(201, content));
        assert_eq!(judge(&answer, FIRST, &settings).decision, Decision::Done { savio_id: None });

        let verdict = judge(&answer, UNKNOWN, &settings);
        assert_eq!(verdict.outcome, Outcome::Unanswered);
        assert!(matches!(verdict.decision, Decision::Hold { .. }), "{verdict:?}");
        assert!(matches!(verdict.signal, Some(Signal::Misconfigured { .. })), "{verdict:?}");
    }
    for content in
        [BodyKind::Empty, BodyKind::Object { id: None }, BodyKind::Cut { is_declared_json: true }]
    {
        let verdict = judge(&SendResult::Reply(reply(201, content)), UNKNOWN, &settings);
        assert_eq!((verdict.outcome, verdict.signal), (Outcome::Done, Some(Signal::Healthy)));
    }
    let object = BodyKind::Object { id: Some(json!(7)) };
    assert_eq!(signal(&SendResult::Reply(reply(201, object)), UNKNOWN), Some(Signal::GaveId));
}

fn signal(answer: &SendResult, attempt: AttemptContext) -> Option<Signal> {
    judge(answer, attempt, &Settings::default()).signal
}

fn answered(status: u16) -> SendResult {
    SendResult::Reply(reply(status, BodyKind::Other))
}

#[test]
fn foreign_page_pauses_and_is_unanswered() {
    check_status(&[200, 202, 206, 299], Outcome::Unanswered, &FIVE_SECONDS);
    let cut = reply(200, BodyKind::Cut { is_declared_json: false });
    check(&SendResult::Reply(cut), Outcome::Unanswered, FIVE_SECONDS);
    assert!(matches!(signal(&answered(200), FIRST), Some(Signal::Misconfigured { .. })));
}

#[test]
fn wrong_token_or_address_is_probed() {
    check_status(&WRONG, Outcome::Paused, &Decision::Probe);
    assert_eq!(signal(&answered(401), FIRST), None);
}

#[test]
fn failed_probe_pauses_and_the_event_waits() {
    let verdict = judge(&answered(401), FIRST, &Settings::default());

    let verdict = after_probe(verdict, &Err("Savio answered 503 (not available)".to_owned()));

    assert_eq!(verdict.outcome, Outcome::Paused);
    assert_eq!(verdict.decision, Decision::Retry { wait: Duration::ZERO });
    let Some(Signal::Misconfigured { reason }) = verdict.signal else { panic!("{verdict:?}") };
    assert!(reason.ends_with("asked again, Savio answered 503 (not available)"), "{reason}");
}

#[test]
fn refusal_despite_a_passed_probe_is_dead_at_the_second_try() {
    let verdict = judge(&answered(403), FIRST, &Settings::default());
    let once_more = after_probe(verdict, &Ok(()));
    let last = judge(&answered(403), LAST, &Settings::default());

    assert_eq!((once_more.outcome, once_more.decision), (Outcome::Retry, Decision::Again));
    assert_eq!(once_more.signal, None);
    assert_eq!(last.outcome, Outcome::Refused);
    let reason =
        "Savio answered 403 (not permitted), though the token works: no such tag".to_owned();
    assert_eq!(last.decision, Decision::Dead { reason });
    assert!(matches!(last.signal, Some(Signal::Forbidden { .. })));
}

#[test]
fn other_refusals_are_dead_with_savios_message() {
    for status in [400, 406, 409, 410, 413, 415, 422, 451] {
        let reason = format!("{}: no such tag", crate::savio::answered("Savio", status));
        check_status(&[status], Outcome::Refused, &Decision::Dead { reason });
    }
}

#[test]
fn refusal_with_an_empty_body_has_a_clean_reason() {
    let silent = ApiResponse { text: String::new(), ..reply(400, BodyKind::Empty) };
    let reason = "Savio answered 400".to_owned();
    check(&SendResult::Reply(silent), Outcome::Refused, Decision::Dead { reason });
}

#[test]
fn server_errors_and_429_are_retried() {
    check_status(&[408, 425, 429, 500, 502, 503, 504, 599], Outcome::Retry, &FIVE_SECONDS);
}

#[test]
fn unsent_and_unanswered_requests_differ() {
    let reason = || "connection refused".to_owned();
    check(&SendResult::NotSent { reason: reason() }, Outcome::Unreachable, FIVE_SECONDS);
    check(&SendResult::NoReply { reason: reason() }, Outcome::Unanswered, FIVE_SECONDS);
}

#[test]
fn withheld_token_pauses_the_destination() {
    let reason = || "write https://".to_owned();
    let withheld = SendResult::Withheld { reason: reason() };

    check(&withheld, Outcome::Paused, Decision::Retry { wait: Duration::ZERO });
    assert_eq!(signal(&withheld, FIRST), Some(Signal::Misconfigured { reason: reason() }));
}

fn check_retry_after(header: &str, seconds: u64) {
    let retry_after = Some(header.to_owned());
    let answer = ApiResponse { retry_after, ..reply(429, BodyKind::Empty) };
    let wait = Duration::from_secs(seconds);
    check(&SendResult::Reply(answer), Outcome::Retry, Decision::Retry { wait });
}

#[test]
fn retry_after_lengthens_the_wait_up_to_an_hour() {
    check_retry_after("120", 120);
    check_retry_after(" 3600 ", 3_600);
    check_retry_after("3601", 3_600);
    check_retry_after("99999999999999999999", 3_600);
    check_retry_after("Sun, 22 Nov 2026 10:02:00 GMT", 120);
    check_retry_after("Mon, 23 Nov 2026 10:00:00 GMT", 3_600);
}

#[test]
fn retry_after_accepts_each_form_of_an_http_date() {
    check_retry_after("Sunday, 22-Nov-26 10:02:00 GMT", 120);
    check_retry_after("Sun Nov 22 10:02:00 2026", 120);
    check_retry_after("Sunday, 22-Nov-26 10:02:00 GMT, 60", 120);
    check_retry_after("60, Sun Nov 22 10:02:00 2026", 120);
    check_retry_after("Sun, 22 Nov 2026 10:01:00 GMT, Sun, 22 Nov 2026 10:02:00 GMT", 120);
}

#[test]
fn retry_after_accepts_fractions_and_several_values() {
    check_retry_after("120.0", 120);
    check_retry_after("7200.5", 3_600);
    check_retry_after("60, 120", 120);
    check_retry_after("120,60", 120);
    check_retry_after("soon, 120", 120);
    check_retry_after("60, Sun, 22 Nov 2026 10:02:00 GMT", 120);
    check_retry_after("Sun, 22 Nov 2026 10:02:00 GMT, 60", 120);
    for nonsense in [".", ".5", "5.", "1.5.2", "1e3", "NaN", "inf", "+7", ",", "1 2"] {
        check_retry_after(nonsense, 5);
    }
}

#[test]
fn retry_after_never_shortens_the_wait() {
    check_retry_after("1", 5);
    check_retry_after("0", 5);
    check_retry_after("Sun, 22 Nov 2026 09:00:00 GMT", 5);
    for nonsense in ["", "-7", "soon", "Sun, 99 Nov 2026 10:00:00 GMT"] {
        check_retry_after(nonsense, 5);
    }
}

#[test]
fn retries_end_after_three_days_without_downtime() {
    let settings = Settings::default();
    let reason = "gave up after 72h: Savio answered 503 (not available)".to_owned();
    assert_eq!(judge(&answered(503), LATE, &settings).decision, Decision::Dead { reason });

    let unreachable = SendResult::NotSent { reason: "no route".to_owned() };
    assert!(matches!(judge(&unreachable, LATE, &settings).decision, Decision::Dead { .. }));
}

#[test]
fn wrong_destination_makes_no_event_dead() {
    for status in WRONG {
        assert_eq!(judge(&answered(status), LATE, &Settings::default()).decision, Decision::Probe);
    }
    assert_eq!(judge(&answered(200), LATE, &Settings::default()).decision, FIVE_SECONDS);
}

#[test]
fn interrupted_send_is_repeated_until_it_is_too_old() {
    let settings = Settings::default();

    assert_eq!(judge_interrupted(FIRST, &settings).decision, Decision::Again);
    assert!(matches!(judge_interrupted(LATE, &settings).decision, Decision::Dead { .. }));
}

#[test]
fn unanswered_request_is_held_by_policy() {
    let settings = Settings { unanswered: UnansweredPolicy::Hold, ..Settings::default() };
    let nothing = SendResult::NoReply { reason: "timed out".to_owned() };
    let unreachable = SendResult::NotSent { reason: "no route".to_owned() };
    let is_held = |verdict: Verdict| matches!(verdict.decision, Decision::Hold { .. });

    for attempt in [FIRST, LATE] {
        assert!(is_held(judge(&nothing, attempt, &settings)));
        assert!(is_held(judge(&answered(200), attempt, &settings)));
        assert!(is_held(judge_interrupted(attempt, &settings)));
    }
    assert!(!is_held(judge(&unreachable, FIRST, &settings)));
    assert!(!is_held(judge(&answered(503), FIRST, &settings)));
}

#[test]
fn each_answer_has_its_signal_for_the_gate() {
    let fails = |reason: &str, hold_back_until| {
        Some(Signal::Failing { reason: reason.to_owned(), hold_back_until })
    };
    let unavailable = "Savio answered 503 (not available)";
    assert_eq!(signal(&answered(201), FIRST), Some(Signal::Healthy));
    assert_eq!(signal(&answered(400), FIRST), Some(Signal::Healthy));
    assert_eq!(signal(&answered(503), FIRST), fails(unavailable, None));
    assert_eq!(signal(&SendResult::NoReply { reason: String::new() }, FIRST), fails("", None));
    assert_eq!(signal(&SendResult::NotSent { reason: String::new() }, FIRST), fails("", None));

    let asked = ApiResponse { retry_after: Some("7200".to_owned()), ..reply(503, BodyKind::Empty) };
    let hold_back_until = Some(NOW + SignedDuration::from_hours(1));
    let reason = format!("{unavailable}, and asks to wait");
    assert_eq!(signal(&SendResult::Reply(asked), FIRST), fails(&reason, hold_back_until));
}

proptest! {
    #[test]
    fn waits_double_and_stay_within_their_bounds(tries: u32, jitter: u32) {
        let settings = Settings::default();
        let wait = |tries, jitter| settings.wait(AttemptContext { tries, jitter, ..FIRST });

        let least = wait(tries, 0);
        let longer = wait(tries.saturating_add(1), 0);
        prop_assert!(least >= settings.wait_min && least <= settings.wait_max);
        prop_assert_eq!(longer, (least * 2).min(settings.wait_max));
        prop_assert!(wait(tries, jitter) >= least);
        prop_assert!(wait(tries, jitter) <= least + least / 2);
    }

    #[test]
    fn judge_accepts_any_answer_at_any_time(
        status in 0_u16..=999,
        retry_after in any::<Option<String>>(),
        (now, age) in any::<(i32, u64)>(),
        (tries, jitter, is_last_try, has_given_id) in any::<(u32, u32, bool, bool)>(),
    ) {
        let now = Timestamp::from_second(now.into()).unwrap();
        let answer = ApiResponse { retry_after, ..reply(status, BodyKind::Empty) };
        let age = Duration::from_secs(age);
        let attempt = AttemptContext { now, age, tries, jitter, is_last_try, has_given_id, ..FIRST };

        judge(&SendResult::Reply(answer), attempt, &Settings::default());
    }
}

#[test]
fn refused_optional_fields_are_left_out_once() {
    let all = optional_fields(RequestKind::Feedback);
    assert_eq!(all, ["source_url", "source_username", "person_email"]);
    assert_eq!(optional_fields(RequestKind::Contact), ["email"]);
    assert_eq!(optional_fields(RequestKind::Company), [""; 0]);
    let verdict = |status, text: &str, optional| {
        let reply =
            ApiResponse { text: text.to_owned(), ..reply(status, BodyKind::Object { id: None }) };
        judge(&SendResult::Reply(reply), AttemptContext { optional, ..FIRST }, &Settings::default())
    };
    let url = r#"{"source_url":["Enter a valid URL."]}"#;
    let both = r#"{"person_email": ["Enter a valid email address."], "source_url": "no"}"#;
    for (text, fields) in [(url, vec!["source_url"]), (both, vec!["person_email", "source_url"])] {
        let Verdict { outcome, decision, signal, .. } = verdict(400, text, all);
        assert_eq!(decision, Decision::LeaveOut { fields }, "{text}");
        assert_eq!((outcome, signal), (Outcome::Refused, Some(Signal::Healthy)));
    }
    let other = r#"{"source_url":["Enter a valid URL."],"problem":["This field is required."]}"#;
    let is_dead = |it: &Verdict| matches!(it.decision, Decision::Dead { .. });
    for text in [
        other,
        "{}",
        "[\"source_url\"]",
        "source_url",
        r#"{"detail":"source_url"}"#,
        "",
        &url[..20],
    ] {
        assert!(is_dead(&verdict(400, text, all)), "{text}");
    }
    // Another status, a field that the request does not have, and a request that was shortened
    // already.
    assert!(is_dead(&verdict(422, url, all)));
    assert!(is_dead(&verdict(400, url, &["person_email"])));
    assert!(is_dead(&verdict(400, both, &["person_email"])));
    assert!(is_dead(&verdict(400, url, &[])));
}

fn decision_name(decision: &Decision) -> &'static str {
    match decision {
        Decision::Done { .. } => "done",
        Decision::Again => "send again",
        Decision::LeaveOut { .. } => "send without these fields",
        Decision::Retry { .. } => "retry later",
        Decision::Probe => "probe",
        Decision::Hold { .. } => "held",
        Decision::Dead { .. } => "dead",
    }
}

type JudgedCase = (SendResult, AttemptContext<'static>, UnansweredPolicy);

/// The rows of the table in docs/delivery.md, in its order, as answers to a request.
fn documented_cases() -> Vec<Vec<JudgedCase>> {
    let retry = |answer, context| (answer, context, UnansweredPolicy::Retry);
    let of = |status, content| SendResult::Reply(reply(status, content));
    let statuses = |statuses: &[u16], context| {
        statuses.iter().map(|status| retry(answered(*status), context)).collect::<Vec<JudgedCase>>()
    };
    let no_reply = || SendResult::NoReply { reason: String::new() };
    let refused = ApiResponse {
        text: r#"{"source_url":["Enter a valid URL."]}"#.to_owned(),
        ..reply(400, BodyKind::Object { id: None })
    };
    let optional = AttemptContext { optional: optional_fields(RequestKind::Feedback), ..FIRST };
    vec![
        vec![
            retry(of(201, BodyKind::Object { id: Some(json!(7)) }), UNKNOWN),
            retry(of(204, BodyKind::Empty), UNKNOWN),
        ],
        statuses(&[201], FIRST),
        statuses(&[201], UNKNOWN),
        statuses(&[200, 202, 299], FIRST),
        statuses(&WRONG, FIRST),
        statuses(&WRONG, LAST),
        vec![retry(SendResult::Reply(refused), optional)],
        statuses(&[400, 406, 409, 410, 413, 422], FIRST),
        statuses(&[408, 425, 429, 500, 503], FIRST),
        vec![retry(SendResult::NotSent { reason: String::new() }, FIRST)],
        vec![retry(no_reply(), FIRST)],
        vec![(no_reply(), FIRST, UnansweredPolicy::Hold)],
    ]
}

#[test]
fn documented_outcomes_are_those_of_judge() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/delivery.md"));
    let (_, table) = page.split_once("| Savio's response | Outcome | Details |\n").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix("| "))
        .map(|line| line.split(" | ").collect())
        .collect();
    let cases = documented_cases();
    assert_eq!(rows.len(), cases.len());

    for (row, cases) in rows.iter().zip(cases) {
        for (answer, context, unanswered) in cases {
            let verdict = judge(&answer, context, &Settings { unanswered, ..Settings::default() });
            assert_eq!(row[1], decision_name(&verdict.decision), "{}: {answer:?}", row[0]);
            let is_paused = matches!(verdict.signal, Some(Signal::Misconfigured { .. }));
            assert_eq!(row[2].contains("destination is paused"), is_paused, "{}", row[0]);
        }
    }
}
