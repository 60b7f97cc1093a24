//! Values that are probably not the secret that was meant. They are used all the same: only the
//! person knows.

/// Beginnings of placeholders in examples, compared without separators.
const PLACEHOLDERS: [&str; 9] = [
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "replacewith",
    "placeholder",
    "pastehere",
    "inserthere",
    "fillmein",
];

const QUOTES: [(char, char); 6] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201C}', '\u{201D}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{201E}', '\u{201C}'),
];

/// Returns why the value is probably not what was meant, as the end of a sentence about where it is.
pub(super) fn doubt(value: &str) -> Option<&'static str> {
    let is_quoted = |(open, close): &(char, char)| {
        value.strip_prefix(*open).is_some_and(|rest| rest.ends_with(*close))
    };
    if QUOTES.iter().any(is_quoted) {
        return Some(
            "is in quotation marks, which count as part of it: write it without them (env files of \
             docker keep them)",
        );
    }
    if value.trim() != value {
        return Some("begins or ends with white space, which counts as part of it: remove it");
    }
    if value.starts_with("env:") || value.starts_with("file:") {
        return Some("names another place, which is not looked up: set the secret itself");
    }
    let mut characters = value.chars();
    let first = characters.next()?;
    if characters.as_str().is_empty() {
        return Some("is a single character, which anybody can guess: is it cut off?");
    }
    let is_repeated = characters.all(|c| c == first);
    if is_repeated || is_in_brackets(value) || is_example(value) {
        return Some("looks like a placeholder: set the real secret");
    }
    None
}

/// Returns whether it is `<secret>`, `[secret]`, `{secret}` or a `${VARIABLE}` that nothing replaced.
fn is_in_brackets(value: &str) -> bool {
    let value = value.trim_start_matches(['$', '{']);
    let pairs = [('<', '>'), ('[', ']')];
    value.ends_with('}')
        || pairs.iter().any(|(open, close)| value.starts_with(*open) && value.ends_with(*close))
}

fn is_example(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    // `your-secret-here`, but not a random text that happens to begin with these letters.
    let is_yours = lower.strip_prefix("your").or_else(|| lower.strip_prefix("my"));
    let names =
        |rest: &str| ["secret", "token", "key", "password"].iter().any(|it| rest.contains(it));
    let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    is_yours.is_some_and(names)
        || ["todo", "tbd", "fixme", "example"].contains(&plain.as_str())
        || PLACEHOLDERS.iter().any(|it| plain.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], part: Option<&str>) {
        for value in values {
            let found = doubt(value);
            assert_eq!(found.is_some(), part.is_some(), "{value}: {found:?}");
            assert!(found.unwrap_or_default().contains(part.unwrap_or_default()), "{value}");
        }
    }

    #[test]
    fn placeholders_are_doubted() {
        check(&["...", "....", "xxxxxxxx", "****", "\u{2026}\u{2026}"], Some("placeholder"));
        check(
            &["changeme", "change-me", "CHANGE_ME!", "replace-with-your-token"],
            Some("placeholder"),
        );
        check(
            &["your-secret-here", "YOUR_API_KEY", "my-token", "<secret>", "[token]"],
            Some("placeholder"),
        );
        check(&["${TYPEFORM_SECRET}", "{{ secret }}", "TODO", "example"], Some("placeholder"));
    }

    #[test]
    fn cut_off_and_quoted_values_are_doubted() {
        check(&["a", ".", "\u{2026}", "\u{e9}"], Some("single character"));
        check(&["\"abc123\"", "'abc123'", "\u{201C}abc123\u{201D}"], Some("quotation marks"));
        check(&[" abc123", "abc123 ", "abc123\t"], Some("white space"));
        check(&["env:OTHER", "file:/run/secrets/x"], Some("another place"));
    }

    #[test]
    fn real_secrets_are_not_doubted() {
        check(
            &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a2f1c3", "relay:pass word", "it's"],
            None,
        );
        check(&["Token-4711", "yourtube9", "myth", "secret", "practice", "a}b"], None);
    }
}
