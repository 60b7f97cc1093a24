//! When a request was signed, and how long that counts.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{Field, Piece, Presented, Template, Unproven};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// The first one that is there counts.
    pub places: Vec<ClockPlace>,
    pub unit: Unit,
    /// Backwards and forwards; none where the provider states no limit.
    pub window: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClockPlace {
    /// A header by its lower-case name.
    Header(String),
    /// The part of the signature's list that begins with this and `=`.
    Part(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
    /// RFC 3339, with a space for its `T` too; without a zone it is UTC.
    Text,
    /// As in the header `Date`, in each of its three forms.
    HttpDate,
}

impl Clock {
    /// The time as it is written, of which `part` looks up a part of the signature's list.
    pub(super) fn written<'r>(
        &self,
        presented: &Presented<'r>,
        part: impl Fn(&str) -> Option<&'r str>,
    ) -> Option<Cow<'r, str>> {
        self.places.iter().find_map(|place| match place {
            ClockPlace::Header(name) => presented.headers.get(name).map(|it| it.as_str().into()),
            ClockPlace::Part(name) => part(name).map(Cow::Borrowed),
            ClockPlace::Field(field) => field.text(presented.body).map(Cow::Owned),
        })
    }

    /// Whether a message that covers the body covers the time by that.
    pub fn is_in_body(&self, message: &Template) -> bool {
        let in_body = |place: &ClockPlace| match place {
            ClockPlace::Field(field) => {
                message.contains(&Piece::Body) || message.contains(&Piece::Field(field.clone()))
            }
            ClockPlace::Header(_) | ClockPlace::Part(_) => false,
        };
        self.places.iter().all(in_body)
    }

    pub(super) fn check(&self, written: Option<&str>, now: Timestamp) -> Result<(), Unproven> {
        let Some(window) = self.window else { return Ok(()) };
        let signed_at = written.and_then(|written| self.unit.read(written));
        let signed_at = signed_at.ok_or(Unproven::UnreadableTime)?;
        if now.duration_since(signed_at).unsigned_abs() > window {
            return Err(Unproven::OutsideWindow);
        }
        Ok(())
    }
}

impl Unit {
    pub const ALL: [Unit; 4] = [Unit::Seconds, Unit::Milliseconds, Unit::Text, Unit::HttpDate];

    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Milliseconds => "milliseconds",
            Unit::Text => "text",
            Unit::HttpDate => "http-date",
        }
    }

    /// Whole numbers of digits only: no sign, no spaces, no `Infinity`.
    pub fn read(self, text: &str) -> Option<Timestamp> {
        let digits = || text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text);
        match self {
            Unit::Seconds => Timestamp::from_second(digits()?.parse().ok()?).ok(),
            Unit::Milliseconds => Timestamp::from_millisecond(digits()?.parse().ok()?).ok(),
            Unit::Text => text.parse().or_else(|_| format!("{text}Z").parse()).ok(),
            Unit::HttpDate => Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok(),
        }
    }

    /// A number, or a text.
    pub(super) fn write(self, at: Timestamp) -> Value {
        match self {
            Unit::Seconds => at.as_second().into(),
            Unit::Milliseconds => at.as_millisecond().into(),
            Unit::Text => at.to_string().into(),
            Unit::HttpDate => at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string().into(),
        }
    }
}
