//! Rules that a mapping file declares: blocks, fields, form answers, events.

pub(crate) mod answers;
pub(crate) mod block;
pub(crate) mod event_filter;
pub(crate) mod fields;
