//! Finds comparisons with the 0 that `int` and `float` make of an absent value: a question without
//! an answer would count as the score 0.

use std::collections::HashMap;
use std::ops::Range;

use super::lexer::{Piece, TemplateToken};

/// Tokens of an expression that are searched.
// Each `int` searches its expression anew, which would be quadratic in a long template.
const TOKENS_MAX: usize = 64;

/// Words after which a parenthesis is no call, and before which no operand ends.
const KEYWORDS: [&str; 8] = ["and", "elif", "else", "if", "in", "is", "not", "or"];

const ORDERINGS: [&str; 4] = ["<", "<=", ">", ">="];
const ORDERING_TESTS: [&str; 6] = ["lt", "lessthan", "le", "gt", "greaterthan", "ge"];
const ARITHMETIC: [&str; 7] = ["+", "-", "*", "/", "//", "%", "**"];

/// Filters that give a number or fail.
const NUMBER_FILTERS: [&str; 2] = ["length", "count"];
const DEFAULT_FILTERS: [&str; 2] = ["default", "d"];

/// Statements that declare names of their own.
const DECLARATIONS: [&str; 6] = ["call", "for", "from", "import", "macro", "with"];

/// Returns the `int` and `float` without a default whose results are compared, with their places.
pub(super) fn zero_comparisons<'t>(pieces: &[Piece<'t>]) -> Vec<(&'t str, Range<usize>)> {
    let mut found = Vec::new();
    let mut variables: Option<Variables<'t>> = None;
    for piece in pieces {
        let tokens = PieceTokens(&piece.tokens);
        for (at, (_, place)) in piece.tokens.iter().enumerate() {
            let Some((filter, operand)) = tokens.zero(at) else { continue };
            let is_compared = match tokens.use_of(operand) {
                Use::Compared => true,
                Use::Other(sum) => assigned(piece, &sum).is_some_and(|name| {
                    variables.get_or_insert_with(|| Variables::of(pieces)).is_compared(pieces, name)
                }),
            };
            if is_compared {
                found.push((filter, place.clone()));
            }
        }
    }
    found
}

/// Returns the variable that a `{% set %}` sets to this expression.
fn assigned<'t>(piece: &Piece<'t>, expression: &Range<usize>) -> Option<&'t str> {
    let equals = piece.assignment()?;
    if equals != 2 || *expression != (equals + 1..piece.tokens.len()) {
        return None;
    }
    match piece.tokens[1].0 {
        TemplateToken::Word(name) => Some(name),
        _ => None,
    }
}

/// Positions of each name that is no member, as the numbers of a piece and of its token.
struct Variables<'t>(HashMap<&'t str, Vec<(usize, usize)>>);

impl<'t> Variables<'t> {
    fn of(pieces: &[Piece<'t>]) -> Variables<'t> {
        let mut places: HashMap<&'t str, Vec<(usize, usize)>> = HashMap::new();
        for (number, piece) in pieces.iter().enumerate() {
            let tokens = PieceTokens(&piece.tokens);
            for (at, (token, _)) in piece.tokens.iter().enumerate() {
                let before = at.checked_sub(1).and_then(|before| tokens.sign(before));
                if let TemplateToken::Word(name) = *token
                    && !matches!(before, Some("." | "|"))
                {
                    places.entry(name).or_default().push((number, at));
                }
            }
        }
        Variables(places)
    }

    /// Returns whether a variable that is set once is compared.
    fn is_compared(&self, pieces: &[Piece<'t>], name: &str) -> bool {
        let places = self.0.get(name).map_or(&[][..], Vec::as_slice);
        let mut times_set = 0;
        let mut is_compared = false;
        for &(number, at) in places {
            let piece = &pieces[number];
            let tokens = PieceTokens(&piece.tokens);
            match piece.tokens[0].0 {
                // There it may be another variable of the same name.
                TemplateToken::Word(word) if piece.is_statement && DECLARATIONS.contains(&word) => {
                    return false;
                }
                TemplateToken::Word("set")
                    if piece.is_statement
                        && piece.assignment().is_none_or(|equals| at < equals) =>
                {
                    times_set += 1;
                }
                _ => is_compared |= tokens.is_compared_variable(at),
            }
        }
        is_compared && times_set == 1
    }
}

enum Use {
    Compared,
    /// The whole sum or product in which the value is.
    Other(Range<usize>),
}

#[derive(Clone, Copy)]
struct PieceTokens<'p, 't>(&'p [(TemplateToken<'t>, Range<usize>)]);

impl<'t> PieceTokens<'_, 't> {
    fn sign(self, at: usize) -> Option<&'t str> {
        match self.0.get(at)?.0 {
            TemplateToken::Sign(sign) => Some(sign),
            _ => None,
        }
    }

    fn word(self, at: usize) -> Option<&'t str> {
        match self.0.get(at)?.0 {
            TemplateToken::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is_sign_of(self, at: usize, signs: &[&str]) -> bool {
        self.sign(at).is_some_and(|sign| signs.contains(&sign))
    }

    /// Returns the filter at this token, and its operand with all of its filters, if the filter
    /// makes 0 of an absent value.
    fn zero(self, at: usize) -> Option<(&'t str, Range<usize>)> {
        let filter = self.word(at).filter(|word| matches!(*word, "int" | "float"))?;
        let pipe = at.checked_sub(1)?;
        // In parentheses is the default.
        if self.sign(pipe) != Some("|") || self.sign(at + 1) == Some("(") {
            return None;
        }
        let start = self.start_of_operand(pipe)?;
        if self.is_never_absent(start..pipe) {
            return None;
        }
        Some((filter, start..self.end_of_suffixes(at + 1)?))
    }

    /// Returns whether the filters of the operand give a number, or a default for what is absent.
    fn is_never_absent(self, mut operand: Range<usize>) -> bool {
        loop {
            let filters: Vec<&str> = self.filters(operand.clone()).collect();
            let is_number = filters.last().is_some_and(|last| NUMBER_FILTERS.contains(last));
            if is_number || filters.iter().any(|filter| DEFAULT_FILTERS.contains(filter)) {
                return true;
            }
            let is_group = self.is_group(operand.start)
                && self.closing(operand.start) == operand.end.checked_sub(1);
            if !is_group {
                return false;
            }
            operand = operand.start + 1..operand.end - 1;
        }
    }

    /// Returns the filters outside of brackets.
    fn filters(self, operand: Range<usize>) -> impl Iterator<Item = &'t str> {
        let mut open = 0_usize;
        operand.filter_map(move |at| {
            match self.sign(at) {
                Some("(" | "[" | "{") => open += 1,
                Some(")" | "]" | "}") => open = open.saturating_sub(1),
                Some("|") if open == 0 => return self.word(at + 1),
                _ => {}
            }
            None
        })
    }

    fn is_compared_variable(self, at: usize) -> bool {
        // `n.x`, `n[0]`, `n()` and the name of an argument, `n=1`, are no uses of the number.
        if self.is_sign_of(at + 1, &[".", "[", "(", "="]) {
            return false;
        }
        let end = self.end_of_suffixes(at + 1);
        end.is_some_and(|end| matches!(self.use_of(at..end), Use::Compared))
    }

    fn use_of(self, mut operand: Range<usize>) -> Use {
        let first = operand.start;
        loop {
            if self.is_ordering_test(operand.end) {
                return Use::Compared;
            }
            let sum = self.start_of_sum(operand.start)..self.end_of_sum(operand.end);
            let Some(before) = sum.start.checked_sub(1) else {
                let is_compared = self.is_sign_of(sum.end, &ORDERINGS);
                return if is_compared { Use::Compared } else { Use::Other(sum) };
            };
            if self.is_sign_of(before, &ORDERINGS) || self.is_sign_of(sum.end, &ORDERINGS) {
                return Use::Compared;
            }
            if self.sign(before) != Some("(") || self.sign(sum.end) != Some(")") {
                return Use::Other(sum);
            }
            if self.is_argument_of_ordering_test(before) {
                return Use::Compared;
            }
            let end = self.end_of_suffixes(sum.end + 1);
            match end.filter(|_| self.is_group(before) && first - before < TOKENS_MAX) {
                Some(end) => operand = before..end,
                None => return Use::Other(sum),
            }
        }
    }

    /// Returns whether `is lt`, `is not gt` or the like begins here.
    fn is_ordering_test(self, at: usize) -> bool {
        let name = if self.word(at + 1) == Some("not") { at + 2 } else { at + 1 };
        self.word(at) == Some("is")
            && self.word(name).is_some_and(|name| ORDERING_TESTS.contains(&name))
    }

    /// Returns whether the parenthesis is that of `is lt(`, `is not gt(` or the like.
    fn is_argument_of_ordering_test(self, parenthesis: usize) -> bool {
        [2, 3].iter().filter_map(|steps| parenthesis.checked_sub(*steps)).any(|is| {
            let name = if self.word(is + 1) == Some("not") { is + 2 } else { is + 1 };
            name + 1 == parenthesis && self.is_ordering_test(is)
        })
    }

    /// Returns the first token of the sum or product whose operand begins here.
    fn start_of_sum(self, operand: usize) -> usize {
        let mut start = operand;
        while let Some(sign) = start.checked_sub(1).filter(|at| self.is_sign_of(*at, &ARITHMETIC))
            && operand - start < TOKENS_MAX
        {
            let is_binary = sign.checked_sub(1).is_some_and(|before| self.ends_operand(before));
            start = if is_binary { self.start_of_operand(sign).unwrap_or(sign) } else { sign };
        }
        start
    }

    /// Returns the token after the sum or product whose operand ends before this token.
    fn end_of_sum(self, operand: usize) -> usize {
        let mut end = operand;
        while self.is_sign_of(end, &ARITHMETIC) && end - operand < TOKENS_MAX {
            let Some(next) = self.end_of_operand(end + 1) else { break };
            end = next;
        }
        end
    }

    fn ends_operand(self, at: usize) -> bool {
        match self.0[at].0 {
            TemplateToken::Word(word) => !KEYWORDS.contains(&word),
            TemplateToken::Number | TemplateToken::Literal(_) => true,
            TemplateToken::Sign(sign) => matches!(sign, ")" | "]" | "}"),
        }
    }

    /// Returns the token after the operand that begins at this token.
    fn end_of_operand(self, begin: usize) -> Option<usize> {
        let mut at = begin;
        while self.is_sign_of(at, &["-", "+"]) && at - begin < TOKENS_MAX {
            at += 1;
        }
        let is_bracket = self.is_sign_of(at, &["(", "[", "{"]);
        self.end_of_suffixes(if is_bracket { self.closing(at)? + 1 } else { at + 1 })
    }

    /// Returns the token after the members, subscripts, calls and filters that begin at this token.
    fn end_of_suffixes(self, begin: usize) -> Option<usize> {
        let mut end = begin;
        while end - begin < TOKENS_MAX {
            end = match self.sign(end) {
                Some("|" | ".") => end + 2,
                Some("(" | "[") => self.closing(end)? + 1,
                _ => break,
            };
        }
        Some(end)
    }

    /// Returns the first token of the operand that ends before this token.
    fn start_of_operand(self, end: usize) -> Option<usize> {
        let mut open = 0_usize;
        for at in (end.saturating_sub(TOKENS_MAX)..end).rev() {
            let before = at.checked_sub(1).and_then(|before| self.sign(before));
            match self.0[at].0 {
                TemplateToken::Sign(")" | "]" | "}") => open += 1,
                TemplateToken::Sign("(" | "[" | "{") => {
                    open = open.checked_sub(1)?;
                    if open == 0 && !self.is_call(at) {
                        return Some(at);
                    }
                }
                TemplateToken::Word(_) | TemplateToken::Number | TemplateToken::Literal(_)
                    if open == 0 && !matches!(before, Some("." | "|")) =>
                {
                    return Some(at);
                }
                _ => {}
            }
        }
        None
    }

    /// Returns the bracket that closes this one.
    fn closing(self, opening: usize) -> Option<usize> {
        let mut open = 0_usize;
        let closes = (opening..self.0.len()).take(TOKENS_MAX).find(|at| {
            match self.sign(*at) {
                Some("(" | "[" | "{") => open += 1,
                Some(")" | "]" | "}") => open = open.saturating_sub(1),
                _ => {}
            }
            open == 0
        });
        closes.filter(|at| *at > opening)
    }

    /// Returns whether the bracket is a parenthesis that groups and calls nothing.
    fn is_group(self, bracket: usize) -> bool {
        self.sign(bracket) == Some("(") && !self.is_call(bracket)
    }

    /// Returns whether the bracket belongs to the value, filter or test before it.
    fn is_call(self, bracket: usize) -> bool {
        bracket.checked_sub(1).is_some_and(|before| self.ends_operand(before))
    }
}
