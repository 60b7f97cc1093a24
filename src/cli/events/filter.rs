//! Filter options of commands on events.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use crate::admin::time_bound::{since, until};
use crate::cli::error::CommandError;
use crate::event::{EventId, SourceName, State};
use crate::store::{EventFilter, StoppedAt};

#[derive(Debug, clap::Args)]
pub(super) struct FilterOptions {
    /// Only events in this state, or in one of several: dead,held
    #[arg(long, value_delimiter = ',', value_parser = state_parser())]
    pub(super) state: Vec<State>,
    #[command(flatten)]
    pub(super) chosen: CommonFilterOptions,
}

#[derive(Debug, clap::Args)]
pub(super) struct CommonFilterOptions {
    /// Only events of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// Only events of sources that send to this destination
    #[arg(long)]
    destination: Option<String>,
    #[command(flatten)]
    conditions: ConditionOptions,
}

/// Conditions on events, whatever their source and state.
#[derive(Debug, Default, clap::Args)]
struct ConditionOptions {
    /// Received since: an age (2h, 7d), a date (2026-01-31, in UTC) or a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Received before this time; a date includes the whole day
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    /// Text in the id, delivery id, type, reason, summary, person or company
    #[arg(long = "q", value_name = "TEXT")]
    text: Option<String>,
    /// Text in the payload
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Only events of exactly this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events that were not delivered, by where they stopped: at their mapping, at Savio (refused or not
    /// answered), or for time (given up)
    #[arg(long, value_parser = stage_parser())]
    stage: Option<StoppedAt>,
    /// Only dead events of this cause: the `kind` of an entry of `dead/groups` of the API
    #[arg(long, value_name = "KIND")]
    reason_kind: Option<String>,
    /// Only events with at least so many attempts, of all their requests together
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    attempts_min: Option<u32>,
    /// Only events with fields left out because Savio would not accept their values
    #[arg(long)]
    left_out: bool,
    /// Only events of which Savio may have, or may get, a request twice
    #[arg(long)]
    may_repeat: bool,
    /// Only events that were imported
    #[arg(long)]
    imported: bool,
}

impl ConditionOptions {
    fn filter(self) -> EventFilter {
        let ConditionOptions { since, until, text, contains, event_type, stage, .. } = self;
        let ConditionOptions { attempts_min, left_out, may_repeat, imported, reason_kind, .. } =
            self;
        EventFilter {
            since,
            until,
            text,
            contains,
            event_type,
            stage,
            reason_kind,
            attempts_min,
            left_out: left_out.then_some(true),
            may_repeat: may_repeat.then_some(true),
            imported: imported.then_some(true),
            ..EventFilter::default()
        }
    }
}

/// Which events of one source a command looks at.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SourceFilterOptions {
    /// Only events in this state, or in one of several: dead,held
    #[arg(long, value_delimiter = ',', value_parser = state_parser())]
    state: Vec<State>,
    #[command(flatten)]
    conditions: ConditionOptions,
}

impl SourceFilterOptions {
    pub(in crate::cli) fn filter(self, source: SourceName) -> EventFilter {
        let SourceFilterOptions { state: states, conditions } = self;
        EventFilter { states, sources: Some(vec![source]), ..conditions.filter() }
    }
}

/// Which events `tail` follows.
#[derive(Debug, clap::Args)]
pub(super) struct TailFilterOptions {
    /// Only events in this state, or in one of several: dead,held
    #[arg(long, value_delimiter = ',', value_parser = state_parser())]
    state: Vec<State>,
    /// Only events of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// Only events of sources that send to this destination
    #[arg(long)]
    destination: Option<String>,
}

impl From<TailFilterOptions> for FilterOptions {
    fn from(options: TailFilterOptions) -> FilterOptions {
        let TailFilterOptions { state, source, destination } = options;
        let conditions = ConditionOptions::default();
        FilterOptions { state, chosen: CommonFilterOptions { source, destination, conditions } }
    }
}

impl FilterOptions {
    /// Returns the source that the events are of.
    pub(super) fn source(&self) -> Option<&SourceName> {
        self.chosen.source.as_ref()
    }

    /// Returns the filter. `senders` returns the sources of a destination.
    pub(super) fn filter(
        self,
        ids: Vec<EventId>,
        senders: impl FnOnce(&str) -> Result<Vec<SourceName>, CommandError>,
    ) -> Result<EventFilter, CommandError> {
        let CommonFilterOptions { source, destination, conditions } = self.chosen;
        let mut sources = destination.as_deref().map(senders).transpose()?;
        if let Some(source) = source {
            let sent_there = sources.is_none_or(|sources| sources.contains(&source));
            sources = Some(if sent_there { vec![source] } else { Vec::new() });
        }
        Ok(EventFilter { ids, states: self.state, sources, ..conditions.filter() })
    }
}

// By clap's list of values, which suggests the nearest one and completes them in a shell.
fn state_parser() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::as_str)).map(|name| {
        let named = State::ALL.into_iter().find(|state| state.as_str() == name);
        named.expect("the values are the states' names")
    })
}

fn stage_parser() -> impl TypedValueParser<Value = StoppedAt> {
    PossibleValuesParser::new(StoppedAt::ALL.map(StoppedAt::as_str)).map(|name| {
        let named = StoppedAt::ALL.into_iter().find(|stage| stage.as_str() == name);
        named.expect("the values are the stages' names")
    })
}
