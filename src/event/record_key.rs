//! Keys of the records that a request names at Savio, in a form that can be compared: short, and
//! equal for spellings that Savio takes for one record.

use std::fmt;

use sha2::{Digest, Sha256};

/// A record that Savio finds by a name: its kind, and a digest of the kind and the name, which is
/// trimmed and in lower case.
// A digest and not the name: delivery holds many of them at a time, names may have any length, and
// the store keeps those of upserts in an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    digest: [u8; RecordKey::LENGTH],
    kind: KeyKind,
}

/// The kind of record that a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
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

impl KeyKind {
    fn as_str(self) -> &'static str {
        // These words are part of the digests in existing stores: with another one an event would
        // not wait for an earlier one that was mapped by an older version.
        match self {
            KeyKind::PersonId => "person id",
            KeyKind::PersonEmail => "person email",
            KeyKind::PersonName => "person",
            KeyKind::CompanyId => "company id",
            KeyKind::CompanyName => "company",
            KeyKind::FeatureRequest => "feature request",
            KeyKind::Tag => "tag",
            KeyKind::ContactUpsert => "upsert of a contact",
            KeyKind::CompanyUpsert => "upsert of a company",
        }
    }

    /// Returns the word for the record in messages.
    pub fn thing(self) -> &'static str {
        match self {
            KeyKind::PersonId | KeyKind::PersonEmail | KeyKind::PersonName => "person",
            KeyKind::CompanyId | KeyKind::CompanyName | KeyKind::CompanyUpsert => "company",
            KeyKind::FeatureRequest => "feature request",
            KeyKind::Tag => "tag",
            KeyKind::ContactUpsert => "contact",
        }
    }
}

impl RecordKey {
    const LENGTH: usize = 16;

    /// Returns the key of this name; none if it is empty or white space.
    pub fn new(kind: KeyKind, name: &str) -> Option<RecordKey> {
        // Whether Savio compares names by case is not documented. Two keys that are equal without
        // need cost a wait; two that differ without need could make a record twice.
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        digest.update(kind.as_str());
        // Else a kind and a name could share their digest with a longer kind and a shorter name.
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
        write!(formatter, "RecordKey({}, {digest:016x})", self.kind.as_str())
    }
}
