//! `[import.columns]`: which columns of a CSV export are questions and which are hidden fields.

use serde_json::{Map, Value, json};

use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{Diagnostics, TomlTable};

/// Heading of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Key of the column's value in a record, different from all others.
    pub key: String,
    /// The heading as it is in the file.
    pub name: String,
}

/// Rules for the columns of a tool's export.
#[derive(Debug, Clone, Default)]
pub(crate) struct ColumnRules {
    /// Columns of the tool itself, neither questions nor hidden fields.
    own: Vec<String>,
    /// Columns directly after those of the questions and hidden fields; the first that is there
    /// counts. Without any, no column is guessed to be a hidden field.
    hidden_before: Vec<String>,
}

/// What is known of the columns beyond their headings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnHints<'h> {
    /// What `[import] form` prints of the form definition: `hidden` has names, `questions` objects
    /// with `title` and `options`.
    pub(crate) form: Option<&'h Value>,
    /// Names that a person gave.
    pub(crate) hidden: &'h [String],
}

/// A hidden field that no column has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no column is named `{name}`{}", .nearest.as_ref().map(|it| format!("; did you mean `{it}`?")).unwrap_or_default())]
pub struct UnknownColumn {
    name: String,
    nearest: Option<String>,
}

/// The columns of one export.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExportColumns {
    questions: Vec<QuestionColumns>,
    hidden: Vec<Heading>,
    /// Columns that the form definition knows neither as a question nor as a hidden field, among
    /// the hidden fields: variables and scores.
    others: Vec<Heading>,
    /// Names of columns that would count as hidden fields if there were a question beside them.
    pub undecided: Vec<String>,
}

/// A question, with the column of its answer or those of its options.
#[derive(Debug, Clone, PartialEq)]
struct QuestionColumns {
    title: String,
    columns: Vec<Heading>,
    /// The question in the form definition.
    form: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnRole {
    Own,
    Question,
    Hidden,
    /// Among the hidden fields, and unknown to the form definition.
    Other,
}

impl ColumnRules {
    pub(crate) fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> ColumnRules {
        let mut texts = |key| {
            let texts = table.texts(key, mistakes).unwrap_or_default();
            texts.into_iter().map(|text| text.text).collect()
        };
        let (own, hidden_before) = (texts("own"), texts("hidden_before"));
        table.finish(mistakes);
        ColumnRules { own, hidden_before }
    }

    /// Assigns the columns of a file.
    pub(crate) fn assign(
        &self,
        headings: &[Heading],
        hints: ColumnHints<'_>,
    ) -> Result<ExportColumns, UnknownColumn> {
        let named = named_columns(headings, hints)?;
        let mut roles: Vec<ColumnRole> =
            headings
                .iter()
                .map(|it| {
                    if self.own.contains(&it.name) { ColumnRole::Own } else { ColumnRole::Question }
                })
                .collect();
        let mut undecided = Vec::new();
        // Names that a person gave are all of them.
        let guessed =
            if hints.hidden.is_empty() { self.guess(headings, &roles) } else { Vec::new() };
        let is_question =
            |it: &usize| roles[*it] == ColumnRole::Question && guessed.binary_search(it).is_err();
        if hints.form.is_none() && !(0..headings.len()).any(|it| is_question(&it)) {
            undecided = guessed.iter().map(|it| headings[*it].name.clone()).collect();
        } else {
            let role = if hints.form.is_some() { ColumnRole::Other } else { ColumnRole::Hidden };
            for it in guessed {
                roles[it] = role;
            }
        }
        for it in named {
            roles[it] = ColumnRole::Hidden;
        }
        let of_role = |role: ColumnRole| -> Vec<Heading> {
            let with_role = headings.iter().zip(&roles).filter(|(_, it)| **it == role);
            with_role.map(|(heading, _)| heading.clone()).collect()
        };
        // A column among the hidden fields may be a question after all, by its title.
        let candidates = headings.iter().zip(&roles);
        let candidates =
            candidates.filter(|(_, it)| matches!(it, ColumnRole::Question | ColumnRole::Other));
        let (questions, others) = questions(candidates, hints.form);
        Ok(ExportColumns { questions, hidden: of_role(ColumnRole::Hidden), others, undecided })
    }

    /// Returns the columns that are hidden fields by their place and their names: all after the
    /// first of `hidden_before`, and those directly before it that are one lower-case word.
    fn guess(&self, headings: &[Heading], roles: &[ColumnRole]) -> Vec<usize> {
        let is_end = |it: &Heading| self.hidden_before.contains(&it.name);
        let Some(end) = headings.iter().position(is_end) else { return Vec::new() };
        let is_hidden =
            |at: &usize| roles[*at] == ColumnRole::Own || is_field_name(&headings[*at].name);
        let before = (0..end).rev().take_while(is_hidden);
        let mut guessed: Vec<usize> = before.chain(end..headings.len()).collect();
        guessed.retain(|at| roles[*at] == ColumnRole::Question);
        guessed.sort_unstable();
        guessed
    }
}

/// Returns whether a heading is a name as tools allow it for hidden fields. Questions are sentences,
/// or begin with a capital.
fn is_field_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && name.chars().all(is_part)
}

/// Returns the columns of hidden fields that the form or a person names.
fn named_columns(
    headings: &[Heading],
    hints: ColumnHints<'_>,
) -> Result<Vec<usize>, UnknownColumn> {
    // The last one of that name: questions stand before hidden fields.
    let find = |name: &str| headings.iter().rposition(|it| it.name == name);
    let in_form = hints.form.and_then(|form| form["hidden"].as_array());
    let in_form = in_form.into_iter().flatten().filter_map(Value::as_str).filter_map(find);
    // A form may have got a hidden field since the export; a name on the command line is a mistake.
    let by_person = hints.hidden.iter().map(|name| {
        find(name).ok_or_else(|| UnknownColumn {
            name: name.clone(),
            nearest: nearest(name, headings.iter().map(|it| it.name.as_str())).map(str::to_owned),
        })
    });
    let mut named = by_person.collect::<Result<Vec<usize>, UnknownColumn>>()?;
    named.extend(in_form);
    Ok(named)
}

/// Returns the questions with their columns, and the columns among the hidden fields that are none.
fn questions<'h>(
    columns: impl Iterator<Item = (&'h Heading, &'h ColumnRole)>,
    form: Option<&Value>,
) -> (Vec<QuestionColumns>, Vec<Heading>) {
    let none = Vec::new();
    let in_form = form.and_then(|form| form["questions"].as_array()).unwrap_or(&none);
    // For each question of the form, its position in `questions`.
    let mut found: Vec<Option<usize>> = vec![None; in_form.len()];
    let (mut questions, mut others) = (Vec::<QuestionColumns>::new(), Vec::new());
    let add = |questions: &mut Vec<QuestionColumns>, heading: &Heading, form: &Value| {
        let title = form["title"].as_str().unwrap_or(&heading.name).to_owned();
        let (columns, form) = (vec![heading.clone()], form.clone());
        questions.push(QuestionColumns { title, columns, form });
        questions.len() - 1
    };
    // Columns are in the order of the form: options belong to the question that was found last, or
    // to one after it.
    let mut last = 0;
    for (heading, role) in columns {
        let is_titled = |at: &usize| found[*at].is_none() && is_title(&in_form[*at], heading);
        if let Some(at) = (0..in_form.len()).find(is_titled) {
            found[at] = Some(add(&mut questions, heading, &in_form[at]));
            last = at;
            continue;
        }
        let has_option = |at: &usize| {
            let taken = found[*at].map(|it| questions[it].columns.as_slice()).unwrap_or_default();
            has_option(&in_form[*at], heading) && !taken.iter().any(|it| it.name == heading.name)
        };
        if let Some(at) = (last..in_form.len()).find(has_option) {
            match found[at] {
                Some(it) => questions[it].columns.push(heading.clone()),
                None => found[at] = Some(add(&mut questions, heading, &in_form[at])),
            }
            last = at;
        } else if *role == ColumnRole::Other {
            others.push(heading.clone());
        } else {
            add(&mut questions, heading, &Value::Null);
        }
    }
    (questions, others)
}

fn is_title(question: &Value, heading: &Heading) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    question["title"].as_str().is_some_and(|title| words(title) == words(&heading.name))
}

fn has_option(question: &Value, heading: &Heading) -> bool {
    let options = question["options"].as_array();
    options.is_some_and(|options| options.iter().any(|it| it.as_str() == Some(&heading.name)))
}

impl ExportColumns {
    pub fn question_count(&self) -> usize {
        self.questions.len()
    }

    pub fn hidden_names(&self) -> Vec<&str> {
        self.hidden.iter().map(|it| it.name.as_str()).collect()
    }

    /// Adds what a record has in the columns, as templates see it: `questions` with their `cells`,
    /// `hidden` and `others` by name. Empty cells are left out.
    pub(super) fn fill(&self, record: &Value, seen: &mut Map<String, Value>) {
        let cell = |heading: &Heading| {
            let value = unguarded(record.get(&heading.key)?.as_str()?);
            (!value.is_empty()).then(|| (heading.name.clone(), Value::from(value)))
        };
        let questions = self.questions.iter().filter_map(|question| {
            let cells = question.columns.iter().filter_map(cell);
            let cells: Vec<Value> =
                cells.map(|(column, value)| json!({ "column": column, "value": value })).collect();
            let QuestionColumns { title, columns, form } = question;
            let key = columns.first().map(|it| &it.key);
            let question = json!({ "key": key, "title": title, "form": form, "cells": cells });
            (!cells.is_empty()).then_some(question)
        });
        let by_name =
            |headings: &[Heading]| headings.iter().filter_map(cell).collect::<Map<_, _>>();
        seen.insert("questions".to_owned(), questions.collect());
        seen.insert("hidden".to_owned(), Value::Object(by_name(&self.hidden)));
        seen.insert("others".to_owned(), Value::Object(by_name(&self.others)));
    }
}

/// Returns the text without the apostrophe that exports put before what a spreadsheet would take
/// for a formula, such as a telephone number.
fn unguarded(text: &str) -> &str {
    let rest = text.strip_prefix('\'').filter(|rest| rest.starts_with(['+', '-', '=', '@']));
    rest.unwrap_or(text)
}
