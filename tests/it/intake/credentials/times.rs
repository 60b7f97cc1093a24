//! All forms of a time, with a valid signature: each is read or reported as unreadable, never as a wrong signature.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use savio_relay::clock;

use super::{BODY, Fixture, post};
use crate::support::server::Request;

const UNREADABLE: &str = "the signature is right, but its time is missing or cannot be read";
const LATE: &str = "the signature is outside its time window";

async fn fixture(unit: &str) -> Fixture {
    let own = format!(
        "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\nsigned = \"{{timestamp}}.{{body}}\"\n\
         timestamp = {{ from = \"header:X-T\", unit = \"{unit}\", window = \"5m\" }}"
    );
    Fixture::new(&own, "a-secret").await
}

fn at(fixture: &Fixture, time: &str) -> Request {
    let message = [format!("{time}.").as_bytes(), BODY].concat();
    post("/hooks/fixture").header("x-t", time).header("x-a", &fixture.hex(&message)).body(BODY)
}

/// Returns all forms of this time, by the unit that reads them.
fn forms(time: Timestamp) -> [(&'static str, Vec<String>); 4] {
    let utc = Offset::UTC.to_datetime(time);
    let east = time.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(2)));
    let written = |format: &str| utc.strftime(format).to_string();
    [
        ("seconds", vec![time.as_second().to_string()]),
        ("milliseconds", vec![time.as_millisecond().to_string()]),
        (
            "text",
            vec![
                written("%Y-%m-%dT%H:%M:%SZ"),
                written("%Y-%m-%dT%H:%M:%S.123Z"),
                written("%Y-%m-%dT%H:%M:%S.123456789Z"),
                written("%Y-%m-%dt%H:%M:%Sz"),
                written("%Y-%m-%d %H:%M:%SZ"),
                written("%Y-%m-%dT%H:%M:%S+00:00"),
                east.strftime("%Y-%m-%dT%H:%M:%S+02:00").to_string(),
                written("%Y-%m-%dT%H:%M:%S"),
                written("%Y-%m-%d %H:%M:%S"),
                written("%Y-%m-%dT%H:%M:%S.5"),
                written("%Y-%m-%d %H:%M:%S.123456"),
                written("%Y%m%dT%H%M%SZ"),
                written("%Y%m%dT%H%M%S"),
            ],
        ),
        (
            "http-date",
            vec![
                written("%a, %d %b %Y %H:%M:%S GMT"),
                written("%A, %d-%b-%y %H:%M:%S GMT"),
                written("%a %b %e %H:%M:%S %Y"),
            ],
        ),
    ]
}

#[tokio::test]
async fn time_is_read_in_every_form_of_its_unit() {
    let now = clock::now();
    let late = now - SignedDuration::from_hours(2);
    for (unit, _) in forms(now) {
        let fixture = fixture(unit).await;
        for (other, written) in forms(now) {
            for time in written {
                let verdict = fixture.verdict(&at(&fixture, &time)).await;
                let case = format!("{time} as {unit}: {verdict:?}");
                match (unit, other) {
                    _ if unit == other => assert_eq!(verdict.0, 202, "{case}"),
                    // Seconds are valid milliseconds of 1970.
                    ("milliseconds", "seconds") => assert_eq!(verdict.1, LATE, "{case}"),
                    _ => assert_eq!((verdict.0, verdict.1.as_str()), (401, UNREADABLE), "{case}"),
                }
            }
        }
        let (_, written) = forms(late).into_iter().find(|(it, _)| *it == unit).unwrap();
        for time in written {
            let verdict = fixture.verdict(&at(&fixture, &time)).await;
            assert_eq!((verdict.0, verdict.1.as_str()), (401, LATE), "{time} as {unit}");
        }
    }
}

#[tokio::test]
async fn matching_unit_of_a_time_is_named() {
    let now = clock::now();
    for (unit, _) in forms(now) {
        for (other, written) in forms(now) {
            if unit == other {
                continue;
            }
            let fixture = fixture(unit).await;
            let verdict = fixture.verdict(&at(&fixture, &written[0])).await;
            let hint = format!(
                "right, but its time is written as {other}, not as {unit}: set unit = \"{other}\""
            );
            assert_eq!(verdict.2.as_deref(), Some(hint.as_str()), "{} as {unit}", written[0]);
        }
    }
}

#[tokio::test]
async fn valid_signature_with_an_unreadable_time_is_not_wrong() {
    for unit in ["seconds", "milliseconds", "text", "http-date"] {
        for time in ["Infinity", "NaN", "-1", "1e9", "0x5", "soon", "2026-13-45T99:00:00Z"] {
            // A source of its own for each: hints are limited to two a second for a source.
            let fixture = fixture(unit).await;
            let hint = format!("right, but its time cannot be read as {unit}");
            fixture.refuses(&at(&fixture, time), (UNREADABLE, Some(&hint)), unit).await;
        }
    }
}

#[tokio::test]
async fn missing_or_malformed_time_is_unreadable() {
    let own = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\n\
               timestamp = { from = \"field:$.at\", window = \"5m\" }";
    let fixture = Fixture::new(own, "a-secret").await;
    for body in [r#"{"x":1}"#, r#"{"at":null}"#, r#"{"at":"soon"}"#, r#"{"at":{}}"#, r#"{"at":-1}"#]
    {
        let request = post("/hooks/fixture").header("x-a", &fixture.hex(body.as_bytes()));
        let verdict = fixture.verdict(&request.body(body.as_bytes())).await;
        assert_eq!((verdict.0, verdict.1.as_str()), (401, UNREADABLE), "{body}");
    }
    let fixture = Fixture::new(own, "a-secret").await;
    let hint = "right, but it has no time where `timestamp` says";
    let request = post("/hooks/fixture").header("x-a", &fixture.hex(BODY)).body(BODY);
    fixture.refuses(&request, (UNREADABLE, Some(hint)), "no time").await;

    let fixture = Fixture::new("[signature]\nscheme = \"jwt\"\nheader = \"X-A\"", "a-secret").await;
    for claim in ["exp", "nbf"] {
        for time in ["\"soon\"", "\"1\"", "[]", "{}", "true", "1e300", "-1e300"] {
            let claims = serde_json::from_str(&format!("{{\"{claim}\":{time}}}")).unwrap();
            let request = post("/hooks/fixture").header("x-a", &fixture.jwt(&claims)).body(BODY);
            let verdict = fixture.verdict(&request).await;
            assert_eq!((verdict.0, verdict.1.as_str()), (401, UNREADABLE), "{claim} {time}");
        }
    }
    let fixture = Fixture::new("[signature]\nscheme = \"jwt\"\nheader = \"X-A\"", "a-secret").await;
    let hint = "right, but its `exp` or `nbf` is no number of seconds";
    let token = fixture.jwt(&serde_json::json!({ "exp": "soon" }));
    let request = post("/hooks/fixture").header("x-a", &token).body(BODY);
    fixture.refuses(&request, (UNREADABLE, Some(hint)), "a token").await;
}

#[tokio::test]
async fn wrong_signature_reveals_nothing_about_times() {
    let fixture = fixture("seconds").await;
    for time in ["soon", "1", "2026-01-31T12:00:00Z"] {
        let request = at(&fixture, time).header("x-b", "1").with("y", "z");
        let verdict = fixture.verdict(&request).await;
        assert_eq!(verdict.1, "the signature is wrong", "{time}");
    }
}
