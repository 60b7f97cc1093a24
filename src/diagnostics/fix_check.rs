//! The check of corrections that the tests make of all mistakes that they provoke.

use super::diagnostic::Diagnostic;

/// Checks that each correction removes its mistake and makes no other one. `read` finds the mistakes
/// of a text.
#[track_caller]
pub(crate) fn check_fixes(
    text: &str,
    mistakes: &[Diagnostic],
    read: impl Fn(&str) -> Vec<Diagnostic>,
) {
    for mistake in mistakes {
        let Some(fix) = &mistake.fix else { continue };
        assert!(text.get(fix.place.clone()).is_some(), "{text}\n{mistake:?}");
        let fixed = fix.applied(text);
        let mut others: Vec<&Diagnostic> = mistakes.iter().collect();
        others.retain(|other| *other != mistake);
        for found in read(&fixed) {
            match others.iter().position(|other| other.message == found.message) {
                Some(known) => drop(others.remove(known)),
                None if may_hide(mistake, &found) => {}
                None => panic!("{text}\n->\n{fixed}\n{found:?}\nby {mistake:?}"),
            }
        }
    }
}

/// Returns whether the one was there before and could not be found because of the other.
fn may_hide(mistake: &Diagnostic, found: &Diagnostic) -> bool {
    // The value of an unknown key is not read, and what cannot be parsed is not warned about.
    let is_unread = mistake.message.starts_with("unknown key");
    let is_other = mistake.message != found.message;
    is_other && (is_unread || mistake.is_error() && !found.is_error())
}
