//! Stored state of destinations, and the sources that a person paused.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::JsonColumn;

pub(super) fn read(connection: &Connection, name: &str) -> Result<Option<Value>, SqliteError> {
    let sql = "SELECT state FROM gates WHERE name = ?1";
    let found = connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?;
    Ok(found.map(|JsonColumn(state)| state))
}

pub(super) fn write(connection: &Connection, name: &str, state: &Value) -> Result<(), SqliteError> {
    let sql = "INSERT INTO gates (name, state) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET state = excluded.state";
    connection.prepare_cached(sql)?.execute(params![name, JsonColumn(state)])?;
    Ok(())
}
