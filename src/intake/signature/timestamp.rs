//! The time of a signature, and its window.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::body_field::BodyField;
use super::message_template::{MessagePart, MessageTemplate};
use super::request::{SignedRequest, VerifyError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRule {
    /// Places of the time; the first that is present counts.
    pub places: Vec<TimestampLocation>,
    pub unit: TimestampUnit,
    /// Tolerance into the past and the future; none if the provider states no limit.
    pub window: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampLocation {
    /// A header by its lower-case name.
    Header(String),
    /// The part of the signature's list with this name, as `t=`.
    Part(String),
    Field(BodyField),
}

impl TimestampLocation {
    /// Describes the place in the words of the source's file.
    pub(super) fn described(&self) -> String {
        match self {
            TimestampLocation::Header(name) => format!("the header {name}"),
            TimestampLocation::Part(name) => format!("`{name}=` in its list"),
            TimestampLocation::Field(_) => {
                "the field of the body that `timestamp` names".to_owned()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    Seconds,
    Milliseconds,
    /// RFC 3339, also with a space instead of `T`; UTC if there is no zone.
    Text,
    /// The three forms of the header `Date` (RFC 9110, 5.6.7).
    HttpDate,
}

impl TimestampRule {
    /// Returns the time as it is written. `part` looks up a part of the signature's list.
    pub(super) fn written<'r>(
        &self,
        request: &SignedRequest<'r>,
        part: impl Fn(&str) -> Option<&'r str>,
    ) -> Option<Cow<'r, str>> {
        self.places.iter().find_map(|place| match place {
            TimestampLocation::Header(name) => {
                request.headers.get(name).map(|it| it.as_str().into())
            }
            TimestampLocation::Part(name) => part(name).map(Cow::Borrowed),
            TimestampLocation::Field(field) => {
                field.text(request.headers, request.body).map(Cow::Owned)
            }
        })
    }

    /// Returns whether the message covers the time because it covers the body.
    pub fn is_in_body(&self, message: &MessageTemplate) -> bool {
        let in_body = |place: &TimestampLocation| match place {
            TimestampLocation::Field(field) => {
                message.contains(&MessagePart::Body)
                    || message.contains(&MessagePart::Field(field.clone()))
            }
            TimestampLocation::Header(_) | TimestampLocation::Part(_) => false,
        };
        self.places.iter().all(in_body)
    }

    pub(super) fn check(&self, written: Option<&str>, now: Timestamp) -> Result<(), VerifyError> {
        // Without a window the time is part of the message only: an unreadable one does no harm.
        let Some(window) = self.window else { return Ok(()) };
        let signed_at = written.and_then(|written| self.unit.read(written));
        let signed_at = signed_at.ok_or(VerifyError::UnreadableTime)?;
        // Both ways: a time far in the future would let a captured request be replayed for that
        // long.
        if now.duration_since(signed_at).unsigned_abs() > window {
            return Err(VerifyError::OutsideTolerance);
        }
        Ok(())
    }
}

impl TimestampUnit {
    pub const ALL: [TimestampUnit; 4] = [
        TimestampUnit::Seconds,
        TimestampUnit::Milliseconds,
        TimestampUnit::Text,
        TimestampUnit::HttpDate,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            TimestampUnit::Seconds => "seconds",
            TimestampUnit::Milliseconds => "milliseconds",
            TimestampUnit::Text => "text",
            TimestampUnit::HttpDate => "http-date",
        }
    }

    /// Reads a time. Numbers are digits only: no sign, no spaces, no `Infinity`.
    pub fn read(self, text: &str) -> Option<Timestamp> {
        let digits = || text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text);
        match self {
            TimestampUnit::Seconds => Timestamp::from_second(digits()?.parse().ok()?).ok(),
            TimestampUnit::Milliseconds => {
                Timestamp::from_millisecond(digits()?.parse().ok()?).ok()
            }
            TimestampUnit::Text => text.parse().or_else(|_| format!("{text}Z").parse()).ok(),
            TimestampUnit::HttpDate => {
                Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
            }
        }
    }

    /// Writes a time, as a number or a text.
    pub(super) fn write(self, at: Timestamp) -> Value {
        match self {
            TimestampUnit::Seconds => at.as_second().into(),
            TimestampUnit::Milliseconds => at.as_millisecond().into(),
            TimestampUnit::Text => at.to_string().into(),
            TimestampUnit::HttpDate => at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string().into(),
        }
    }
}
