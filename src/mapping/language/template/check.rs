//! Finds mistakes and probable mistakes of a template when the file is read.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use minijinja::{Environment, Error, ErrorKind};

use super::bounds::OutOfBounds;
use super::functions::{FILTERS, FUNCTIONS, StaticQueries};
use super::lexer::{Piece, TemplateToken};
use super::variable::Variable;
use crate::diagnostics::diagnostic::{Diagnostic, MISTAKES_MAX};
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{Diagnostics, SpannedText};
use crate::mapping::language::query::{Patterns, Query};

/// Tokens of an operand that are searched for advice.
// Each `int` searches its operand anew, which would be quadratic in a long template.
const OPERAND_TOKENS_MAX: usize = 64;

/// Words after which a parenthesis is no call.
const KEYWORDS: [&str; 8] = ["and", "elif", "else", "if", "in", "is", "not", "or"];

pub(super) struct TemplateCheck<'c> {
    text: &'c SpannedText,
    /// Length of the white space before the template.
    indent: usize,
    tokens: Vec<(TemplateToken<'c>, Range<usize>)>,
    mistakes: &'c mut Diagnostics,
}

impl<'c> TemplateCheck<'c> {
    pub(super) fn new(
        text: &'c SpannedText,
        pieces: &[Piece<'c>],
        mistakes: &'c mut Diagnostics,
    ) -> TemplateCheck<'c> {
        let indent = text.text.len() - text.text.trim_start().len();
        let tokens = pieces.iter().flat_map(|piece| piece.tokens.iter().cloned()).collect();
        TemplateCheck { text, indent, tokens, mistakes }
    }

    pub(super) fn bounds(&mut self, out: OutOfBounds) {
        let help = "give its parts names of their own: {% set part = ... %}";
        self.mistakes.push(Diagnostic::error(self.place(out.at), out.message).help(help));
    }

    /// Reports a syntax error of minijinja, at its place if it has one.
    pub(super) fn syntax(&mut self, error: &Error, at: Option<Range<usize>>) {
        // minijinja's own message does not say that a query was written where a variable belongs.
        if let Some((at, path)) = self.dollar() {
            let rest = path.trim_start_matches("$.");
            let mistake = Diagnostic::error(self.place(at), "a template cannot look up `$`");
            self.mistakes.push(mistake.help(format!("write payload.{rest} or jsonpath('{path}')")));
            return;
        }
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let whole = 0..self.text.text.trim().len();
        let at = at.filter(|at| at.end <= whole.end).unwrap_or(whole);
        let mistake = Diagnostic::error(self.place(at), format!("not a template: {detail}"));
        let help = "a value stands in {{ }}, a statement in {% %}: close each as it was opened";
        self.mistakes.push(mistake.help(help));
    }

    /// Returns a path that was written as a query inside of `{{ }}`, and its place.
    fn dollar(&self) -> Option<(Range<usize>, String)> {
        let first = self.tokens.iter().position(|(token, _)| *token == TemplateToken::Sign("$"))?;
        let start = self.tokens[first].1.start;
        let mut end = start + 1;
        for (token, at) in &self.tokens[first + 1..] {
            let continues = at.start == end
                && matches!(token, TemplateToken::Word(_) | TemplateToken::Sign("."));
            if !continues {
                break;
            }
            end = at.end;
        }
        Some((start..end, self.text.text.trim()[start..end].to_owned()))
    }

    /// Reports variables that are unknown, and so always empty.
    pub(super) fn variables(&mut self, undeclared: &[String], known: &[Variable]) {
        let places = self.places();
        let called = self.called();
        let mut unknown = 0;
        for name in undeclared {
            let Some(at) = places.get(name.as_str()).map(|at| self.place(at.clone())) else {
                continue;
            };
            match Variable::named(name) {
                Some(variable) if known.contains(&variable) => {}
                Some(Variable::Answers) => {
                    let message = "`answers` is not known here: there is no [answers]";
                    let help = "write [answers] to say where the questions and answers lie, or \
                                take them out of `payload`";
                    self.mistakes.push(Diagnostic::error(at, message).help(help));
                }
                Some(Variable::Item) => {
                    let message = "`item` is empty here: the block has no for_each";
                    let help = "write `payload`, or give the block a for_each";
                    self.mistakes.push(Diagnostic::warning(at, message).help(help));
                }
                Some(_) => {
                    let message = format!("`{name}` is not known here");
                    self.mistakes.push(Diagnostic::error(at, message));
                }
                // An unknown function is reported by `calls`.
                None if FUNCTIONS.contains(&name.as_str()) || called.contains(name.as_str()) => {}
                None if unknown == MISTAKES_MAX => {}
                None => {
                    unknown += 1;
                    let names = known.iter().map(|variable| variable.name());
                    let help = match nearest(name, names) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("write payload.{name} for what is in the payload"),
                    };
                    let message = format!("`{name}` is always empty: nothing has this name");
                    self.mistakes.push(Diagnostic::warning(at, message).help(help));
                }
            }
        }
    }

    /// Reports unknown functions, filters and tests.
    pub(super) fn calls(&mut self, undeclared: &[String], environment: &Environment<'_>) {
        // minijinja looks them up only when they are called, and has no list of them: each is
        // called here without arguments, and only the error that it is unknown counts.
        let mut state = environment.empty_state();
        let undeclared: HashSet<&str> = undeclared.iter().map(String::as_str).collect();
        let mut unknown = Vec::new();
        for (position, (token, at)) in self.tokens.iter().enumerate() {
            let TemplateToken::Word(word) = *token else {
                continue;
            };
            let before = position.checked_sub(1).map(|before| self.tokens[before].0);
            let after = self.tokens.get(position + 1).map(|(token, _)| *token);
            let tested = before == Some(TemplateToken::Word("is")) && word != "not"
                || before == Some(TemplateToken::Word("not"))
                    && position >= 2
                    && self.tokens[position - 2].0 == TemplateToken::Word("is");
            let kind = |error: Error| error.kind();
            if before == Some(TemplateToken::Sign("|")) {
                let found = state.apply_filter(word, &[]).map_err(kind);
                if found == Err(ErrorKind::UnknownFilter) {
                    unknown.push(("filter", word, at.clone(), nearest(word, FILTERS)));
                }
            } else if tested {
                let found = state.perform_test(word, &[]).map_err(kind);
                if found == Err(ErrorKind::UnknownTest) {
                    unknown.push(("test", word, at.clone(), None));
                }
            } else if after == Some(TemplateToken::Sign("("))
                && before != Some(TemplateToken::Sign("."))
                && !FUNCTIONS.contains(&word)
                && undeclared.contains(word)
            {
                unknown.push(("function", word, at.clone(), nearest(word, FUNCTIONS)));
            }
        }
        for (what, word, at, meant) in unknown.into_iter().take(MISTAKES_MAX) {
            let mistake = Diagnostic::error(self.place(at), format!("there is no {what} `{word}`"));
            self.mistakes.push(match meant {
                Some(meant) => mistake.help(format!("did you mean `{meant}`?")),
                None => mistake,
            });
        }
    }

    /// Parses the queries that are literals in the template, and reports their mistakes.
    pub(super) fn queries(
        &mut self,
        queries: &mut StaticQueries,
        patterns: &Patterns,
        has_item: bool,
    ) {
        let mut wrong = Vec::new();
        for window in self.tokens.windows(4) {
            let [
                (function, _),
                (TemplateToken::Sign("("), _),
                (TemplateToken::Literal(text), at),
                (end, _),
            ] = window
            else {
                continue;
            };
            if *function != TemplateToken::Word("jsonpath") || *end != TemplateToken::Sign(")") {
                continue;
            }
            // The text of a literal with escapes is known only when the template runs.
            if text.contains('\\') {
                continue;
            }
            match Query::parse_within(text, patterns) {
                Ok(query) if query.is_relative() && !has_item => {
                    let mistake = Diagnostic::error(self.place(at.clone()), NO_ITEM);
                    wrong.push(mistake.help("begin with `$`, the payload"));
                }
                Ok(query) => drop(queries.insert((*text).to_owned(), query)),
                Err(error) => {
                    let start = at.start + 1;
                    let at = self.place(start + error.at.start..start + error.at.end);
                    let mistake = Diagnostic::error(at, error.message);
                    wrong.push(Diagnostic { help: error.help, ..mistake });
                }
            }
        }
        self.mistakes.append(&mut wrong);
    }

    /// Warns of `int` and `float` without a default whose results are compared.
    // They give 0 for an absent value: a question without an answer would count as the score 0.
    pub(super) fn comparisons(&mut self) {
        let found = (1..self.tokens.len()).filter_map(|at| self.zero_in_comparison(at));
        for (word, at) in found.take(MISTAKES_MAX).collect::<Vec<_>>() {
            let message = format!("`{word}` makes 0 of what is not there, which is then compared");
            let help = "write `number`: no comparison with what is no number holds";
            self.mistakes.push(Diagnostic::warning(self.place(at), message).help(help));
        }
    }

    fn zero_in_comparison(&self, at: usize) -> Option<(&'c str, Range<usize>)> {
        let TemplateToken::Word(word @ ("int" | "float")) = self.tokens[at].0 else { return None };
        if self.sign(at - 1) != Some("|") || self.sign(at + 1) == Some("(") {
            return None;
        }
        let mut end = self.end_of_filters(at + 1)?;
        let mut start = self.operand_without_default(at - 1)?;
        while let Some(opening) = start.checked_sub(1).filter(|before| self.is_grouping(*before))
            && self.sign(end) == Some(")")
            && end - at < OPERAND_TOKENS_MAX
        {
            start = opening;
            end = self.end_of_filters(end + 1)?;
        }
        let is_ordering = |at| matches!(self.sign(at), Some("<" | "<=" | ">" | ">="));
        let is_compared = is_ordering(end) || start.checked_sub(1).is_some_and(is_ordering);
        is_compared.then(|| (word, self.tokens[at].1.clone()))
    }

    /// Returns the token after the filters that begin at this token.
    fn end_of_filters(&self, begin: usize) -> Option<usize> {
        let mut end = begin;
        while self.sign(end) == Some("|") && end - begin < OPERAND_TOKENS_MAX {
            end += 2;
            if self.sign(end) == Some("(") {
                let length = self.tokens[end..].iter().take(OPERAND_TOKENS_MAX);
                let mut length = length.map(|(token, _)| *token);
                end += 1 + length.position(|token| token == TemplateToken::Sign(")"))?;
            }
        }
        Some(end)
    }

    /// Returns whether this is a parenthesis that groups and calls nothing.
    fn is_grouping(&self, at: usize) -> bool {
        let before = at.checked_sub(1).map(|before| self.tokens[before].0);
        let is_call = match before {
            Some(TemplateToken::Word(word)) => !KEYWORDS.contains(&word),
            Some(TemplateToken::Sign(sign)) => matches!(sign, ")" | "]"),
            _ => false,
        };
        self.sign(at) == Some("(") && !is_call
    }

    /// Returns the first token of the operand that ends before this one; `None` if the operand has
    /// the filter `default`.
    fn operand_without_default(&self, end: usize) -> Option<usize> {
        let mut open = 0_usize;
        for at in (end.saturating_sub(OPERAND_TOKENS_MAX)..end).rev() {
            let before = at.checked_sub(1).and_then(|before| self.sign(before));
            match self.tokens[at].0 {
                TemplateToken::Sign(")" | "]" | "}") => open += 1,
                TemplateToken::Sign("(" | "[" | "{") => {
                    open = open.checked_sub(1)?;
                    let is_called = at.checked_sub(1).is_some_and(|before| {
                        matches!(self.tokens[before].0, TemplateToken::Word(_))
                            || matches!(self.sign(before), Some(")" | "]"))
                    });
                    if open == 0 && !is_called {
                        return Some(at);
                    }
                }
                _ if open > 0 => {}
                TemplateToken::Word("default" | "d") if before == Some("|") => return None,
                TemplateToken::Word(_) | TemplateToken::Number | TemplateToken::Literal(_)
                    if !matches!(before, Some("." | "|")) =>
                {
                    return Some(at);
                }
                _ => {}
            }
        }
        None
    }

    fn sign(&self, at: usize) -> Option<&'c str> {
        match self.tokens.get(at)?.0 {
            TemplateToken::Sign(sign) => Some(sign),
            _ => None,
        }
    }

    /// Returns the names before a parenthesis.
    fn called(&self) -> HashSet<&'c str> {
        let pairs = self.tokens.windows(2);
        let called = pairs.filter_map(|pair| match (pair[0].0, pair[1].0) {
            (TemplateToken::Word(name), TemplateToken::Sign("(")) => Some(name),
            _ => None,
        });
        called.collect()
    }

    /// Returns the first place of each name that is not a member.
    fn places(&self) -> HashMap<&'c str, Range<usize>> {
        let mut places = HashMap::new();
        let mut before = TemplateToken::Sign(" ");
        for (token, at) in &self.tokens {
            if let TemplateToken::Word(name) = token
                && before != TemplateToken::Sign(".")
            {
                places.entry(*name).or_insert_with(|| at.clone());
            }
            before = *token;
        }
        places
    }

    fn place(&self, at: Range<usize>) -> Range<usize> {
        self.text.part(at.start + self.indent..at.end + self.indent)
    }
}

const NO_ITEM: &str = "`@` is the item, and there is none outside of for_each";
