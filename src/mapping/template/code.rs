//! The words inside of a template's `{{ }}` and `{% %}`: enough to give advice at their places.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Word(&'t str),
    /// A text in quotes, as it stands between them.
    Literal(&'t str),
    Sign(char),
}

/// The tokens of the code in a template, in order, each with its place.
pub(super) fn tokens(template: &str) -> Vec<(Token<'_>, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, closing)) = next_code(template, at) {
        at = if closing == "#}" {
            template[start..].find(closing).map_or(template.len(), |end| start + end + 2)
        } else {
            read_code(template, start, closing, &mut found)
        };
    }
    found
}

/// Where the next piece of code begins, and what closes it.
fn next_code(template: &str, from: usize) -> Option<(usize, &'static str)> {
    let openings = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];
    openings
        .into_iter()
        .filter_map(|(open, close)| Some((template[from..].find(open)? + from + 2, close)))
        .min()
}

fn read_code<'t>(
    template: &'t str,
    start: usize,
    closing: &str,
    found: &mut Vec<(Token<'t>, Range<usize>)>,
) -> usize {
    let mut at = start;
    while let Some(next) = template[at..].chars().next() {
        if template[at..].starts_with(closing) {
            return at + closing.len();
        }
        let (token, end) = match next {
            '"' | '\'' => {
                let quote = closing_quote(template, at, next);
                let literal = &template[at + 1..quote.unwrap_or(template.len())];
                (Some(Token::Literal(literal)), quote.map_or(template.len(), |quote| quote + 1))
            }
            c if is_wordy(c) => {
                let end = word_end(template, at);
                (Some(Token::Word(&template[at..end])), end)
            }
            c => (Some(Token::Sign(c)).filter(|_| !c.is_whitespace()), at + c.len_utf8()),
        };
        found.extend(token.map(|token| (token, at..end)));
        at = end;
    }
    at
}

fn is_wordy(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_end(template: &str, start: usize) -> usize {
    template[start..].find(|c| !is_wordy(c)).map_or(template.len(), |end| start + end)
}

/// Where the literal that begins at `start` is closed, if it is.
fn closing_quote(template: &str, start: usize, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in template[start + 1..].char_indices() {
        if c == quote && !escaped {
            return Some(start + 1 + at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_signs_and_literals_are_found_in_code_only() {
        let words = |template| tokens(template).into_iter().map(|(token, _)| token).collect();
        check(
            words("a {{ b|c }} d {# e #}"),
            &[Token::Word("b"), Token::Sign('|'), Token::Word("c")],
        );
        check(
            words("{% if 'a}}' %}{{ \"b\\\"c\" }}"),
            &[Token::Word("if"), Token::Literal("a}}"), Token::Literal("b\\\"c")],
        );
        check(words("{{ é"), &[Token::Word("é")]);
        check(words("{{ 'a"), &[Token::Literal("a")]);
        check(words("{{'é"), &[Token::Literal("é")]);
        check(words("{{ '"), &[Token::Literal("")]);
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better in the calls")]
    fn check(found: Vec<Token<'_>>, expected: &[Token<'_>]) {
        assert_eq!(found, expected);
    }
}
