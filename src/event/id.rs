//! Names of sources, event types and events.

use std::borrow::Cow;
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
#[serde(try_from = "Cow<'_, str>")]
#[schema(value_type = Uuid)]
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

    /// Returns the first digits of its text.
    pub fn beginning(&self, digits: usize) -> String {
        let text = self.to_string();
        let mut places = text.char_indices().filter(|(_, c)| *c != '-').map(|(place, _)| place);
        match places.nth(digits) {
            Some(end) => text[..end].trim_end_matches('-').to_owned(),
            None => text,
        }
    }

    /// Returns the number of digits with which both begin.
    pub fn common_digits(&self, other: &EventId) -> usize {
        let pairs = self.as_bytes().iter().zip(other.as_bytes());
        let equal = pairs.clone().take_while(|(a, b)| a == b).count();
        let half = pairs.clone().nth(equal).is_some_and(|(a, b)| a >> 4 == b >> 4);
        equal * 2 + usize::from(half)
    }
}

/// The beginning of an event's id. Hyphens do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix {
    /// As it was written.
    text: String,
    /// Hexadecimal digits in lower case.
    digits: String,
}

impl IdPrefix {
    /// Number of digits below which a prefix says too little, as in git.
    pub const DIGITS_MIN: usize = 4;

    /// Returns the first and the last id that begin so.
    pub fn range(&self) -> (EventId, EventId) {
        let filled = |digit: char| {
            let missing = DIGITS.saturating_sub(self.digits.len());
            let digits = self.digits.clone() + &String::from(digit).repeat(missing);
            digits.parse().expect("32 hexadecimal digits are an id")
        };
        (filled('0'), filled('f'))
    }
}

/// Number of hexadecimal digits of an id.
const DIGITS: usize = 32;

impl FromStr for IdPrefix {
    type Err = InvalidIdPrefix;

    fn from_str(text: &str) -> Result<IdPrefix, InvalidIdPrefix> {
        let digits = text.trim().replace('-', "").to_ascii_lowercase();
        let fits = (IdPrefix::DIGITS_MIN..=DIGITS).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if fits { Ok(IdPrefix { text: text.to_owned(), digits }) } else { Err(InvalidIdPrefix) }
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write an event's id, or at least its first four digits, such as 01a226e2")]
pub struct InvalidIdPrefix;

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write the whole id of an event, such as 01a1f2c4-0000-7000-8000-000000000000")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<EventId, InvalidEventId> {
        text.parse().map(EventId).map_err(|_| InvalidEventId)
    }
}

impl TryFrom<Cow<'_, str>> for EventId {
    type Error = InvalidEventId;

    fn try_from(text: Cow<'_, str>) -> Result<EventId, InvalidEventId> {
        text.parse()
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
    fn id_prefix_has_four_digits_at_least() {
        let range = |text: &str| {
            let (first, last) = text.parse::<IdPrefix>().unwrap().range();
            (first.to_string(), last.to_string())
        };
        let first = "01a226e2-4f00-0000-0000-000000000000".to_owned();
        let last = "01a226e2-4fff-ffff-ffff-ffffffffffff".to_owned();
        assert_eq!(range("01A226E24f"), (first.clone(), last.clone()));
        assert_eq!(range("01a226e2-4f"), (first, last));
        let whole = "01a226e2-4f1c-7000-8000-0123456789ab";
        assert_eq!(range(whole), (whole.to_owned(), whole.to_owned()));
        for bad in ["", "01a", "01a-", "xyz0", "01a226e2-4f1c-7000-8000-0123456789ab0"] {
            assert_eq!(bad.parse::<IdPrefix>(), Err(InvalidIdPrefix), "{bad}");
        }
    }

    #[test]
    fn beginning_of_an_id_ends_with_a_digit() {
        let id: EventId = "01a226e2-4f1c-7000-8000-0123456789ab".parse().unwrap();
        let near: EventId = "01a226e2-4f1d-7000-8000-0123456789ab".parse().unwrap();

        assert_eq!(id.beginning(8), "01a226e2");
        assert_eq!(id.beginning(12), "01a226e2-4f1c");
        assert_eq!(id.beginning(32), id.to_string());
        assert_eq!((id.common_digits(&near), id.common_digits(&id)), (11, 32));
    }

    #[test]
    fn event_ids_sort_by_time() {
        let early = EventId::new(Timestamp::from_second(1_000).unwrap());
        let late = EventId::new(Timestamp::from_second(2_000).unwrap());

        assert!(early < late);
        assert_eq!(early.to_string().parse::<EventId>().unwrap(), early);
    }
}
