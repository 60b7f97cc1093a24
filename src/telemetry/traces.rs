//! Traces: the history of an event as spans for an OpenTelemetry collector. No other module knows OpenTelemetry.
//! Without a collector no span is made and no thread runs.

mod export;
mod ids;
mod span_queue;
mod spans;
mod target;

pub use export::check_connection;
pub use ids::SamplingRatio;
pub use span_queue::Traces;
pub use spans::{AttemptSpan, DeliverySpan, ParentSpan, WebhookResult, WebhookSpan, WorkResult};
pub use target::{TARGET_PATH, Target};
