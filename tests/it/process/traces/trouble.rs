//! Collectors that are unreachable, refuse or respond with something else: none affects the relay.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use wiremock::matchers::method;
use wiremock::{Mock, ResponseTemplate};

use super::{Scene, accepted, receipts, webhook};
use crate::support::wait::{until, until_async};

#[tokio::test]
async fn unreachable_collector_is_logged_once() {
    let scene = Scene::new().await;
    let relay = scene.relay_to("http://127.0.0.1:9", &[]);

    for text in ["Slow", "Slower"] {
        accepted(webhook(&relay, "form", text)).await;
    }
    scene.delivered(2).await;
    until(|| relay.logged("traces are lost") > 0).await;
    accepted(webhook(&relay, "form", "Slowest")).await;
    scene.delivered(3).await;

    let log = relay.log();
    assert!(relay.stop().success());
    assert_eq!(log.matches("traces are lost").count(), 1, "{log}");
}

#[tokio::test]
async fn collector_failure_is_logged_at_its_start_and_end() {
    let scene = Scene::new().await;
    scene.collector.answer(ResponseTemplate::new(500)).await;
    let relay = scene.relay();
    for count in 1..=3 {
        accepted(webhook(&relay, "form", "Slow")).await;
        until_async(async || scene.collector.requests().await.len() >= count).await;
    }

    scene.collector.answer(ResponseTemplate::new(200)).await;
    accepted(webhook(&relay, "form", "Slow")).await;

    until(|| relay.logged("accepts traces again") > 0).await;
    assert_eq!(relay.logged("traces are lost"), 1);
}

#[tokio::test]
async fn short_collector_failure_loses_no_span() {
    let scene = Scene::new().await;
    scene.collector.0.reset().await;
    for (answer, times) in [(503, 1), (200, u64::MAX)] {
        let call = Mock::given(method("POST")).respond_with(ResponseTemplate::new(answer));
        call.up_to_n_times(times).mount(&scene.collector.0).await;
    }
    let relay = scene.relay_to(&scene.collector.0.uri(), &[("OTEL_BSP_SCHEDULE_DELAY", "500")]);

    accepted(webhook(&relay, "form", "Slow")).await;

    let refused_and_taken = scene.collector.spans_from(6).await;
    assert_eq!(receipts(&refused_and_taken).len(), 2);
    assert_eq!(relay.logged("traces are lost"), 0);
}

/// Checks the logged reason for a collector that responds like this.
async fn check_reason(answer: ResponseTemplate, reason: &str) {
    let scene = Scene::new().await;
    scene.collector.answer(answer).await;
    let relay = scene.relay();
    accepted(webhook(&relay, "form", "Slow")).await;
    until(|| relay.logged("traces are lost") > 0).await;
    assert_eq!(relay.logged(reason), 1, "{}", relay.log());
}

#[tokio::test]
async fn reason_of_a_refusing_collector_is_logged() {
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: String::new() };
    let partial = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let ok = || ResponseTemplate::new(200);
    let moved = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:9");

    check_reason(ResponseTemplate::new(401), "it answered 401").await;
    check_reason(moved, "it answered 302").await;
    check_reason(ok().set_body_raw("<html>", "text/html; charset=utf-8"), "with an HTML page")
        .await;
    check_reason(ok().set_body_raw(partial, "application/x-protobuf"), "refused 2 spans").await;
}
