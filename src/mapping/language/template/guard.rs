//! Inserts filters of `weight.rs` into a template: each operand of an operator and each item of a
//! list passes through one, which charges for its size. By lists in lists a template can build
//! values far larger than the fuel that it paid, and minijinja's operators walk all of them.

use std::ops::Range;

use super::lexer::{Piece, TemplateToken};
use super::weight::{ADDED, BEYOND, KEPT, KEY, MULTIPLIED, PRINTED, WEIGHED};

/// Template with the inserted filters.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) text: String,
    /// Place of each insertion in the original text, and its length.
    insertions: Vec<(usize, usize)>,
}

impl Guarded {
    pub(super) fn new(template: &str, pieces: &[Piece<'_>]) -> Guarded {
        let mut found: Vec<(usize, String)> = Vec::new();
        for piece in pieces {
            Reader { tokens: &piece.tokens, at: 0, insertions: &mut found }.read(piece);
        }
        // A stable sort: filters at one place apply in the order in which they were found.
        found.sort_by_key(|(at, _)| *at);
        let mut text = String::with_capacity(template.len() + found.len() * 16);
        let mut from = 0;
        for (at, filter) in &found {
            text.push_str(&template[from..*at]);
            text.push_str(filter);
            from = *at;
        }
        text.push_str(&template[from..]);
        let insertions = found.into_iter().map(|(at, filter)| (at, filter.len()));
        Guarded { text, insertions: insertions.collect() }
    }

    /// Returns the place in the original text of a place in this one.
    pub(super) fn original(&self, place: Range<usize>) -> Range<usize> {
        self.before(place.start)..self.before(place.end)
    }

    fn before(&self, at: usize) -> usize {
        let mut inserted = 0;
        for (place, length) in &self.insertions {
            if place + inserted >= at {
                break;
            }
            inserted += (at - place - inserted).min(*length);
        }
        at - inserted
    }
}

/// Operator or sign between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// An operator that walks its operands, and the filter for these.
    Guarded(&'static str),
    /// One of `<`, `<=`, `>` and `>=`, and the side on which the lesser operand is.
    Ordering(Side),
    /// An operator that passes its operands on, or accepts only numbers.
    Free,
    Comma,
    Colon,
    /// The `=` of an argument.
    Equals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Kind of a level of brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    List,
    Map,
    /// One value, or a tuple.
    Parentheses,
    /// Arguments of a call, which may get into a list too.
    Arguments,
    /// Subscripts, slices, and the arguments of filters and tests.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A text in quotes, a number, true, false or none.
    Scalar,
    /// A bracket that contains only such literals.
    Literals,
    Any,
}

/// A name, a literal or a bracket, with its members, calls, filters and tests.
#[derive(Debug)]
struct TemplateOperand {
    content: Content,
    before: Joint,
    after: Joint,
    /// Byte of the template at which it ends.
    end: usize,
}

impl TemplateOperand {
    /// Returns whether a comparison claims that it is the lesser operand.
    // minijinja orders absent values before all others, so `payload.score < 9` would hold without a
    // score. `BEYOND` orders an absent value after all others where the comparison claims that it is
    // the lesser one, so that no comparison with it holds.
    fn is_claimed_lesser(&self) -> bool {
        // These operators bind tighter, so the operand of the comparison is their result.
        let is_part = [self.before, self.after]
            .iter()
            .any(|joint| matches!(joint, Joint::Guarded(filter) if *filter != WEIGHED));
        let is_lesser = match (self.before, self.after) {
            (Joint::Ordering(side), _) => side == Side::Right,
            (_, joint) => joint == Joint::Ordering(Side::Left),
        };
        self.content == Content::Any && is_lesser && !is_part
    }
}

struct Reader<'r, 't> {
    tokens: &'r [(TemplateToken<'t>, Range<usize>)],
    at: usize,
    insertions: &'r mut Vec<(usize, String)>,
}

impl<'t> Reader<'_, 't> {
    fn read(&mut self, piece: &Piece<'_>) {
        let keyword = if piece.is_statement { self.token(0) } else { None };
        match keyword {
            Some(TemplateToken::Word("set")) => return self.set(piece),
            Some(TemplateToken::Word("for")) => self.at = self.after_target(),
            Some(TemplateToken::Word("call"))
                if self.token(1) == Some(TemplateToken::Sign("(")) =>
            {
                self.at = self.closing(1) + 1;
            }
            // Behind the name: parameters are declarations, and only their defaults are values.
            Some(TemplateToken::Word("macro")) => {
                self.at = 2;
                self.group(Level::Other);
            }
            Some(_) => self.at = 1,
            None => {}
        }
        while self.at < self.tokens.len() {
            self.level(Level::Other);
            self.at += 1;
        }
    }

    fn set(&mut self, piece: &Piece<'_>) {
        // Only a namespace has members that can be set. One that contained itself would never be
        // dropped, and printing it would never end.
        let Some(equals) = piece.assignment() else {
            let is_pipe = |(token, _): &(TemplateToken<'_>, _)| *token == TemplateToken::Sign("|");
            self.at = self.tokens.iter().position(is_pipe).unwrap_or(self.tokens.len());
            self.postfix(Content::Any);
            return;
        };
        let into_member =
            self.tokens[..equals].iter().any(|(token, _)| *token == TemplateToken::Sign("."));
        self.at = equals + 1;
        if into_member {
            self.insertions.push((self.tokens[equals].1.end, "(".to_owned()));
        }
        self.level(Level::Parentheses);
        if into_member && let Some((_, last)) = self.tokens.last() {
            self.insertions.push((last.end, format!(")|{KEPT}")));
        }
    }

    /// Returns the token after the `in` of a loop.
    fn after_target(&self) -> usize {
        let is_in = |(token, _): &(TemplateToken<'_>, _)| *token == TemplateToken::Word("in");
        self.tokens.iter().position(is_in).map_or(self.tokens.len(), |at| at + 1)
    }

    fn token(&self, at: usize) -> Option<TemplateToken<'t>> {
        self.tokens.get(at).map(|(token, _)| *token)
    }

    /// Returns the bracket that closes the one at this position.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        let closes = self.tokens[open..].iter().position(|(token, _)| {
            match token {
                TemplateToken::Sign("(" | "[" | "{") => depth += 1,
                TemplateToken::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        closes.map_or(self.tokens.len(), |length| open + length)
    }

    /// Reads up to the bracket that closes this level; returns whether all in it is literal.
    fn level(&mut self, level: Level) -> bool {
        let mut operands: Vec<TemplateOperand> = Vec::new();
        let mut before = Joint::Free;
        let mut is_after_operand = false;
        while !matches!(self.token(self.at), None | Some(TemplateToken::Sign(")" | "]" | "}"))) {
            if let Some(joint) = self.joint(is_after_operand) {
                if is_after_operand && let Some(last) = operands.last_mut() {
                    last.after = joint;
                }
                before = joint;
                is_after_operand = false;
                continue;
            }
            let content = self.operand();
            let end = self.tokens[self.at.min(self.tokens.len()) - 1].1.end;
            operands.push(TemplateOperand { content, before, after: Joint::Free, end });
            before = Joint::Free;
            is_after_operand = true;
        }
        self.guard(&operands, level);
        operands.iter().all(|operand| operand.content != Content::Any)
    }

    /// Reads an operator or sign between operands, if there is one here.
    fn joint(&mut self, is_after_operand: bool) -> Option<Joint> {
        let is_negated_in = self.token(self.at + 1) == Some(TemplateToken::Word("in"));
        let joint = match self.token(self.at)? {
            TemplateToken::Word("not") if is_negated_in => {
                self.at += 1;
                Joint::Guarded(WEIGHED)
            }
            // `f(*list)` unpacks arguments.
            TemplateToken::Sign("*") if !is_after_operand => Joint::Free,
            TemplateToken::Sign("*") => Joint::Guarded(MULTIPLIED),
            TemplateToken::Sign("~") => Joint::Guarded(PRINTED),
            TemplateToken::Sign("+") => Joint::Guarded(ADDED),
            TemplateToken::Sign("==" | "!=") | TemplateToken::Word("in") => Joint::Guarded(WEIGHED),
            TemplateToken::Sign("<" | "<=") => Joint::Ordering(Side::Left),
            TemplateToken::Sign(">" | ">=") => Joint::Ordering(Side::Right),
            TemplateToken::Sign(",") => Joint::Comma,
            TemplateToken::Sign(":") => Joint::Colon,
            TemplateToken::Sign("=") => Joint::Equals,
            TemplateToken::Sign("(" | "[" | "{") => return None,
            TemplateToken::Sign(_) | TemplateToken::Word("and" | "or" | "not" | "if" | "else") => {
                Joint::Free
            }
            TemplateToken::Word(_) | TemplateToken::Number | TemplateToken::Literal(_) => {
                return None;
            }
        };
        self.at += 1;
        Some(joint)
    }

    fn operand(&mut self) -> Content {
        let content = self.primary();
        self.postfix(content)
    }

    fn primary(&mut self) -> Content {
        let token = self.token(self.at);
        match token {
            // `{% with (a, b) = c %}`: names to unpack into, which are no values.
            Some(TemplateToken::Sign("("))
                if self.token(self.closing(self.at) + 1) == Some(TemplateToken::Sign("=")) =>
            {
                self.group(Level::Other)
            }
            Some(TemplateToken::Sign("(")) => self.group(Level::Parentheses),
            Some(TemplateToken::Sign("[")) => self.group(Level::List),
            Some(TemplateToken::Sign("{")) => self.group(Level::Map),
            // Adjacent literals are one text, as in Python.
            Some(TemplateToken::Literal(_)) => {
                while matches!(self.token(self.at), Some(TemplateToken::Literal(_))) {
                    self.at += 1;
                }
                Content::Scalar
            }
            other => {
                self.at += 1;
                match other {
                    Some(
                        TemplateToken::Word("true" | "True" | "false" | "False" | "none" | "None")
                        | TemplateToken::Number,
                    ) => Content::Scalar,
                    _ => Content::Any,
                }
            }
        }
    }

    /// Reads the brackets that begin here.
    fn group(&mut self, level: Level) -> Content {
        self.at += 1;
        let is_literal = self.level(level);
        self.at += 1;
        if is_literal { Content::Literals } else { Content::Any }
    }

    /// Reads members, subscripts, calls, filters and tests.
    fn postfix(&mut self, mut content: Content) -> Content {
        while let Some(token) = self.token(self.at) {
            match token {
                TemplateToken::Sign(".") => self.at += 2,
                TemplateToken::Sign("[") => drop(self.group(Level::Other)),
                TemplateToken::Sign("(") => drop(self.group(Level::Arguments)),
                TemplateToken::Sign("|") => {
                    self.at += 1;
                    self.called();
                }
                TemplateToken::Word("is") => {
                    self.at += 1;
                    self.at += usize::from(self.token(self.at) == Some(TemplateToken::Word("not")));
                    self.called();
                    self.argument_of_test();
                }
                _ => break,
            }
            content = Content::Any;
        }
        content
    }

    /// Reads the name of a filter or test, and its arguments in brackets.
    fn called(&mut self) {
        self.at += 1;
        while self.token(self.at) == Some(TemplateToken::Sign(".")) {
            self.at += 2;
        }
        if self.token(self.at) == Some(TemplateToken::Sign("(")) {
            self.group(Level::Other);
        }
    }

    /// Reads the argument of a test without brackets, as in `a is divisibleby 3`.
    fn argument_of_test(&mut self) {
        if matches!(self.tokens.get(self.at.wrapping_sub(1)), Some((TemplateToken::Sign(")"), _))) {
            return;
        }
        let begins = match self.token(self.at) {
            Some(TemplateToken::Word(word)) => !matches!(word, "and" | "or" | "else" | "is"),
            Some(TemplateToken::Sign(sign)) => matches!(sign, "-" | "[" | "{"),
            Some(TemplateToken::Number | TemplateToken::Literal(_)) => true,
            None => false,
        };
        if !begins {
            return;
        }
        while self.token(self.at) == Some(TemplateToken::Sign("-")) {
            self.at += 1;
        }
        self.primary();
        while matches!(self.token(self.at), Some(TemplateToken::Sign("." | "[" | "("))) {
            match self.token(self.at) {
                Some(TemplateToken::Sign(".")) => self.at += 2,
                Some(TemplateToken::Sign("[")) => drop(self.group(Level::Other)),
                _ => drop(self.group(Level::Arguments)),
            }
        }
    }

    fn guard(&mut self, operands: &[TemplateOperand], level: Level) {
        let is_tuple = operands.iter().any(|it| it.after == Joint::Comma);
        let holds_items = match level {
            Level::List | Level::Map | Level::Arguments => true,
            Level::Parentheses => is_tuple,
            Level::Other => false,
        };
        for (position, operand) in operands.iter().enumerate() {
            let left = position.checked_sub(1).and_then(|left| operands.get(left));
            let before = filter(operand.before, left);
            let after = filter(operand.after, operands.get(position + 1));
            let is_key = level == Level::Map && operand.after == Joint::Colon;
            let is_item = holds_items && operand.after != Joint::Equals;
            // A filter applies to the operand only, because filters bind tighter than operators.
            let filters: &[&str] = match (before, after) {
                _ if operand.content == Content::Scalar => &[],
                _ if is_key => &[KEY],
                (Some(before), Some(after)) if before != after => &[before, after],
                (Some(filter), _) | (None, Some(filter)) => &[filter],
                (None, None) if is_item && operand.content == Content::Any => &[WEIGHED],
                (None, None) => &[],
            };
            let beyond = operand.is_claimed_lesser().then_some(&BEYOND);
            let filters = filters.iter().chain(beyond);
            self.insertions.extend(filters.map(|filter| (operand.end, format!("|{filter}"))));
        }
    }
}

/// Returns the filter for an operand of this joint, whose other operand is `other`.
fn filter(joint: Joint, other: Option<&TemplateOperand>) -> Option<&'static str> {
    match joint {
        // A comparison with a literal reads no more of the value than the literal is long.
        Joint::Guarded(WEIGHED) | Joint::Ordering(_)
            if other.is_some_and(|it| it.content != Content::Any) =>
        {
            None
        }
        Joint::Guarded(filter) => Some(filter),
        Joint::Ordering(_) => Some(WEIGHED),
        Joint::Free | Joint::Comma | Joint::Colon | Joint::Equals => None,
    }
}

#[cfg(test)]
mod tests;
