//! The name of a bundled source on the command line.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;

use crate::diagnostics::suggestion::nearest;
use crate::intake::provider::Provider;
use crate::mapping_file::bundle;

/// Accepts the names of bundled sources, and offers them to shells for completion.
#[derive(Debug, Clone)]
pub(super) struct BundledName;

impl TypedValueParser for BundledName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let name = value.to_string_lossy();
        if bundle::names().any(|known| known == name) {
            return Ok(name.into_owned());
        }
        let message = format!("there is no bundled source '{name}': {}\n", advice(&name));
        Err(clap::Error::raw(ErrorKind::InvalidValue, message).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(bundle::names().map(PossibleValue::new)))
    }
}

fn advice(name: &str) -> String {
    if Provider::builtin(name).is_some() {
        return format!(
            "its signature is known, but a mapping file has to be written; \
             `savio-relay draft PAYLOAD --provider {name}` makes a first one"
        );
    }
    match nearest(name, bundle::names()) {
        Some(known) => format!("did you mean '{known}'?"),
        None => {
            "`savio-relay providers` lists them; for another tool, `savio-relay draft PAYLOAD` \
                 makes a first mapping file"
                .to_owned()
        }
    }
}
