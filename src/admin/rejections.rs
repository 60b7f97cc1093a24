//! Rejected webhooks, also those that are not in the store yet.

use super::error::ApiError;
use super::state::AdminState;
use crate::store::{PageRequest, RejectionFilter, RejectionPage, RejectionRecord};

/// Lists rejected webhooks, newest first.
pub(super) async fn list(
    admin: &AdminState,
    filter: RejectionFilter,
    page: PageRequest,
) -> Result<RejectionPage, ApiError> {
    let is_written = admin.intake.write_rejections().await.is_ok();
    let mut found = admin.store.rejections(filter.clone(), page).await?;
    // A full disk can be read and not written, and then it is the reason of what is rejected.
    if !is_written && page.after.is_none() {
        add_unwritten(&mut found, admin.intake.rejected.latest(&filter));
    }
    Ok(found)
}

/// Adds what was rejected since the newest stored one, and what counts more by now.
fn add_unwritten(found: &mut RejectionPage, latest: Vec<RejectionRecord>) {
    let oldest = found.rejected.last().map(|it| it.at).filter(|_| found.next.is_some());
    for record in latest {
        match found.rejected.iter_mut().find(|it| it.is_same_as(&record)) {
            Some(stored) => *stored = record,
            // Older ones are on a later page.
            None if oldest.is_some_and(|oldest| record.at < oldest) => {}
            None => found.rejected.push(record),
        }
    }
    found.rejected.sort_by_key(|record| std::cmp::Reverse(record.at));
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::Cursor;

    fn record(second: i64, count: u64) -> RejectionRecord {
        let at = |second| Timestamp::from_second(second).unwrap();
        let at_last = at(second + i64::try_from(count).unwrap());
        RejectionRecord { at: at_last, count, ..RejectionRecord::example(at(second)) }
    }

    #[test]
    fn rejections_that_are_not_stored_yet_are_listed_first() {
        let next = Cursor { received_at: Timestamp::from_second(51).unwrap(), number: 1 };
        let mut found =
            RejectionPage { rejected: vec![record(100, 1), record(50, 1)], next: Some(next) };

        add_unwritten(&mut found, vec![record(200, 1), record(100, 4), record(10, 1)]);

        assert_eq!(found.rejected, [record(200, 1), record(100, 4), record(50, 1)]);
        found.next = None;
        add_unwritten(&mut found, vec![record(10, 1)]);
        assert_eq!(found.rejected.len(), 4);
    }
}
