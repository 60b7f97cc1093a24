//! Looks at all parts every few seconds, and writes what changed of the issues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tracing::{info, warn};

use super::board::{Board, CLOSED_FOR};
use super::condition::RuleFinding;
use super::drift_watch::DriftWatch;
use super::kinds::silent::SourceTraffic;
use super::kinds::storage::StorageWatch;
use super::kinds::{dead, held, mapping, nodes, paused, queue, rejected, secret, silent};
use super::parts::{self, Parts};
use super::reconcile::{IssueChange, IssueChangeKind, reconcile};
use super::traffic::{KEPT, Traffic};
use crate::clock;
use crate::delivery::ObservedEvent;
use crate::event::SourceName;
use crate::intake::activity::Activity;
use crate::mapping_file::silence::SilenceLimit;
use crate::store::{DeadCause, HalfHour, Issue, IssueId, IssueKind, LiveSources, StoreError};

/// Time after which counts of open issues are written, and dead events are grouped anew.
// Each write is a commit, for which webhooks wait.
const UPDATE_EVERY: Duration = Duration::from_mins(1);

/// Name of the stored signs of life.
const ACTIVITIES: &str = "activities";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Time after which an event that was not tried once is overdue.
    pub queue_age: Duration,
    /// Time between two looks.
    pub every: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { queue_age: Duration::from_hours(1), every: Duration::from_secs(5) }
    }
}

/// What is remembered between two looks.
#[derive(Debug)]
pub struct IssueWatch {
    parts: Parts,
    settings: Settings,
    board: Arc<Board>,
    storage: StorageWatch,
    drift: DriftWatch,
    /// None until it is read.
    traffic: Option<Traffic>,
    dead: DeadCauses,
    /// Issues that the store does not have yet, as it was unavailable.
    unwritten: BTreeMap<IssueId, Issue>,
    updated_at: Option<Instant>,
    saved_activities: (Value, Option<Instant>),
}

/// The dead events by cause, as they were read last.
#[derive(Debug, Default)]
struct DeadCauses {
    causes: Vec<DeadCause>,
    /// Number of dead events of each source then.
    counts: Vec<(SourceName, u64)>,
    read_at: Option<Instant>,
}

impl IssueWatch {
    pub fn new(
        parts: Parts,
        events: Receiver<ObservedEvent>,
        settings: Settings,
        board: Arc<Board>,
    ) -> IssueWatch {
        IssueWatch {
            parts,
            settings,
            board,
            storage: StorageWatch::default(),
            drift: DriftWatch::new(events),
            traffic: None,
            dead: DeadCauses::default(),
            unwritten: BTreeMap::new(),
            updated_at: None,
            saved_activities: (Value::Null, None),
        }
    }

    /// Looks until `shutdown`, and writes what is not written yet.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let every = self.settings.every;
        let looks = async {
            loop {
                self.look(clock::now()).await;
                self.drift.follow(every).await;
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = looks => {}
        }
        self.save_activities(true).await;
        self.save_traffic(clock::now()).await;
    }

    /// Looks once.
    pub async fn look(&mut self, now: Timestamp) {
        let recent = self.recent(now).await;
        let is_open = |kind| recent.iter().any(|it: &Issue| it.kind == kind && it.is_open());
        let storage = self.storage.judge(&self.parts.storage(), is_open(IssueKind::Store), now);
        let mut findings = vec![(IssueKind::Store, storage)];
        findings.extend(self.others(&recent, now).await);
        let changes = reconcile(&recent, &findings, now);
        self.apply(recent, changes).await;
        self.save_activities(false).await;
        self.save_traffic(now).await;
    }

    /// Returns the issues that are open or were closed a moment ago.
    async fn recent(&mut self, now: Timestamp) -> Vec<Issue> {
        let since = now.saturating_sub(CLOSED_FOR).unwrap_or(Timestamp::MIN);
        match self.parts.store.recent_issues(since).await {
            Ok(stored) => merged(stored, &mut self.unwritten),
            Err(_) => self.board.current().to_vec(),
        }
    }

    /// Returns what was found of all kinds but the store itself.
    async fn others(&mut self, recent: &[Issue], now: Timestamp) -> Vec<(IssueKind, RuleFinding)> {
        if self.traffic.is_none() && self.begin(now).await.is_err() {
            return Vec::new();
        }
        let open = |kind| -> Vec<&Issue> {
            recent.iter().filter(|issue| issue.is_open() && issue.kind == kind).collect()
        };
        let destinations = self.parts.destinations(now).await;
        let activities = self.parts.intake.activities.all();
        let live = self.parts.live(&destinations.paused_sources);
        let known: BTreeSet<SourceName> =
            self.parts.intake.sources.current().keys().cloned().collect();
        // The half hour before too, of which some webhooks are counted after its end.
        let counted = self.parts.store.webhooks(HalfHour::of(now).plus(-1)).await;
        if let (Some(traffic), Ok(counted)) = (&mut self.traffic, counted) {
            traffic.note(&live, counted, now);
        }
        let refused = parts::refused(&activities, &known);
        let mut findings = vec![
            (IssueKind::Mapping, mapping::judge(self.parts.reloads.refused().as_ref())),
            (
                IssueKind::Rejected,
                gone(rejected::judge(&refused, now), &open(IssueKind::Rejected), &known),
            ),
            (IssueKind::Silent, self.silent(&open(IssueKind::Silent), (&live, &known))),
            (IssueKind::Paused, paused::judge(&destinations.gates, now)),
            (IssueKind::Secret, secret::judge(&self.parts.secrets.kept(), now)),
            (IssueKind::Nodes, nodes::judge(&[], now)),
        ];
        let overdue =
            self.parts.overdue(&destinations.paused_sources, (now, self.settings.queue_age)).await;
        findings.push((
            IssueKind::Queue,
            known_or(overdue, |it| queue::judge(&it, &destinations.closed, now)),
        ));
        let is_recounted = self.parts.store.is_recounted();
        let held = self.parts.store.held_events().await;
        let held = known_or(held, |it| held::judge(&it));
        findings.push((IssueKind::Held, if is_recounted { held } else { RuleFinding::Unknown }));
        findings.push((IssueKind::Drift, self.drift(&open(IssueKind::Drift), &known, now).await));
        let read = self.read_dead().await;
        let dead = |is_known: bool| {
            let known = || dead::judge(&self.dead.causes, &open(IssueKind::Dead), now);
            if is_known && is_recounted { known() } else { RuleFinding::Unknown }
        };
        findings.push((IssueKind::Dead, known_or(read, dead)));
        findings
    }

    /// Reads what an earlier process knew.
    async fn begin(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let since = now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
        let stored = self.parts.store.live_half_hours(since).await?;
        let webhooks = self.parts.store.webhooks(HalfHour::of(since)).await?;
        if let Some(saved) = self.parts.store.read_state(ACTIVITIES).await? {
            // What another version wrote is learned anew.
            let before: BTreeMap<SourceName, Activity> =
                serde_json::from_value(saved.clone()).unwrap_or_default();
            self.parts.intake.activities.restore(before);
            self.saved_activities.0 = saved;
        }
        self.traffic = Some(Traffic::of(stored, webhooks, now));
        Ok(())
    }

    async fn drift(
        &mut self,
        open: &[&Issue],
        known: &BTreeSet<SourceName>,
        now: Timestamp,
    ) -> RuleFinding {
        let (store, served) = (&*self.parts.store, self.parts.blocks());
        if self.drift.begin(store, &served).await.is_err() {
            return RuleFinding::Unknown;
        }
        gone(self.drift.judge((store, &served), open, now).await, open, known)
    }

    fn silent(
        &self,
        open: &[&Issue],
        (live, known): (&BTreeSet<SourceName>, &BTreeSet<SourceName>),
    ) -> RuleFinding {
        let Some(traffic) = &self.traffic else { return RuleFinding::Unknown };
        let files = self.parts.files.current();
        let sources: Vec<SourceTraffic<'_>> = known
            .iter()
            .map(|source| SourceTraffic {
                source,
                silence: files.of(source).map_or(SilenceLimit::Learned, |file| file.silence),
                is_live: live.contains(source),
                half_hours: traffic.of_source(source),
            })
            .collect();
        gone(silent::judge(&sources, open), open, known)
    }

    /// Groups the dead events anew if their numbers changed, or after a minute. Returns whether their causes are
    /// known.
    async fn read_dead(&mut self) -> Result<bool, StoreError> {
        let counts = self.parts.store.dead_counts().await?;
        let is_fresh = self.dead.read_at.is_some_and(|at| at.elapsed() < UPDATE_EVERY);
        if is_fresh && counts == self.dead.counts {
            return Ok(true);
        }
        let Some(causes) = self.parts.store.dead_causes().await? else { return Ok(false) };
        self.dead = DeadCauses { causes, counts, read_at: Some(Instant::now()) };
        Ok(true)
    }

    /// Writes the changes, and shows them.
    async fn apply(&mut self, mut recent: Vec<Issue>, changes: Vec<IssueChange>) {
        let is_due = self.updated_at.is_none_or(|at| at.elapsed() >= UPDATE_EVERY);
        let is_news = changes.iter().any(|change| change.kind != IssueChangeKind::Updated);
        let writes = is_news || !self.unwritten.is_empty() || (is_due && !changes.is_empty());
        if writes {
            for IssueChange { issue, kind } in changes {
                log(&issue, kind);
                recent.retain(|it| it.id != issue.id);
                recent.push(issue.clone());
                self.unwritten.insert(issue.id, issue);
            }
            let issues = self.unwritten.values().cloned().collect();
            match self.parts.store.write_issues(issues).await {
                Ok(()) => self.unwritten.clear(),
                Err(error) => warn!(%error, "issues are not written yet"),
            }
            self.updated_at = Some(Instant::now());
        }
        recent.sort_by(|a, b| {
            (a.closed_at.is_some(), a.kind, a.id).cmp(&(b.closed_at.is_some(), b.kind, b.id))
        });
        self.board.set(recent);
    }

    async fn save_activities(&mut self, is_last: bool) {
        if self.traffic.is_none() {
            return;
        }
        let (saved, at) = &mut self.saved_activities;
        let is_due = is_last || at.is_none_or(|at| at.elapsed() >= UPDATE_EVERY);
        let Ok(current) = serde_json::to_value(self.parts.intake.activities.all()) else { return };
        if is_due && current != *saved {
            *at = Some(Instant::now());
            // A failed commit is an issue of its own, and the next look writes it.
            if self.parts.store.write_state(ACTIVITIES, current.clone()).await.is_ok() {
                *saved = current;
            }
        }
    }

    async fn save_traffic(&mut self, now: Timestamp) {
        let Some(traffic) = &mut self.traffic else { return };
        let unsaved: Option<LiveSources> = traffic.unsaved();
        let kept_since = now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
        if let Some(live) = unsaved
            && self.parts.store.write_live_half_hour(live, kept_since).await.is_ok()
        {
            traffic.saved();
        }
    }
}

/// Adds the issues that are not written to those of the store.
fn merged(stored: Vec<Issue>, unwritten: &mut BTreeMap<IssueId, Issue>) -> Vec<Issue> {
    // One that was opened while the store could not be read may be open there since before.
    let twin = |new: &Issue| {
        let is_twin = |it: &&Issue| it.is_open() && (it.kind, &it.key) == (new.kind, &new.key);
        stored.iter().find(is_twin).filter(|it| it.id != new.id)
    };
    unwritten.retain(|_, new| twin(new).is_none());
    let mut recent = Vec::with_capacity(stored.len());
    for issue in stored {
        let muted = issue.muted.clone();
        recent.push(match unwritten.get(&issue.id) {
            Some(new) => Issue { muted, ..new.clone() },
            None => issue,
        });
    }
    let is_new = |id: &&Issue| !recent.iter().any(|it| it.id == id.id);
    let new: Vec<Issue> = unwritten.values().filter(is_new).cloned().collect();
    recent.extend(new);
    recent
}

/// Says of issues of sources that are gone how they ended.
fn gone(finding: RuleFinding, open: &[&Issue], known: &BTreeSet<SourceName>) -> RuleFinding {
    let RuleFinding::Known(mut finding) = finding else { return finding };
    for issue in open {
        if issue.place.source.as_ref().is_some_and(|source| !known.contains(source)) {
            let outcome = "There is no such source any more.".to_owned();
            finding.outcomes.insert(issue.key.clone(), outcome);
        }
    }
    RuleFinding::Known(finding)
}

fn known_or<T>(read: Result<T, StoreError>, judge: impl FnOnce(T) -> RuleFinding) -> RuleFinding {
    read.map_or(RuleFinding::Unknown, judge)
}

fn log(issue: &Issue, kind: IssueChangeKind) {
    let (id, text) = (issue.id, &issue.words.text);
    let named = issue.kind.as_str();
    match kind {
        IssueChangeKind::Opened => warn!(issue.id = %id, kind = named, "issue opened: {text}"),
        IssueChangeKind::Reopened => warn!(issue.id = %id, kind = named, "issue goes on: {text}"),
        IssueChangeKind::Closed => {
            let outcome = issue.outcome.as_deref();
            let lasted = issue
                .closed_at
                .map_or(SignedDuration::ZERO, |at| at.duration_since(issue.opened_at));
            info!(issue.id = %id, kind = named, outcome, %lasted, "issue closed: {text}");
        }
        IssueChangeKind::Updated => {}
    }
}
