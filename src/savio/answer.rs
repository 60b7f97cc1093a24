//! Savio's answers in words for people.

use crate::event::DEFAULT_DESTINATION;

/// Returns the name of a destination's account in messages.
pub fn account_of(destination: &str) -> String {
    match destination {
        DEFAULT_DESTINATION => "Savio".to_owned(),
        name => format!("Savio {name}"),
    }
}

/// Says what the account answered, with the meaning of its status.
pub fn answered(account: &str, status: u16) -> String {
    match meaning(status) {
        Some(meaning) => format!("{account} answered {status} ({meaning})"),
        None => format!("{account} answered {status}"),
    }
}

/// Says that a successful answer does not come from Savio.
pub fn unlike_savio(account: &str, status: u16) -> String {
    format!("{account} answered {status}, but not as Savio does: is base_url right?")
}

// No words for 2xx, and none for 400, whose body has the reason.
fn meaning(status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => "a redirect",
        401 => "the token is not accepted",
        403 => "not permitted",
        404 => "not found",
        405 => "method not allowed",
        407 => "a proxy wants a user and a password",
        408 => "it took too long",
        413 => "too large",
        429 => "too many requests",
        500 => "an error of its own",
        502..=504 => "not available",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_told_with_its_meaning_and_the_account() {
        let check = |destination, status, expected: &str| {
            assert_eq!(answered(&account_of(destination), status), expected);
        };
        check("default", 401, "Savio answered 401 (the token is not accepted)");
        check("eu", 503, "Savio eu answered 503 (not available)");
        check("default", 302, "Savio answered 302 (a redirect)");
        check("default", 400, "Savio answered 400");
    }
}
