//! Columns: the stored forms of our types.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};

use crate::event::{EventId, MappingDigest, SourceName};

/// A time in microseconds since the Unix epoch.
pub(crate) struct TimeColumn(pub(crate) Timestamp);

impl ToSql for TimeColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_microsecond().into())
    }
}

impl FromSql for TimeColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<TimeColumn> {
        Timestamp::from_microsecond(value.as_i64()?).map(TimeColumn).map_err(FromSqlError::other)
    }
}

pub(crate) struct EventIdColumn(pub(crate) EventId);

impl ToSql for EventIdColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_bytes().as_slice().into())
    }
}

impl FromSql for EventIdColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EventIdColumn> {
        <[u8; 16]>::column_result(value).map(|bytes| EventIdColumn(EventId::from_bytes(bytes)))
    }
}

pub(crate) struct DigestColumn(pub(crate) MappingDigest);

impl ToSql for DigestColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_bytes().as_slice().into())
    }
}

impl FromSql for DigestColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<DigestColumn> {
        <[u8; 32]>::column_result(value).map(|it| DigestColumn(MappingDigest::from_bytes(it)))
    }
}

pub(crate) struct SourceColumn(pub(crate) SourceName);

impl FromSql for SourceColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<SourceColumn> {
        value.as_str()?.parse().map(SourceColumn).map_err(FromSqlError::other)
    }
}

/// A text for display, in which bytes that are not UTF-8 become U+FFFD.
pub(crate) struct ShownColumn(pub(crate) String);

impl FromSql for ShownColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<ShownColumn> {
        let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = value else {
            return Err(FromSqlError::InvalidType);
        };
        Ok(ShownColumn(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// An enum by its serde name.
pub(crate) struct EnumColumn<T>(pub(crate) T);

impl<T: for<'a> Deserialize<'a>> FromSql for EnumColumn<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EnumColumn<T>> {
        let name: StrDeserializer<'_, serde::de::value::Error> =
            value.as_str()?.into_deserializer();
        T::deserialize(name).map(EnumColumn).map_err(FromSqlError::other)
    }
}

/// A value as JSON text.
pub(crate) struct JsonColumn<T>(pub(crate) T);

impl<T: Serialize> ToSql for JsonColumn<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> FromSql for JsonColumn<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<JsonColumn<T>> {
        serde_json::from_str(value.as_str()?).map(JsonColumn).map_err(FromSqlError::other)
    }
}

/// Converts a token to the column's signed type, bit by bit: SQLite has no unsigned integers.
pub(crate) fn token_column(token: u64) -> i64 {
    token.cast_signed()
}

/// The column `rank` of an event: live events are claimed before imported ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Live,
    Imported,
}

impl Priority {
    /// All priorities, the highest first.
    pub(crate) const ALL: [Priority; 2] = [Priority::Live, Priority::Imported];

    fn rank(self) -> i64 {
        match self {
            Priority::Live => 0,
            Priority::Imported => 1,
        }
    }
}

impl ToSql for Priority {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.rank().into())
    }
}

impl FromSql for Priority {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Priority> {
        let rank = value.as_i64()?;
        let found = Priority::ALL.into_iter().find(|priority| priority.rank() == rank);
        found.ok_or(FromSqlError::OutOfRange(rank))
    }
}

/// Reads a text for display.
pub(crate) fn text_column(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    // Text that is not UTF-8, as after damage, would fail the whole page for one event.
    let text: Option<ShownColumn> = row.get(column)?;
    Ok(text.map(|ShownColumn(text)| text))
}

pub(crate) fn time_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let time: Option<TimeColumn> = row.get(column)?;
    Ok(time.map(|TimeColumn(time)| time))
}
