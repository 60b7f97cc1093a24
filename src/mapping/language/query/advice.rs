//! Common mistakes in queries, with advice what to write instead.

mod comparisons;
mod foreign_operators;

use std::ops::Range;

use super::error::QueryError;
use super::lexer::{QueryToken, QueryTokens, TokenKind};
use crate::diagnostics::suggestion::nearest;

const FUNCTIONS: [&str; 5] = ["length", "count", "value", "match", "search"];

/// Finds mistakes in a query, before it is parsed.
pub(super) fn check_query(scan: &QueryTokens<'_>) -> Result<(), QueryError> {
    // Before the parser, whose messages give no advice, and which accepts some mistakes.
    check_start(scan)?;
    check_tokens(scan, Brackets::default())?;
    comparisons::check(scan)
}

/// Finds mistakes in a condition, which is the inside of a filter.
pub(super) fn check_condition(scan: &QueryTokens<'_>) -> Result<(), QueryError> {
    if scan.tokens.is_empty() {
        return Err(QueryError::new("an empty condition", scan.whole())
            .help("compare something, such as `@.status == 'open'`"));
    }
    check_tokens(scan, Brackets { filters: vec![true] })?;
    comparisons::check(scan)?;
    match outermost(scan).find(|token| token.text == ",") {
        None => Ok(()),
        Some(comma) => Err(QueryError::new("this is not one condition", comma.at.clone())
            .help("join two with `&&` or `||`")),
    }
}

/// Returns the tokens outside of all brackets.
fn outermost<'s, 't>(scan: &'s QueryTokens<'t>) -> impl Iterator<Item = &'s QueryToken<'t>> {
    let mut index = 0;
    std::iter::from_fn(move || {
        let token = scan.tokens.get(index)?;
        index = if let TokenKind::Open(closed) = token.kind { closed } else { index } + 1;
        Some(token)
    })
}

/// Makes an error of a position at which the parser failed.
pub(super) fn unexpected(scan: &QueryTokens<'_>, position: usize) -> QueryError {
    let Some(token) = scan.tokens.iter().find(|token| token.at.end > position) else {
        let end = scan.text.len();
        return QueryError::new("something is missing at the end", end..end)
            .help("write what follows, or leave out the last sign");
    };
    match token.kind {
        // RFC 9535, section 2.1: integers are at most 2^53 - 1, which has 16 digits.
        TokenKind::Number if token.text.len() > 15 && !token.text.contains(['.', 'e', 'E']) => {
            QueryError::new("this number is too large for a query", token.at.clone())
                .help("whole numbers go up to 9007199254740991")
        }
        _ => {
            let message = format!("`{}` does not belong here", token.text);
            QueryError::new(message, token.at.clone())
                .help("a path is `$.name[0].key`, a condition `@.key == 'text' && @.other`")
        }
    }
}

fn check_start(scan: &QueryTokens<'_>) -> Result<(), QueryError> {
    let begins = scan.text.starts_with(['$', '@']);
    let message = match scan.tokens.first() {
        None => "an empty query",
        Some(_) if scan.text.trim() != scan.text => "a query has no white space around it",
        Some(_) if !begins => "a query begins with `$`, the payload",
        Some(_) => return Ok(()),
    };
    let path = scan.text.trim().trim_start_matches('.');
    let path = if path.starts_with(['$', '@']) { path.to_owned() } else { format!("$.{path}") };
    Err(QueryError::new(message, scan.whole()).help(format!("write `{path}`")).replace(path))
}

/// Open brackets, and for each whether it is in a filter, where `@` and comparisons are valid.
#[derive(Debug, Default)]
struct Brackets {
    filters: Vec<bool>,
}

impl Brackets {
    fn in_filter(&self) -> bool {
        self.filters.last().is_some_and(|filter| *filter)
    }

    fn update(&mut self, kind: TokenKind, text: &str) {
        match kind {
            // A parenthesis in a filter only groups or calls; a bracket begins selectors.
            TokenKind::Open(_) => self.filters.push(text == "(" && self.in_filter()),
            TokenKind::Close(_) => drop(self.filters.pop()),
            TokenKind::Sign if text == "?" => {
                if let Some(innermost) = self.filters.last_mut() {
                    *innermost = true;
                }
            }
            _ => {}
        }
    }
}

fn check_tokens(scan: &QueryTokens<'_>, mut brackets: Brackets) -> Result<(), QueryError> {
    for index in 0..scan.tokens.len() {
        let token = &scan.tokens[index];
        let mistake = match token.kind {
            TokenKind::Word => word(scan, index, &brackets),
            TokenKind::Sign => sign(scan, index),
            TokenKind::Text => text(token),
            TokenKind::Path if index > 0 && !brackets.in_filter() => Some(outside_of_filter(token)),
            TokenKind::Comparison if !brackets.in_filter() => {
                comparisons::outside_of_filter(scan, index)
            }
            _ => None,
        };
        let mistake = foreign_operators::find(scan, index).or(mistake);
        // The exact advice first: tokens without an operator are often only the consequence.
        if let Some(error) = mistake.or_else(|| neighbours(scan, index)) {
            return Err(error);
        }
        brackets.update(token.kind, token.text);
    }
    Ok(())
}

fn word(scan: &QueryTokens<'_>, index: usize, brackets: &Brackets) -> Option<QueryError> {
    let token = &scan.tokens[index];
    let error = |message: &str, help: &str| QueryError::new(message, token.at.clone()).help(help);
    if scan.is_member(index) && !scan.is_call(index) {
        let dot = scan.before(index).filter(|dot| dot.at.end < token.at.start)?;
        let message = "white space between the dot and the name";
        let space = dot.at.end..token.at.start;
        return Some(error(message, "remove the white space").fix(space, ""));
    }
    if let Some(sign) = junction(token.text) {
        let message = format!("`{}` is written `{sign}`", token.text);
        return Some(error(&message, &format!("write `{sign}`")).replace(sign));
    }
    if scan.is_call(index) {
        return function(scan, index);
    }
    if FUNCTIONS.contains(&token.text) && scan.is(index + 1, "(") {
        let message = "white space between the function and its `(`";
        let space = token.at.end..scan.tokens[index + 1].at.start;
        return Some(error(message, "remove the white space").fix(space, ""));
    }
    let alone = scan.before(index).is_none_or(|before| {
        matches!(
            before.kind,
            TokenKind::Open(_) | TokenKind::Comparison | TokenKind::Junction | TokenKind::Sign
        )
    });
    if matches!(token.text, "true" | "false" | "null") || !alone {
        None
    } else {
        Some(bare_word(token, brackets))
    }
}

/// Makes the error of a word that is no member's name, no function and no literal.
fn bare_word(token: &QueryToken<'_>, brackets: &Brackets) -> QueryError {
    let name = token.text;
    let lower = name.to_lowercase();
    let error = QueryError::new(format!("a bare word: `{name}`"), token.at.clone());
    // Word processors and chat tools replace straight quotes.
    if name.contains(['‘', '’', '“', '”']) {
        let straight = name.replace(['‘', '’', '“', '”'], "'");
        let is_one = straight.len() > 1 && straight.matches('\'').count() == 2;
        let error = error.help("write straight quotes: `'text'`");
        return if is_one { error.replace(straight) } else { error };
    }
    if !brackets.in_filter() {
        let error = error.help(format!("a name in brackets has quotes: `['{name}']`"));
        return error.replace(format!("'{name}'"));
    }
    match lower.as_str() {
        "true" | "false" | "null" => error.help(format!("write `{lower}`")).replace(lower),
        _ => error.help(format!("write `@.{name}` for the field, `'{name}'` for the text")),
    }
}

/// Finds a character or an escape that JSONPath does not permit in a text in quotes.
fn text(token: &QueryToken<'_>) -> Option<QueryError> {
    let quote = token.text.chars().next()?;
    let mut characters = token.text.char_indices();
    while let Some((at, character)) = characters.next() {
        let start = token.at.start + at;
        // RFC 9535, section 2.3.1.1: control characters have to be escaped.
        if character < ' ' {
            let message = "a line end, a tab or another control character in a text in quotes";
            let error = QueryError::new(message, start..start + 1);
            return Some(error.help(r"write `\n`, `\t` or `\u0000`"));
        }
        if character != '\\' {
            continue;
        }
        let (_, escaped) = characters.next()?;
        if escaped != quote && !r"bfnrt/\u".contains(escaped) {
            let message = format!(r"JSONPath knows no escape `\{escaped}`");
            let error = QueryError::new(message, start..start + 1 + escaped.len_utf8());
            let twice = format!(r"\\{escaped}");
            return Some(
                error.help(format!("a backslash is written twice: `{twice}`")).replace(twice),
            );
        }
    }
    None
}

fn junction(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "and" => Some("&&"),
        "or" => Some("||"),
        "not" => Some("!"),
        _ => None,
    }
}

fn function(scan: &QueryTokens<'_>, index: usize) -> Option<QueryError> {
    let name = scan.tokens[index].text;
    let error = |message: String| QueryError::new(message, scan.tokens[index].at.clone());
    if scan.is_member(index) {
        let path = scan.paths.iter().rfind(|path| path.contains(&scan.tokens[index].at.start))?;
        let before = &scan.text[path.start..scan.tokens[index].at.start - 1];
        return Some(
            error(format!("`{name}` cannot be called at the end of a path"))
                .help(format!("a function is written around its path: `length({before})`")),
        );
    }
    if matches!(name, "count" | "value") && scan.kind(index + 2) != Some(TokenKind::Path) {
        return Some(error(format!("`{name}` needs a path, such as `{name}(@.items[*])`")));
    }
    if FUNCTIONS.contains(&name) {
        return None;
    }
    let error = error(format!("`{name}` is not a function of JSONPath (RFC 9535)"));
    Some(match nearest(name, FUNCTIONS) {
        Some(function) => error.help(format!("did you mean `{function}`?")).replace(function),
        None => error.help(format!("there are {}", FUNCTIONS.join(", "))),
    })
}

fn sign(scan: &QueryTokens<'_>, index: usize) -> Option<QueryError> {
    let token = &scan.tokens[index];
    let error = |message: &str| QueryError::new(message, token.at.clone());
    match token.text {
        "=" => Some(error("`=` is not a comparison").help("write `==`").replace("==")),
        "&" => Some(error("`&` alone is nothing").help("write `&&`").replace("&&")),
        "|" => Some(error("`|` alone is nothing").help("write `||`").replace("||")),
        "-" if scan.before(index).is_some_and(|before| before.kind == TokenKind::Word) => {
            Some(dashed_name(scan, index))
        }
        _ => None,
    }
}

/// Makes the error of a name with a dash and without quotes.
fn dashed_name(scan: &QueryTokens<'_>, index: usize) -> QueryError {
    let belongs = |kind| matches!(kind, Some(TokenKind::Word | TokenKind::Number));
    let joined = |at: usize| scan.tokens[at - 1].at.end == scan.tokens[at].at.start;
    let is_part = |at: usize| belongs(scan.kind(at)) || scan.is(at, "-");
    let (mut first, mut last) = (index - 1, index);
    while first > 0 && is_part(first - 1) && joined(first) {
        first -= 1;
    }
    while is_part(last + 1) && joined(last + 1) {
        last += 1;
    }
    let place = scan.tokens[first].at.start..scan.tokens[last].at.end;
    quoted_name(scan, place)
}

fn quoted_name(scan: &QueryTokens<'_>, place: Range<usize>) -> QueryError {
    let name = &scan.text[place.clone()];
    let before = scan.text[..place.start].trim_end_matches('.');
    let start = scan.paths.iter().rfind(|path| path.start < before.len());
    let path = start.map_or("$", |path| &before[path.start..]);
    // Of `..` both dots stay.
    let dots = scan.text[..place.start].len() - before.len();
    let replaced = place.start - usize::from(dots == 1)..place.end;
    QueryError::new("a name with other signs than letters, digits and `_` needs quotes", place)
        .help(format!("write `{path}['{name}']`"))
        .fix(replaced, format!("['{name}']"))
}

fn outside_of_filter(token: &QueryToken<'_>) -> QueryError {
    let message = format!("`{}` cannot stand here, outside of a filter", token.text);
    QueryError::new(message, token.at.clone())
        .help("a filter is written `[?...]`, such as `$.items[?@.kind == 'bug']`")
}

/// Finds two operands without an operator between them.
fn neighbours(scan: &QueryTokens<'_>, index: usize) -> Option<QueryError> {
    // The parser would take `$.a b` for one name.
    let token = &scan.tokens[index];
    let before = scan.before(index)?;
    let operand = |kind| {
        matches!(kind, TokenKind::Word | TokenKind::Number | TokenKind::Text | TokenKind::Path)
    };
    let ended = operand(before.kind) || matches!(before.kind, TokenKind::Close(_));
    if !ended || !operand(token.kind) {
        return None;
    }
    let place = before.at.start..token.at.end;
    let member = before.kind == TokenKind::Word && scan.is_member(index - 1);
    Some(match (before.kind, token.kind) {
        (TokenKind::Path, TokenKind::Word) => QueryError::new("a dot is missing", place)
            .help(format!("write `{}.{}`", before.text, token.text))
            .replace(format!("{}.{}", before.text, token.text)),
        (TokenKind::Word, TokenKind::Number | TokenKind::Word) if member => {
            quoted_name(scan, place)
        }
        _ => {
            let message = format!("something is missing before `{}`", token.text);
            QueryError::new(message, token.at.clone())
                .help("conditions are joined with `&&` or `||`, values compared with `==`")
        }
    })
}
