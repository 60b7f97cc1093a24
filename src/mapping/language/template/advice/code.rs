//! The tokens of one `{{ }}` or `{% %}`, and the advice on them.

use std::ops::Range;

use crate::mapping::language::template::lexer::{Piece, TemplateToken};

/// A mistake, its place in the template, and what to write.
#[derive(Debug)]
pub(in crate::mapping::language::template) struct TemplateAdvice {
    pub(in crate::mapping::language::template) at: Range<usize>,
    pub(in crate::mapping::language::template) message: String,
    pub(in crate::mapping::language::template) help: String,
    /// Byte range in the template and what to write there, if the help names exactly one correction.
    pub(in crate::mapping::language::template) fix: Option<(Range<usize>, String)>,
}

impl TemplateAdvice {
    pub(super) fn new(
        at: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> TemplateAdvice {
        TemplateAdvice { at, message: message.into(), help: help.into(), fix: None }
    }

    pub(super) fn fix(mut self, at: Range<usize>, text: impl Into<String>) -> TemplateAdvice {
        self.fix = Some((at, text.into()));
        self
    }

    /// Says that the place is replaced by this text.
    pub(super) fn replace(self, text: impl Into<String>) -> TemplateAdvice {
        let at = self.at.clone();
        self.fix(at, text)
    }
}

/// One `{{ }}` or `{% %}`.
#[derive(Clone, Copy)]
pub(super) struct Code<'c> {
    pub(super) template: &'c str,
    pub(super) piece: &'c Piece<'c>,
}

impl<'c> Code<'c> {
    pub(super) fn len(self) -> usize {
        self.piece.tokens.len()
    }

    pub(super) fn sign(self, at: usize) -> Option<&'c str> {
        match self.piece.tokens.get(at)?.0 {
            TemplateToken::Sign(sign) => Some(sign),
            _ => None,
        }
    }

    pub(super) fn word(self, at: usize) -> Option<&'c str> {
        match self.piece.tokens.get(at)?.0 {
            TemplateToken::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn place(self, at: usize) -> Range<usize> {
        self.piece.tokens[at].1.clone()
    }

    /// Returns the text of some tokens, without white space around it.
    pub(super) fn text(self, tokens: Range<usize>) -> &'c str {
        match self.piece.tokens.get(tokens) {
            Some([(_, only)]) => &self.template[only.clone()],
            Some([(_, first), .., (_, last)]) => &self.template[first.start..last.end],
            Some([]) | None => "",
        }
    }

    /// Returns the text from this token on.
    pub(super) fn rest(self, from: usize) -> &'c str {
        self.text(from..self.len())
    }

    /// Returns the place of a part of the template.
    pub(super) fn place_of(self, part: &str) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().checked_sub(self.template.as_ptr().addr())?;
        let place = start..start + part.len();
        self.template.get(place.clone()).filter(|found| !found.is_empty()).map(|_| place)
    }

    /// Returns the text with spaces around it where it would touch a name.
    pub(super) fn apart(self, at: &Range<usize>, text: &str) -> String {
        let is_name = |c: char| c.is_alphanumeric() || "_'\")]".contains(c);
        let before = if self.template[..at.start].ends_with(is_name) { " " } else { "" };
        let touches = |c: char| !c.is_whitespace();
        let after = if self.template[at.end..].starts_with(touches) { " " } else { "" };
        format!("{before}{text}{after}")
    }

    /// Returns whether the next token follows without white space.
    pub(super) fn touches(self, at: usize) -> bool {
        self.piece.tokens.get(at + 1).is_some_and(|next| next.1.start == self.place(at).end)
    }

    /// Returns the first token with this sign outside of brackets.
    pub(super) fn outermost(self, sign: &str) -> Option<usize> {
        let mut open = 0_usize;
        (0..self.len()).find(|at| {
            match self.sign(*at) {
                Some("(" | "[" | "{") => open += 1,
                Some(found) if open == 0 && found == sign => return true,
                Some(")" | "]" | "}") => open = open.saturating_sub(1),
                _ => {}
            }
            false
        })
    }

    /// Returns the operand that ends before this token: back to an opening bracket, a comma, or
    /// the word of a statement.
    pub(super) fn operand_before(self, end: usize) -> &'c str {
        let mut open = 0_usize;
        for at in (0..end).rev() {
            match self.sign(at) {
                Some(")" | "]" | "}") => open += 1,
                Some("(" | "[" | "{" | "," | "=") if open == 0 => return self.text(at + 1..end),
                Some("(" | "[" | "{") => open -= 1,
                _ => {}
            }
            let is_statement = self.piece.is_statement && open == 0;
            if is_statement && matches!(self.word(at), Some("if" | "elif" | "in" | "set")) {
                return self.text(at + 1..end);
            }
        }
        self.text(0..end)
    }

    /// Returns the operand from this token on, up to a closing bracket, a comma or a filter.
    pub(super) fn operand_from(self, start: usize) -> &'c str {
        let mut open = 0_usize;
        for at in start..self.len() {
            match self.sign(at) {
                Some("(" | "[" | "{") => open += 1,
                Some(")" | "]" | "}" | "," | "|") if open == 0 => return self.text(start..at),
                Some(")" | "]" | "}") => open -= 1,
                _ => {}
            }
        }
        self.rest(start)
    }

    /// Returns the path that begins with the sign `$` or `@`.
    pub(super) fn path(self, first: usize) -> &'c str {
        let mut end = first;
        let mut open = 0_usize;
        while self.touches(end) {
            match (self.piece.tokens[end + 1].0, open) {
                (TemplateToken::Sign("["), _) => open += 1,
                (TemplateToken::Sign("]"), 1..) => open -= 1,
                (_, 1..) | (TemplateToken::Word(_) | TemplateToken::Sign("."), 0) => {}
                _ => break,
            }
            end += 1;
        }
        self.text(first..end + 1)
    }
}
