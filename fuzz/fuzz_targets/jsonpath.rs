//! Any query on any document ends, with nodes or with a reason. The first line is the query behind `$`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::table::SpannedText;
use savio_relay::event::Headers;
use savio_relay::mapping::Extractor;

fuzz_target!(|input: &str| {
    let Some((query, payload)) = input.split_once('\n') else { return };
    let Ok(payload) = serde_json::from_str(payload) else { return };
    let query = format!("${query}");
    let document = Document { name: "fuzzed.toml".to_owned(), text: query.clone() };
    let text = SpannedText::new(&document, &query, 0..query.len());
    let mut mistakes = Vec::new();
    let selector = Extractor::compile(&text, &mut mistakes);
    if mistakes.is_empty() {
        selector.select(&payload, &Headers::new());
    }
});
