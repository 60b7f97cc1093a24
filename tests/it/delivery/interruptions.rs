//! The log of a destination: when nothing could be sent, and how many events waited.

use jiff::Timestamp;
use savio_relay::store::{INTERRUPTIONS_MAX, InterruptionKind};

use super::{Relay, created, page, status};
use crate::support::store::at;

/// Kind, begin and end in whole seconds, events that waited.
type Row = (InterruptionKind, i64, Option<i64>, u64);

fn second(time: Timestamp) -> i64 {
    time.as_second() - at(0).as_second()
}

impl Relay {
    /// The log of the destination, oldest first.
    async fn log(&self) -> Vec<Row> {
        let logged = self.store.interruptions("default", Timestamp::MIN).await.unwrap();
        let row = |it: savio_relay::store::LoggedInterruption| {
            let one = it.interruption;
            (one.kind, second(one.began_at), one.ended_at.map(second), it.waiting)
        };
        logged.into_iter().rev().map(row).collect()
    }
}

#[tokio::test]
async fn pause_is_logged_over_a_restart_with_the_events_that_waited() {
    let mut relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(401)]).await;
    relay.probe_answers(status(401)).await;
    relay.keep_some(3).await;
    relay.deliver_all(0).await;
    let by_answer = InterruptionKind::PausedByAnswer;
    assert_eq!(relay.log().await, [(by_answer, 0, None, 3)]);

    relay.restart();
    relay.keep_some(2).await;
    relay.deliver_all(100).await;
    let log = relay.log().await;
    assert_eq!((log.len(), log[0].2), (1, None), "it goes on: {log:?}");

    relay.savio.reset().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.probe_answers(page()).await;
    relay.deliver_all(700).await;

    assert_eq!(relay.log().await, [(by_answer, 0, Some(700), 5)]);
}

#[tokio::test]
async fn backoff_is_logged_once_and_ends_by_itself() {
    let relay = Relay::new().await;
    let busy = || status(429).insert_header("retry-after", "60");
    relay.savio_answers("/create-feedback/", &[busy(), busy(), created()]).await;
    relay.keep_some(1).await;

    relay.deliver_all(0).await;
    relay.deliver_all(61).await;
    relay.deliver_all(125).await;

    let log = relay.log().await;
    assert_eq!(log, [(InterruptionKind::Backoff, 0, Some(121), 1)]);
}

#[tokio::test]
async fn log_of_a_destination_is_bounded() {
    let relay = Relay::new().await;
    let pauses = i64::try_from(INTERRUPTIONS_MAX).unwrap() + 5;
    for second in 0..pauses {
        relay.delivery.pause(at(2 * second)).await.unwrap();
        relay.delivery.resume(at(2 * second + 1)).await.unwrap();
    }
    let log = relay.log().await;
    assert_eq!(log.len(), INTERRUPTIONS_MAX);
    let last = (2 * pauses - 2, Some(2 * pauses - 1));
    assert_eq!(log.last().map(|row| (row.1, row.2)), Some(last));

    let later = 91 * 24 * 3_600;
    relay.delivery.pause(at(later)).await.unwrap();

    let by_person = InterruptionKind::PausedByPerson;
    assert_eq!(relay.log().await, [(by_person, later, None, 0)], "kept for 90 days");
}
