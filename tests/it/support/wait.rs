//! Waits for conditions.

use std::time::Duration;

/// Polls until the condition holds, for two minutes at most.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    until_async(async || holds()).await;
}

pub(crate) async fn until_async(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), waiting).await.expect("it happens in time");
}
