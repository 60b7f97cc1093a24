//! The contact or company of one upsert.

use serde_json::{Value, json};

use crate::json;
use crate::savio::{Client, CompanyUpsert, ContactUpsert, Error};

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
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum UpsertRecord {
    Contact(ContactUpsert),
    Company(CompanyUpsert),
}

impl UpsertRecord {
    pub(super) fn read(kind: RecordKind, text: &[u8]) -> Result<UpsertRecord, serde_json::Error> {
        match kind {
            RecordKind::Contact => json::from_slice(text).map(UpsertRecord::Contact),
            RecordKind::Company => json::from_slice(text).map(UpsertRecord::Company),
        }
    }

    pub(super) fn internal_id(&self) -> &str {
        match self {
            UpsertRecord::Contact(contact) => &contact.internal_id,
            UpsertRecord::Company(company) => &company.internal_id,
        }
    }

    /// Sends it once, and gives what Savio keeps.
    pub(super) async fn send(&self, client: &Client) -> Result<Value, Error> {
        match self {
            UpsertRecord::Contact(contact) => {
                client.upsert_contact(contact).await.map(|kept| json!(kept))
            }
            UpsertRecord::Company(company) => {
                client.upsert_company(company).await.map(|kept| json!(kept))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_written_as_a_number() {
        let upsert =
            UpsertRecord::read(RecordKind::Company, br#"{"internal_id": 6, "name": "Acme"}"#)
                .unwrap();

        assert_eq!(upsert.internal_id(), "6");
    }

    #[test]
    fn a_field_that_is_not_known_is_refused() {
        let line = br#"{"internal_id": "6", "name": "Ada", "emial": "ada@example.com"}"#;

        let error = UpsertRecord::read(RecordKind::Contact, line).unwrap_err().to_string();

        assert!(error.contains("unknown field `emial`"), "{error}");
    }
}
