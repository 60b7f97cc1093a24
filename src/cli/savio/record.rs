//! The contact or company of one line.

use serde::Serialize;

use crate::event::{Request, RequestKind, storable};
use crate::json;
use crate::savio::{CompanyUpsert, ContactUpsert};

/// What the lines of a file are.
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

    /// The upsert that a line asks for.
    pub(super) fn read(self, line: &[u8]) -> Result<Request, serde_json::Error> {
        match self {
            RecordKind::Contact => {
                request(RequestKind::Contact, &json::from_slice::<ContactUpsert>(line)?)
            }
            RecordKind::Company => {
                request(RequestKind::Company, &json::from_slice::<CompanyUpsert>(line)?)
            }
        }
    }
}

fn request(kind: RequestKind, upsert: &impl Serialize) -> Result<Request, serde_json::Error> {
    let body = storable(serde_json::to_value(upsert)?);
    Ok(Request { kind, body: serde_json::from_value(body)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_written_as_a_number() {
        let request = RecordKind::Company.read(br#"{"internal_id": 6, "name": "Acme"}"#).unwrap();

        assert_eq!(request.body["internal_id"], "6");
    }

    #[test]
    fn a_field_that_is_not_known_is_refused() {
        let line = br#"{"internal_id": "6", "name": "Ada", "emial": "ada@example.com"}"#;

        let error = RecordKind::Contact.read(line).unwrap_err().to_string();

        assert!(error.contains("unknown field `emial`"), "{error}");
    }
}
