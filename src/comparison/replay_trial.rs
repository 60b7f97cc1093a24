//! What a replay would do: the newest of its events are mapped as they are stored, by the mappings in service and the
//! code that delivery uses. Nothing is sent, and Savio is not asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::mapped::{MappedEvent, MappingResult};
use super::threads::{ComparisonThreads, ComparisonTurn};
use super::walk::{ComparisonError, MEMORY_WAIT, SLICE_BYTES, SLICE_EVENTS, SLICE_TIME};
use crate::event::{SourceName, State};
use crate::mapping::Mapping;
use crate::parse_memory::{NoMemory, ParseMemory, bytes_to_reserve};
use crate::store::{
    Archive, EventFilter, EventPayload, EventSummary, PageRequest, StoreError, without_values,
};

/// Number of events that are mapped at most.
const EVENTS_MAX: usize = 500;

/// Longest time for which events are searched and mapped.
const TRIED_FOR: Duration = Duration::from_secs(10);

/// Number of reasons that are named.
const REASONS_MAX: usize = 5;

/// What a replay would make of its newest events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct WouldReplay {
    /// Events that would be sent. Whether Savio takes them is not known.
    pub send: u64,
    /// Events of which the mapping makes no request.
    pub ignore: u64,
    /// Events that cannot be mapped: their mapping fails, their source has none in service, or their payload cannot
    /// be read or is erased.
    pub fail: u64,
    /// Number of events that were mapped: the sum of the three.
    pub mapped: u64,
    /// True if these are not all that would be replayed: more than 500 match, or the time was over.
    pub sample: bool,
    /// Reasons for which events would fail, the most frequent first; five at most.
    pub reasons: Vec<WouldFail>,
}

/// A reason for which events would fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WouldFail {
    /// That of the newest of them.
    pub reason: String,
    pub events: u64,
}

/// The events of a replay that are to be mapped.
#[derive(Debug)]
pub struct ReplayTrial {
    listed: VecDeque<EventSummary>,
    has_more: bool,
    end: Instant,
}

/// The mappings in service, by source.
pub type MappingsInService = BTreeMap<SourceName, Arc<Mapping>>;

impl ReplayTrial {
    /// Lists the newest events that a replay with this filter would queue.
    pub async fn list(
        store: &dyn Archive,
        mut filter: EventFilter,
    ) -> Result<ReplayTrial, StoreError> {
        let end = Instant::now() + TRIED_FOR;
        let mut trial = ReplayTrial { listed: VecDeque::new(), has_more: false, end };
        // What is queued already is left alone.
        let replayed = [State::Delivered, State::Ignored, State::Held, State::Dead];
        let is_wanted = |state: &State| filter.states.is_empty() || filter.states.contains(state);
        filter.states = replayed.into_iter().filter(is_wanted).collect();
        if filter.states.is_empty() {
            return Ok(trial);
        }
        let mut after = None;
        loop {
            let page = PageRequest { limit: EVENTS_MAX - trial.listed.len(), after };
            let page = store.list(filter.clone(), page).await?;
            trial.listed.extend(page.events);
            after = page.next;
            trial.has_more = after.is_some();
            let is_full = trial.listed.len() >= EVENTS_MAX || Instant::now() >= end;
            if is_full || after.is_none() {
                return Ok(trial);
            }
        }
    }

    /// Returns the sources of the events.
    pub fn sources(&self) -> BTreeSet<SourceName> {
        self.listed.iter().map(|event| event.source.clone()).collect()
    }

    /// Maps the events until all are mapped, or the time is over. If it is dropped, the thread stops after the event
    /// that it is at.
    pub async fn map(
        mut self,
        store: &dyn Archive,
        mappings: &MappingsInService,
        (memory, threads, turn): (&Arc<ParseMemory>, &ComparisonThreads, ComparisonTurn),
    ) -> Result<WouldReplay, ComparisonError> {
        let mut tally = TrialTally::default();
        while !self.listed.is_empty() {
            if turn.ended.is_cancelled() {
                return Err(ComparisonError::Replaced);
            }
            let seqs: Vec<u64> = self.listed.iter().take(SLICE_EVENTS).map(|it| it.seq).collect();
            let last = seqs.last().copied();
            let read = store.payloads(seqs, SLICE_BYTES).await?;
            if read.is_empty() {
                // Purged since they were listed.
                self.pass(last);
                continue;
            }
            let permit = Arc::clone(&threads.threads).acquire_owned();
            let Ok(permit) = timeout_at(self.end.into(), permit).await else { break };
            let permit = permit.map_err(|_| ComparisonError::Failed)?;
            let slice = TrialSlice {
                events: self.with_mappings(read, mappings),
                memory: Arc::clone(memory),
                ended: turn.ended.clone(),
            };
            // The permit moves to the thread: if the caller leaves, the thread counts until it stops.
            let run = move || {
                let _permit = permit;
                slice.run()
            };
            let (last, tried) =
                spawn_blocking(run).await.map_err(|_| ComparisonError::Failed)??;
            for event in tried {
                tally.add(event);
            }
            self.pass(last);
            if Instant::now() >= self.end {
                break;
            }
        }
        Ok(tally.result(self.has_more || !self.listed.is_empty()))
    }

    /// Removes the events up to one from those that are left.
    fn pass(&mut self, last: Option<u64>) {
        while let Some(line) = self.listed.pop_front() {
            if Some(line.seq) == last {
                break;
            }
        }
    }

    /// Pairs each event with the mapping of its source.
    fn with_mappings(
        &self,
        read: Vec<EventPayload>,
        mappings: &MappingsInService,
    ) -> Vec<(EventPayload, Option<Arc<Mapping>>)> {
        let mut listed = self.listed.iter();
        let pairs = read.into_iter().map(|event| {
            let line = listed.find(|line| line.seq == event.seq);
            let mapping = line.and_then(|line| mappings.get(&line.source));
            (event, mapping.cloned())
        });
        pairs.collect()
    }
}

/// What would become of one event.
enum TriedEvent {
    Send,
    Ignore,
    Fail(String),
}

/// The work on some events, on a thread of its own.
struct TrialSlice {
    events: Vec<(EventPayload, Option<Arc<Mapping>>)>,
    memory: Arc<ParseMemory>,
    ended: CancellationToken,
}

impl TrialSlice {
    /// Returns also the last event that was mapped: the time of a slice may end before all are.
    fn run(self) -> Result<(Option<u64>, Vec<TriedEvent>), ComparisonError> {
        let begun = Instant::now();
        let (mut last, mut tried) = (None, Vec::with_capacity(self.events.len()));
        for (EventPayload { seq, event }, mapping) in self.events {
            if self.ended.is_cancelled() {
                return Err(ComparisonError::Replaced);
            }
            if last.is_some() && begun.elapsed() >= SLICE_TIME {
                break;
            }
            last = Some(seq);
            tried.push(match (event, mapping) {
                (Err(reason), _) => TriedEvent::Fail(reason),
                (Ok(event), None) => {
                    TriedEvent::Fail(format!("no mapping of {} is in service", event.source))
                }
                (Ok(event), Some(mapping)) => {
                    let bytes = bytes_to_reserve(&[&event.payload]);
                    let reserved = self.memory.acquire_within(MEMORY_WAIT, bytes);
                    let _reserved = reserved.map_err(|NoMemory| ComparisonError::NoMemory)?;
                    match serde_json::from_str::<Value>(&event.payload) {
                        Err(error) => TriedEvent::Fail(format!("the payload is not JSON: {error}")),
                        Ok(payload) => {
                            TriedEvent::of(MappedEvent::of(&mapping, &event, &Arc::new(payload)))
                        }
                    }
                }
            });
        }
        Ok((last, tried))
    }
}

impl TriedEvent {
    fn of(mapped: MappedEvent) -> TriedEvent {
        match mapped.result {
            MappingResult::Requests => TriedEvent::Send,
            MappingResult::Ignored => TriedEvent::Ignore,
            MappingResult::Dead => TriedEvent::Fail(mapped.reason.unwrap_or_default()),
        }
    }
}

/// Counts of tried events.
#[derive(Default)]
struct TrialTally {
    would: WouldReplay,
    /// By the reason without what differs between events.
    reasons: BTreeMap<String, WouldFail>,
}

impl TrialTally {
    fn add(&mut self, event: TriedEvent) {
        self.would.mapped += 1;
        match event {
            TriedEvent::Send => self.would.send += 1,
            TriedEvent::Ignore => self.would.ignore += 1,
            TriedEvent::Fail(reason) => {
                self.would.fail += 1;
                let same = self.reasons.entry(without_values(&reason));
                same.or_insert(WouldFail { reason, events: 0 }).events += 1;
            }
        }
    }

    fn result(self, sample: bool) -> WouldReplay {
        let mut reasons: Vec<WouldFail> = self.reasons.into_values().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.events));
        reasons.truncate(REASONS_MAX);
        WouldReplay { sample, reasons, ..self.would }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_without_what_differs_and_the_most_frequent_are_named() {
        let mut tally = TrialTally::default();
        let fail = |reason: &str| TriedEvent::Fail(reason.to_owned());
        for reason in ["a", "feedback[7] fails", "b", "feedback[1] fails", "c", "d", "e"] {
            tally.add(fail(reason));
        }
        tally.add(TriedEvent::Send);
        tally.add(TriedEvent::Ignore);

        let would = tally.result(true);

        assert_eq!((would.send, would.ignore, would.fail, would.mapped), (1, 1, 7, 9));
        assert_eq!((would.reasons.len(), would.sample), (REASONS_MAX, true));
        let first = WouldFail { reason: "feedback[7] fails".to_owned(), events: 2 };
        assert_eq!(would.reasons[0], first);
    }
}
