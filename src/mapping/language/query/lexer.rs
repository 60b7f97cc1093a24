//! Tokens of a query's text, with the places of its paths, calls and comparisons.

use std::ops::Range;

use super::error::QueryError;

/// Levels of nested brackets and parentheses.
// Evaluation recurses with each level; a test runs 30 levels on a stack of 512 KiB.
const NESTING_MAX: usize = 32;
/// Levels of nested calls.
// The parser's time grows threefold with each level.
const CALLS_NESTED_MAX: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name, `true`, `false`, `null`.
    Word,
    Number,
    /// In quotes.
    Text,
    /// `$` or `@`
    Path,
    /// `(` or `[` with the index of its closing half, as `Close` has that of its opening half.
    Open(usize),
    Close(usize),
    /// `==`, `!=`, `<`, `<=`, `>` or `>=`
    Comparison,
    /// `&&` or `||`
    Junction,
    Sign,
}

#[derive(Debug, Clone)]
pub(super) struct QueryToken<'t> {
    pub(super) kind: TokenKind,
    pub(super) text: &'t str,
    pub(super) at: Range<usize>,
}

// jsonpath-rust parses every query too, and this lexer decides nothing that the parser decides. It
// has two things that the parser does not give: places, which its tree lacks, to underline a
// mistake, or a comparison that cannot hold, in the file; and the tokens of a text that the parser
// refuses, or takes for something else (`$.a b` is one name to it), for the advice what to write.
// `QueryCompiler` joins the two by their order.
#[derive(Debug)]
pub(super) struct QueryTokens<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: Vec<QueryToken<'t>>,
    /// Each `$...` and `@...`, in the order of their first tokens.
    pub(super) paths: Vec<Range<usize>>,
    /// Each `name(...)`, in the same order.
    pub(super) calls: Vec<Range<usize>>,
    /// Each `left operator right`, in the order of the operators.
    pub(super) comparisons: Vec<ComparisonSpans>,
}

#[derive(Debug, Clone)]
pub(super) struct ComparisonSpans {
    pub(super) left: Range<usize>,
    pub(super) operator: Range<usize>,
    pub(super) right: Range<usize>,
}

impl ComparisonSpans {
    pub(super) fn whole(&self) -> Range<usize> {
        self.left.start..self.right.end
    }
}

impl<'t> QueryTokens<'t> {
    /// Cuts the text into tokens; a quote or bracket that is not closed is an error.
    pub(super) fn new(text: &'t str) -> Result<QueryTokens<'t>, QueryError> {
        let mut tokens = tokens(text)?;
        pair(&mut tokens)?;
        let (paths, calls, comparisons) = (Vec::new(), Vec::new(), Vec::new());
        let mut scan = QueryTokens { text, tokens, paths, calls, comparisons };
        let indexes = 0..scan.tokens.len();
        scan.paths = indexes.clone().filter_map(|index| scan.path(index)).collect();
        scan.calls = indexes.clone().filter_map(|index| scan.call(index)).collect();
        scan.comparisons = indexes.filter_map(|index| scan.sides(index)).collect();
        Ok(scan)
    }

    pub(super) fn whole(&self) -> Range<usize> {
        0..self.text.len()
    }

    pub(super) fn kind(&self, index: usize) -> Option<TokenKind> {
        self.tokens.get(index).map(|token| token.kind)
    }

    pub(super) fn is(&self, index: usize, text: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.text == text)
    }

    pub(super) fn before(&self, index: usize) -> Option<&QueryToken<'t>> {
        self.tokens.get(index.checked_sub(1)?)
    }

    /// Returns whether the token is a member's name, as in `.name` and `..name`.
    pub(super) fn is_member(&self, index: usize) -> bool {
        self.before(index).is_some_and(|token| token.text == ".")
    }

    pub(super) fn is_call(&self, index: usize) -> bool {
        let Some([name, open]) = self.tokens.get(index..index + 2) else {
            return false;
        };
        name.kind == TokenKind::Word && open.text == "(" && name.at.end == open.at.start
    }

    /// Returns the last part by which the path at this place may give several values.
    pub(super) fn multi_value_part(&self, path: &Range<usize>) -> Option<Range<usize>> {
        let is_start =
            |token: &QueryToken<'_>| token.kind == TokenKind::Path && token.at.start == path.start;
        let mut index = self.tokens.iter().position(is_start)?;
        let mut part = None;
        while let Some(token) = self.tokens.get(index).filter(|token| token.at.end <= path.end) {
            let start = token.at.start;
            match token.kind {
                TokenKind::Open(closed) => {
                    let one =
                        matches!(self.kind(index + 1), Some(TokenKind::Number | TokenKind::Text));
                    if !one || closed != index + 2 {
                        part = Some(start..self.tokens[closed].at.end);
                    }
                    index = closed;
                }
                TokenKind::Sign if token.text == "*" => part = Some(start - 1..token.at.end),
                TokenKind::Sign if self.is_member(index) => part = Some(start - 1..token.at.end),
                _ => {}
            }
            index += 1;
        }
        part
    }

    fn path(&self, start: usize) -> Option<Range<usize>> {
        if self.kind(start)? != TokenKind::Path {
            return None;
        }
        let mut last = start;
        while let Some(token) = self.tokens.get(last + 1) {
            last = match token.kind {
                TokenKind::Open(closed) if token.text == "[" => closed,
                TokenKind::Word if self.is_member(last + 1) => last + 1,
                TokenKind::Sign if token.text == "." => last + 1,
                TokenKind::Sign if token.text == "*" && self.is_member(last + 1) => last + 1,
                _ => break,
            };
        }
        Some(self.tokens[start].at.start..self.tokens[last].at.end)
    }

    fn call(&self, index: usize) -> Option<Range<usize>> {
        match self.kind(index + 1)? {
            TokenKind::Open(closed) if self.is_call(index) => {
                Some(self.tokens[index].at.start..self.tokens[closed].at.end)
            }
            _ => None,
        }
    }

    fn sides(&self, index: usize) -> Option<ComparisonSpans> {
        let operator =
            self.tokens.get(index).filter(|token| token.kind == TokenKind::Comparison)?;
        let (before, after) = (self.before(index)?, self.tokens.get(index + 1)?);
        let spans = || self.paths.iter().chain(&self.calls);
        let left = spans().find(|span| span.end == before.at.end).unwrap_or(&before.at);
        let right = spans().find(|span| span.start == after.at.start).unwrap_or(&after.at);
        let (left, right) = (left.clone(), right.clone());
        Some(ComparisonSpans { left, operator: operator.at.clone(), right })
    }
}

fn tokens(text: &str) -> Result<Vec<QueryToken<'_>>, QueryError> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let (kind, length) = match first {
            ' ' | '\t' | '\r' | '\n' => {
                start += 1;
                continue;
            }
            '\'' | '"' => (TokenKind::Text, quoted(rest, first).ok_or_else(|| unquoted(start))?),
            '$' | '@' => (TokenKind::Path, 1),
            '(' | '[' => (TokenKind::Open(0), 1),
            ')' | ']' => (TokenKind::Close(0), 1),
            _ if number(rest) > 0 => (TokenKind::Number, number(rest)),
            _ if is_word(first) => (TokenKind::Word, run(rest, is_word)),
            _ => sign(rest, first),
        };
        tokens.push(QueryToken { kind, text: &rest[..length], at: start..start + length });
        start += length;
    }
    Ok(tokens)
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || !character.is_ascii()
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

fn sign(rest: &str, first: char) -> (TokenKind, usize) {
    let two = rest.get(..2).unwrap_or_default();
    match (two, first) {
        ("==" | "!=" | "<=" | ">=", _) => (TokenKind::Comparison, 2),
        ("&&" | "||", _) => (TokenKind::Junction, 2),
        (_, '<' | '>') => (TokenKind::Comparison, 1),
        (_, other) => (TokenKind::Sign, other.len_utf8()),
    }
}

/// Returns the length of the text in quotes at the start of `rest`.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            other if other == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn unquoted(start: usize) -> QueryError {
    QueryError::new("unclosed string", start..start + 1)
        .help("write `\\'` for a quote inside of a text in quotes")
}

/// Returns the length of the number at the start of `rest`, 0 for none.
fn number(rest: &str) -> usize {
    let digits = |from: usize| run(rest.get(from..).unwrap_or_default(), |c| c.is_ascii_digit());
    let sign = usize::from(rest.starts_with('-'));
    if digits(sign) == 0 {
        return 0;
    }
    let mut end = sign + digits(sign);
    if rest[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let signed = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + signed);
        end += if exponent > 0 { 1 + signed + exponent } else { 0 };
    }
    end
}

/// Sets the index of the other half in each bracket.
fn pair(tokens: &mut [QueryToken<'_>]) -> Result<(), QueryError> {
    let mut open = Vec::new();
    for index in 0..tokens.len() {
        let at = tokens[index].at.clone();
        match tokens[index].kind {
            TokenKind::Open(_) => open.push(index),
            TokenKind::Close(_) => {
                let Some(other) = open.pop() else {
                    let message = format!("nothing is open that `{}` closes", tokens[index].text);
                    return Err(QueryError::new(message, at));
                };
                if !fits(&tokens[other], &tokens[index]) {
                    return Err(unclosed(&tokens[other]));
                }
                tokens[other].kind = TokenKind::Open(index);
                tokens[index].kind = TokenKind::Close(other);
            }
            _ => {}
        }
        // The first test bounds the second, which walks all open brackets at each token.
        if open.len() > NESTING_MAX || calls(tokens, &open) > CALLS_NESTED_MAX {
            return Err(QueryError::new("nested too deep", at));
        }
    }
    open.last().map_or(Ok(()), |index| Err(unclosed(&tokens[*index])))
}

fn unclosed(open: &QueryToken<'_>) -> QueryError {
    let close = if open.text == "(" { ')' } else { ']' };
    QueryError::new(format!("this `{}` is not closed", open.text), open.at.clone())
        .help(format!("write `{close}` where it ends"))
}

fn fits(open: &QueryToken<'_>, close: &QueryToken<'_>) -> bool {
    matches!((open.text, close.text), ("(", ")") | ("[", "]"))
}

fn calls(tokens: &[QueryToken<'_>], open: &[usize]) -> usize {
    let is_call = |index: &&usize| {
        let before = index.checked_sub(1).map(|before| &tokens[before]);
        tokens[**index].text == "(" && before.is_some_and(|before| before.kind == TokenKind::Word)
    };
    open.iter().filter(is_call).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let scan = QueryTokens::new(text).unwrap();
        let texts: Vec<&str> = scan.tokens.iter().map(|token| token.text).collect();
        assert_eq!(texts, expected, "{text}");
    }

    fn texts<'t>(text: &'t str, places: &[Range<usize>]) -> Vec<&'t str> {
        places.iter().map(|place| &text[place.clone()]).collect()
    }

    #[test]
    fn query_text_is_cut_into_tokens() {
        check("$.a[0]", &["$", ".", "a", "[", "0", "]"]);
        check("@ <=-1.5e+3", &["@", "<=", "-1.5e+3"]);
        check(r"@['a\'b' ]", &["@", "[", r"'a\'b'", "]"]);
        check("é=ü", &["é", "=", "ü"]);
        check("1.a 1e 1.", &["1", ".", "a", "1", "e", "1", "."]);
    }

    #[test]
    fn paths_calls_and_comparisons_have_places() {
        let text = "$.a[?@.b[0] == length(@..c) && $ > -1].*";
        let scan = QueryTokens::new(text).unwrap();

        let sides: Vec<Range<usize>> =
            scan.comparisons.iter().map(ComparisonSpans::whole).collect();
        assert_eq!(texts(text, &scan.paths), [text, "@.b[0]", "@..c", "$"]);
        assert_eq!(texts(text, &scan.calls), ["length(@..c)"]);
        assert_eq!(texts(text, &sides), ["@.b[0] == length(@..c)", "$ > -1"]);
        assert_eq!(scan.multi_value_part(&scan.paths[0]), Some(38..40));
        assert_eq!(scan.multi_value_part(&scan.paths[1]), None);
        assert_eq!(scan.multi_value_part(&scan.paths[2]), Some(23..25));
    }
}
