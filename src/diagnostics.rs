//! Messages about files that people write: what is wrong, where, and what to write instead.

mod counted;
pub mod diagnostic;
pub mod document;
pub mod fix;
#[cfg(test)]
pub(crate) mod fix_check;
pub mod line_index;
mod redaction;
pub mod report;
pub(crate) mod suggestion;
mod syntax;
pub mod table;
pub mod view;
mod visible;

pub(crate) use counted::counted;
pub(crate) use visible::{in_one_line, one_line, shorten, visible_json};
pub use visible::{is_terminal_control, visible};
