//! The JSON Schema of mapping files.

/// For editors: the keys of each table, their values, and what they mean.
pub(crate) const SCHEMA: &str = include_str!("../../mappings/mapping.schema.json");
