//! The cause of a dead event: where it stopped, Savio's status, and the reason without what differs
//! between events.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::stopped_at::StoppedAt;

/// Longest normalised reason, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Characters that stand for what was taken out.
const TAKEN_OUT: char = '…';

/// Members of an answer that repeat what was sent, or that differ each time.
const NO_MESSAGES: [&str; 14] = [
    "body",
    "ctx",
    "data",
    "given",
    "id",
    "input",
    "instance",
    "payload",
    "received",
    "request",
    "request_id",
    "timestamp",
    "url",
    "value",
];

/// Returns the digest by which a cause is told from others.
pub(super) fn kind(stage: Option<StoppedAt>, status: Option<u16>, reason: &str) -> String {
    let stage = stage.map_or("", StoppedAt::as_str);
    let status = status.map(|status| status.to_string()).unwrap_or_default();
    let digest = Sha256::digest(format!("{stage}\n{status}\n{reason}"));
    HEXLOWER.encode(&digest.as_slice()[..8])
}

/// Returns the reason without numbers, ids, addresses, times and quoted text: equal for events that
/// failed in the same way, and without any text of a payload that is quoted as such.
pub fn normalised(reason: &str) -> String {
    let text = match with_answer(reason) {
        Some((before, answer)) => {
            let messages: Vec<String> = messages(&answer).collect();
            format!("{} {}", in_general(before), messages.join("; "))
        }
        None => in_general(reason),
    };
    match text.char_indices().nth(REASON_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}{TAKEN_OUT}", &text[..end]),
    }
}

/// Returns a message without what differs between events.
fn in_general(message: &str) -> String {
    let unquoted = without_quoted(message);
    let words: Vec<String> = unquoted.split_whitespace().map(without_values).collect();
    words.join(" ")
}

/// Splits a reason that ends with a whole JSON body of Savio's answer.
// All that such a body says is in quotes: without this, all refusals with one status would be one cause.
fn with_answer(reason: &str) -> Option<(&str, Value)> {
    let begins = [": {", ": ["].into_iter().filter_map(|begin| reason.find(begin));
    let at = begins.min()? + 1;
    let (before, body) = reason.split_at(at);
    Some((before, serde_json::from_str(body).ok()?))
}

/// Returns each message of an answer, with the names of the members that it stands in.
// Django REST framework answers `{"detail": "…"}`, or each wrong field with a list of messages.
fn messages(answer: &Value) -> Box<dyn Iterator<Item = String> + '_> {
    match answer {
        Value::String(message) => Box::new(std::iter::once(message_alone(message))),
        Value::Array(all) => Box::new(all.iter().flat_map(messages)),
        Value::Object(members) => Box::new(members.iter().flat_map(|(name, value)| {
            let shown = in_general(name);
            let is_message = !NO_MESSAGES.contains(&name.to_ascii_lowercase().as_str());
            let inner = is_message.then(|| messages(value)).into_iter().flatten();
            inner.map(move |message| format!("{shown}: {message}"))
        })),
        // Numbers differ, and the others say nothing without their words.
        Value::Null | Value::Bool(_) | Value::Number(_) => Box::new(std::iter::empty()),
    }
}

/// Returns a message of an answer without what it quotes, and without what Django writes behind `=` and does not
/// quote: "Object with name=Ann does not exist."
fn message_alone(message: &str) -> String {
    let Some((before, rest)) = message.split_once('=') else { return in_general(message) };
    let after = rest.rfind(" does not ").map_or("", |at| &rest[at..]);
    format!("{}={TAKEN_OUT}{}", in_general(before), in_general_after(after))
}

fn in_general_after(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {}", in_general(text)) }
}

/// Replaces what stands in double or single quotes. Names in backquotes are the relay's own and stay.
fn without_quoted(reason: &str) -> String {
    let mut kept = String::with_capacity(reason.len());
    let mut chars = reason.char_indices();
    while let Some((at, c)) = chars.next() {
        // An apostrophe within a word opens nothing.
        let before = reason[..at].chars().next_back();
        let opens = match c {
            '"' | '“' | '«' => true,
            '\'' | '‘' => before.is_none_or(|it| !it.is_alphanumeric()),
            _ => false,
        };
        kept.push(c);
        if !opens {
            continue;
        }
        let close = match c {
            '“' => '”',
            '«' => '»',
            '‘' => '’',
            other => other,
        };
        let mut is_escaped = false;
        kept.push(TAKEN_OUT);
        for (_, inner) in chars.by_ref() {
            if inner == close && !is_escaped {
                kept.push(inner);
                break;
            }
            is_escaped = inner == '\\' && !is_escaped;
        }
    }
    kept
}

/// Replaces a word that is an id or an address, and the digits of any other.
fn without_values(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    let is_address = core.contains('@') || core.contains("://");
    let digits = core.chars().filter(char::is_ascii_digit).count();
    let is_hex = core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if is_address || (is_hex && core.len() >= 8 && digits > 0) {
        return word.replacen(core, "…", 1);
    }
    let mut kept = String::with_capacity(word.len());
    for c in word.chars() {
        let is_digit = c.is_ascii_digit();
        if !(is_digit && kept.ends_with('#')) {
            kept.push(if is_digit { '#' } else { c });
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_events_is_taken_out() {
        for (reason, expected) in [
            (
                r#"feedback_type: "TRIAL" is not a valid choice."#,
                r#"feedback_type: "…" is not a valid choice."#,
            ),
            ("gave up after 72h: Savio returned 503", "gave up after #h: Savio returned #"),
            ("feedback[0].problem is empty", "feedback[#].problem is empty"),
            ("contact 0198c0de-0000-7000-8000-000000000001 is unknown", "contact … is unknown"),
            ("(ann@example.com) can't be reached", "(…) can't be reached"),
            ("see https://example.com/a?b=1, then", "see …, then"),
            ("at 2026-11-30T18:00:00Z", "at #-#-#T#:#:#Z"),
            (r#"it says 'a \' b' and "open"#, r#"it says '…' and "…"#),
            ("`person_email` is no address", "`person_email` is no address"),
        ] {
            assert_eq!(normalised(reason), expected, "{reason}");
        }
        assert_eq!(normalised(&"x ".repeat(1_000)).chars().count(), 301);
    }

    #[test]
    fn different_messages_of_savio_are_different_causes() {
        let all = [
            (
                r#"{"person_email": ["Enter a valid email address."]}"#,
                "person_email: Enter a valid email address.",
            ),
            (
                r#"{"problem": ["This field may not be blank."]}"#,
                "problem: This field may not be blank.",
            ),
            (
                r#"{"problem": ["Ensure this field has no more than 5000 characters."]}"#,
                "problem: Ensure this field has no more than # characters.",
            ),
            (
                r#"{"feedback_type": ["\"TRIAL\" is not a valid choice."]}"#,
                "feedback_type: \"…\" is not a valid choice.",
            ),
            (
                r#"{"company": ["Invalid pk \"17\" - object does not exist."]}"#,
                "company: Invalid pk \"…\" - object does not exist.",
            ),
            (
                r#"{"company": ["Object with name=Ann Lee does not exist."]}"#,
                "company: Object with name=… does not exist.",
            ),
            (
                r#"{"detail": "Request was throttled. Expected available in 12 seconds."}"#,
                "detail: Request was throttled. Expected available in # seconds.",
            ),
            (
                r#"{"filterable_attributes": {"plan": ["Not a valid string.", "Too long."]}, "count": 3}"#,
                "filterable_attributes: plan: Not a valid string.; filterable_attributes: plan: Too long.",
            ),
            (r#"["No such account 0198c0de-0000-7000-8000-000000000001."]"#, "No such account …."),
        ];
        for (body, expected) in all {
            let reason = format!("Savio returned 400: {body}");
            assert_eq!(normalised(&reason), format!("Savio returned #: {expected}"), "{body}");
        }
        let kinds: std::collections::BTreeSet<String> = all
            .iter()
            .map(|(body, _)| {
                kind(None, Some(400), &normalised(&format!("Savio returned 400: {body}")))
            })
            .collect();
        assert_eq!(kinds.len(), all.len());
    }

    #[test]
    fn what_an_answer_repeats_is_no_part_of_a_cause() {
        let one = r#"Savio returned 422: {"detail": [{"loc": ["body", "person_email"], "msg": "no address: 'Ann'", "input": "Ann"}]}"#;
        let other = one.replace("Ann", "Bob Lee");

        assert_eq!(normalised(one), normalised(&other));
        assert!(!normalised(one).contains("Ann") && normalised(one).contains("no address"));
        // What was cut off is no whole body: as any other text.
        let cut = r#"Savio returned 400: {"person_email": ["Enter "#;
        assert_eq!(normalised(cut), r#"Savio returned #: {"…": ["…"#);
    }

    #[test]
    fn causes_differ_by_stage_status_and_reason() {
        let savio = Some(StoppedAt::Savio);
        let all = [
            kind(savio, Some(400), "a"),
            kind(savio, Some(422), "a"),
            kind(savio, Some(400), "b"),
            kind(Some(StoppedAt::Time), Some(400), "a"),
            kind(savio, None, "a"),
        ];
        assert!(all.iter().all(|it| it.len() == 16));
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
