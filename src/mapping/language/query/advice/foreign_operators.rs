//! Operators of programming languages and of SQL, which JSONPath does not have.

use crate::mapping::language::query::error::QueryError;
use crate::mapping::language::query::lexer::{QueryTokens, TokenKind};

/// Returns the mistake of an operator that begins at this token.
pub(super) fn find(scan: &QueryTokens<'_>, index: usize) -> Option<QueryError> {
    let token = &scan.tokens[index];
    match token.kind {
        TokenKind::Sign | TokenKind::Comparison => sign(scan, index),
        TokenKind::Word if !scan.is_member(index) && !scan.is_call(index) => word(scan, index),
        _ => None,
    }
}

fn sign(scan: &QueryTokens<'_>, index: usize) -> Option<QueryError> {
    let token = &scan.tokens[index];
    let next = scan.tokens.get(index + 1).filter(|next| next.at.start == token.at.end);
    let end = next.map_or(token.at.end, |next| next.at.end);
    let place = token.at.start..end;
    let error =
        |message: &str, help: String| Some(QueryError::new(message, place.clone()).help(help));
    match (token.text, next.map(|next| next.text)) {
        ("==" | "!=", Some("=")) => {
            error("two signs are enough", format!("write `{}`", token.text))
        }
        ("<", Some(">")) => error("`<>` is written `!=`", "write `!=`".to_owned()),
        ("=", Some("~")) => {
            let (left, right) = operands(scan, index, index + 2);
            error("`=~` is no operator of JSONPath", format!("write `search({left}, {right})`"))
        }
        ("?", _) if index > 0 && !scan.is(index - 1, "[") && !scan.is(index - 1, ",") => {
            let message = "a condition has no `? :`, it only says yes or no";
            let help =
                "choose a value by a template: \"{{ payload.a if payload.b else payload.c }}\"";
            Some(QueryError::new(message, token.at.clone()).help(help))
        }
        _ => None,
    }
}

fn word(scan: &QueryTokens<'_>, index: usize) -> Option<QueryError> {
    let token = &scan.tokens[index];
    // Only behind an operand: elsewhere it is a bare word of that name.
    let before = scan.before(index)?;
    let is_behind_operand = match before.kind {
        TokenKind::Word => scan.is_member(index - 1),
        TokenKind::Close(_) | TokenKind::Text | TokenKind::Number | TokenKind::Path => true,
        _ => false,
    };
    if !is_behind_operand {
        return None;
    }
    let (left, right) = operands(scan, index, index + 1);
    let help = match token.text.to_ascii_lowercase().as_str() {
        "contains" | "includes" | "has" | "like" | "matches" | "match" | "regex" => {
            format!("write `search({left}, {right})`")
        }
        "startswith" | "starts_with" => format!("write `match({left}, 'text.*')`"),
        "endswith" | "ends_with" => format!("write `match({left}, '.*text')`"),
        "equals" | "eq" | "is" => format!("write `{left} == {right}`"),
        "ne" | "isnt" => format!("write `{left} != {right}`"),
        "gt" => format!("write `{left} > {right}`"),
        "gte" | "ge" => format!("write `{left} >= {right}`"),
        "lt" => format!("write `{left} < {right}`"),
        "lte" | "le" => format!("write `{left} <= {right}`"),
        "in" => format!("write `({left} == 'a' || {left} == 'b')`"),
        _ => return None,
    };
    let message = format!("`{}` is no operator of JSONPath", token.text);
    Some(QueryError::new(message, token.at.clone()).help(help))
}

/// Returns the operand before a token and the one that begins at another token.
fn operands<'t>(scan: &QueryTokens<'t>, end: usize, start: usize) -> (&'t str, &'t str) {
    let before = scan.before(end).map_or(0..0, |before| before.at.clone());
    let left = scan.paths.iter().find(|path| path.end == before.end).unwrap_or(&before);
    let after = scan.tokens.get(start).map_or(0..0, |after| after.at.clone());
    let right = scan.paths.iter().find(|path| path.start == after.start).unwrap_or(&after);
    let right = if right.is_empty() { "'text'" } else { &scan.text[right.clone()] };
    (&scan.text[left.clone()], right)
}
