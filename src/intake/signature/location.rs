//! The place of a credential in a request, to read it and to write it.

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
    /// Returns the values at this place; blank ones count as absent.
    pub(super) fn values(&self, request: &SignedRequest<'_>) -> Vec<String> {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        let mut values = match self {
            CredentialLocation::Header(name) => Vec::from_iter(header(name).map(str::to_owned)),
            CredentialLocation::Query(name) => form::pairs(request.query.unwrap_or_default())
                .filter(|(parameter, _)| parameter == name)
                .map(|(_, value)| value)
                .collect(),
            CredentialLocation::Bearer => {
                let written = header("authorization");
                Vec::from_iter(written.map(|it| after_word(it, "bearer").unwrap_or(it).to_owned()))
            }
            // A value that `redact` cannot overwrite is not accepted: it would be stored.
            CredentialLocation::Field(field)
                if !field.can_be_overwritten(request.headers, request.body) =>
            {
                Vec::new()
            }
            CredentialLocation::Field(field) => {
                Vec::from_iter(field.text(request.headers, request.body))
            }
        };
        values.retain(|value| !value.trim().is_empty());
        values
    }

    /// Returns the first value.
    // Not all: each is verified, and the sender decides how often it repeats a parameter.
    pub(super) fn first(&self, request: &SignedRequest<'_>) -> Option<String> {
        self.values(request).into_iter().next()
    }

    /// Returns why the body cannot be searched for the field with the credential, if that is so.
    pub(super) fn obstacle(&self, request: &SignedRequest<'_>) -> Option<String> {
        let CredentialLocation::Field(field) = self else { return None };
        let encoding = request.headers.get("content-encoding").map_or("", |it| it.trim());
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            let hint = "the body is compressed, and a proof in a field of it is read before that is undone";
            return Some(hint.to_owned());
        }
        field.obstacle(request.headers, request.body)
    }

    pub(super) fn write(
        &self,
        value: String,
        request: &SignedRequest<'_>,
    ) -> Result<SignedParts, SignError> {
        let mut parts = SignedParts::default();
        match self {
            CredentialLocation::Header(name) => parts.headers.push((name.clone(), value)),
            CredentialLocation::Query(name) => parts.query.push((name.clone(), value)),
            CredentialLocation::Bearer => {
                parts.headers.push(("authorization".to_owned(), format!("Bearer {value}")));
            }
            CredentialLocation::Field(field) => {
                let changed = field.put(request.headers, request.body, &value.into());
                parts.body = Some(changed.ok_or(SignError::NoField)?);
            }
        }
        Ok(parts)
    }
}

/// Returns what follows the name of the scheme in an `Authorization` header.
pub(super) fn after_word<'v>(written: &'v str, word: &str) -> Option<&'v str> {
    // The name has no case (RFC 9110, 11.1).
    let (first, rest) = written.split_once(' ')?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim())
}
