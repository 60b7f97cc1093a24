//! Words of the names in a payload, and lists of words to compare them with.

use std::collections::HashSet;
use std::hash::Hash;

#[cfg(test)]
thread_local! {
    /// Number of words that were compared with lists of words, which is most of a draft's work.
    pub(super) static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Letters of a name that are read: what is longer is no name but a text.
const NAME_CHARS_MAX: usize = 200;

/// Splits a name such as `personEmail`, `person_email` or `Person email` into lower-case words.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars().take(NAME_CHARS_MAX) {
        // After a small letter only, so that `HTML` is one word.
        let begins = c.is_uppercase() && was_small;
        was_small = c.is_lowercase();
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns whether one of the known words, separated by spaces, is among the words. Singular and
/// plural count as one; `reply-to` are two words that follow each other.
pub(super) fn has(words: &[String], known: &str) -> bool {
    #[cfg(test)]
    COMPARED.with(|compared| compared.set(compared.get() + words.len()));
    // Without memory of its own: each value is compared with hundreds of words.
    known.split_whitespace().any(|known| {
        // Most differ in their first letter already.
        let letter = known.as_bytes().first();
        (0..words.len()).any(|first| {
            words[first].as_bytes().first() == letter && begin_with(&words[first..], known)
        })
    })
}

/// Returns whether the first of the words are the known one, or the phrase with hyphens.
fn begin_with(words: &[String], known: &str) -> bool {
    let mut words = words.iter();
    known.split('-').all(|known| words.next().is_some_and(|it| singular(it) == singular(known)))
}

/// Returns whether no two of the texts are the same.
pub(super) fn are_distinct<T: Eq + Hash>(texts: &[T]) -> bool {
    let mut seen = HashSet::with_capacity(texts.len());
    texts.iter().all(|text| seen.insert(text))
}

fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 1 && !stem.ends_with('s') => stem,
        Some(_) | None => word,
    }
}

/// Words with which questions and requests begin.
const ASKING: &str = "any anything are can could describe did do does how if is please rate share should tell what \
    when where which who whom why will would";

/// Returns whether a name is written for people, as a question of a form is, and not for programs.
pub(super) fn is_for_people(name: &str) -> bool {
    let trimmed = name.trim();
    if trimmed.contains(char::is_whitespace) || trimmed.ends_with('?') {
        return true;
    }
    let words = words(trimmed);
    words.len() >= 4 && has(&words[..1], ASKING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_split_into_words() {
        assert_eq!(words("personEmail"), ["person", "email"]);
        assert_eq!(words("Person_e-mail 2"), ["person", "e", "mail", "2"]);
        assert_eq!(words("HTMLBody"), ["htmlbody"]);
    }

    #[test]
    fn plural_and_phrase_are_found() {
        assert!(has(&words("attendees"), "invitee attendee"));
        assert!(has(&words("replyTo"), "reply-to") && !has(&words("to"), "reply-to"));
        assert!(!has(&words("address"), "addres") && has(&words("status"), "status"));
    }

    #[test]
    fn question_is_told_from_a_key() {
        for question in
            ["Your name", "Why?", "WhatShouldWeImprove", "how_likely_are_you_to_recommend"]
        {
            assert!(is_for_people(question), "{question}");
        }
        for key in ["description", "allow_guest_access_here", "createdAt", "is_organizer"] {
            assert!(!is_for_people(key), "{key}");
        }
    }
}
