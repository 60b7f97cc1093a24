//! The kind of a cause, as a parameter.

use std::borrow::Cow;

use serde::Deserialize;
use utoipa::ToSchema;

/// Digits of a kind.
const DIGITS: usize = 16;

/// The `kind` of an entry of `dead/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Cow<'_, str>")]
#[schema(value_type = String, pattern = "^[0-9a-f]{16}$")]
pub(crate) struct ReasonKind(pub(super) String);

impl TryFrom<Cow<'_, str>> for ReasonKind {
    type Error = &'static str;

    fn try_from(text: Cow<'_, str>) -> Result<ReasonKind, &'static str> {
        let is_kind =
            text.len() == DIGITS && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        let wrong = "write the `kind` of an entry of `dead/groups`: 16 hexadecimal digits";
        if is_kind { Ok(ReasonKind(text.into_owned())) } else { Err(wrong) }
    }
}
