//! `schema`: the JSON Schemas that editors use while somebody writes a mapping file or relay.toml.

use clap::ValueEnum;

use super::error::CommandError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaFile {
    Mapping,
    Relay,
}

pub(super) fn run(file: SchemaFile) -> Result<(), CommandError> {
    let schema = match file {
        SchemaFile::Mapping => include_str!("../../mappings/mapping.schema.json"),
        SchemaFile::Relay => include_str!("../../relay.schema.json"),
    };
    crate::cli::output::print(schema)
}
