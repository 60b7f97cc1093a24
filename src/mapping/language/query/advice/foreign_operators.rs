//! Operators of programming languages and of SQL, which JSONPath does not have.

use std::ops::Range;

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
    let error = |message: &str, help: String| QueryError::new(message, place.clone()).help(help);
    match (token.text, next.map(|next| next.text)) {
        ("==" | "!=", Some("=")) => {
            let help = format!("write `{}`", token.text);
            Some(error("two signs are enough", help).replace(token.text))
        }
        ("<", Some(">")) => {
            Some(error("`<>` is written `!=`", "write `!=`".to_owned()).replace("!="))
        }
        ("=", Some("~")) => {
            let operands = Operands::of(scan, index, index + 2);
            let search = operands.call("search");
            let help = format!("write `{search}`");
            Some(operands.replaced(error("`=~` is no operator of JSONPath", help), search))
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
    let operands = Operands::of(scan, index, index + 1);
    let (left, right) = (operands.left_text(), operands.right_text());
    let message = format!("`{}` is no operator of JSONPath", token.text);
    let error = QueryError::new(message, token.at.clone());
    let word = token.text.to_ascii_lowercase();
    let operator = match word.as_str() {
        "equals" | "eq" | "is" => Some("=="),
        "ne" | "isnt" => Some("!="),
        "gt" => Some(">"),
        "gte" | "ge" => Some(">="),
        "lt" => Some("<"),
        "lte" | "le" => Some("<="),
        _ => None,
    };
    if let Some(operator) = operator {
        return Some(error.help(format!("write `{left} {operator} {right}`")).replace(operator));
    }
    Some(match word.as_str() {
        "contains" | "includes" | "has" | "like" | "matches" | "match" | "regex" => {
            let search = operands.call("search");
            operands.replaced(error.help(format!("write `{search}`")), search)
        }
        "startswith" | "starts_with" => error.help(format!("write `match({left}, 'text.*')`")),
        "endswith" | "ends_with" => error.help(format!("write `match({left}, '.*text')`")),
        "in" => error.help(format!("write `({left} == 'a' || {left} == 'b')`")),
        _ => return None,
    })
}

/// The operands around an operator.
struct Operands<'t> {
    text: &'t str,
    left: Range<usize>,
    /// Empty if there is none.
    right: Range<usize>,
}

impl<'t> Operands<'t> {
    /// Returns the operand before a token and the one that begins at another token.
    fn of(scan: &QueryTokens<'t>, end: usize, start: usize) -> Operands<'t> {
        let before = scan.before(end).map_or(0..0, |before| before.at.clone());
        let left = scan.paths.iter().find(|path| path.end == before.end).unwrap_or(&before);
        let after = scan.tokens.get(start).map_or(0..0, |after| after.at.clone());
        let right = scan.paths.iter().find(|path| path.start == after.start).unwrap_or(&after);
        Operands { text: scan.text, left: left.clone(), right: right.clone() }
    }

    fn left_text(&self) -> &'t str {
        &self.text[self.left.clone()]
    }

    fn right_text(&self) -> &'t str {
        if self.right.is_empty() { "'text'" } else { &self.text[self.right.clone()] }
    }

    fn call(&self, function: &str) -> String {
        format!("{function}({}, {})", self.left_text(), self.right_text())
    }

    /// Adds that both operands and what is between them are replaced, if there are two.
    fn replaced(&self, error: QueryError, by: String) -> QueryError {
        // The pattern of `search` has to be a text.
        if !self.right_text().starts_with(['\'', '"']) || self.right.is_empty() {
            return error;
        }
        error.fix(self.left.start..self.right.end, by)
    }
}
