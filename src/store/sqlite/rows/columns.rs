//! How our types look in a column.

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};

use crate::event::{EventId, SourceName};

/// A time in microseconds.
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

pub(crate) struct SourceColumn(pub(crate) SourceName);

impl FromSql for SourceColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<SourceColumn> {
        value.as_str()?.parse().map(SourceColumn).map_err(FromSqlError::other)
    }
}

/// A text for people to look at: bytes that are not UTF-8 are shown as the replacement character.
pub(crate) struct ShownColumn(pub(crate) String);

impl FromSql for ShownColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<ShownColumn> {
        let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = value else {
            return Err(FromSqlError::InvalidType);
        };
        Ok(ShownColumn(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// One of the words of an enum.
pub(crate) struct EnumColumn<T>(pub(crate) T);

impl<T: for<'a> Deserialize<'a>> FromSql for EnumColumn<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EnumColumn<T>> {
        let word: StrDeserializer<'_, serde::de::value::Error> =
            value.as_str()?.into_deserializer();
        T::deserialize(word).map(EnumColumn).map_err(FromSqlError::other)
    }
}

/// JSON text.
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

/// Tokens keep their bits.
pub(crate) fn token(token: u64) -> i64 {
    token.cast_signed()
}
