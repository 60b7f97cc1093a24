//! Any template over any document ends, with a text or with a reason. A line `---` parts the two.

#![no_main]

use libfuzzer_sys::fuzz_target;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::table::SpannedText;
use savio_relay::event::Headers;
use savio_relay::mapping::Extractor;

fuzz_target!(|input: &str| {
    let (template, payload) = input.split_once("\n---\n").unwrap_or((input, ""));
    let payload = serde_json::from_str(payload).unwrap_or_default();
    let document = Document { name: "fuzzed.toml".to_owned(), text: template.to_owned() };
    let text = SpannedText::new(&document, template, 0..template.len());
    let mut mistakes = Vec::new();
    let selector = Extractor::compile(&text, &mut mistakes);
    if mistakes.is_empty() {
        selector.select(&payload, &Headers::new());
    }
});
