//! `[import]` of a provider or mapping file: converts a record of the tool's export to the payload
//! of its webhook.

use serde_json::{Value, json};

use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::Headers;
use crate::mapping::{ExtractError, Extractor, Patterns};

/// Rules for records of an export; without rules, each record is a payload as it is.
#[derive(Debug, Clone, Default)]
pub struct ImportRules {
    /// Member of the export's JSON object with the list of records.
    pub list: Option<String>,
    payload: Option<Extractor>,
}

/// One record of an export, with its context.
#[derive(Debug, Clone, Copy)]
pub struct ExportRecord<'e> {
    pub record: &'e Value,
    pub format: &'static str,
    /// Definition of the form, if its file was given.
    pub form: Option<&'e Value>,
}

impl ImportRules {
    pub(crate) fn read(
        mut table: TomlTable<'_>,
        patterns: &Patterns,
        mistakes: &mut Diagnostics,
    ) -> ImportRules {
        let list = table.text("list", mistakes).map(|text| text.text);
        let payload = table.text("payload", mistakes);
        let payload = payload.map(|text| Extractor::compile_within(&text, patterns, mistakes));
        table.finish(mistakes);
        ImportRules { list, payload }
    }

    /// Returns the payload as JSON text; `None` if the record is the payload.
    pub fn payload(&self, exported: ExportRecord<'_>) -> Result<Option<String>, ExtractError> {
        let Some(payload) = &self.payload else { return Ok(None) };
        let ExportRecord { record, format, form } = exported;
        let seen = json!({ "record": record, "format": format, "form": form });
        payload.text(&seen, &Headers::new()).map(Some)
    }
}
