//! `[import]` of a provider or mapping file: how a record of the tool's export becomes the payload of
//! its webhook.

use serde_json::{Value, json};

use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::Headers;
use crate::mapping::{ExtractError, Extractor, Patterns};

/// Left empty, records are payloads as they are.
#[derive(Debug, Clone, Default)]
pub struct ImportRules {
    /// The member of an export's JSON object that lists the records.
    pub list: Option<String>,
    payload: Option<Extractor>,
}

/// One record of a file, and what is known beside it.
#[derive(Debug, Clone, Copy)]
pub struct ExportRecord<'e> {
    pub record: &'e Value,
    pub format: &'static str,
    /// The form's definition, if a person named its file.
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

    /// The payload as JSON text; none where the record is it.
    pub fn payload(&self, exported: ExportRecord<'_>) -> Result<Option<String>, ExtractError> {
        let Some(payload) = &self.payload else { return Ok(None) };
        let ExportRecord { record, format, form } = exported;
        let seen = json!({ "record": record, "format": format, "form": form });
        payload.text(&seen, &Headers::new()).map(Some)
    }
}
