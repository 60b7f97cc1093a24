//! Validators of values that are checked before they are sent.

use crate::event::{is_email, is_url};

/// Rule of Savio for a value, with its names in messages.
#[derive(Debug)]
pub(crate) struct Validator {
    pub(crate) is_valid: fn(&str) -> bool,
    pub(crate) what: &'static str,
    /// Shorter name, for a message that names the field.
    pub(crate) what_briefly: &'static str,
}

pub(crate) const URL: Validator = Validator { is_valid: is_url, what: "URL", what_briefly: "URL" };
pub(crate) const EMAIL: Validator =
    Validator { is_valid: is_email, what: "e-mail address", what_briefly: "address" };
