//! Where a proof lies in a request: read from there, put there, overwritten there.

use super::{Field, Presented, Stamp, Unsignable};
use crate::intake::payload::form;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A header by its lower-case name.
    Header(String),
    Query(String),
    /// `Authorization: Bearer ...`
    Bearer,
    Field(Field),
}

impl Place {
    /// What stands there; empty ones are as good as none.
    pub(super) fn values(&self, presented: &Presented<'_>) -> Vec<String> {
        let header = |name: &str| presented.headers.get(name).map(String::as_str);
        let mut values = match self {
            Place::Header(name) => Vec::from_iter(header(name).map(str::to_owned)),
            Place::Query(name) => form::pairs(presented.query.unwrap_or_default())
                .filter(|(given, _)| given == name)
                .map(|(_, value)| value)
                .collect(),
            Place::Bearer => {
                let written = header("authorization");
                Vec::from_iter(written.map(|it| after_word(it, "bearer").unwrap_or(it).to_owned()))
            }
            // What could not be overwritten is not taken either.
            Place::Field(field) if field.ranges(presented.body).is_empty() => Vec::new(),
            Place::Field(field) => Vec::from_iter(field.text(presented.body)),
        };
        values.retain(|value| !value.trim().is_empty());
        values
    }

    /// The first value: a request that repeats a parameter costs no more than one that does not.
    pub(super) fn first(&self, presented: &Presented<'_>) -> Option<String> {
        self.values(presented).into_iter().next()
    }

    pub(super) fn stamp(&self, value: String, body: &[u8]) -> Result<Stamp, Unsignable> {
        let mut stamp = Stamp::default();
        match self {
            Place::Header(name) => stamp.headers.push((name.clone(), value)),
            Place::Query(name) => stamp.query.push((name.clone(), value)),
            Place::Bearer => {
                stamp.headers.push(("authorization".to_owned(), format!("Bearer {value}")));
            }
            Place::Field(field) => {
                let changed = field.put(body, &value.into()).ok_or(Unsignable::NoField)?;
                stamp.body = Some(changed);
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
