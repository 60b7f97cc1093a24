//! A client of the stream of changes, as a browser reads it.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::Scene;
use super::browser::Caller;

pub(super) const PATH: &str = "/api/v1/stream";

/// One message of a stream.
#[derive(Debug, Clone)]
pub(super) struct StreamMessage {
    pub(super) event: String,
    pub(super) data: Value,
    /// Set on the last one of a batch.
    pub(super) id: Option<String>,
}

pub(super) struct EventStream {
    response: Response,
    text: String,
    /// What a browser would send to continue.
    pub(super) last_id: String,
}

impl EventStream {
    /// Opens a stream, and returns once it says where it is.
    pub(super) async fn open(scene: &Scene, caller: &Caller) -> EventStream {
        let mut stream = EventStream::begin(caller.request(scene, "GET", PATH)).await;
        let opening = stream.block().await.expect("it begins");
        assert_eq!(opening, format!("retry: 2000\nid: {}", stream.last_id));
        stream
    }

    /// Continues after the batch of this id.
    pub(super) async fn resume(scene: &Scene, caller: &Caller, id: &str) -> EventStream {
        let request = caller.request(scene, "GET", PATH).header("last-event-id", id);
        let mut stream = EventStream::begin(request).await;
        assert_eq!(stream.block().await.as_deref(), Some("retry: 2000"));
        stream
    }

    async fn begin(request: reqwest::RequestBuilder) -> EventStream {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name| response.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("x-accel-buffering"), "no");
        assert_eq!(header("cache-control"), "no-store");
        assert!(!response.headers().contains_key("content-encoding"));
        EventStream { response, text: String::new(), last_id: String::new() }
    }

    /// Returns what comes up to the next empty line; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    id.clone_into(&mut self.last_id);
                }
                return Some(block);
            }
            let chunk = timeout(Duration::from_mins(1), self.response.chunk()).await;
            // The relay may end while it sends.
            let chunk = chunk.expect("something comes in time").ok().flatten()?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// Returns the next message; none at the end.
    pub(super) async fn next(&mut self) -> Option<StreamMessage> {
        loop {
            let block = self.block().await?;
            if block.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let mut lines = block.lines();
                lines
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
            };
            let data = serde_json::from_str(&field("data").expect(&block)).unwrap();
            return Some(StreamMessage {
                event: field("event").expect(&block),
                data,
                id: field("id"),
            });
        }
    }

    /// Reads until a message meets the condition, and returns it. There is no `reset` before.
    pub(super) async fn until(&mut self, is_met: impl Fn(&StreamMessage) -> bool) -> StreamMessage {
        let mut seen = Vec::new();
        let read = async {
            loop {
                let message = self.next().await.expect("the stream goes on");
                if is_met(&message) {
                    return message;
                }
                assert_ne!(message.event, "reset");
                seen.push(message);
            }
        };
        // Comments keep it going without a message.
        let found = timeout(Duration::from_mins(1), read).await;
        found.unwrap_or_else(|_| panic!("only these came: {seen:#?}"))
    }

    /// Reads until an event is told in this state, and returns its line.
    pub(super) async fn line(&mut self, id: &str, state: &str) -> Value {
        let of = |message: &StreamMessage| {
            let lines = message.data["events"].as_array().cloned().unwrap_or_default();
            lines.into_iter().find(|line| line["id"] == id && line["state"] == state)
        };
        let message = self.until(|it| it.event == "events" && of(it).is_some()).await;
        of(&message).unwrap()
    }

    /// Reads until the end.
    pub(super) async fn end(&mut self) {
        while self.next().await.is_some() {}
    }
}
