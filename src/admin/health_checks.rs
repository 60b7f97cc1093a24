//! What the relay finds about itself: one run at a time, whose result is given to all who ask soon after.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::clock;

/// Time for which a result is given again.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Requests that wait for a run. Further ones would keep those for other routes from being handled.
const WAITING_MAX: usize = 8;

type Run = Box<dyn Fn() -> BoxFuture<'static, Vec<HealthFinding>> + Send + Sync>;

/// The checks, as they are handed over by who knows all parts of the relay.
pub struct HealthChecks {
    run: Run,
    last: Mutex<Option<KeptReport>>,
    waiting: Semaphore,
}

struct KeptReport {
    ended: Instant,
    report: Arc<HealthReport>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HealthReport {
    /// Time at which the checks began.
    checked_at: Timestamp,
    /// Number of findings with this verdict, as the next two.
    wrong: usize,
    unseen: usize,
    warnings: usize,
    /// In the order of `savio-relay doctor`, those of a part together.
    findings: Vec<HealthFinding>,
}

/// What was checked, and the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthFinding {
    /// What it is about, as a heading.
    pub part: &'static str,
    pub verdict: HealthVerdict,
    pub found: String,
    /// What to do.
    pub advice: Option<String>,
    /// A command that does it or shows more, as it is typed on the relay's machine.
    pub command: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthVerdict {
    Ok,
    /// It works, and may be intended.
    Warning,
    Wrong,
    /// It could not be checked.
    Unseen,
}

impl HealthChecks {
    pub fn new(
        run: impl Fn() -> BoxFuture<'static, Vec<HealthFinding>> + Send + Sync + 'static,
    ) -> HealthChecks {
        let (last, waiting) = (Mutex::default(), Semaphore::new(WAITING_MAX));
        HealthChecks { run: Box::new(run), last, waiting }
    }

    /// Returns the last result if it is new enough, and else that of a run. Whoever asks during one
    /// waits for it.
    pub(super) async fn report(&self) -> Result<Arc<HealthReport>, ApiError> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            let reason = "many wait for the checks already: try again when they have ended";
            return Err(ApiError::Unavailable(reason.to_owned()));
        };
        // Held during the run. If its caller leaves, it ends, and the next who waits begins anew.
        let mut last = self.last.lock().await;
        if let Some(kept) = last.as_ref().filter(|it| it.ended.elapsed() < KEPT_FOR) {
            return Ok(Arc::clone(&kept.report));
        }
        let checked_at = clock::now();
        let report = Arc::new(HealthReport::of(checked_at, (self.run)().await));
        *last = Some(KeptReport { ended: Instant::now(), report: Arc::clone(&report) });
        Ok(report)
    }
}

impl fmt::Debug for HealthChecks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HealthChecks").finish_non_exhaustive()
    }
}

impl HealthReport {
    fn of(checked_at: Timestamp, findings: Vec<HealthFinding>) -> HealthReport {
        let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
        HealthReport {
            checked_at,
            wrong: count(HealthVerdict::Wrong),
            unseen: count(HealthVerdict::Unseen),
            warnings: count(HealthVerdict::Warning),
            findings,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// Checks that count their runs, each of which ends when it is permitted.
    fn counted(runs: &Arc<AtomicUsize>, permits: &Arc<Semaphore>) -> HealthChecks {
        let (runs, permits) = (Arc::clone(runs), Arc::clone(permits));
        HealthChecks::new(move || {
            runs.fetch_add(1, Ordering::SeqCst);
            let permits = Arc::clone(&permits);
            Box::pin(async move {
                permits.acquire().await.unwrap().forget();
                Vec::new()
            })
        })
    }

    #[tokio::test]
    async fn requests_at_the_same_time_share_one_run() {
        let (runs, permits) = (Arc::default(), Arc::new(Semaphore::new(1)));
        let checks = counted(&runs, &permits);

        let reports = join_all((0..WAITING_MAX).map(|_| checks.report())).await;

        let first = reports[0].as_ref().unwrap();
        assert!(reports.iter().all(|it| Arc::ptr_eq(it.as_ref().unwrap(), first)));
        assert!(Arc::ptr_eq(&checks.report().await.unwrap(), first), "it is kept");
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn run_whose_caller_leaves_is_begun_anew() {
        let (runs, permits) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let checks = counted(&runs, &permits);
        let mut left = Box::pin(checks.report());
        assert!(futures_util::poll!(&mut left).is_pending());

        drop(left);
        permits.add_permits(1);

        assert!(checks.report().await.is_ok());
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn requests_that_wait_are_bounded() {
        let (runs, permits) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let checks = counted(&runs, &permits);
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(checks.report())).collect();
        for it in &mut waiting {
            assert!(futures_util::poll!(it).is_pending());
        }

        assert!(matches!(checks.report().await, Err(ApiError::Unavailable(_))));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn result_that_is_no_longer_new_is_checked_anew() {
        let (runs, permits) = (Arc::default(), Arc::new(Semaphore::new(2)));
        let checks = counted(&runs, &permits);
        checks.report().await.unwrap();
        checks.last.lock().await.as_mut().unwrap().ended -= KEPT_FOR;

        checks.report().await.unwrap();

        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
