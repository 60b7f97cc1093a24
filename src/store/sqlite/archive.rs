//! Reads of events for people and the API, and the actions they start: search, counts, replay, release.
pub(crate) mod search;
pub(crate) mod release;
pub(crate) mod replay;
pub(crate) mod text_search;
