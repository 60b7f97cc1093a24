//! What a request names at Savio, in a form in which two names can be compared: short, and the same
//! for all who write it a little differently.

use std::fmt;

use sha2::{Digest, Sha256};

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
