//! Values that may be a field, in the order of the evidence for them. Pure.

use super::clue::{Clue, Known, is_full_name, is_named_by_role};
use super::evidence::{Field, judge, threshold};
use super::leaves::Leaf;
use super::vocabulary::COMPANIES;
use super::words::{has, words};
use crate::event::{TypePattern, is_email, is_url};

/// Keys of values that are never shown, since they may be secret.
const SECRETS: &str =
    "auth authorization credential key-secret otp password secret signature token";

#[derive(Debug, Clone)]
pub(super) struct Candidate<'l, 'v> {
    pub(super) leaf: &'l Leaf<'v>,
    pub(super) points: i32,
    pub(super) why: &'static str,
}

/// Returns the candidates for a field, the best one first, equal ones in the order of the payload.
pub(super) fn ranked<'l, 'v>(
    field: Field,
    leaves: &'l [Leaf<'v>],
    known: Known<'l>,
) -> Vec<Candidate<'l, 'v>> {
    let judged = leaves.iter().filter_map(|leaf| {
        let clue = Clue::new(leaf, known);
        if !has_shape(field, &clue) || is_secret(leaf) {
            return None;
        }
        let (points, why) = judge(field, &clue);
        Some(Candidate { leaf, points, why })
    });
    let mut candidates: Vec<Candidate<'l, 'v>> = judged.collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.points));
    candidates
}

/// Returns the first candidate, if there is enough evidence for it.
pub(super) fn best<'c, 'l, 'v>(
    field: Field,
    candidates: &'c [Candidate<'l, 'v>],
) -> Option<&'c Candidate<'l, 'v>> {
    candidates.first().filter(|candidate| candidate.points >= threshold(field))
}

pub(super) fn is_secret(leaf: &Leaf<'_>) -> bool {
    leaf.mentions(SECRETS)
}

/// Returns whether a value can be the field at all.
fn has_shape(field: Field, clue: &Clue<'_>) -> bool {
    let text = clue.text;
    match field {
        Field::Text => is_words(text),
        Field::Email => is_email(text),
        Field::Link => is_url(text) && !["://api.", "/api/"].iter().any(|it| text.contains(it)),
        Field::Name => {
            is_words(text) && (is_full_name(clue) || is_named_by_role(clue)) && is_short(text, 80)
        }
        Field::Company => is_words(text) && is_short(text, 120) && names_company(clue),
        Field::EventType => is_type(clue),
    }
}

fn names_company(clue: &Clue<'_>) -> bool {
    let is_other = clue.key_has("id url size type domain website industry slug logo email phone");
    let is_name = is_full_name(clue) || clue.key() == ["title"];
    !is_other
        && (clue.key_has(COMPANIES)
            || is_name && clue.nearest_above_has("account business")
            || is_name && clue.nearest_above_has(COMPANIES))
}

fn is_type(clue: &Clue<'_>) -> bool {
    let is_key = clue.key_has("event hook topic trigger action kind type name");
    // Only a key that says event may have a type in plain words, such as `Completed Survey`.
    let spaces = if clue.key_has("event topic trigger") { 4 } else { 0 };
    is_key
        && clue.depth() <= 3
        && !clue.is_in_list()
        && clue.text.contains(|c: char| c.is_alphabetic())
        && clue.text.chars().count() <= 60
        && clue.text.matches(' ').count() <= spaces
        && !is_email(clue.text)
        && !is_url(clue.text)
        && clue.text.parse::<TypePattern>().is_ok()
}

fn is_short(text: &str, chars_max: usize) -> bool {
    !text.contains('\n') && text.chars().nth(chars_max).is_none()
}

/// Returns whether a text has words, and is no address, link, time or id.
pub(super) fn is_words(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if letters == 0 || is_email(text) || is_url(text) || is_time(text) {
        return false;
    }
    // A single word with many digits is an id.
    text.contains(char::is_whitespace) || digits * 2 < letters
}

/// Returns whether a text looks like a time: `2026-01-31T09:30:00Z` or `31/01/2026 09:30`.
pub(super) fn is_time(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    digits >= 6 && letters <= 4 && text.contains(['-', '/', '.']) && text.chars().count() <= 40
}

/// Returns the words of the last key, of any leaf.
pub(super) fn key_has(leaf: &Leaf<'_>, known: &str) -> bool {
    leaf.path.last_key().is_some_and(|key| has(&words(key), known))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::leaves::leaves;
    use super::*;

    #[track_caller]
    fn first(field: Field, payload: &Value) -> Option<String> {
        let leaves = leaves(payload);
        let ranked = ranked(field, &leaves, Known::default());
        best(field, &ranked).map(|found| found.leaf.text.to_string())
    }

    #[test]
    fn customer_precedes_own_people_wherever_they_stand() {
        let staff =
            ["organizer", "assignee", "owner", "agent", "host", "assigned_to", "processingUser"];
        let customers = ["attendee", "customer", "requester", "submitter", "author", "invitees"];
        for (staff, customer) in staff.iter().flat_map(|staff| customers.map(|it| (staff, it))) {
            let payload = json!({"data": {*staff: {"email": "ida@example.org"},
                customer: [{"email": "mia@example.com"}]}});

            assert_eq!(
                first(Field::Email, &payload).as_deref(),
                Some("mia@example.com"),
                "{payload}"
            );
        }
    }

    #[test]
    fn address_of_own_people_alone_is_not_taken() {
        let flagged = json!({"people": [{"email": "ida@example.org", "is_organizer": true}]});

        assert_eq!(first(Field::Email, &json!({"assignee": {"email": "ida@example.org"}})), None);
        assert_eq!(first(Field::Email, &flagged), None);
        assert_eq!(first(Field::Email, &json!({"support_email": "ida@example.org"})), None);
    }

    #[test]
    fn container_with_the_word_of_a_role_is_no_role() {
        let payload = json!({"support_ticket": {"requester": {"email": "mia@example.com"}}});

        assert_eq!(first(Field::Email, &payload).as_deref(), Some("mia@example.com"));
    }

    #[test]
    fn own_words_precede_titles_bodies_and_settings() {
        let payload = json!({"title": "A talk of one hour between Mia and Ida about everything",
            "form": {"description": "Tell us all that you think about the app, please, in your words"},
            "additionalNotes": "Show the tide"});

        assert_eq!(first(Field::Text, &payload).as_deref(), Some("Show the tide"));
    }

    #[test]
    fn text_of_the_staff_is_no_feedback() {
        let payload = json!({"agent": {"note": "He called twice about the harbour"},
            "internal_note": "Do not answer this one", "status_label": "waiting for the agent"});

        assert_eq!(first(Field::Text, &payload), None);
    }

    #[test]
    fn answer_to_a_review_is_not_its_text() {
        let payload = json!({"review": {"author": "Mia Aho", "content": "It crashes at once",
            "answer_text": "Thank you, we are looking into it now"}});

        assert_eq!(first(Field::Text, &payload).as_deref(), Some("It crashes at once"));
        assert_eq!(first(Field::Name, &payload).as_deref(), Some("Mia Aho"));
    }

    #[test]
    fn secret_is_never_a_candidate() {
        let payload =
            json!({"event": {"token": "created.secret"}, "secret_token_type": "created.a"});

        assert_eq!(first(Field::EventType, &payload), None);
    }

    #[test]
    fn time_and_id_are_no_words() {
        for text in
            ["2026-01-31T09:30:00Z", "31/01/2026 09:30:00", "8c8a6bb2-2f2b", "a@example.com", "17"]
        {
            assert!(!is_words(text), "{text}");
        }
        for text in ["Please add CSV", "Export", "Version 2 is slow"] {
            assert!(is_words(text), "{text}");
        }
    }
}
