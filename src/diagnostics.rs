//! Messages about files that people write: what is wrong, where, and what to write instead.

pub mod diagnostic;
pub mod document;
mod redaction;
pub mod report;
pub(crate) mod suggestion;
mod syntax;
pub mod table;
mod visible;

pub use visible::{is_terminal_control, visible};
pub(crate) use visible::{one_line, visible_json};
