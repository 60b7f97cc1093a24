//! Rows of the database as types.
pub(crate) mod columns;
