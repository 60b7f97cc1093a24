//! What is explored: new events and retries, failures and ends of leases, of one record and of several.

use super::*;

/// Received, and never claimed before.
fn new_row() -> Row {
    let (state, lease) = (RowState::Queued, None);
    Row { state, lease, token: 0, due: 0, is_planned: false, requests_done: 0, behind: None }
}

/// Tried before, and waits for its retry.
fn retry_at(due: u8) -> Row {
    Row { due, is_planned: true, ..new_row() }
}

/// Each record was sent in order of receipt.
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
fn three_new_upserts_of_one_company() {
    explored(&three(&upsert("6")), &[new_row(), new_row(), new_row()], (1, 0));
}

#[test]
fn upserts_behind_one_that_waits_for_its_retry() {
    explored(&three(&upsert("6")), &[retry_at(1), new_row(), new_row()], (1, 0));
    explored(&three(&upsert("6")), &[retry_at(2), retry_at(1), new_row()], (1, 0));
}

#[test]
fn upserts_that_were_mapped_before_keep_their_order() {
    let rows = [retry_at(2), retry_at(1), retry_at(0)];
    let states = explore(ModelState::new(&three(&upsert("6")), &rows, (1, 0)), in_order);
    assert!(states > 1_000);
}

#[test]
fn leases_that_end_while_three_upserts_are_under_way() {
    explored(&three(&upsert("6")), &[new_row(), new_row(), new_row()], (0, 1));
    explored(&three(&upsert("6")), &[retry_at(1), new_row(), new_row()], (0, 1));
}

#[test]
fn requests_that_name_one_new_tag() {
    let rows = [new_row(), new_row(), new_row()];
    explored(&three(&tags(&["red"])), &rows, (1, 0));
    explored(&three(&tags(&["red"])), &rows, (0, 1));
}

#[test]
fn upserts_of_two_companies_and_a_tag_crosswise() {
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
