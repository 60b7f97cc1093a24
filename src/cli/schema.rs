//! `schema`: the JSON Schemas that editors use while somebody writes a mapping file or relay.toml.

use clap::ValueEnum;

use super::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum File {
    Mapping,
    Relay,
}

pub(super) fn run(file: File) -> Result<(), Failure> {
    let schema = match file {
        File::Mapping => include_str!("../../mappings/mapping.schema.json"),
        File::Relay => include_str!("../../relay.schema.json"),
    };
    super::show::print(schema)
}
