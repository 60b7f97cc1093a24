//! Code of a template as tokens, cut as minijinja cuts it: for its bounds, for places of advice, and
//! for the operands of operators.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplateToken<'t> {
    Word(&'t str),
    Number,
    /// The inside of a text in quotes, with its escapes.
    Literal(&'t str),
    /// An operator, a bracket or another sign, of one or two characters.
    Sign(&'t str),
}

/// One `{{ }}` or `{% %}`.
#[derive(Debug)]
pub(super) struct Piece<'t> {
    pub(super) is_statement: bool,
    /// Tokens in order, each with its place in the template.
    pub(super) tokens: Vec<(TemplateToken<'t>, Range<usize>)>,
}

impl Piece<'_> {
    /// Returns the position of the `=` of a `{% set %}`.
    pub(super) fn assignment(&self) -> Option<usize> {
        if !self.is_statement || self.tokens.first()?.0 != TemplateToken::Word("set") {
            return None;
        }
        // Inside of brackets, `=` names an argument.
        let mut open = 0_usize;
        self.tokens.iter().position(|(token, _)| {
            match token {
                TemplateToken::Sign("(" | "[" | "{") => open += 1,
                TemplateToken::Sign(")" | "]" | "}") => open = open.saturating_sub(1),
                _ => {}
            }
            open == 0 && *token == TemplateToken::Sign("=")
        })
    }
}

const SIGNS_OF_TWO: [&str; 6] = ["//", "**", "==", "!=", ">=", "<="];

/// Returns the code of a template, without comments and raw text.
pub(super) fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, closing)) = next_code(template, at) {
        if closing == "#}" {
            at = template[start..].find(closing).map_or(template.len(), |end| start + end + 2);
        } else if let Some(text) = raw_tag(template, start, "raw").filter(|_| closing == "%}") {
            at = raw_end(template, text);
        } else {
            let mut piece = Piece { is_statement: closing == "%}", tokens: Vec::new() };
            at = read_code(template, start, closing, &mut piece.tokens);
            found.push(piece);
        }
    }
    found
}

/// Returns the start of the next piece of code and its closing sign.
fn next_code(template: &str, from: usize) -> Option<(usize, &'static str)> {
    let bytes = template.as_bytes();
    let mut start = from;
    loop {
        start += template[start..].find('{')? + 1;
        let closing = match bytes.get(start) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => continue,
        };
        let control = closing != "#}" && matches!(bytes.get(start + 1), Some(b'-' | b'+'));
        return Some((start + 1 + usize::from(control), closing));
    }
}

/// Returns the end of the tag that begins at `start`, if it consists of this word.
fn raw_tag(template: &str, start: usize, word: &str) -> Option<usize> {
    let blank = |c: char| c.is_ascii_whitespace();
    let rest = template[start..].trim_start_matches(blank).strip_prefix(word)?;
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(template.len() - rest.len())
}

fn raw_end(template: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = template[at..].find("{%") {
        at += found + 2;
        let control = usize::from(template[at..].starts_with(['-', '+']));
        if let Some(end) = raw_tag(template, at + control, "endraw") {
            return end;
        }
    }
    template.len()
}

/// Reads tokens up to the closing sign and returns its end.
fn read_code<'t>(
    template: &'t str,
    start: usize,
    closing: &str,
    found: &mut Vec<(TemplateToken<'t>, Range<usize>)>,
) -> usize {
    let mut open = 0_usize;
    let mut at = start;
    while let Some(next) = template[at..].chars().next() {
        let rest = &template[at..];
        let control = usize::from(rest.starts_with(['-', '+']));
        // Only outside of brackets: `{{ {1:{1:1}} }}` has `}}` inside.
        if open == 0 && rest[control..].starts_with(closing) {
            return at + control + closing.len();
        }
        if next.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (token, end) = read_token(template, at, next);
        match token {
            TemplateToken::Sign("(" | "[" | "{") => open += 1,
            TemplateToken::Sign(")" | "]" | "}") => open = open.saturating_sub(1),
            _ => {}
        }
        found.push((token, at..end));
        at = end;
    }
    at
}

fn read_token(template: &str, at: usize, next: char) -> (TemplateToken<'_>, usize) {
    let rest = &template[at..];
    match next {
        '"' | '\'' => {
            let quote = closing_quote(template, at, next);
            let literal = &template[at + 1..quote.unwrap_or(template.len())];
            (TemplateToken::Literal(literal), quote.map_or(template.len(), |quote| quote + 1))
        }
        c if c.is_ascii_digit() => (TemplateToken::Number, at + number(rest)),
        c if is_wordy(c) => {
            let length = run(rest);
            (TemplateToken::Word(&rest[..length]), at + length)
        }
        c => {
            let two = rest.get(..2).filter(|two| SIGNS_OF_TWO.contains(two));
            let length = two.map_or(c.len_utf8(), str::len);
            (TemplateToken::Sign(&rest[..length]), at + length)
        }
    }
}

fn is_wordy(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn run(text: &str) -> usize {
    text.find(|c| !is_wordy(c)).unwrap_or(text.len())
}

/// Returns the length of a number with its fraction and exponent: `1e+5` has no operator in it.
fn number(text: &str) -> usize {
    let mut length = run(text);
    let starts_with_digit = |at: usize| text[at..].starts_with(|c: char| c.is_ascii_digit());
    if text[length..].starts_with('.') && starts_with_digit(length + 1) {
        length += 1 + run(&text[length + 1..]);
    }
    let exponent =
        text[..length].ends_with(['e', 'E']) && !(text.starts_with("0x") || text.starts_with("0X"));
    if exponent && text[length..].starts_with(['+', '-']) && starts_with_digit(length + 1) {
        length += 1 + run(&text[length + 1..]);
    }
    length
}

/// Returns the quote that closes the literal at `start`, if it is closed.
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
    fn tokens_are_found_in_code_only() {
        check(
            "a {{ b|c }} d {# e #}",
            &[TemplateToken::Word("b"), TemplateToken::Sign("|"), TemplateToken::Word("c")],
        );
        check(
            "{% if 'a}}' %}{{ \"b\\\"c\" }}",
            &[
                TemplateToken::Word("if"),
                TemplateToken::Literal("a}}"),
                TemplateToken::Literal("b\\\"c"),
            ],
        );
        check("{{ é", &[TemplateToken::Word("é")]);
        check("{{ 'a", &[TemplateToken::Literal("a")]);
        check("{{'é", &[TemplateToken::Literal("é")]);
        check("{{ '", &[TemplateToken::Literal("")]);
    }

    #[test]
    fn braces_inside_of_code_do_not_close_it() {
        let (open, close, colon) =
            (TemplateToken::Sign("{"), TemplateToken::Sign("}"), TemplateToken::Sign(":"));
        let one = TemplateToken::Number;
        check("{{ {1:{1:1}} }} b", &[open, one, colon, open, one, colon, one, close, close]);
    }

    #[test]
    fn number_is_one_token() {
        check(
            "{{ 1.5e+3-0x1e+b }}",
            &[
                TemplateToken::Number,
                TemplateToken::Sign("-"),
                TemplateToken::Number,
                TemplateToken::Sign("+"),
                TemplateToken::Word("b"),
            ],
        );
        check(
            "{{- a.1.b -}}",
            &[
                TemplateToken::Word("a"),
                TemplateToken::Sign("."),
                TemplateToken::Number,
                TemplateToken::Sign("."),
                TemplateToken::Word("b"),
            ],
        );
    }

    #[test]
    fn raw_text_is_no_code() {
        check("{% raw %}{{ a }}{%- endraw %}{{ b }}", &[TemplateToken::Word("b")]);
        check("{% raw -%}{{ a }}", &[]);
        check("{% rawish %}", &[TemplateToken::Word("rawish")]);
    }

    fn check(template: &str, expected: &[TemplateToken<'_>]) {
        let tokens = pieces(template).into_iter().flat_map(|piece| piece.tokens);
        let found: Vec<TemplateToken<'_>> = tokens.map(|(token, _)| token).collect();
        assert_eq!(found, expected, "{template}");
    }
}
