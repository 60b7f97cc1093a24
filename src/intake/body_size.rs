//! The size of a body, for what is recorded of a rejected webhook.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;

/// The size of a body: as declared by its sender, or as far as it was read.
#[derive(Debug, Clone)]
pub(super) enum BodySize {
    Declared(u64),
    Read(Arc<AtomicU64>),
}

impl BodySize {
    /// Returns the size of a body, and the body, which counts what is read of it if its size is not declared.
    pub(super) fn of(headers: &HeaderMap, body: Body) -> (BodySize, Body) {
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        if let Some(bytes) = declared.and_then(|it| it.parse().ok()) {
            return (BodySize::Declared(bytes), body);
        }
        let read = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&read);
        let body = Body::new(body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            counted.fetch_add(bytes, Ordering::Relaxed);
            frame
        }));
        (BodySize::Read(read), body)
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            BodySize::Declared(bytes) => *bytes,
            BodySize::Read(bytes) => bytes.load(Ordering::Relaxed),
        }
    }
}
