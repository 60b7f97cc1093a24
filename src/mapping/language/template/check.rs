//! Finds mistakes and probable mistakes of a template when the file is read.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use minijinja::{Environment, Error, ErrorKind};

use super::bounds::OutOfBounds;
use super::functions::{FILTERS, FUNCTIONS, StaticQueries};
use super::lexer::{Piece, TemplateToken};
use super::variable::Variable;
use super::zero_comparisons::zero_comparisons;
use crate::diagnostics::diagnostic::{Diagnostic, MISTAKES_MAX};
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{Diagnostics, SpannedText};
use crate::mapping::language::query::{Patterns, Query};

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
    pub(super) fn comparisons(&mut self, pieces: &[Piece<'c>]) {
        for (word, at) in zero_comparisons(pieces).into_iter().take(MISTAKES_MAX) {
            let message = format!("`{word}` makes 0 of what is not there, which is then compared");
            let help = "write `number`: no comparison with what is no number holds";
            self.mistakes.push(Diagnostic::warning(self.place(at), message).help(help));
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
