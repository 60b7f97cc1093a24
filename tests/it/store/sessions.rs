//! Sessions of people: kept over a restart, bounded in number, ended and purged.

use savio_relay::store::{
    LoginMethod, SESSIONS_MAX, SESSIONS_OF_ONE_MAX, SessionDigest, Store, StoredSession,
};

use crate::support::store::{TestStore, at};

fn session(number: u16, name: &str, begins: i64) -> StoredSession {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    StoredSession {
        digest: SessionDigest(digest),
        via: LoginMethod::Token,
        name: name.to_owned(),
        role: None,
        bound: [7; 32],
        made_at: at(begins),
        ends_at: at(begins + 1_000),
    }
}

async fn names(store: &dyn Store) -> Vec<String> {
    let sessions = store.sessions(at(0)).await.unwrap();
    sessions.into_iter().map(|it| it.name).collect()
}

#[tokio::test]
async fn session_is_read_as_it_was_added_after_a_restart() {
    let place = TestStore::new();
    let link = StoredSession {
        via: LoginMethod::Link,
        role: Some("read".to_owned()),
        ..session(1, "admin.login-link", 0)
    };
    let store = place.open();
    store.add_session(link.clone()).await.unwrap();
    store.close().await;
    drop(store);

    assert_eq!(place.open().sessions(at(1)).await.unwrap(), [link]);
}

#[tokio::test]
async fn ended_session_is_gone() {
    let place = TestStore::new();
    let store = place.open();
    for number in 1..=3 {
        store.add_session(session(number, "ada", number.into())).await.unwrap();
    }

    store.end_sessions(vec![session(2, "", 0).digest, session(9, "", 0).digest]).await.unwrap();

    let left = store.sessions(at(0)).await.unwrap();
    assert_eq!(left.iter().map(|it| it.made_at).collect::<Vec<_>>(), [at(3), at(1)]);
    assert_eq!(store.sessions(at(1_001)).await.unwrap().len(), 1);
    assert_eq!(store.purge_sessions(at(1_001)).await, Ok(1));
    assert_eq!(store.purge_sessions(at(1_001)).await, Ok(0));
}

#[tokio::test]
async fn oldest_session_of_a_name_ends_for_one_too_many() {
    let place = TestStore::new();
    let store = place.open();
    store.add_session(session(0, "eve", 0)).await.unwrap();
    let count = u16::try_from(SESSIONS_OF_ONE_MAX).unwrap();

    for number in 1..=count + 2 {
        store.add_session(session(number, "ada", number.into())).await.unwrap();
    }

    let names = names(&*store).await;
    assert_eq!(names.iter().filter(|name| *name == "ada").count(), SESSIONS_OF_ONE_MAX);
    assert!(names.contains(&"eve".to_owned()), "others keep theirs");
    let oldest = store.sessions(at(0)).await.unwrap();
    let oldest = oldest.iter().filter(|it| it.name == "ada").map(|it| it.made_at).min();
    assert_eq!(oldest, Some(at(3)));
}

#[tokio::test]
async fn sessions_of_many_names_are_bounded_together() {
    let place = TestStore::new();
    let store = place.open();
    let count = u16::try_from(SESSIONS_MAX).unwrap();

    for number in 0..=count {
        let name = format!("user-{number}");
        store.add_session(session(number, &name, i64::from(number) / 100)).await.unwrap();
    }

    assert_eq!(names(&*store).await.len(), SESSIONS_MAX);
}
