//! Reads the questions and answers of a form from the places that `[answers]` names.

mod printed;
mod sources;

use serde_json::{Value, json};

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::mapping::language::condition::WhenClause;
use crate::mapping::language::expression::Expression;
use crate::mapping::language::form_answers::{FormAnswers, Question};
use crate::mapping::language::item_values::ItemValues;
use crate::mapping::language::query::{Patterns, Query};
use crate::mapping::language::query_log::QueryLog;
use crate::mapping::language::scope::{AnswerSource, ItemScope, Scope};
use crate::mapping::language::taken::StandIns;
use crate::mapping::language::template::{Templates, Variable};
use crate::mapping::language::value::{Cardinality, Scalar, ValueError, joined};
use crate::mapping::language::value_reader::ValueReader;
use sources::{AnswerMatch, Printed, QuestionSource, UnmatchedAnswers, query_at, value_at};

/// Levels of nested questions.
const DEPTH_MAX: usize = 16;
/// Questions of one form, including nested ones.
const QUESTIONS_MAX: usize = 2_000;

/// Places of questions and answers in the payload of a form provider. The keys of `[answers]`:
///
/// - `each`: a query that gives the questions (or the answers) in the order of the form.
/// - `of`: instead of `each`, a query for an object whose entries are question and answer; each
///   entry is then seen as `{"key": ..., "value": ...}`. Keys that begin with `_` are left out.
/// - `nested`: a query that gives the questions inside of a question, such as a group's.
/// - `when`: a condition, as in a block, that selects the questions.
/// - `found_in`, `match`: for answers apart from their questions. `found_in` is a query that
///   gives all answers; `match = { question = "@.id", answer = "@.field.id" }` are the two values
///   that are equal where an answer belongs to a question. An answer without a question comes last.
/// - `question`: the question's text; `@` is the question. With `of`, its default is `@.key`.
/// - `printed`: for questions that occur only in one text, `question:answer, question:answer`.
///   `printed = { text = "$.pretty", answer = ["@.value"] }` names that text and the forms in which
///   an answer may be printed in it. `question` is then used for those that are not found there.
/// - `answer`: the answer's value; `@` is the answer (the question, without `found_in`). With `of`,
///   its default is the entry's value. Several nodes, such as chosen labels, stay several; an
///   object is its entries, each as `key: value`.
/// - `keys`: values by which an answer can be looked up beside the question: reference, key, id.
///
/// Queries see the payload as `$`, templates as `payload`; templates see `@` as `item`.
#[derive(Debug, Clone)]
pub struct AnswerRules {
    templates: Templates,
    source: Option<QuestionSource>,
    nested: Option<Query>,
    when: Option<WhenClause>,
    matching: Option<AnswerMatch>,
    printed: Option<Printed>,
    question: Option<Expression>,
    answer: Option<Expression>,
    /// Reading of an answer's nodes: `One` by the defaults of `of`, otherwise `Answer`.
    cardinality: Cardinality,
    keys: Option<Expression>,
}

const KNOWN: [Variable; 5] =
    [Variable::Payload, Variable::Headers, Variable::Event, Variable::Item, Variable::Jsonpath];

impl AnswerRules {
    /// Reads `[answers]` of a provider file or of a mapping file.
    pub fn compile(
        mut table: TomlTable<'_>,
        patterns: &Patterns,
        mistakes: &mut Diagnostics,
    ) -> AnswerRules {
        let mut templates = Templates::new(patterns);
        let mut reader = ValueReader::new(table.document(), &mut templates, &KNOWN, mistakes);
        let source = QuestionSource::read(&mut table, &mut reader);
        let nested = query_at("nested", &mut table, &mut reader);
        let when = WhenClause::read(&mut table, &mut reader);
        let matching = AnswerMatch::read(&mut table, &mut reader);
        let printed = Printed::read(&mut table, &mut reader);
        let defaults = match source {
            Some(QuestionSource::Of(_)) => [Some("@.key"), Some("@.value.*"), Some("@.value")],
            Some(QuestionSource::Each(_)) | None => [None; 3],
        };
        let [key, items, value] = defaults.map(|text| default_value(&mut reader, text?));
        let question = value_at("question", &mut table, &mut reader).or(key);
        // By default a list or an object counts as its items: "Ann, B", not "first: Ann, last: B".
        let entry =
            items.zip(value).map(|(items, value)| Expression::Alternatives(vec![items, value]));
        let cardinality =
            if table.value("answer").is_some() { Cardinality::Answer } else { Cardinality::One };
        let answer = value_at("answer", &mut table, &mut reader).or(entry);
        let keys = value_at("keys", &mut table, &mut reader);
        // Without a source, or with a key that is there and wrong, the mistake is known already.
        for (key, is_missing) in [("question", question.is_none()), ("answer", answer.is_none())] {
            if is_missing && source.is_some() && table.value(key).is_none() {
                reader.mistakes.push(missing(&table, key));
            }
        }
        table.finish(reader.mistakes);
        let templates = templates.seal();
        AnswerRules {
            templates,
            source,
            nested,
            when,
            matching,
            printed,
            question,
            answer,
            cardinality,
            keys,
        }
    }

    /// Returns rules that find no question.
    pub fn none(patterns: &Patterns) -> AnswerRules {
        AnswerRules {
            templates: Templates::new(patterns).seal(),
            source: None,
            nested: None,
            when: None,
            matching: None,
            printed: None,
            question: None,
            answer: None,
            cardinality: Cardinality::One,
            keys: None,
        }
    }

    /// Returns the questions and those nested in them, in the order of the form.
    fn with_nested<'v>(
        &self,
        questions: Vec<&'v Value>,
        scope: &'v Scope<'v>,
    ) -> Result<Vec<&'v Value>, ValueError> {
        let Some(nested) = &self.nested else {
            return Ok(questions);
        };
        // Depth first, by a stack with the next question on top; recursion would follow the depth
        // of the payload.
        let mut found = Vec::new();
        let mut open: Vec<(&Value, usize)> = questions.into_iter().rev().map(|q| (q, 0)).collect();
        while let Some((question, depth)) = open.pop() {
            found.push(question);
            if found.len() > QUESTIONS_MAX || depth == DEPTH_MAX {
                return Err(ValueError::new("the form has too many questions, or goes too deep"));
            }
            let inner = scope.budget.nodes(nested, scope.payload, question)?;
            open.extend(inner.into_iter().rev().map(|inner| (inner, depth + 1)));
        }
        Ok(found)
    }

    fn read(
        &self,
        questions: &[&Value],
        scope: &Scope<'_>,
        collected: &mut FormAnswers,
    ) -> Result<(), ValueError> {
        if questions.len() > QUESTIONS_MAX {
            return Err(ValueError::new("the form has more than 2,000 questions"));
        }
        let mut unmatched =
            self.matching.as_ref().map(|matching| self.unmatched(matching, scope)).transpose()?;
        let selected = self.selected(questions, scope)?;
        let mut printed = self.printed(&selected, scope)?.into_iter();
        for question in selected {
            let view = ItemValues::new(scope, &self.templates, Some(question));
            let answer = match (&self.matching, &mut unmatched) {
                (Some(matching), Some(unmatched)) => {
                    unmatched.take(&joined_text(&matching.question, &view)?)
                }
                _ => Some(question),
            };
            let question = self.question(&view, printed.next().flatten())?;
            let answer = answer.map(|answer| ItemValues::new(scope, &self.templates, Some(answer)));
            self.answer(answer, question, collected);
        }
        // Answers whose question is not in the payload are kept, under their key.
        for (key, answer) in unmatched.into_iter().flat_map(UnmatchedAnswers::left) {
            let view = ItemValues::new(scope, &self.templates, Some(answer));
            self.answer(Some(view), Question { text: key, keys: Vec::new() }, collected);
        }
        Ok(())
    }

    /// Returns the questions for which `when` holds.
    fn selected<'v>(
        &self,
        questions: &[&'v Value],
        scope: &Scope<'_>,
    ) -> Result<Vec<&'v Value>, ValueError> {
        let Some(when) = &self.when else {
            return Ok(questions.to_vec());
        };
        let mut selected = Vec::new();
        for question in questions {
            if when.holds(&ItemValues::new(scope, &self.templates, Some(question)))? {
                selected.push(*question);
            }
        }
        Ok(selected)
    }

    /// Returns the text of each question that `printed` finds; empty without `printed`.
    fn printed(
        &self,
        questions: &[&Value],
        scope: &Scope<'_>,
    ) -> Result<Vec<Option<String>>, ValueError> {
        let Some(printed) = &self.printed else {
            return Ok(Vec::new());
        };
        let text = joined_text(&printed.text, &ItemValues::new(scope, &self.templates, None))?;
        let mut answers = Vec::new();
        for question in questions {
            let view = ItemValues::new(scope, &self.templates, Some(question));
            // A form that fails to evaluate is not the one in which the answer was printed.
            let nodes = printed.answers.iter().filter_map(|answer| {
                answer.nodes(&view, Cardinality::Answer, &mut QueryLog::default()).ok()
            });
            let forms = nodes.map(|nodes| joined(&nodes, ", ")).filter(|text| !text.is_empty());
            answers.push(forms.collect());
        }
        let found = printed::questions(&text, &answers);
        Ok(found.into_iter().map(|question| question.map(str::to_owned)).collect())
    }

    fn question(
        &self,
        view: &ItemValues<'_>,
        printed: Option<String>,
    ) -> Result<Question, ValueError> {
        let mut read = Question::default();
        match (printed, &self.question) {
            (Some(printed), _) => read.text = printed,
            (None, Some(question)) => read.text = joined_text(question, view)?,
            (None, None) => {}
        }
        if let Some(keys) = &self.keys {
            let keys = keys.nodes(view, Cardinality::Many, &mut QueryLog::default())?;
            read.keys = keys.iter().map(Scalar::text).collect();
        }
        Ok(read)
    }

    /// Adds an answer under its question; one that fails is left out, and noted.
    fn answer(
        &self,
        answer: Option<ItemValues<'_>>,
        question: Question,
        collected: &mut FormAnswers,
    ) {
        let (Some(view), Some(expression)) = (answer, &self.answer) else {
            return;
        };
        let taken = &view.scope.event_scope.taken;
        let read = || expression.nodes(&view, self.cardinality, &mut QueryLog::default());
        let (nodes, places) = taken.during(read);
        match nodes {
            Ok(nodes) if nodes.is_empty() => {}
            Ok(nodes) => collected.add(question, nodes, places),
            Err(failure) => collected.notes.push(format!("an answer was left out: {failure}")),
        }
    }

    fn unmatched<'v>(
        &self,
        matching: &AnswerMatch,
        scope: &'v Scope<'v>,
    ) -> Result<UnmatchedAnswers<'v>, ValueError> {
        let mut unmatched = UnmatchedAnswers::default();
        let answers = scope.budget.nodes(&matching.query, scope.payload, scope.payload)?;
        if answers.len() > QUESTIONS_MAX {
            return Err(ValueError::new("the form has more than 2,000 answers"));
        }
        for answer in answers {
            let view = ItemValues::new(scope, &self.templates, Some(answer));
            unmatched.add(joined_text(&matching.answer, &view)?, answer);
        }
        Ok(unmatched)
    }
}

impl AnswerSource for AnswerRules {
    fn collect(&self, scope: &Scope<'_>) -> Result<FormAnswers, ValueError> {
        let mut collected = FormAnswers::recorded_in(&scope.taken);
        let nodes = |query| ItemScope::new(scope, None).nodes(query);
        match &self.source {
            Some(QuestionSource::Each(query)) => {
                let questions = self.with_nested(nodes(query)?, scope)?;
                self.read(&questions, scope, &mut collected)?;
            }
            Some(QuestionSource::Of(query)) => {
                let members = answered(&nodes(query)?)?;
                let entries: Vec<Value> = members
                    .iter()
                    .map(|(key, value)| json!({"key": key, "value": value}))
                    .collect();
                self.read(&entries.iter().collect::<Vec<_>>(), scope, &mut collected)?;
                let originals = members.iter().map(|(_, value)| *value);
                // The entries end with this function, and the places in them.
                collected.move_places(&StandIns::of_entries(&scope.taken, &entries, originals));
            }
            None => {}
        }
        Ok(collected)
    }
}

fn joined_text(expression: &Expression, view: &ItemValues<'_>) -> Result<String, ValueError> {
    let nodes = expression.nodes(view, Cardinality::One, &mut QueryLog::default())?;
    Ok(joined(&nodes, ", "))
}

/// Returns the members of objects that are questions with their answers.
fn answered<'v>(objects: &[&'v Value]) -> Result<Vec<(&'v String, &'v Value)>, ValueError> {
    let mut members = Vec::new();
    for object in objects {
        let Value::Object(object) = object else {
            return Err(ValueError::new("`of` gives something that is no object"));
        };
        // Names such as `_token` belong to the form's library; nobody answered them.
        members.extend(object.iter().filter(|(key, _)| !key.starts_with('_')));
    }
    Ok(members)
}

fn default_value(reader: &mut ValueReader<'_>, written: &str) -> Option<Expression> {
    let text = SpannedText::new(reader.document, written, 0..0);
    reader.text(&text)
}

fn missing(table: &TomlTable<'_>, key: &'static str) -> Diagnostic {
    let help = format!("write {key} = \"@.path\", `@` being the {key}");
    let mistake = Diagnostic::error(table.place.clone(), format!("[answers] has no `{key}`"));
    mistake.help(help).missing(vec![key])
}
