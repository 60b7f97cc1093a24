//! The wall clock, read nowhere else. Pure code takes `now` as a parameter.

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the only module that reads the wall clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
