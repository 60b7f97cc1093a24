//! Issues in the store: open and closed ones, pages, mutes, and how long they are kept.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use savio_relay::store::maintenance::run_once;
use savio_relay::store::{
    Actor, AlertRecord, AlertTarget, AuditFilter, AuditVia, CLOSED_ISSUES_MAX, Issue, IssueFilter,
    IssueId, IssueKind, IssuePage, IssuePlace, IssueState, IssueStep, IssueWords, Mute,
    MuteOutcome, MuteRequest, PageRequest, Store, ToldIssue,
};

use crate::support::store::{TestStore, at, name};

fn issue(kind: IssueKind, key: &str, opened_at: Timestamp) -> Issue {
    Issue {
        id: IssueId::new(opened_at),
        kind,
        key: key.to_owned(),
        place: IssuePlace { source: Some(name("form")), ..IssuePlace::default() },
        words: IssueWords {
            text: "Savio refused 5 events from form.".to_owned(),
            reason: Some("`feedback_type`: not a valid choice".to_owned()),
            hint: None,
            advice: "fix the mapping, then replay them".to_owned(),
        },
        opened_at,
        last_at: opened_at,
        count: 5,
        unit: "events".to_owned(),
        steps: vec![IssueStep { at: at(0), count: 5 }],
        muted: None,
        closed_at: None,
        outcome: None,
    }
}

fn closed(issue: &Issue, closed_at: Timestamp) -> Issue {
    let outcome = Some("none of them is dead any more".to_owned());
    Issue { closed_at: Some(closed_at), outcome, ..issue.clone() }
}

fn mute(id: IssueId, now: i64, until: Option<i64>) -> MuteRequest {
    let (note, by) = (Some("on Thursday".to_owned()), Actor::new("ada", AuditVia::Token));
    MuteRequest { id, now: at(now), until: until.map(at), note, by }
}

async fn list(store: &dyn Store, state: IssueState, limit: usize) -> IssuePage {
    let filter = IssueFilter { state, ..IssueFilter::default() };
    store.issues(filter, PageRequest { limit, after: None }).await.unwrap()
}

#[tokio::test]
async fn issue_is_listed_as_it_was_written() {
    let place = TestStore::new();
    let store = place.open();
    let mut one = issue(IssueKind::Dead, "form savio", at(1));
    store.write_issues(vec![one.clone()]).await.unwrap();
    assert_eq!(list(&*store, IssueState::Open, 10).await.issues, [one.clone()]);

    (one.count, one.last_at) = (7, at(9));
    store.write_issues(vec![one.clone()]).await.unwrap();

    assert_eq!(store.issue(one.id).await.unwrap(), Some(one.clone()));
    assert!(list(&*store, IssueState::Closed, 10).await.issues.is_empty());
    let ended = closed(&one, at(20));
    store.write_issues(vec![ended.clone()]).await.unwrap();
    assert!(list(&*store, IssueState::Open, 10).await.issues.is_empty());
    assert_eq!(list(&*store, IssueState::All, 10).await.issues, std::slice::from_ref(&ended));
    assert_eq!(store.recent_issues(at(20)).await.unwrap(), [ended]);
    assert!(store.recent_issues(at(21)).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_issue_of_a_key_is_open() {
    let place = TestStore::new();
    let store = place.open();
    let (first, second) = (issue(IssueKind::Held, "a", at(1)), issue(IssueKind::Held, "a", at(2)));

    store.write_issues(vec![first.clone()]).await.unwrap();

    assert!(store.write_issues(vec![second.clone()]).await.is_err());
    store.write_issues(vec![closed(&first, at(3)), second.clone()]).await.unwrap();
    assert_eq!(list(&*store, IssueState::Open, 10).await.issues, [second]);
}

#[tokio::test]
async fn open_issues_come_first_and_the_worst_of_them_first() {
    let place = TestStore::new();
    let store = place.open();
    let (drift, dead) = (issue(IssueKind::Drift, "a", at(3)), issue(IssueKind::Dead, "b", at(1)));
    let full = issue(IssueKind::Store, "c", at(0));
    let past: Vec<Issue> = (0..5).map(|it| issue(IssueKind::Held, "d", at(it))).collect();
    for (second, past) in (10..).zip(&past) {
        store.write_issues(vec![past.clone()]).await.unwrap();
        store.write_issues(vec![closed(past, at(second))]).await.unwrap();
    }
    store.write_issues(vec![drift.clone(), dead.clone(), full.clone()]).await.unwrap();

    let mut found = Vec::new();
    let mut after = None;
    loop {
        let filter = IssueFilter { state: IssueState::All, ..IssueFilter::default() };
        let page = store.issues(filter, PageRequest { limit: 2, after }).await.unwrap();
        found.extend(page.issues.into_iter().map(|issue| issue.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }

    let past = past.iter().rev().map(|issue| issue.id);
    let expected: Vec<IssueId> = [full.id, dead.id, drift.id].into_iter().chain(past).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn filters_leave_out_other_issues() {
    let place = TestStore::new();
    let store = place.open();
    let (dead, held) = (issue(IssueKind::Dead, "a", at(1)), issue(IssueKind::Held, "b", at(2)));
    store.write_issues(vec![dead.clone(), held.clone()]).await.unwrap();
    store.write_issues(vec![closed(&held, at(5))]).await.unwrap();
    let find = async |filter: IssueFilter| -> Vec<IssueId> {
        let filter = IssueFilter { state: IssueState::All, ..filter };
        let page = PageRequest { limit: 10, after: None };
        store.issues(filter, page).await.unwrap().issues.iter().map(|issue| issue.id).collect()
    };

    assert_eq!(find(IssueFilter::default()).await, [dead.id, held.id]);
    let of_kind = IssueFilter { kind: Some(IssueKind::Held), ..IssueFilter::default() };
    assert_eq!(find(of_kind).await, [held.id]);
    let of_source = IssueFilter { source: Some(name("other")), ..IssueFilter::default() };
    assert!(find(of_source).await.is_empty());
    let late = IssueFilter { since: Some(at(6)), ..IssueFilter::default() };
    assert_eq!(find(late).await, [dead.id]);
}

#[tokio::test]
async fn mute_is_kept_by_later_writes_and_recorded() {
    let place = TestStore::new();
    let store = place.open();
    let one = issue(IssueKind::Dead, "a", at(1));
    store.write_issues(vec![one.clone()]).await.unwrap();

    let MuteOutcome::Changed(muted) = store.mute_issue(mute(one.id, 2, None)).await.unwrap() else {
        panic!("it is open");
    };
    store.write_issues(vec![Issue { count: 6, ..one.clone() }]).await.unwrap();

    let note = Some("on Thursday".to_owned());
    let expected = Some(Mute { by: "ada".to_owned(), until: None, note });
    assert_eq!(muted.muted, expected);
    let found = store.issue(one.id).await.unwrap().unwrap();
    assert_eq!((found.count, found.muted), (6, expected));

    store.mute_issue(mute(one.id, 3, Some(1))).await.unwrap();
    assert_eq!(store.issue(one.id).await.unwrap().unwrap().muted, None);
    let page = PageRequest { limit: 10, after: None };
    let audit = store.audit(AuditFilter::default(), page).await.unwrap().entries;
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["unmute_issue", "mute_issue"]);
    assert_eq!(audit[1].detail.as_deref(), Some("until it closes: on Thursday"));
}

#[tokio::test]
async fn mute_ends_with_its_time() {
    let place = TestStore::new();
    let store = place.open();
    let one = issue(IssueKind::Dead, "a", at(1));
    store.write_issues(vec![one.clone()]).await.unwrap();
    store.mute_issue(mute(one.id, 2, Some(100))).await.unwrap();

    let muted = store.issue(one.id).await.unwrap().unwrap();

    assert!(muted.muted(at(99)).is_some() && muted.muted(at(100)).is_none());
    assert_eq!(muted.shown(at(100)).muted, None);
}

#[tokio::test]
async fn closed_and_unknown_issues_cannot_be_muted() {
    let place = TestStore::new();
    let store = place.open();
    let one = issue(IssueKind::Dead, "a", at(1));
    assert_eq!(store.mute_issue(mute(one.id, 2, None)).await, Ok(MuteOutcome::NotFound));
    store.write_issues(vec![closed(&one, at(2))]).await.unwrap();

    assert_eq!(store.mute_issue(mute(one.id, 3, None)).await, Ok(MuteOutcome::Closed));
}

#[tokio::test]
async fn closed_issues_are_kept_for_90_days_and_5000_at_most() {
    let place = TestStore::new();
    let store = place.open();
    let day = 24 * 3600;
    let open = issue(IssueKind::Dead, "open", at(0));
    let many = (0..6_000).map(|it| closed(&issue(IssueKind::Held, "a", at(it)), at(day + it)));
    store.write_issues(many.chain([open.clone()]).collect()).await.unwrap();

    run_once(&*store, Duration::from_hours(24), at(day * 2)).await.unwrap();

    assert_eq!(store.recent_issues(at(0)).await.unwrap().len(), CLOSED_ISSUES_MAX + 1);
    run_once(&*store, Duration::from_hours(24), at(day * 91 + 5_999)).await.unwrap();
    assert_eq!(store.recent_issues(at(0)).await.unwrap().len(), 2, "the last one and the open one");
    run_once(&*store, Duration::from_hours(24), at(day * 92)).await.unwrap();
    assert_eq!(store.recent_issues(at(0)).await.unwrap(), [open]);
}

fn told(issue: &Issue, is_open: bool, messages: u32) -> ToldIssue {
    ToldIssue { issue: issue.id, is_open, at: at(5), messages }
}

#[tokio::test]
async fn what_alerts_were_sent_is_kept_with_the_issue() {
    let place = TestStore::new();
    let store = place.open();
    let (one, two) = (issue(IssueKind::Dead, "form a", at(1)), issue(IssueKind::Dead, "b", at(1)));
    let old = closed(&issue(IssueKind::Held, "form", at(1)), at(2));
    store.write_issues(vec![one.clone(), two.clone(), old.clone()]).await.unwrap();
    let target = AlertTarget {
        name: "ops".to_owned(),
        scope: "* *".to_owned(),
        first_seen: at(3),
        hour_began: at(4),
        messages: 7,
    };
    let record = |told: Vec<ToldIssue>| AlertRecord { target: target.clone(), told };

    assert_eq!(store.alerts("ops".to_owned(), at(0)).await.unwrap(), None);
    let all = vec![told(&one, true, 1), told(&two, true, 1), told(&old, false, 2)];
    store.write_alerts(record(all)).await.unwrap();
    store.write_alerts(record(vec![told(&one, true, 2)])).await.unwrap();

    let mut found = store.alerts("ops".to_owned(), at(3)).await.unwrap().unwrap();
    found.told.sort_by_key(|it| it.messages);
    assert_eq!(found, record(vec![told(&two, true, 1), told(&one, true, 2)]));
    assert_eq!(store.alerts("ops".to_owned(), at(2)).await.unwrap().unwrap().told.len(), 3);
    assert_eq!(store.alerts("other".to_owned(), at(0)).await.unwrap(), None);
}

#[tokio::test]
async fn what_alerts_were_sent_is_deleted_with_its_issue() {
    let place = TestStore::new();
    let store = place.open();
    let open = issue(IssueKind::Dead, "form a", at(1));
    let old = closed(&issue(IssueKind::Held, "form", at(1)), at(2));
    store.write_issues(vec![open.clone(), old.clone()]).await.unwrap();
    let target = AlertTarget {
        name: "ops".to_owned(),
        scope: "* *".to_owned(),
        first_seen: at(3),
        hour_began: at(4),
        messages: 2,
    };
    let told = vec![told(&open, true, 1), told(&old, false, 2)];
    store.write_alerts(AlertRecord { target, told }).await.unwrap();
    let rows = || {
        let file = Connection::open(place.settings().path).unwrap();
        let mut all = file.prepare("SELECT messages FROM told_issues").unwrap();
        let rows = all.query_map([], |row| row.get::<_, u32>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(rows().len(), 2);

    run_once(&*store, Duration::from_hours(24), at(92 * 24 * 3600)).await.unwrap();

    assert_eq!(rows(), [1], "that of the open issue");
}
