//! `events tail`: shows the newest events, and then each that arrives or changes.

use std::collections::{BTreeMap, VecDeque};
use std::io::stdout;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::list::{headline, reason};
use super::waits::QueueWaits;
use crate::cli::error::CommandError;
use crate::cli::output::{self, Written, one_line};
use crate::cli::runtime::stopped;
use crate::cli::table::{shortened, terminal_width};
use crate::cli::times::{TimeFormat, TimeOptions};
use crate::clock;
use crate::diagnostics::report::OutputStyle;
use crate::event::State;
use crate::store::{
    Archive, ChangePosition, EventFilter, EventSummary, PageRequest, Queue, Sqlite,
};

/// Number of open events that are looked at for a change, the newest ones.
const OPEN_EVENTS_MAX: usize = 200;

/// Number of events whose last line is remembered.
const SEEN_MAX: usize = 20_000;

/// Time by which a settlement may be committed later than one with a later time.
const OVERLAP: SignedDuration = SignedDuration::from_secs(1);

/// Interval at which a closed pipe is noticed while there is nothing to write.
const PIPE_INTERVAL: Duration = Duration::from_secs(1);

/// Digits of an id on a terminal. They are its millisecond, and few events have the same.
const SHOWN_DIGITS: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Number of events to begin with, the newest ones
    #[arg(short = 'n', long, default_value = "10", value_parser = clap::value_parser!(u16).range(..=500))]
    lines: u16,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    times: TimeOptions,
}

pub(super) async fn run(
    store: &Sqlite,
    (filter, waits): (EventFilter, QueueWaits),
    arguments: &Arguments,
) -> Result<(), CommandError> {
    let stopped = stopped();
    tokio::pin!(stopped);
    let mut tail = Tail {
        store,
        filter,
        waits,
        seen: Seen::default(),
        position: ChangePosition { seq: 0, settled_at: clock::now() },
        times: arguments.times.format(),
        json: arguments.json,
    };
    let mut written = tail.begin(usize::from(arguments.lines)).await?;
    let mut arrivals = 0;
    loop {
        if written == Written::Closed || output::is_closed(stdout()) {
            return Ok(());
        }
        tokio::select! {
            () = &mut stopped => return Ok(()),
            // Compares a counter that SQLite keeps of other processes' commits, twice a second.
            count = store.wait_for_work(arrivals) => {
                arrivals = count;
                written = tail.follow().await?;
            }
            () = sleep(PIPE_INTERVAL) => {}
        }
    }
}

struct Tail<'s> {
    store: &'s Sqlite,
    filter: EventFilter,
    waits: QueueWaits,
    seen: Seen,
    position: ChangePosition,
    times: TimeFormat,
    json: bool,
}

/// State and number of attempts of an event, as its last line showed them.
#[derive(Debug, Default)]
struct Seen {
    by_seq: BTreeMap<u64, (State, u64)>,
    order: VecDeque<u64>,
}

impl Seen {
    /// Remembers the event; returns whether it differs from its last line.
    fn is_news(&mut self, event: &EventSummary) -> bool {
        let state = (event.state, event.attempts);
        match self.by_seq.insert(event.seq, state) {
            Some(before) => return before != state,
            None => self.order.push_back(event.seq),
        }
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_seq.remove(&oldest);
        }
        true
    }
}

impl Tail<'_> {
    /// Shows the newest events.
    async fn begin(&mut self, lines: usize) -> Result<Written, CommandError> {
        let newest = self.newest(EventFilter::default(), 1).await?;
        self.position.seq = newest.first().map_or(0, |event| event.seq);
        // What is open now has been seen, also if it is not among the lines.
        let open = self.open().await?;
        let mut events = Vec::new();
        if lines > 0 {
            events = self.newest(self.filter.clone(), lines).await?;
        }
        events.reverse();
        for event in open.iter().chain(&events) {
            self.seen.is_news(event);
        }
        let at = |event: &EventSummary| event.received_at;
        self.show(events, at).await
    }

    /// Shows what has arrived or changed.
    async fn follow(&mut self) -> Result<Written, CommandError> {
        let settled_at = self.position.settled_at.saturating_sub(OVERLAP);
        let mut position =
            ChangePosition { settled_at: settled_at.unwrap_or_default(), ..self.position };
        let now = clock::now();
        loop {
            let (mut changed, next) = self.store.changes(position).await?;
            let is_last = next == position;
            if is_last {
                // A retry changes an event that is neither new nor settled.
                changed = self.open().await?;
                changed.reverse();
            }
            changed.retain(|event| self.seen.is_news(event) && matches(&self.filter, event));
            if self.show(changed, |_| now).await? == Written::Closed {
                return Ok(Written::Closed);
            }
            if is_last {
                self.position = position;
                return Ok(Written::Whole);
            }
            position = next;
        }
    }

    /// Returns the newest queued and held events.
    async fn open(&self) -> Result<Vec<EventSummary>, CommandError> {
        let mut open = Vec::new();
        for state in [State::Queued, State::Held] {
            let filter = EventFilter { states: vec![state], ..EventFilter::default() };
            open.extend(self.newest(filter, OPEN_EVENTS_MAX).await?);
        }
        Ok(open)
    }

    async fn newest(
        &self,
        filter: EventFilter,
        limit: usize,
    ) -> Result<Vec<EventSummary>, CommandError> {
        Ok(self.store.list(filter, PageRequest { limit, after: None }).await?.events)
    }

    async fn show(
        &mut self,
        mut events: Vec<EventSummary>,
        at: impl Fn(&EventSummary) -> Timestamp,
    ) -> Result<Written, CommandError> {
        if events.is_empty() {
            return Ok(Written::Whole);
        }
        if events.iter().any(|event| event.state == State::Queued) {
            self.waits.refresh(self.store).await?;
        }
        let mut text = String::new();
        for event in &mut events {
            self.waits.complete(event);
            text += &if self.json { json_line(event) } else { self.line(event, at(event)) };
        }
        output::write(&text)
    }

    fn line(&self, event: &EventSummary, at: Timestamp) -> String {
        let look = output::stdout_style();
        let id = match look {
            OutputStyle::Terminal => event.id.beginning(SHOWN_DIGITS),
            OutputStyle::Plain => event.id.to_string(),
        };
        let event_type = one_line(event.event_type.as_deref().unwrap_or("-"));
        let reason = reason(event, (&self.times, clock::now()));
        let (at, source, state) = (self.times.moment(at), &event.source, event.state.as_str());
        let mut line = format!("{at}  {id}  {source}  {event_type}  {state:9}");
        for said in [reason, headline(event)].iter().filter(|it| !it.is_empty()) {
            line += &format!("  {said}");
        }
        let line = line.trim_end();
        match terminal_width(look) {
            Some(width) => shortened(line, width) + "\n",
            None => format!("{line}\n"),
        }
    }
}

fn json_line(event: &EventSummary) -> String {
    let line = serde_json::to_string(event).expect("an event's entry has text keys");
    output::json(&line) + "\n"
}

fn matches(filter: &EventFilter, event: &EventSummary) -> bool {
    (filter.states.is_empty() || filter.states.contains(&event.state))
        && filter.sources.as_ref().is_none_or(|sources| sources.contains(&event.source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, state: State, attempts: u64) -> EventSummary {
        EventSummary { seq, attempts, ..EventSummary::example(state) }
    }

    #[test]
    fn event_is_news_once_for_each_state_and_attempt() {
        let mut seen = Seen::default();
        let mut news = |state, attempts| seen.is_news(&event(1, state, attempts));
        assert!(news(State::Queued, 0));
        assert!(!news(State::Queued, 0));
        assert!(news(State::Queued, 1));
        assert!(news(State::Delivered, 2));
        assert!(!news(State::Delivered, 2));
    }

    #[test]
    fn only_so_many_events_are_remembered() {
        let mut seen = Seen::default();
        for seq in 0..=SEEN_MAX as u64 {
            assert!(seen.is_news(&event(seq, State::Queued, 0)));
        }
        assert_eq!((seen.by_seq.len(), seen.order.len()), (SEEN_MAX, SEEN_MAX));
        assert!(seen.is_news(&event(0, State::Queued, 0)), "the oldest is forgotten");
    }
}
