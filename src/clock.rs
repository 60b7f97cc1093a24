//! The one place that reads the clock. Everything pure is given `now`.

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
