//! Explored cases: new events and retries, failures and ends of leases, for one record and for
//! several.

use super::*;

/// An event that was never claimed.
fn new_row() -> Row {
    let (state, lease) = (RowState::Queued, None);
    Row { state, lease, token: 0, due: 0, is_planned: false, requests_done: 0, behind: None }
}

/// An event that was tried before and waits for its retry.
fn retry_at(due: u8) -> Row {
    Row { due, is_planned: true, ..new_row() }
}

/// Checks that each record was sent in order of receipt.
fn in_order(state: &ModelState) {
    for (key, sent) in &state.sent {
        assert!(sent.is_sorted(), "{key:?} was sent in the order {sent:?}: {state:#?}");
    }
}

fn explored(plans: &[Vec<LockRequest>], rows: &[Row], bounds: (u8, u8)) {
    let states = explore(ModelState::new(plans, rows, bounds), |_| {});
    assert!(states > 1_000);
}

fn three(request: &LockRequest) -> Vec<Vec<LockRequest>> {
    vec![vec![request.clone()]; 3]
}

#[test]
fn three_new_upserts_of_one_company_never_deadlock() {
    explored(&three(&upsert("6")), &[new_row(), new_row(), new_row()], (1, 0));
}

#[test]
fn upserts_behind_a_retry_are_due_with_it() {
    explored(&three(&upsert("6")), &[retry_at(1), new_row(), new_row()], (1, 0));
    explored(&three(&upsert("6")), &[retry_at(2), retry_at(1), new_row()], (1, 0));
}

#[test]
fn upserts_mapped_before_a_restart_keep_their_order() {
    let rows = [retry_at(2), retry_at(1), retry_at(0)];
    let states = explore(ModelState::new(&three(&upsert("6")), &rows, (1, 0)), in_order);
    assert!(states > 1_000);
}

#[test]
fn expired_leases_leave_no_upsert_waiting() {
    explored(&three(&upsert("6")), &[new_row(), new_row(), new_row()], (0, 1));
    explored(&three(&upsert("6")), &[retry_at(1), new_row(), new_row()], (0, 1));
}

#[test]
fn requests_for_one_new_tag_never_deadlock() {
    let rows = [new_row(), new_row(), new_row()];
    explored(&three(&tags(&["red"])), &rows, (1, 0));
    explored(&three(&tags(&["red"])), &rows, (0, 1));
}

#[test]
fn crosswise_upserts_and_tags_never_deadlock() {
    let six = |name| LockRequest { names: vec![tag(name)], ..upsert("6") };
    let seven = |name| LockRequest { names: vec![tag(name)], ..upsert("7") };
    let plans = [
        vec![six("red"), seven("blue")],
        vec![seven("red"), six("blue")],
        vec![tags(&["blue", "red"]), six("red")],
    ];
    explored(&plans, &[new_row(), new_row(), new_row()], (0, 0));
    explored(&plans[1..], &[retry_at(1), new_row()], (1, 1));
}
