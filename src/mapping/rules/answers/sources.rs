//! Places of a form's questions and answers in a payload.

use std::collections::HashMap;

use serde_json::Value;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::fix::{Fix, toml_string};
use crate::diagnostics::table::TomlTable;
use crate::mapping::language::expression::Expression;
use crate::mapping::language::query::Query;
use crate::mapping::language::value_reader::ValueReader;

/// Query for the questions, or for the object of questions and answers.
#[derive(Debug, Clone)]
pub(super) enum QuestionSource {
    Each(Query),
    Of(Query),
}

impl QuestionSource {
    pub(super) fn read(
        table: &mut TomlTable<'_>,
        reader: &mut ValueReader<'_>,
    ) -> Option<QuestionSource> {
        let each = query_at("each", table, reader);
        let of = query_at("of", table, reader);
        if table.value("each").is_some() == table.value("of").is_some() {
            let message = "[answers] needs either `each` or `of`";
            let help = "write each = \"$.questions[*]\", or of = \"$.answers\" for one object";
            let mistake = Diagnostic::error(table.place.clone(), message).help(help);
            reader.mistakes.push(mistake.missing(vec!["each", "of"]));
        }
        each.map(QuestionSource::Each).or(of.map(QuestionSource::Of))
    }
}

/// Query for answers apart from their questions, and the values by which both match.
#[derive(Debug, Clone)]
pub(super) struct AnswerMatch {
    pub(super) query: Query,
    pub(super) question: Expression,
    pub(super) answer: Expression,
}

impl AnswerMatch {
    pub(super) fn read(
        table: &mut TomlTable<'_>,
        reader: &mut ValueReader<'_>,
    ) -> Option<AnswerMatch> {
        let query = query_at("found_in", table, reader);
        let mut matching = table.table("match", reader.mistakes);
        if table.value("found_in").is_some() != matching.is_some() {
            let message = "`found_in` and `match` go together";
            let help = "write match = { question = \"@.id\", answer = \"@.question_id\" }";
            let mistake = Diagnostic::error(table.place.clone(), message).help(help);
            reader.mistakes.push(mistake.missing(vec!["found_in", "match"]));
        }
        let matching = matching.as_mut()?;
        let question = value_at("question", matching, reader);
        let answer = value_at("answer", matching, reader);
        Some(AnswerMatch { query: query?, question: question?, answer: answer? })
    }
}

/// Answers by the key that they share with their question; each is taken at most once.
#[derive(Default)]
pub(super) struct UnmatchedAnswers<'v> {
    answers: Vec<Option<(String, &'v Value)>>,
    positions: HashMap<String, usize>,
}

impl<'v> UnmatchedAnswers<'v> {
    pub(super) fn add(&mut self, key: String, answer: &'v Value) {
        // A second answer with the same key is not found by it, and stays among those left.
        self.positions.entry(key.clone()).or_insert(self.answers.len());
        self.answers.push(Some((key, answer)));
    }

    pub(super) fn take(&mut self, key: &str) -> Option<&'v Value> {
        let position = self.positions.get(key)?;
        self.answers[*position].take().map(|(_, answer)| answer)
    }

    pub(super) fn left(self) -> impl Iterator<Item = (String, &'v Value)> {
        self.answers.into_iter().flatten()
    }
}

/// Text that holds all questions, each before its answer.
#[derive(Debug, Clone)]
pub(super) struct Printed {
    pub(super) text: Expression,
    /// Forms in which an answer may be printed.
    pub(super) answers: Vec<Expression>,
}

impl Printed {
    pub(super) fn read(table: &mut TomlTable<'_>, reader: &mut ValueReader<'_>) -> Option<Printed> {
        let mut printed = table.table("printed", reader.mistakes)?;
        for key in ["text", "answer"] {
            if printed.value(key).is_none() {
                let help = "write printed = { text = \"$.pretty\", answer = \"@.value\" }";
                let message = format!("`printed` has no `{key}`");
                let mistake = Diagnostic::error(printed.place.clone(), message).help(help);
                reader.mistakes.push(mistake.missing(vec![key]));
            }
        }
        let text = value_at("text", &mut printed, reader);
        let answers = match value_at("answer", &mut printed, reader) {
            Some(Expression::Alternatives(answers)) => Some(answers),
            other => other.map(|answer| vec![answer]),
        };
        printed.finish(reader.mistakes);
        Some(Printed { text: text?, answers: answers? })
    }
}

pub(super) fn query_at(
    key: &'static str,
    table: &mut TomlTable<'_>,
    reader: &mut ValueReader<'_>,
) -> Option<Query> {
    let text = table.text(key, reader.mistakes)?;
    reader.query(&text)
}

pub(super) fn value_at(
    key: &'static str,
    table: &mut TomlTable<'_>,
    reader: &mut ValueReader<'_>,
) -> Option<Expression> {
    let value = table.value(key)?;
    let read = reader.read(key, value)?;
    if let Expression::Literal(literal) = &read {
        let text = literal.value.text();
        let message = format!("every question would have the text `{text}` here");
        let help = format!("write \"@.{text}\" to look it up in the question or the answer");
        let fix = Fix { place: value.span(), text: toml_string(&format!("@.{text}")) };
        let mistake = Diagnostic::error(value.span(), message).help(help);
        reader.mistakes.push(mistake.maybe_fix(Some(fix)));
        return None;
    }
    Some(read)
}
