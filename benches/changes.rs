//! How long it takes to show what a mapping file would change: the bundled file of Typeform and one with a
//! field less, on 200 and on 10,000 stored events of 4 KB. `cargo bench --bench changes`, with `-- --short`
//! on a tenth of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use savio_relay::comparison::{ChangeCounts, ComparisonThreads, MappingPair, Walk};
use savio_relay::diagnostics::document::Document;
use savio_relay::event::{EventId, Headers, SourceName};
use savio_relay::mapping::Mapping;
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::parse_memory::ParseMemory;
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{Arrival, EventFilter, Inbox, NewEvent, Sqlite, Webhook, WebhookOrigin};

type Failure = Box<dyn std::error::Error>;

const MAPPING: &str = include_str!("../mappings/typeform.toml");
const PAYLOAD: &str = include_str!("../mappings/samples/typeform.every_kind.json");
const MEMORY: usize = 128 * 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_short = std::env::args().any(|argument| argument == "--short");
    let events = if is_short { 1_000 } else { 10_000 };
    let folder = tempfile::tempdir()?;
    let store = fill(folder.path(), events).await?;
    let pair = || MappingPair {
        old: mapping(MAPPING),
        new: mapping(&MAPPING.replace("source_url =", "# source_url =")),
    };
    println!("{} bytes a payload", PAYLOAD.len());
    println!("{:>8} {:>9} {:>9} {:>12}", "events", "changed", "ms", "µs an event");
    for limit in [200, events] {
        for _ in 0..3 {
            let begun = Instant::now();
            let counts = compare(&store, pair(), limit).await?;
            let took = begun.elapsed().as_secs_f64();
            let each = took * 1e6 / f64::from(u32::try_from(limit)?);
            println!("{:8} {:9} {:9.0} {each:12.0}", counts.compared, counts.changed, took * 1e3);
        }
    }
    store.close().await;
    Ok(())
}

fn mapping(text: &str) -> Arc<Mapping> {
    let document = Document { name: "typeform.toml".to_owned(), text: text.to_owned() };
    MappingFile::of_text(document).mapping
}

async fn compare(store: &Sqlite, pair: MappingPair, limit: usize) -> Result<ChangeCounts, Failure> {
    let (memory, threads) = (Arc::new(ParseMemory::new(MEMORY)), ComparisonThreads::default());
    let turn = threads.begin("benchmark".into());
    let events = (EventFilter::default(), limit, None);
    let mut walk = Walk::new(store, pair, events, (&memory, &threads, turn));
    let mut counts = ChangeCounts::default();
    while let Some(compared) = walk.next().await? {
        for event in compared {
            counts.add(event.kind());
        }
    }
    Ok(counts)
}

/// Stores events with a webhook each, as a form sends them.
async fn fill(folder: &Path, events: usize) -> Result<Sqlite, Failure> {
    let store = Sqlite::open(&Settings::new(folder.join("relay.db")))?;
    let source: SourceName = "typeform".parse()?;
    let webhook = |second: i64| -> Result<Webhook, Failure> {
        let received_at = Timestamp::from_second(1_767_225_600 + second)?;
        let event = NewEvent {
            id: EventId::new(received_at),
            event_type: Some("form_response".to_owned()),
            delivery_id: None,
            payload: 0..PAYLOAD.len(),
        };
        Ok(Webhook {
            source: source.clone(),
            received_at,
            headers: Headers::new(),
            body: PAYLOAD.into(),
            decoded: None,
            notes: Vec::new(),
            events: vec![event],
            origin: WebhookOrigin::Sent,
            arrival: Arrival::default(),
        })
    };
    let all: Vec<Webhook> = (0..i64::try_from(events)?).map(webhook).collect::<Result<_, _>>()?;
    for chunk in all.chunks(500) {
        store.store_all(chunk.to_vec()).await?;
    }
    Ok(store)
}
