//! Where a proof lies in a request: read from there, put there, overwritten there.

use super::body_field::BodyField;
use super::request::{SignError, SignedParts, SignedRequest};
use crate::intake::payload::form;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialLocation {
    /// A header by its lower-case name.
    Header(String),
    Query(String),
    /// `Authorization: Bearer ...`
    Bearer,
    Field(BodyField),
}

impl CredentialLocation {
    /// What stands there; empty ones are as good as none.
    pub(super) fn values(&self, presented: &SignedRequest<'_>) -> Vec<String> {
        let header = |name: &str| presented.headers.get(name).map(String::as_str);
        let mut values = match self {
            CredentialLocation::Header(name) => Vec::from_iter(header(name).map(str::to_owned)),
            CredentialLocation::Query(name) => form::pairs(presented.query.unwrap_or_default())
                .filter(|(given, _)| given == name)
                .map(|(_, value)| value)
                .collect(),
            CredentialLocation::Bearer => {
                let written = header("authorization");
                Vec::from_iter(written.map(|it| after_word(it, "bearer").unwrap_or(it).to_owned()))
            }
            // What could not be overwritten is not taken either.
            CredentialLocation::Field(field)
                if field.ranges(presented.headers, presented.body).is_empty() =>
            {
                Vec::new()
            }
            CredentialLocation::Field(field) => {
                Vec::from_iter(field.text(presented.headers, presented.body))
            }
        };
        values.retain(|value| !value.trim().is_empty());
        values
    }

    /// The first value: a request that repeats a parameter costs no more than one that does not.
    pub(super) fn first(&self, presented: &SignedRequest<'_>) -> Option<String> {
        self.values(presented).into_iter().next()
    }

    /// Why a body cannot be searched for the field in which the proof is.
    pub(super) fn obstacle(&self, presented: &SignedRequest<'_>) -> Option<String> {
        let CredentialLocation::Field(field) = self else { return None };
        let encoding = presented.headers.get("content-encoding").map_or("", |it| it.trim());
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            let hint = "the body is compressed, and a proof in a field of it is read before that is undone";
            return Some(hint.to_owned());
        }
        field.obstacle(presented.headers, presented.body)
    }

    pub(super) fn stamp(
        &self,
        value: String,
        presented: &SignedRequest<'_>,
    ) -> Result<SignedParts, SignError> {
        let mut stamp = SignedParts::default();
        match self {
            CredentialLocation::Header(name) => stamp.headers.push((name.clone(), value)),
            CredentialLocation::Query(name) => stamp.query.push((name.clone(), value)),
            CredentialLocation::Bearer => {
                stamp.headers.push(("authorization".to_owned(), format!("Bearer {value}")));
            }
            CredentialLocation::Field(field) => {
                let changed = field.put(presented.headers, presented.body, &value.into());
                stamp.body = Some(changed.ok_or(SignError::NoField)?);
            }
        }
        Ok(stamp)
    }
}

/// What follows the scheme's name in an `Authorization` header.
pub(super) fn after_word<'v>(written: &'v str, word: &str) -> Option<&'v str> {
    let (first, rest) = written.split_once(' ')?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim())
}
