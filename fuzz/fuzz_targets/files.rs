//! Any text as a mapping file, which may hold all that a provider file may: mistakes have places.

#![no_main]

use libfuzzer_sys::fuzz_target;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::report::{OutputStyle, show};
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::secret::Environment;

fuzz_target!(|text: &str| {
    // A secret in a file would be looked for on this machine.
    if text.contains("file:") {
        return;
    }
    let document = Document { name: "fuzzed.toml".to_owned(), text: text.to_owned() };
    let file = MappingFile::read(document, &Environment::new());
    for mistake in &file.mistakes {
        assert!(text.get(mistake.place.clone()).is_some(), "{mistake:?}");
    }
    show(&file.document, &file.mistakes, OutputStyle::Plain);
});
