//! What a request names at Savio, in a form in which two names can be compared: short, and the same
//! for all who write it a little differently.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Request, RequestKind};

/// Something that Savio finds by a name: a digest of what kind of thing it is and of its name, trimmed
/// and without regard to upper and lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name([u8; Name::LENGTH]);

impl Name {
    const LENGTH: usize = 16;

    /// None: an empty name is no name.
    pub fn new(kind: &str, name: &str) -> Option<Name> {
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        digest.update(kind);
        digest.update([0]);
        digest.update(name);
        let digest = digest.finalize();
        Some(Name(std::array::from_fn(|at| digest[at])))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Name({:016x})", u128::from_be_bytes(self.0) >> 64)
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
    pub fn names(&self) -> Vec<Name> {
        let fields: &[(&str, &str)] = match self.kind {
            RequestKind::Company => &[("company id", "internal_id"), ("company", "name")],
            RequestKind::Contact => &[
                ("person id", "internal_id"),
                ("person email", "email"),
                ("person", "name"),
                ("company id", "company_internal_id"),
            ],
            RequestKind::Feedback => self.names_of_feedback(),
        };
        let mut names: Vec<Name> =
            fields.iter().filter_map(|(kind, key)| self.name(kind, key)).collect();
        if let (RequestKind::Feedback, Some(Value::Array(tags))) =
            (self.kind, self.body.get("tags"))
        {
            names.extend(tags.iter().filter_map(|tag| named("tag", tag)));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn names_of_feedback(&self) -> &'static [(&'static str, &'static str)] {
        const EMAIL: [(&str, &str); 3] =
            [("person email", "person_email"), ("company", "company_name"), TITLE];
        const NAME: [(&str, &str); 3] =
            [("person", "person_name"), ("company", "company_name"), TITLE];
        const TITLE: (&str, &str) = ("feature request", "feature_request_title");
        if self.name("person email", "person_email").is_some() {
            &EMAIL
        } else if self.name("person", "person_name").is_some() {
            &NAME
        } else {
            &[TITLE]
        }
    }

    /// The one thing whose state this request sets, whatever it was before: the last one counts, so
    /// these go out one by one, in order of receipt.
    pub fn upsert(&self) -> Option<Name> {
        match self.kind {
            RequestKind::Company => self.name("upsert of a company", "internal_id"),
            RequestKind::Contact => self.name("upsert of a contact", "internal_id"),
            RequestKind::Feedback => None,
        }
    }

    fn name(&self, kind: &str, key: &str) -> Option<Name> {
        named(kind, self.body.get(key)?)
    }
}

fn named(kind: &str, value: &Value) -> Option<Name> {
    match value {
        Value::String(name) => Name::new(kind, name),
        Value::Number(number) => Name::new(kind, &number.to_string()),
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
    fn check(kind: RequestKind, body: &Value, expected: &[(&str, &str)]) {
        let mut names: Vec<Name> =
            expected.iter().map(|(kind, name)| Name::new(kind, name).unwrap()).collect();
        names.sort_unstable();
        assert_eq!(request(kind, body).names(), names, "{body}");
    }

    #[test]
    fn feedback_names_whom_savio_looks_for() {
        let feedback = RequestKind::Feedback;
        let ann = ("person email", "ann@example.com");

        check(feedback, &json!({ "problem": "slow" }), &[]);
        check(
            feedback,
            &json!({ "person_email": "ann@example.com", "person_name": "Ann" }),
            &[ann],
        );
        check(
            feedback,
            &json!({ "person_name": "Ann", "company_name": "Acme" }),
            &[("person", "ann"), ("company", "acme")],
        );
        check(feedback, &json!({ "company_name": "Acme" }), &[]);
        check(
            feedback,
            &json!({ "feature_request_title": "Dark mode", "tags": ["red", " Red ", ""] }),
            &[("feature request", "dark mode"), ("tag", "red")],
        );
    }

    #[test]
    fn contacts_and_companies_name_what_finds_them() {
        check(
            RequestKind::Contact,
            &json!({ "internal_id": "7", "email": "ann@example.com", "name": "Ann",
                     "company_internal_id": 6, "company": 3 }),
            &[
                ("person id", "7"),
                ("person email", "ann@example.com"),
                ("person", "ann"),
                ("company id", "6"),
            ],
        );
        check(
            RequestKind::Company,
            &json!({ "internal_id": "6", "name": "Acme", "filterable_attributes": {} }),
            &[("company id", "6"), ("company", "acme")],
        );
    }

    #[test]
    fn names_are_alike_whatever_their_case_and_the_space_around_them() {
        assert_eq!(Name::new("tag", " ÄRGER\n"), Name::new("tag", "ärger"));
        assert_ne!(Name::new("tag", "acme"), Name::new("company", "acme"));
        assert_eq!(Name::new("tag", " \t"), None);
    }

    #[test]
    fn an_upsert_is_that_of_its_internal_id() {
        let company = |id: Value| request(RequestKind::Company, &json!({ "internal_id": id }));
        let contact = request(RequestKind::Contact, &json!({ "internal_id": "6" }));

        assert_eq!(company(json!("6")).upsert(), company(json!(" 6 ")).upsert());
        assert_ne!(company(json!("6")).upsert(), contact.upsert());
        assert_eq!(request(RequestKind::Feedback, &json!({ "problem": "slow" })).upsert(), None);
    }
}
