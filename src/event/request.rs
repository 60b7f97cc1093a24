//! A request to Savio: its kind and body, the records that it names, and the outcome of an attempt.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::record_key::{KeyKind, RecordKey};

/// The kind of record that a request makes at Savio, in the order in which an event's requests are
/// sent.
// A contact names its company, and feedback names both: sent first, they exist with all their
// fields before another request would make them with a name alone.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    Company,
    Contact,
    Feedback,
}

impl RequestKind {
    pub fn as_str(self) -> &'static str {
        match self {
            RequestKind::Company => "company",
            RequestKind::Contact => "contact",
            RequestKind::Feedback => "feedback",
        }
    }
}

/// One call to Savio: `{"request":"feedback","body":{...}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(rename = "request")]
    pub kind: RequestKind,
    #[schema(value_type = Object)]
    pub body: Map<String, Value>,
}

impl Request {
    pub fn leave_out(&mut self, fields: &[String]) {
        for field in fields {
            // Keeps the order of the others, which people see; `swap_remove` would not.
            self.body.shift_remove(field);
        }
    }

    /// Returns roughly how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        members_bytes(&self.body)
    }
}

pub(super) fn members_bytes(members: &Map<String, Value>) -> usize {
    members.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

pub(super) fn value_bytes(value: &Value) -> usize {
    let content = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(members) => members_bytes(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + content
}

/// The outcome of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Savio has accepted it.
    Done,
    /// Savio will not accept it, now or later.
    Refused,
    /// No request to this destination can succeed, such as with a wrong token; it was paused.
    Paused,
    /// Savio answered that it may succeed later.
    Retry,
    /// It was certainly not sent.
    Unreachable,
    /// It was sent, and no response came.
    Unanswered,
    /// The process ended during the send.
    Interrupted,
}

impl Outcome {
    pub const ALL: [Outcome; 7] = [
        Outcome::Done,
        Outcome::Refused,
        Outcome::Paused,
        Outcome::Retry,
        Outcome::Unreachable,
        Outcome::Unanswered,
        Outcome::Interrupted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Paused => "paused",
            Outcome::Retry => "retry",
            Outcome::Unreachable => "unreachable",
            Outcome::Unanswered => "unanswered",
            Outcome::Interrupted => "interrupted",
        }
    }
}

impl Request {
    /// Returns the keys of all records that Savio looks up by name for this request and makes where
    /// it finds none. Two requests in flight that name the same new record would each make one.
    pub fn record_keys(&self) -> Vec<RecordKey> {
        // From Savio's documentation of `create-feedback`, contacts and companies.
        let fields: &[(KeyKind, &str)] = match self.kind {
            // Savio finds a company by `internal_id`, and feedback finds it by `name`.
            RequestKind::Company => {
                &[(KeyKind::CompanyId, "internal_id"), (KeyKind::CompanyName, "name")]
            }
            // Savio finds a contact by `internal_id` and `email`, and feedback finds it by `email`
            // and `name`. Whether an unknown `company_internal_id` makes a company is not
            // documented, so it counts as if it did. `company` is a number that Savio gave, so that
            // record exists.
            RequestKind::Contact => &[
                (KeyKind::PersonId, "internal_id"),
                (KeyKind::PersonEmail, "email"),
                (KeyKind::PersonName, "name"),
                (KeyKind::CompanyId, "company_internal_id"),
            ],
            RequestKind::Feedback => self.feedback_fields(),
        };
        let mut names: Vec<RecordKey> =
            fields.iter().filter_map(|(kind, key)| self.key_of(*kind, key)).collect();
        if let (RequestKind::Feedback, Some(Value::Array(tags))) =
            (self.kind, self.body.get("tags"))
        {
            names.extend(tags.iter().filter_map(|tag| key_from(KeyKind::Tag, tag)));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn feedback_fields(&self) -> &'static [(KeyKind, &'static str)] {
        const EMAIL: [(KeyKind, &str); 3] =
            [(KeyKind::PersonEmail, "person_email"), COMPANY, TITLE];
        const NAME: [(KeyKind, &str); 3] = [(KeyKind::PersonName, "person_name"), COMPANY, TITLE];
        const COMPANY: (KeyKind, &str) = (KeyKind::CompanyName, "company_name");
        const TITLE: (KeyKind, &str) = (KeyKind::FeatureRequest, "feature_request_title");
        // Savio looks up `person_name` only where there is no `person_email`, and ignores
        // `company_name` where there is neither.
        if self.key_of(KeyKind::PersonEmail, "person_email").is_some() {
            &EMAIL
        } else if self.key_of(KeyKind::PersonName, "person_name").is_some() {
            &NAME
        } else {
            &[TITLE]
        }
    }

    /// Returns the key of the record that this request overwrites. The last such request wins, so
    /// those with the same key are sent one by one, in order of receipt.
    pub fn upsert(&self) -> Option<RecordKey> {
        match self.kind {
            RequestKind::Company => self.key_of(KeyKind::CompanyUpsert, "internal_id"),
            RequestKind::Contact => self.key_of(KeyKind::ContactUpsert, "internal_id"),
            RequestKind::Feedback => None,
        }
    }

    fn key_of(&self, kind: KeyKind, key: &str) -> Option<RecordKey> {
        key_from(kind, self.body.get(key)?)
    }
}

fn key_from(kind: KeyKind, value: &Value) -> Option<RecordKey> {
    match value {
        Value::String(name) => RecordKey::new(kind, name),
        Value::Number(number) => RecordKey::new(kind, &number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(kind: RequestKind, body: &Value) -> Request {
        Request { kind, body: body.as_object().unwrap().clone() }
    }

    /// Checks the keys of a request of this kind and body.
    fn check(kind: RequestKind, body: &Value, expected: &[(KeyKind, &str)]) {
        let mut names: Vec<RecordKey> =
            expected.iter().map(|(kind, name)| RecordKey::new(*kind, name).unwrap()).collect();
        names.sort_unstable();
        assert_eq!(request(kind, body).record_keys(), names, "{body}");
    }

    #[test]
    fn feedback_keys_are_what_savio_looks_up() {
        let feedback = RequestKind::Feedback;
        let ann = (KeyKind::PersonEmail, "ann@example.com");

        check(feedback, &json!({ "problem": "slow" }), &[]);
        check(
            feedback,
            &json!({ "person_email": "ann@example.com", "person_name": "Ann" }),
            &[ann],
        );
        check(
            feedback,
            &json!({ "person_name": "Ann", "company_name": "Acme" }),
            &[(KeyKind::PersonName, "ann"), (KeyKind::CompanyName, "acme")],
        );
        check(feedback, &json!({ "company_name": "Acme" }), &[]);
        check(
            feedback,
            &json!({ "feature_request_title": "Dark mode", "tags": ["red", " Red ", ""] }),
            &[(KeyKind::FeatureRequest, "dark mode"), (KeyKind::Tag, "red")],
        );
    }

    #[test]
    fn contact_and_company_keys_are_what_savio_looks_up() {
        check(
            RequestKind::Contact,
            &json!({ "internal_id": "7", "email": "ann@example.com", "name": "Ann",
                     "company_internal_id": 6, "company": 3 }),
            &[
                (KeyKind::PersonId, "7"),
                (KeyKind::PersonEmail, "ann@example.com"),
                (KeyKind::PersonName, "ann"),
                (KeyKind::CompanyId, "6"),
            ],
        );
        check(
            RequestKind::Company,
            &json!({ "internal_id": "6", "name": "Acme", "filterable_attributes": {} }),
            &[(KeyKind::CompanyId, "6"), (KeyKind::CompanyName, "acme")],
        );
    }

    #[test]
    fn record_keys_ignore_case_and_surrounding_space() {
        assert_eq!(RecordKey::new(KeyKind::Tag, " ÄRGER\n"), RecordKey::new(KeyKind::Tag, "ärger"));
        assert_ne!(
            RecordKey::new(KeyKind::Tag, "acme"),
            RecordKey::new(KeyKind::CompanyName, "acme")
        );
        assert_eq!(RecordKey::new(KeyKind::Tag, " \t"), None);
    }

    #[test]
    fn upsert_key_is_the_internal_id() {
        let company = |id: Value| request(RequestKind::Company, &json!({ "internal_id": id }));
        let contact = request(RequestKind::Contact, &json!({ "internal_id": "6" }));

        assert_eq!(company(json!("6")).upsert(), company(json!(" 6 ")).upsert());
        assert_ne!(company(json!("6")).upsert(), contact.upsert());
        assert_eq!(request(RequestKind::Feedback, &json!({ "problem": "slow" })).upsert(), None);
    }

    #[test]
    fn digests_match_those_in_existing_stores() {
        let hex = |kind, name: &str| {
            data_encoding::HEXLOWER.encode(RecordKey::new(kind, name).unwrap().as_bytes())
        };

        assert_eq!(hex(KeyKind::CompanyUpsert, "6"), "90e22adf14db888783af86744b71bd85");
        assert_eq!(hex(KeyKind::ContactUpsert, "6"), "73676e2d19177b0ad40b77d73fee1e1f");
    }
}
