//! Tells a person that a command waits before it tries again.

use std::time::Duration;

use crate::savio::Error;

/// Returns what happened and when the next attempt follows; `limit` says how many or how long.
pub(super) fn notice(error: &Error, wait: Duration, limit: &str) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let happened = match (error.status(), error) {
        (Some(status), _) => format!("Savio answered {status}"),
        (None, Error::NoResponse { .. }) => "Savio gave no answer".to_owned(),
        (None, _) => "Savio cannot be reached".to_owned(),
    };
    format!("{happened}, retrying in {seconds} s ({limit})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_names_the_answer_and_the_wait() {
        let failed = |status| Error::ServerError { status, retry_after: None, details: "x".into() };
        let unreachable = Error::Unreachable { reason: "x".into() };

        let shown = notice(&failed(500), Duration::from_secs(4), "3 of 8");
        assert_eq!(shown, "Savio answered 500, retrying in 4 s (3 of 8)");
        let shown = notice(&unreachable, Duration::from_millis(3200), "2 of 8");
        assert_eq!(shown, "Savio cannot be reached, retrying in 4 s (2 of 8)");
    }
}
