//! Conversion between the errors of minijinja and those of values.

use minijinja::{Error, ErrorKind};

use crate::mapping::language::value::ValueError;

pub(super) fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn failure(error: Error) -> ValueError {
    if error.kind() == ErrorKind::OutOfFuel {
        return ValueError::new("the template takes too long");
    }
    match error.detail() {
        Some(detail) => ValueError(detail.to_owned()),
        None => ValueError(error.kind().to_string()),
    }
}
