//! Finds mistakes and probable mistakes of a template when the file is read.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use minijinja::{Environment, Error, ErrorKind};

use super::advice;
use super::bounds::OutOfBounds;
use super::foreign_names::{
    advice_on_filter, advice_on_function, advice_on_method, advice_on_test, advice_on_variable,
    meant_filter, meant_function, meant_variable,
};
use super::functions::{FUNCTIONS, StaticQueries};
use super::lexer::{Piece, TemplateToken};
use super::variable::Variable;
use super::zero_comparisons::zero_comparisons;
use crate::diagnostics::diagnostic::{Diagnostic, MISTAKES_MAX};
use crate::diagnostics::fix::Fix;
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
    pub(super) fn syntax(&mut self, error: &Error, at: Option<Range<usize>>, pieces: &[Piece<'_>]) {
        // minijinja's own message says what it did not expect, and not what was meant.
        if let Some(advice) = advice::of(self.text.text.trim(), pieces) {
            let fix = advice.fix.and_then(|(at, text)| self.fix(at, &text));
            let mistake = Diagnostic::error(self.place(advice.at), advice.message);
            self.mistakes.push(mistake.help(advice.help).maybe_fix(fix));
            return;
        }
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let whole = 0..self.text.text.trim().len();
        let at = at.filter(|at| at.end <= whole.end).unwrap_or(whole);
        let mistake = Diagnostic::error(self.place(at), format!("not a template: {detail}"));
        let help = "a value stands in {{ }}, a statement in {% %}: close each as it was opened";
        self.mistakes.push(mistake.help(help));
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
                    let help = "the blocks, such as [[feedback]], can look it up";
                    self.mistakes.push(Diagnostic::error(at, message).help(help));
                }
                // An unknown function is reported by `calls`.
                None if FUNCTIONS.contains(&name.as_str()) || called.contains(name.as_str()) => {}
                None if unknown == MISTAKES_MAX => {}
                None => {
                    unknown += 1;
                    let message = format!("`{name}` is always empty: nothing has this name");
                    let warning = Diagnostic::warning(at, message);
                    let (help, fix) = if let Some((place, written)) = self.dashed_member(name) {
                        let help = format!("a name with a dash is written {written}");
                        (help, self.fix(place, &written))
                    } else {
                        let meant = meant_variable(name, known);
                        let fix = meant.and_then(|meant| self.renamed(name, meant));
                        (advice_on_variable(name, known), fix)
                    };
                    self.mistakes.push(warning.help(help).maybe_fix(fix));
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
                    let meant = meant_filter(word);
                    unknown.push(("filter", word, at.clone(), (advice_on_filter(word), meant)));
                }
            } else if tested {
                let found = state.perform_test(word, &[]).map_err(kind);
                if found == Err(ErrorKind::UnknownTest) {
                    unknown.push(("test", word, at.clone(), (advice_on_test(word), None)));
                }
            } else if after == Some(TemplateToken::Sign("("))
                && before != Some(TemplateToken::Sign("."))
                && !FUNCTIONS.contains(&word)
                && undeclared.contains(word)
            {
                let meant = meant_function(word);
                unknown.push(("function", word, at.clone(), (advice_on_function(word), meant)));
            } else if after == Some(TemplateToken::Sign("("))
                && before == Some(TemplateToken::Sign("."))
                && position >= 2
                && self.tokens[position - 2].0 != TemplateToken::Word("loop")
            {
                unknown.push(("method", word, at.clone(), (advice_on_method(word), None)));
            }
        }
        for (what, word, at, (help, meant)) in unknown.into_iter().take(MISTAKES_MAX) {
            let fix = meant.and_then(|meant| self.fix(at.clone(), meant));
            let mistake = Diagnostic::error(self.place(at), format!("there is no {what} `{word}`"));
            self.mistakes.push(mistake.help(help).maybe_fix(fix));
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
                    let fix = self.fix(at.start + 1..at.start + 2, "$");
                    let mistake = Diagnostic::error(self.place(at.clone()), NO_ITEM);
                    wrong.push(mistake.help("begin with `$`, the payload").maybe_fix(fix));
                }
                Ok(query) => drop(queries.insert((*text).to_owned(), query)),
                Err(error) => {
                    let start = at.start + 1;
                    // In the quotes of the template, a text with quotes would need escapes.
                    let fix = error.fix.filter(|(_, text)| !text.contains(['\'', '"', '\\']));
                    let fix = fix
                        .and_then(|(at, text)| self.fix(start + at.start..start + at.end, &text));
                    let at = self.place(start + error.at.start..start + error.at.end);
                    let mistake = Diagnostic::error(at, error.message);
                    wrong.push(mistake.maybe_help(error.help).maybe_fix(fix));
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
            let fix = self.fix(at.clone(), "number");
            let warning = Diagnostic::warning(self.place(at), message);
            self.mistakes.push(warning.help(help).maybe_fix(fix));
        }
    }

    /// Warns of texts that are added, which fails or counts them as numbers.
    pub(super) fn joins(&mut self) {
        let mut added = Vec::new();
        for window in self.tokens.windows(3) {
            let [(left, _), (TemplateToken::Sign("+"), at), (right, _)] = window else { continue };
            if matches!(
                (left, right),
                (TemplateToken::Literal(_), _) | (_, TemplateToken::Literal(_))
            ) {
                added.push(at.clone());
            }
        }
        for at in added.into_iter().take(MISTAKES_MAX) {
            let help = "write `~`, which also takes what is missing: payload.a ~ ' x'";
            let fix = self.fix(at.clone(), "~");
            let warning = Diagnostic::warning(self.place(at), "`+` adds numbers, and no texts");
            self.mistakes.push(warning.help(help).maybe_fix(fix));
        }
    }

    /// Returns the place of a member with a dash that ends with this name, as in `payload.a-b`, and
    /// how it is written.
    fn dashed_member(&self, name: &str) -> Option<(Range<usize>, String)> {
        let text = self.text.text.trim();
        let is_end = |window: &&[(TemplateToken<'_>, Range<usize>)]| {
            let joined = window.windows(2).all(|pair| pair[0].1.end == pair[1].1.start);
            let tokens = [window[0].0, window[2].0, window[3].0];
            joined
                && tokens
                    == [
                        TemplateToken::Sign("."),
                        TemplateToken::Sign("-"),
                        TemplateToken::Word(name),
                    ]
        };
        let window = self.tokens.windows(4).find(is_end)?;
        let (dot, key) = (window[0].1.start, window[1].1.start..window[3].1.end);
        let is_path = |c: char| c.is_alphanumeric() || "_.".contains(c);
        let start = text[..dot].rfind(|c| !is_path(c)).map_or(0, |at| at + 1);
        let end = key.end;
        Some((start..end, format!("{}['{}']", text.get(start..dot)?, &text[key])))
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

    /// Returns the fix that writes another name in all places of a variable.
    fn renamed(&self, name: &str, meant: &str) -> Option<Fix> {
        let mut before = TemplateToken::Sign(" ");
        let mut places = Vec::new();
        for (token, at) in &self.tokens {
            if *token == TemplateToken::Word(name) && before != TemplateToken::Sign(".") {
                places.push(at);
            }
            before = *token;
        }
        let text = self.text.text.trim();
        let (first, last) = (places.first()?.start, places.last()?.end);
        let (mut written, mut from) = (String::new(), first);
        for at in places {
            written += text.get(from..at.start)?;
            written += meant;
            from = at.end;
        }
        self.fix(first..last, &written)
    }

    /// Returns the fix that writes another text in place of a part of the template.
    fn fix(&self, at: Range<usize>, text: &str) -> Option<Fix> {
        self.text.replaced(at.start + self.indent..at.end + self.indent, text)
    }

    fn place(&self, at: Range<usize>) -> Range<usize> {
        self.text.part(at.start + self.indent..at.end + self.indent)
    }
}

const NO_ITEM: &str = "`@` is the item, and there is none outside of for_each";
