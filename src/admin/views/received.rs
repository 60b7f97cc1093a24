//! How the webhook of an event arrived, as JSON.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{Arrival, EventRecord};

/// The request of a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Received)]
pub(crate) struct ReceivedView<'r> {
    /// Address of the sender, as far as proxies tell it; null if it is not known, as for imported
    /// events and those of earlier versions.
    #[schema(value_type = Option<String>)]
    client: Option<IpAddr>,
    /// Length of its body, which may hold several events.
    bytes: u64,
    content_type: Option<&'r str>,
}

impl ReceivedView<'_> {
    pub(crate) fn of(record: &EventRecord) -> ReceivedView<'_> {
        let Arrival { client, .. } = record.arrival;
        let content_type = record.event.headers.get("content-type").map(String::as_str);
        ReceivedView { client, bytes: record.body_bytes, content_type }
    }
}
