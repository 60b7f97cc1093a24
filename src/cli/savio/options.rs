//! Options for upserts.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::diagnostics::table::parse_duration;
use crate::rate::Rate;

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct UpsertOptions {
    #[command(flatten)]
    pub(super) pace: PaceOptions,
    /// Print JSON; for FILE, one object per line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct PaceOptions {
    /// Rate limit for the lines of FILE: 10/s, 300/m or 1000/h
    #[arg(long)]
    pub(super) rate: Option<Rate>,
    /// Maximum concurrent requests for FILE (default: from the configuration)
    #[arg(long, value_name = "NUMBER")]
    pub(super) max_in_flight: Option<NonZeroUsize>,
    /// Time to retry each line of FILE (default: 5m)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) give_up_after: Option<Duration>,
}

impl PaceOptions {
    pub(super) fn is_given(self) -> bool {
        self.rate.is_some() || self.max_in_flight.is_some() || self.give_up_after.is_some()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time, such as 30s or 5m".to_owned())
}
