//! Parses a line as the request for a contact or company.

use serde::Serialize;

use crate::event::{Request, RequestKind, storable};
use crate::json;
use crate::savio::{CompanyUpsert, ContactUpsert};

/// Kind of the records in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    Contact,
    Company,
}

impl RecordKind {
    pub(super) fn plural(self) -> &'static str {
        match self {
            RecordKind::Contact => "contacts",
            RecordKind::Company => "companies",
        }
    }

    /// Parses a line as an upsert.
    pub(super) fn read(self, line: &[u8]) -> Result<Request, serde_json::Error> {
        let line = json::repaired(line);
        match self {
            RecordKind::Contact => {
                request(RequestKind::Contact, &json::from_slice::<ContactUpsert>(&line)?)
            }
            RecordKind::Company => {
                request(RequestKind::Company, &json::from_slice::<CompanyUpsert>(&line)?)
            }
        }
    }
}

// From the typed upsert and not from the line's JSON: a misspelled field is then an error, and a
// number as an id becomes the text that Savio expects.
fn request(kind: RequestKind, upsert: &impl Serialize) -> Result<Request, serde_json::Error> {
    let body = storable(serde_json::to_value(upsert)?);
    Ok(Request { kind, body: serde_json::from_value(body)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_id_is_sent_as_text() {
        let request = RecordKind::Company.read(br#"{"internal_id": 6, "name": "Acme"}"#).unwrap();

        assert_eq!(request.body["internal_id"], "6");
    }

    #[test]
    fn unknown_field_is_an_error() {
        let line = br#"{"internal_id": "6", "name": "Ada", "emial": "ada@example.com"}"#;

        let error = RecordKind::Contact.read(line).unwrap_err().to_string();

        assert!(error.contains("unknown field `emial`"), "{error}");
    }
}
