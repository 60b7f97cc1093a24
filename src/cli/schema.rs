//! `schema`: prints the JSON Schemas of mapping files and of relay.toml, for editors.

use clap::ValueEnum;

use super::error::CommandError;
use crate::mapping_file;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaFile {
    Mapping,
    Relay,
}

pub(super) fn run(file: SchemaFile) -> Result<(), CommandError> {
    let schema = match file {
        SchemaFile::Mapping => mapping_file::schema::SCHEMA,
        SchemaFile::Relay => include_str!("../../relay.schema.json"),
    };
    crate::cli::output::print(schema)
}
