//! `[import]` of a provider or mapping file: converts a record of the tool's export to the payload
//! of its webhook.

use serde_json::{Map, Value, json};

use super::export_columns::{ColumnHints, ColumnRules, ExportColumns, Heading, UnknownColumn};
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::Headers;
use crate::mapping::{ExtractError, Extractor, Patterns};

/// Rules for records of an export; without rules, each record is a payload as it is.
#[derive(Debug, Clone, Default)]
pub struct ImportRules {
    /// Member of the export's JSON object with the list of records.
    pub list: Option<String>,
    payload: Option<Extractor>,
    form: Option<Extractor>,
    columns: Option<ColumnRules>,
}

/// One record of an export, with its context.
#[derive(Debug, Clone, Copy)]
pub struct ExportRecord<'e> {
    pub record: &'e Value,
    pub format: &'static str,
    /// Definition of the form, if its file was given.
    pub form: Option<&'e Value>,
    pub columns: Option<&'e ExportColumns>,
}

/// Reason why the columns of an export cannot be assigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    #[error("it has no questions and no hidden fields")]
    EmptyForm,
    #[error("it cannot be read as a form definition: {0}")]
    Form(String),
    #[error("{0}")]
    Unknown(UnknownColumn),
    #[error("the source's [import] does not say where hidden fields go")]
    NoRules,
}

impl ImportRules {
    pub(crate) fn read(
        mut table: TomlTable<'_>,
        patterns: &Patterns,
        mistakes: &mut Diagnostics,
    ) -> ImportRules {
        let list = table.text("list", mistakes).map(|text| text.text);
        let mut template = |key| {
            let text = table.text(key, mistakes)?;
            Some(Extractor::compile_within(&text, patterns, mistakes))
        };
        let (payload, form) = (template("payload"), template("form"));
        let columns = table.table("columns", mistakes);
        let columns = columns.map(|columns| ColumnRules::read(columns, mistakes));
        table.finish(mistakes);
        ImportRules { list, payload, form, columns }
    }

    /// Assigns the columns of a table; `None` without rules for them. `form` is the form
    /// definition, `hidden` has the names of hidden fields that a person gave.
    pub fn columns(
        &self,
        headings: &[Heading],
        form: Option<&Value>,
        hidden: &[String],
    ) -> Result<Option<ExportColumns>, ColumnsError> {
        let Some(rules) = &self.columns else {
            return if hidden.is_empty() { Ok(None) } else { Err(ColumnsError::NoRules) };
        };
        let form = form.zip(self.form.as_ref());
        let form = form.map(|(form, template)| read_form(form, template)).transpose()?;
        let hints = ColumnHints { form: form.as_ref(), hidden };
        rules.assign(headings, hints).map(Some).map_err(ColumnsError::Unknown)
    }

    /// Returns the payload as JSON text; `None` if the record is the payload.
    pub fn payload(&self, exported: ExportRecord<'_>) -> Result<Option<String>, ExtractError> {
        let Some(payload) = &self.payload else { return Ok(None) };
        let ExportRecord { record, format, form, columns } = exported;
        let mut seen = Map::new();
        seen.insert("record".to_owned(), record.clone());
        seen.insert("format".to_owned(), Value::from(format));
        seen.insert("form".to_owned(), json!(form));
        if let Some(columns) = columns {
            columns.fill(record, &mut seen);
        }
        payload.text(&Value::Object(seen), &Headers::new()).map(Some)
    }
}

/// Returns the questions and hidden fields that the template finds in a form definition.
fn read_form(form: &Value, template: &Extractor) -> Result<Value, ColumnsError> {
    let text = template.text(&json!({ "form": form }), &Headers::new());
    let text = text.map_err(|error| ColumnsError::Form(error.to_string()))?;
    let read: Value =
        serde_json::from_str(&text).map_err(|error| ColumnsError::Form(error.to_string()))?;
    let is_empty = |key: &str| read[key].as_array().is_none_or(Vec::is_empty);
    // Most likely the file of something else, such as the responses.
    if is_empty("questions") && is_empty("hidden") {
        return Err(ColumnsError::EmptyForm);
    }
    Ok(read)
}
