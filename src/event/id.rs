//! Names of sources, event types and events.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The name of a source: the name of its mapping file and the last segment of its URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
pub struct SourceName(String);

impl SourceName {
    pub const LENGTH_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = InvalidSourceName;

    fn from_str(name: &str) -> Result<SourceName, InvalidSourceName> {
        // These characters need no escaping in a path, a URL, a metric label or a log line, and
        // lower case alone lets no two files differ only by case, which macOS would take for one.
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = name.len() <= SourceName::LENGTH_MAX
            && name.starts_with(plain)
            && name.chars().all(|c| plain(c) || c == '-' || c == '_');
        if fits { Ok(SourceName(name.to_owned())) } else { Err(InvalidSourceName) }
    }
}

impl TryFrom<String> for SourceName {
    type Error = InvalidSourceName;

    fn try_from(name: String) -> Result<SourceName, InvalidSourceName> {
        name.parse()
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a source's name has 1 to 64 of a-z, 0-9, - and _, and begins with a letter or digit")]
pub struct InvalidSourceName;

/// Destination of a source whose mapping file names none.
pub const DEFAULT_DESTINATION: &str = "default";

/// An id of an event. Ids sort by the time at which they were made.
// UUID v7: ids of one time are neighbours in the index of `events.id`, so that new ones are
// inserted at its end and not on pages all over it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// Makes a new id; two made at the same `now` differ.
    pub fn new(now: Timestamp) -> EventId {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds);
        EventId(Uuid::new_v7(time))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> EventId {
        EventId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<EventId, uuid::Error> {
        text.parse().map(EventId)
    }
}

/// A pattern of event types: an exact type, or `issues.*` for all that begin with `issues.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern(String);

impl TypePattern {
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => event_type.starts_with(beginning),
            None => event_type == self.0,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypePattern {
    type Err = InvalidTypePattern;

    fn from_str(pattern: &str) -> Result<TypePattern, InvalidTypePattern> {
        let beginning = pattern.strip_suffix(".*").unwrap_or(pattern);
        let fits = !beginning.is_empty() && !beginning.contains('*');
        if fits { Ok(TypePattern(pattern.to_owned())) } else { Err(InvalidTypePattern) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "write an event type in full, or with `.*` for all that begin with it, such as \"issues.*\""
)]
pub struct InvalidTypePattern;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_name_fits_a_file_name_and_a_url() {
        for good in ["typeform", "form-2", "a_b", "9lives"] {
            assert_eq!(good.parse::<SourceName>().unwrap().as_str(), good);
        }
        for bad in ["", "Form", "-a", "a/b", "..", "a b", &"a".repeat(65)] {
            assert_eq!(bad.parse::<SourceName>(), Err(InvalidSourceName), "{bad}");
        }
    }

    #[test]
    fn type_pattern_is_exact_or_a_prefix() {
        let matches =
            |pattern: &str, event_type| pattern.parse::<TypePattern>().unwrap().matches(event_type);

        assert!(matches("issues.*", "issues.opened") && matches("push", "push"));
        assert!(!matches("issues.*", "issues") && !matches("push", "push.x"));
        for bad in ["", "*", ".*", "is*ues", "issues*"] {
            assert_eq!(bad.parse::<TypePattern>(), Err(InvalidTypePattern), "{bad}");
        }
    }

    #[test]
    fn event_ids_sort_by_time() {
        let early = EventId::new(Timestamp::from_second(1_000).unwrap());
        let late = EventId::new(Timestamp::from_second(2_000).unwrap());

        assert!(early < late);
        assert_eq!(early.to_string().parse::<EventId>().unwrap(), early);
    }
}
