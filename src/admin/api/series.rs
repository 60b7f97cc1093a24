//! What happened when: flows by half hours, or steps of several.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Json;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::error::ApiError;
use crate::admin::params::{QueryParams, selected_sources};
use crate::admin::state::AdminState;
use crate::admin::time_bound::{Since, Until};
use crate::clock;
use crate::diagnostics::table::parse_duration;
use crate::event::SourceName;
use crate::store::{Flows, HalfHour, SeriesRequest};

/// Number of steps that one answer has at most: thirty days of half hours, and some.
const STEPS_MAX: u64 = 1_500;
const HALF_HOUR: Duration = Duration::from_mins(30);
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SeriesQuery {
    /// Of this source.
    #[param(value_type = Option<SourceName>)]
    source: Option<String>,
    /// Of the sources that send to this destination.
    #[param(value_type = Option<SourceName>)]
    destination: Option<String>,
    /// From the half hour on that this time is in: an age, a date in UTC or a time; 24 hours before `until` by
    /// default.
    #[param(inline)]
    since: Option<Since>,
    /// Up to this time and the rest of its half hour; a date includes the whole day; now by default.
    #[param(inline)]
    until: Option<Until>,
    /// Length of a step: half an hour, or a multiple of it. At most 1500 steps.
    #[param(default = "30m", pattern = "^[0-9].*[a-z]$", example = "6h")]
    step: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Series {
    step_seconds: u64,
    /// All steps in their order, also those in which nothing happened.
    steps: Vec<SeriesStep>,
}

/// What happened in a step. Nothing of it is lowered later: an event that is delivered, replayed and
/// delivered again is delivered twice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesStep {
    /// Begin of the step.
    at: Timestamp,
    #[serde(flatten)]
    flows: Flows,
}

/// Count what happened in each half hour, or in longer steps: kept for thirteen months
#[utoipa::path(get, path = "/api/v1/series", params(SeriesQuery),
    responses((status = 200, description = "What happened in each step", body = Series),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn series(
    State(admin): State<Arc<AdminState>>,
    QueryParams(query, _): QueryParams<SeriesQuery>,
) -> Result<Json<Series>, ApiError> {
    let SeriesQuery { source, destination, since, until, step } = query;
    let sources = selected_sources(&admin, source, destination)?;
    let until = until.map_or_else(clock::now, |Until(time)| time);
    let day_before = || until.saturating_sub(DEFAULT_RANGE).unwrap_or(Timestamp::MIN);
    let since = since.map_or_else(day_before, |Since(time)| time);
    let (step, half_hours) = step_of(step.as_deref())?;
    let (first, last) = range(since, until, &step)?;
    let request = SeriesRequest { sources, since: first, until: last.plus(1), step: half_hours };
    let flows = admin.store.series(request).await?;
    let begins = (0..).map(|number: i64| first.plus(number * i64::from(half_hours)).begins_at());
    let steps = begins.zip(flows).map(|(at, flows)| SeriesStep { at, flows }).collect();
    Ok(Json(Series { step_seconds: step.as_secs(), steps }))
}

/// Returns the step, and how many half hours it has.
fn step_of(step: Option<&str>) -> Result<(Duration, u32), ApiError> {
    let Some(text) = step else { return Ok((HALF_HOUR, 1)) };
    let wrong = || {
        let reason = "`step` is half an hour or a multiple of it, such as 30m, 6h or 1d";
        ApiError::BadRequest(reason.to_owned())
    };
    let step = parse_duration(text).ok_or_else(wrong)?;
    let half_hours = step.as_secs() / HALF_HOUR.as_secs();
    let is_multiple = HALF_HOUR.checked_mul(u32::try_from(half_hours).unwrap_or(0)) == Some(step);
    match u32::try_from(half_hours) {
        Ok(half_hours) if half_hours > 0 && is_multiple => Ok((step, half_hours)),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

/// Returns the first and the last half hour.
fn range(
    since: Timestamp,
    until: Timestamp,
    step: &Duration,
) -> Result<(HalfHour, HalfHour), ApiError> {
    if since >= until {
        return Err(ApiError::BadRequest("`since` is not before `until`".to_owned()));
    }
    let first = HalfHour::of(since);
    // What ends at a half hour does not reach into it.
    let before = until.saturating_sub(SignedDuration::from_micros(1)).unwrap_or(until);
    let last = HalfHour::of(before).max(first);
    let half_hours = u64::try_from(last.plus(1).since(first)).unwrap_or(u64::MAX);
    let of_step = step.as_secs() / HALF_HOUR.as_secs();
    if half_hours.div_ceil(of_step.max(1)) > STEPS_MAX {
        let minutes = half_hours.div_ceil(STEPS_MAX) * 30;
        let reason = format!(
            "there would be over {STEPS_MAX} steps: give a `step` of {minutes}m or more, or a later `since`"
        );
        return Err(ApiError::BadRequest(reason));
    }
    Ok((first, last))
}
