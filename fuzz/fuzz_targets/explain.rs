//! Any mapping and, behind a line `---`, any payload: an explanation makes the same requests, and each
//! path that it names finds a value of the payload.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use savio_relay::diagnostics::document::Document;
use savio_relay::event::{Event, EventId, Headers};
use savio_relay::mapping::language::query::Query;
use savio_relay::mapping_file::file::MappingFile;
use serde_json::Value;

fuzz_target!(|parts: &str| {
    let Some((text, payload)) = parts.split_once("\n---\n") else { return };
    let Ok(payload) = serde_json::from_str::<Value>(payload) else { return };
    let text = format!("provider = \"form\"\nsecrets = [\"env:S\"]\n{text}");
    let file = MappingFile::of_text(Document { name: "fuzzed.toml".to_owned(), text });
    let Some((source, mapping)) = file.mapped() else { return };
    let event = Event {
        id: EventId::from_bytes([0; 16]),
        source: source.clone(),
        event_type: None,
        delivery_id: None,
        received_at: "2026-01-31T12:00:00Z".parse().expect("it is a time"),
        headers: Headers::new(),
        payload: String::new(),
    };
    let payload = Arc::new(payload);
    let applied = mapping.apply(&event, &payload);
    let explanation = file.explain(&event, &payload);
    assert_eq!(explanation.mapped, Some(applied));
    for node in explanation.fields.iter().flat_map(|field| &field.nodes) {
        let query = Query::parse(node).expect("a normalized path");
        let found = query.nodes(&payload, &payload).expect("within the budget");
        assert_eq!(found.len(), 1, "{node}");
    }
});
