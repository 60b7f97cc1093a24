//! What a request names at Savio, in a form in which two names can be compared: short, and the same
//! for all who write it a little differently.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Request, RequestKind};

/// Something that Savio finds by a name: what kind of thing it is, and a digest of this and of its name,
/// trimmed and without regard to upper and lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    digest: [u8; RecordKey::LENGTH],
    kind: NameKind,
}

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    PersonId,
    PersonEmail,
    PersonName,
    CompanyId,
    CompanyName,
    FeatureRequest,
    Tag,
    ContactUpsert,
    CompanyUpsert,
}

impl NameKind {
    /// A part of the digests that stores keep.
    fn as_str(self) -> &'static str {
        match self {
            NameKind::PersonId => "person id",
            NameKind::PersonEmail => "person email",
            NameKind::PersonName => "person",
            NameKind::CompanyId => "company id",
            NameKind::CompanyName => "company",
            NameKind::FeatureRequest => "feature request",
            NameKind::Tag => "tag",
            NameKind::ContactUpsert => "upsert of a contact",
            NameKind::CompanyUpsert => "upsert of a company",
        }
    }

    /// What people call the thing.
    pub fn thing(self) -> &'static str {
        match self {
            NameKind::PersonId | NameKind::PersonEmail | NameKind::PersonName => "person",
            NameKind::CompanyId | NameKind::CompanyName | NameKind::CompanyUpsert => "company",
            NameKind::FeatureRequest => "feature request",
            NameKind::Tag => "tag",
            NameKind::ContactUpsert => "contact",
        }
    }
}

impl RecordKey {
    const LENGTH: usize = 16;

    /// None: an empty name is no name.
    pub fn new(kind: NameKind, name: &str) -> Option<RecordKey> {
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        digest.update(kind.as_str());
        digest.update([0]);
        digest.update(name);
        let digest = digest.finalize();
        Some(RecordKey { digest: std::array::from_fn(|at| digest[at]), kind })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.digest
    }

    pub fn thing(&self) -> &'static str {
        self.kind.thing()
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = u128::from_be_bytes(self.digest) >> 64;
        write!(formatter, "Name({}, {digest:016x})", self.kind.as_str())
    }
}

impl Request {
    /// What Savio looks for by name, and makes where it does not find it. Two requests in flight that
    /// name something new would each make one; once a request is done, all that it names is there, or
    /// no request with that name makes one.
    ///
    /// - A feedback's person is found by `person_email`. Its `person_name` is looked for only where
    ///   there is no address; beside one it identifies nobody.
    /// - Its `company_name` belongs to that person, and is ignored without one.
    /// - Its `feature_request_title` and each of its `tags`.
    /// - A contact is found by `internal_id` and by `email`, and feedback finds it by `email` and by
    ///   `name`. Whether an unknown `company_internal_id` makes a company is not documented: it is
    ///   taken for one that does. (Its `company` is a number that Savio gave: it is there.)
    /// - A company is found by `internal_id`, and feedback finds it by `name`.
    pub fn names(&self) -> Vec<RecordKey> {
        let fields: &[(NameKind, &str)] = match self.kind {
            RequestKind::Company => {
                &[(NameKind::CompanyId, "internal_id"), (NameKind::CompanyName, "name")]
            }
            RequestKind::Contact => &[
                (NameKind::PersonId, "internal_id"),
                (NameKind::PersonEmail, "email"),
                (NameKind::PersonName, "name"),
                (NameKind::CompanyId, "company_internal_id"),
            ],
            RequestKind::Feedback => self.names_of_feedback(),
        };
        let mut names: Vec<RecordKey> =
            fields.iter().filter_map(|(kind, key)| self.name(*kind, key)).collect();
        if let (RequestKind::Feedback, Some(Value::Array(tags))) =
            (self.kind, self.body.get("tags"))
        {
            names.extend(tags.iter().filter_map(|tag| named(NameKind::Tag, tag)));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn names_of_feedback(&self) -> &'static [(NameKind, &'static str)] {
        const EMAIL: [(NameKind, &str); 3] =
            [(NameKind::PersonEmail, "person_email"), COMPANY, TITLE];
        const NAME: [(NameKind, &str); 3] = [(NameKind::PersonName, "person_name"), COMPANY, TITLE];
        const COMPANY: (NameKind, &str) = (NameKind::CompanyName, "company_name");
        const TITLE: (NameKind, &str) = (NameKind::FeatureRequest, "feature_request_title");
        if self.name(NameKind::PersonEmail, "person_email").is_some() {
            &EMAIL
        } else if self.name(NameKind::PersonName, "person_name").is_some() {
            &NAME
        } else {
            &[TITLE]
        }
    }

    /// The one thing whose state this request sets, whatever it was before: the last one counts, so
    /// these go out one by one, in order of receipt.
    pub fn upsert(&self) -> Option<RecordKey> {
        match self.kind {
            RequestKind::Company => self.name(NameKind::CompanyUpsert, "internal_id"),
            RequestKind::Contact => self.name(NameKind::ContactUpsert, "internal_id"),
            RequestKind::Feedback => None,
        }
    }

    fn name(&self, kind: NameKind, key: &str) -> Option<RecordKey> {
        named(kind, self.body.get(key)?)
    }
}

fn named(kind: NameKind, value: &Value) -> Option<RecordKey> {
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

    /// Which names the request has, by their kinds and texts.
    fn check(kind: RequestKind, body: &Value, expected: &[(NameKind, &str)]) {
        let mut names: Vec<RecordKey> =
            expected.iter().map(|(kind, name)| RecordKey::new(*kind, name).unwrap()).collect();
        names.sort_unstable();
        assert_eq!(request(kind, body).names(), names, "{body}");
    }

    #[test]
    fn feedback_names_whom_savio_looks_for() {
        let feedback = RequestKind::Feedback;
        let ann = (NameKind::PersonEmail, "ann@example.com");

        check(feedback, &json!({ "problem": "slow" }), &[]);
        check(
            feedback,
            &json!({ "person_email": "ann@example.com", "person_name": "Ann" }),
            &[ann],
        );
        check(
            feedback,
            &json!({ "person_name": "Ann", "company_name": "Acme" }),
            &[(NameKind::PersonName, "ann"), (NameKind::CompanyName, "acme")],
        );
        check(feedback, &json!({ "company_name": "Acme" }), &[]);
        check(
            feedback,
            &json!({ "feature_request_title": "Dark mode", "tags": ["red", " Red ", ""] }),
            &[(NameKind::FeatureRequest, "dark mode"), (NameKind::Tag, "red")],
        );
    }

    #[test]
    fn contacts_and_companies_name_what_finds_them() {
        check(
            RequestKind::Contact,
            &json!({ "internal_id": "7", "email": "ann@example.com", "name": "Ann",
                     "company_internal_id": 6, "company": 3 }),
            &[
                (NameKind::PersonId, "7"),
                (NameKind::PersonEmail, "ann@example.com"),
                (NameKind::PersonName, "ann"),
                (NameKind::CompanyId, "6"),
            ],
        );
        check(
            RequestKind::Company,
            &json!({ "internal_id": "6", "name": "Acme", "filterable_attributes": {} }),
            &[(NameKind::CompanyId, "6"), (NameKind::CompanyName, "acme")],
        );
    }

    #[test]
    fn names_are_alike_whatever_their_case_and_the_space_around_them() {
        assert_eq!(
            RecordKey::new(NameKind::Tag, " ÄRGER\n"),
            RecordKey::new(NameKind::Tag, "ärger")
        );
        assert_ne!(
            RecordKey::new(NameKind::Tag, "acme"),
            RecordKey::new(NameKind::CompanyName, "acme")
        );
        assert_eq!(RecordKey::new(NameKind::Tag, " \t"), None);
    }

    #[test]
    fn an_upsert_is_that_of_its_internal_id() {
        let company = |id: Value| request(RequestKind::Company, &json!({ "internal_id": id }));
        let contact = request(RequestKind::Contact, &json!({ "internal_id": "6" }));

        assert_eq!(company(json!("6")).upsert(), company(json!(" 6 ")).upsert());
        assert_ne!(company(json!("6")).upsert(), contact.upsert());
        assert_eq!(request(RequestKind::Feedback, &json!({ "problem": "slow" })).upsert(), None);
    }

    #[test]
    fn digests_are_those_that_stores_keep() {
        let hex = |kind, name: &str| {
            data_encoding::HEXLOWER.encode(RecordKey::new(kind, name).unwrap().as_bytes())
        };

        assert_eq!(hex(NameKind::CompanyUpsert, "6"), "90e22adf14db888783af86744b71bd85");
        assert_eq!(hex(NameKind::ContactUpsert, "6"), "73676e2d19177b0ad40b77d73fee1e1f");
    }
}
