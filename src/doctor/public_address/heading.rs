//! The heading below which the findings about the public address are listed.

pub(super) const PUBLIC: &str = "public address";
