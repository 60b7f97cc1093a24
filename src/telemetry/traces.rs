//! Traces: what happens to an event, as spans for an OpenTelemetry collector. Nothing else here knows
//! OpenTelemetry; without a collector nothing is made and no thread runs.

mod export;
mod ids;
mod settings;
mod span_queue;
mod spans;

pub use export::ask;
pub use settings::{Settings, Target};
pub use span_queue::Traces;
pub use spans::{AttemptSpan, DeliverySpan, ParentSpan, WebhookResult, WebhookSpan, WorkResult};
