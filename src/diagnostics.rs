//! Messages about files that people write: what is wrong, where, and what to write instead.
pub mod diagnostic;
pub(crate) mod redaction;
pub mod table;
