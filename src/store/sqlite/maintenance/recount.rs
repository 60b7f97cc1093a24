//! Counts events anew: finds and corrects wrong counts, and fills the half hours in which an older program
//! counted nothing.

mod examined;
mod raised;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::time::sleep;

use crate::store::error::StoreError;
use crate::store::half_hour::HalfHour;
use crate::store::maintenance::Recounted;
use crate::store::sqlite::engine::readers::{Purpose, Readers};
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::engine::writer::Writer;
use examined::{ExaminedSource, WrongCounts};

/// Number of half hours that one commit corrects, for which webhooks wait.
const WRITTEN_MAX: usize = 200;
/// Number of half hours whose webhooks one read counts.
const READ_MAX: usize = 48;
/// Pause after each step, as a multiple of the time that it took.
const PAUSE_FACTOR: u32 = 2;
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Counts all events anew, one source after the other.
pub(super) async fn recount(
    readers: &Arc<Readers>,
    writer: &Writer,
) -> Result<Recounted, StoreError> {
    let mut recounted = Recounted::default();
    let mut source = next_source(readers, String::new()).await?;
    while let Some(name) = source {
        let examine = {
            let name = name.clone();
            move |connection: &Connection| examined::examine(connection, &name)
        };
        let ExaminedSource { wrong, short } = readers.read(Purpose::Lookup, examine).await?;
        recounted += wrong.numbers();
        correct(writer, &name, wrong).await?;
        recounted.half_hours += short.len();
        for part in short.chunks(READ_MAX) {
            raise_received(readers, writer, (&name, part.to_vec())).await?;
        }
        source = next_source(readers, name).await?;
    }
    if recounted.half_hours > 0 {
        raise_settled(readers, writer).await?;
    }
    Ok(recounted)
}

async fn next_source(readers: &Arc<Readers>, after: String) -> Result<Option<String>, StoreError> {
    let next = move |connection: &Connection| examined::next_source(connection, &after);
    readers.read(Purpose::Lookup, next).await
}

async fn correct(writer: &Writer, source: &str, wrong: WrongCounts) -> Result<(), StoreError> {
    // The differences are added and the counts not set: events changed state since they were read.
    for part in wrong.into_parts(WRITTEN_MAX) {
        let (begun, source) = (Instant::now(), source.to_owned());
        let write = move |transaction: &Transaction<'_>| {
            part.correct(transaction, &source);
            Ok(())
        };
        writer.write(write).await?;
        pause(begun).await;
    }
    Ok(())
}

/// Raises what was received in these half hours to what the events show.
async fn raise_received(
    readers: &Arc<Readers>,
    writer: &Writer,
    (source, half_hours): (&str, Vec<HalfHour>),
) -> Result<(), StoreError> {
    let (begun, name) = (Instant::now(), source.to_owned());
    let read = move |connection: &Connection| raised::received(connection, &name, &half_hours);
    let received = readers.read(Purpose::Lookup, read).await?;
    let name = source.to_owned();
    let raise =
        move |transaction: &Transaction<'_>| raised::raise_received(transaction, &name, &received);
    writer.write(raise).await?;
    pause(begun).await;
    Ok(())
}

/// Raises what was settled in all half hours to what the events show.
// Reads all settled events, so only where an older program has counted nothing.
async fn raise_settled(readers: &Arc<Readers>, writer: &Writer) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let begun = Instant::now();
        let read = move |connection: &Connection| raised::settled(connection, after);
        let Some(settled) = readers.read(Purpose::Lookup, read).await? else { return Ok(()) };
        after = Some(settled.at);
        let raise =
            move |transaction: &Transaction<'_>| raised::raise_settled(transaction, &settled);
        writer.write(raise).await?;
        pause(begun).await;
    }
}

async fn pause(begun: Instant) {
    sleep((begun.elapsed() * PAUSE_FACTOR).max(PAUSE_MIN)).await;
}
