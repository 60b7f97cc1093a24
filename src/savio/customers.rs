//! Contacts and companies: lists, and upserts by the ids of the user's own system.

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::{Client, SMALL_BYTES_MAX};
use super::error::Error;
use super::page::Pages;
use crate::event::RequestKind;

/// A person at Savio ("Contact model" in the reference).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Savio's own id.
    pub id: u64,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    /// Savio's own id of the company.
    #[serde(default)]
    pub company: Option<u64>,
    #[serde(default)]
    pub company_name: Option<String>,
    /// Attributes set by upserts. Numbers and booleans keep their type.
    #[serde(default)]
    pub filterable_attributes: Option<Map<String, Value>>,
    /// Time of its creation, in Savio's format.
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default)]
    pub updated: Option<String>,
    /// Fields that the reference does not list for contacts, such as `internal_id`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A company at Savio ("Company model" in the reference).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Company {
    /// Savio's own id.
    pub id: u64,
    #[serde(default)]
    pub name: Option<String>,
    /// The company's id in your system; none if feedback created the company.
    #[serde(default)]
    pub internal_id: Option<String>,
    #[serde(default)]
    pub filterable_attributes: Option<Map<String, Value>>,
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default)]
    pub updated: Option<String>,
    /// Fields that the reference does not list.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A contact to create or update ("Upsert Contact" in the reference). A contact with the same
/// `internal_id` or e-mail address is updated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactUpsert {
    /// The contact's id in your system. A number is read as its digits.
    #[serde(deserialize_with = "text")]
    pub internal_id: String,
    /// The full name.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Savio's own id of the company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<u64>,
    /// The company's id in your system.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub company_internal_id: Option<String>,
    /// Texts, numbers and booleans, such as `{"plan": "pro", "mrr": 49.5}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub filterable_attributes: Map<String, Value>,
}

/// A company to create or update ("Upsert Company" in the reference). A company with the same
/// `internal_id` is updated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompanyUpsert {
    /// The company's id in your system. A number is read as its digits.
    #[serde(deserialize_with = "text")]
    pub internal_id: String,
    pub name: String,
    /// Texts, numbers and booleans.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub filterable_attributes: Map<String, Value>,
}

/// Search and order of a list of contacts or companies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CustomerQuery {
    /// A part of a contact's e-mail address or name, or of a company's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Name of a field, with `-` before it for descending order: `-updated`. Sent as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordering: Option<String>,
}

impl Client {
    /// Lists contacts, page by page. Sends nothing before `Pages::next`.
    pub fn contacts(&self, search: &CustomerQuery) -> Pages<Contact> {
        Pages::from(self, self.list("users/", search))
    }

    /// Creates or updates a contact, which is safe to repeat.
    pub async fn upsert_contact(&self, contact: &ContactUpsert) -> Result<Contact, Error> {
        let call = self.write(RequestKind::Contact, contact);
        let raw = self.request(call, SMALL_BYTES_MAX).await?;
        self.parse(&raw)
    }

    /// Lists companies, page by page. Sends nothing before `Pages::next`.
    pub fn companies(&self, search: &CustomerQuery) -> Pages<Company> {
        Pages::from(self, self.list("companies/", search))
    }

    /// Creates or updates a company, which is safe to repeat.
    pub async fn upsert_company(&self, company: &CompanyUpsert) -> Result<Company, Error> {
        let call = self.write(RequestKind::Company, company);
        let raw = self.request(call, SMALL_BYTES_MAX).await?;
        self.parse(&raw)
    }
}

/// Deserializes an id from a text or a number.
// Ids are mostly numbers in databases, and texts in Savio.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let wrong = || serde::de::Error::custom("an id is a text or a number");
    optional_text(deserializer)?.ok_or_else(wrong)
}

fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(serde::de::Error::custom("an id is a text or a number"))
        }
    }
}
