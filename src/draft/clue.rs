//! What can be seen of one value of a payload: its words, its place, and what stands beside it. Pure.

use super::leaves::{Leaf, ValuePath};
use super::surroundings::{Keys, Surroundings};
use super::vocabulary::{BODIES, CONTENTS, CUSTOMERS, SETTINGS, VERBS};
use super::words::{has, is_for_people, words};
use crate::event::is_email;

/// Names of addresses that belong to no one person.
const SHARED: [&str; 10] = [
    "noreply",
    "no-reply",
    "donotreply",
    "notifications",
    "support",
    "help",
    "info",
    "hello",
    "team",
    "sales",
];

/// A value with what is known of the event so far.
#[derive(Debug)]
pub(super) struct Clue<'l> {
    pub(super) path: &'l ValuePath,
    pub(super) text: &'l str,
    around: Option<&'l Surroundings<'l>>,
    /// Words of its key, and then of each key above it.
    names: &'l [Vec<String>],
    known: Known<'l>,
}

/// Objects that are known already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known<'l> {
    /// That of the text.
    pub(super) text: Option<&'l ValuePath>,
    /// Those with the person's address.
    pub(super) persons: &'l [ValuePath],
}

impl<'l> Clue<'l> {
    pub(super) fn new(leaf: &'l Leaf<'_>, known: Known<'l>) -> Clue<'l> {
        let Leaf { path, names, text, around } = leaf;
        Clue { path, text, around: around.as_deref(), names, known }
    }

    pub(super) fn depth(&self) -> usize {
        self.path.depth()
    }

    pub(super) fn key(&self) -> &[String] {
        self.names.first().map_or(&[], Vec::as_slice)
    }

    fn above(&self) -> &[Vec<String>] {
        self.names.get(1..).unwrap_or_default()
    }

    pub(super) fn key_has(&self, known: &str) -> bool {
        // A question such as "Who is your manager?" is no key with a role.
        !has_question_as_key(self) && has(self.key(), known)
    }

    /// Returns whether a key above it is such a word: `customer` or `customer_data`, and not
    /// `customer_survey`.
    pub(super) fn above_has(&self, known: &str) -> bool {
        self.above().iter().any(|name| has(head(name), known))
    }

    /// Returns whether the nearest key above it has such a word.
    pub(super) fn nearest_above_has(&self, known: &str) -> bool {
        self.above().first().is_some_and(|name| has(name, known))
    }

    /// Returns whether it is an item of a list, or inside of one.
    pub(super) fn is_in_list(&self) -> bool {
        self.path.has_items()
    }

    /// Returns whether another key of its object is of a kind.
    fn is_beside(&self, kind: for<'a> fn(&'a Surroundings<'l>) -> &'a Keys<'l>) -> bool {
        self.around.is_some_and(|around| kind(around).are_beside(self.path.last_key()))
    }
}

pub(super) fn has_question_as_key(clue: &Clue<'_>) -> bool {
    clue.path.last_key().is_some_and(|key| is_for_people(key) && words(key).len() > 2)
}

pub(super) fn has_title_beside(clue: &Clue<'_>) -> bool {
    clue.is_beside(|around| &around.titles)
}

/// Returns whether it is the question of a form rather than an answer to it.
pub(super) fn is_question(clue: &Clue<'_>) -> bool {
    let has_answer = clue.is_beside(|around| &around.answers);
    let asks = clue.text.ends_with('?') && clue.key_has("title label name prompt template heading");
    asks || has_answer && clue.key_has("title label question name text prompt heading body")
}

/// Returns whether a text of one or two words has a key that is not for texts of people.
pub(super) fn is_short_label(clue: &Clue<'_>) -> bool {
    const TEXTS: &str = "answer comment feedback idea message note opinion problem reason review suggestion text wish";
    clue.text.split_whitespace().nth(2).is_none()
        && !clue.key_has(TEXTS)
        && !clue.key_has(BODIES)
        && !has_question_as_key(clue)
}

/// Returns whether the nearest object of a known kind describes the event's surroundings.
pub(super) fn is_in_setting(clue: &Clue<'_>) -> bool {
    let kind = |name: &Vec<String>| match (has(name, CONTENTS), has(name, SETTINGS)) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    };
    clue.above().iter().find_map(kind).unwrap_or(false)
}

pub(super) fn is_beside_text(clue: &Clue<'_>) -> bool {
    clue.known.text.is_some_and(|text| clue.path.parent() == *text)
}

/// Returns whether it is in the object of the text, or in one below it.
pub(super) fn is_below_text(clue: &Clue<'_>) -> bool {
    clue.known.text.is_some_and(|it| it.depth() > 0 && clue.path.starts_with(it))
}

/// Returns whether it is in the object of the person's address.
pub(super) fn is_beside_person(clue: &Clue<'_>) -> bool {
    clue.known.persons.contains(&clue.path.parent())
}

/// Returns whether it is in the object of the person's address, or in one below it.
pub(super) fn is_of_person(clue: &Clue<'_>) -> bool {
    // Everything is below the root, which tells nothing unless it is right there.
    is_beside_person(clue)
        || clue.known.persons.iter().any(|it| it.depth() > 0 && clue.path.starts_with(it))
}

pub(super) fn is_flagged_as_staff(clue: &Clue<'_>) -> bool {
    clue.around.is_some_and(|around| around.is_staff)
}

pub(super) fn is_flagged_as_customer(clue: &Clue<'_>) -> bool {
    clue.around.is_some_and(|around| around.is_customer)
}

pub(super) fn is_named_email(clue: &Clue<'_>) -> bool {
    has(clue.key(), "email mail e-mail")
}

pub(super) fn is_shared_mailbox(clue: &Clue<'_>) -> bool {
    let name = clue.text.split(['@', '+']).next().unwrap_or_default().to_lowercase();
    SHARED.contains(&name.as_str())
}

pub(super) fn is_full_name(clue: &Clue<'_>) -> bool {
    has(clue.key(), "name fullname displayname realname login username first-and-last")
        && !is_email(clue.text)
}

/// Returns whether it has neither a capital letter nor a space, as names of companies have.
pub(super) fn is_slug(clue: &Clue<'_>) -> bool {
    !clue.text.contains(|c: char| c.is_uppercase() || c.is_whitespace())
}

pub(super) fn says_what_happened(clue: &Clue<'_>) -> bool {
    has(&words(clue.text), VERBS) || has(&split_lower(clue.text), VERBS)
}

pub(super) fn has_several_words(clue: &Clue<'_>) -> bool {
    words(clue.text).len() > 1
}

/// Returns whether an object that is not a person stands beside it.
pub(super) fn is_in_envelope(clue: &Clue<'_>) -> bool {
    clue.around.is_some_and(|around| around.has_content)
}

pub(super) fn is_nested(clue: &Clue<'_>) -> bool {
    clue.depth() > 1
}

/// Returns whether it answers a text beside it, as a company answers a review.
pub(super) fn answers_text(clue: &Clue<'_>) -> bool {
    clue.key_has("answer reply response") && clue.is_beside(|around| &around.bodies)
}

/// Returns whether its key is a role, and its value looks like a name: `"author": "Mia Aho"`.
pub(super) fn is_named_by_role(clue: &Clue<'_>) -> bool {
    let is_role = clue.key().len() == 1 && has(clue.key(), CUSTOMERS);
    let is_name = |word: &str| {
        word.starts_with(char::is_uppercase) && !word.contains(|c: char| c.is_ascii_digit())
    };
    is_role
        && (1..=4).contains(&clue.text.split_whitespace().count())
        && clue.text.split_whitespace().all(is_name)
}

/// Returns the last words of a name, which say what it is: in `support_ticket` a ticket.
fn head(name: &[String]) -> &[String] {
    const VAGUE: &str =
        "attributes data detail details field fields info information object properties record";
    let is_vague = |word: &&String| has(std::slice::from_ref(*word), VAGUE);
    let end = name.len() - name.iter().rev().take_while(is_vague).count();
    // Two, for roles such as `reported-by` and `account-manager`.
    let adjectives = &name[..end.min(1)];
    if has(adjectives, "assigned processing internal") {
        return &name[..end];
    }
    if end > 1 && has(&name[end - 1..end], "by to manager holder user") {
        return &name[end - 2..end];
    }
    &name[end.saturating_sub(1)..end]
}

/// Splits a name in capital letters, such as `BOOKING_CREATED`.
fn split_lower(text: &str) -> Vec<String> {
    words(&text.to_lowercase())
}
