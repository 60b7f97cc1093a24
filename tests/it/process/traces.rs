//! Traces, as a collector sees them.

mod trouble;

use std::fs;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::collector::{Collector, Span};
use crate::support::relay::{Relay, http};
use crate::support::wait::until_async;

const FORM: &str =
    "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n";

/// A folder with two sources, of which one is off, a Savio, and a collector.
struct Scene {
    folder: TempDir,
    savio: MockServer,
    collector: Collector,
}

impl Scene {
    async fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mappings")).unwrap();
        fs::write(folder.path().join("mappings/form.toml"), FORM).unwrap();
        let off = FORM.replace("FORM_SECRET", "NOBODY_SET_IT");
        fs::write(folder.path().join("mappings/off.toml"), off).unwrap();
        let savio = MockServer::start().await;
        let scene = Scene { folder, savio, collector: Collector::new().await };
        scene.savio_answers(201).await;
        scene
    }

    /// Sets Savio's response from now on.
    async fn savio_answers(&self, status: u16) {
        self.savio.reset().await;
        let answer = ResponseTemplate::new(status).set_body_json(json!({ "id": "Slow" }));
        Mock::given(any()).respond_with(answer).mount(&self.savio).await;
    }

    fn relay(&self) -> Relay {
        self.relay_to(&self.collector.0.uri(), &[])
    }

    fn relay_to(&self, collector: &str, variables: &[(&str, &str)]) -> Relay {
        let settings = format!("[traces]\nendpoint = \"{collector}\"\n");
        fs::write(self.folder.path().join("relay.toml"), settings).unwrap();
        self.relay_with(variables)
    }

    fn relay_with(&self, variables: &[(&str, &str)]) -> Relay {
        let base_url = format!("{}/app/api/", self.savio.uri());
        let own = [
            ("FORM_SECRET", "secret"),
            ("SAVIO_API_TOKEN", "token"),
            ("SAVIO_RELAY_SAVIO__BASE_URL", base_url.as_str()),
            ("SAVIO_RELAY_RETRY__WAIT_MIN", "10ms"),
            ("SAVIO_RELAY_SAVIO__BREAKER_FAILURES", "1000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ];
        Relay::start(self.folder.path(), &[&own, variables].concat())
    }

    /// Waits until this many requests have arrived at Savio.
    async fn delivered(&self, count: usize) {
        until_async(async || self.savio.received_requests().await.unwrap().len() >= count).await;
    }
}

fn webhook(relay: &Relay, source: &str, text: &str) -> RequestBuilder {
    let call = http().post(format!("{}/hooks/{source}", relay.url));
    call.header("x-relay-token", "secret").json(&json!({ "text": text }))
}

/// Sends a webhook that is accepted, and returns the id of its event.
async fn accepted(webhook: RequestBuilder) -> String {
    let answer = webhook.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let answer: Value = answer.json().await.unwrap();
    answer["events"][0].as_str().unwrap().to_owned()
}

async fn status(webhook: RequestBuilder) -> u16 {
    webhook.send().await.unwrap().status().as_u16()
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one {name} in {spans:#?}");
    span
}

/// Returns the spans of receipts, in the order in which the webhooks were answered.
fn receipts(spans: &[Span]) -> Vec<Span> {
    spans.iter().filter(|span| span.name == RECEIPT).cloned().collect()
}

/// Checks that the span has these attributes.
#[track_caller]
fn check(span: &Span, attributes: &[(&str, &str)]) {
    for (key, value) in attributes {
        let found = span.attributes.get(*key).map(String::as_str);
        assert_eq!(found, Some(*value), "{key} in {span:#?}");
    }
}

const RECEIPT: &str = "POST /hooks/{source}";

#[tokio::test]
async fn webhook_is_one_trace_from_receipt_to_delivery() {
    let scene = Scene::new().await;
    let relay = scene.relay();

    let event = accepted(webhook(&relay, "form", "Slow")).await;

    let spans = scene.collector.spans_from(3).await;
    let [receipt, delivery, attempt] =
        [RECEIPT, "deliver form", "send feedback"].map(|name| named(&spans, name));
    assert!(spans.iter().all(|span| span.trace == event.replace('-', "") && span.error.is_none()));
    assert_eq!((receipt.parent.as_str(), &receipt.id), ("", &event.replace('-', "")[16..].into()));
    assert_eq!((&delivery.parent, &attempt.parent), (&receipt.id, &delivery.id));
    let kinds = [receipt.kind, delivery.kind, attempt.kind];
    assert_eq!(kinds, [SpanKind::Server, SpanKind::Consumer, SpanKind::Client]);
    assert!(delivery.nanoseconds.start <= attempt.nanoseconds.start);
    assert!(spans.iter().all(|span| span.nanoseconds.start <= span.nanoseconds.end));
}

#[tokio::test]
async fn spans_describe_the_webhook_and_its_event() {
    let scene = Scene::new().await;
    let relay = scene.relay();

    let event = accepted(webhook(&relay, "form", "Slow")).await;

    let spans = scene.collector.spans_from(3).await;
    let about = [("savio_relay.event.id", event.as_str()), ("savio_relay.source", "form")];
    let asked = [("http.request.method", "POST"), ("http.route", "/hooks/{source}")];
    let answered = [("http.response.status_code", "202"), ("savio_relay.answer", "accepted")];
    let client = [("client.address", "127.0.0.1")];
    check(named(&spans, RECEIPT), &[&about[..], &asked, &answered, &client].concat());
    let state = [("savio_relay.state", "delivered"), ("savio_relay.destination", "default")];
    check(named(&spans, "deliver form"), &[about, state].concat());
}

#[tokio::test]
async fn attempt_span_has_address_and_outcome() {
    let scene = Scene::new().await;
    let relay = scene.relay();

    accepted(webhook(&relay, "form", "Slow")).await;

    let spans = scene.collector.spans_from(3).await;
    let url = format!("{}/app/api/create-feedback/", scene.savio.uri());
    let port = scene.savio.address().port().to_string();
    let to = [("url.full", &*url), ("server.address", "127.0.0.1"), ("server.port", &port)];
    let outcome = [("savio_relay.outcome", "done"), ("http.response.status_code", "201")];
    let tried = [("http.request.method", "POST"), ("savio_relay.attempt", "1")];
    check(named(&spans, "send feedback"), &[&to[..], &outcome, &tried].concat());
}

#[tokio::test]
async fn repeated_webhook_is_below_the_first_receipt() {
    let scene = Scene::new().await;
    let relay = scene.relay();
    let webhook = || webhook(&relay, "form", "Slow").header("idempotency-key", "once");
    accepted(webhook()).await;

    assert_eq!(status(webhook()).await, 200);

    let spans = scene.collector.spans_from(4).await;
    let [first, repeat] = &receipts(&spans)[..] else { panic!("{spans:#?}") };
    assert_eq!((&repeat.trace, &repeat.parent), (&first.trace, &first.id));
    assert_ne!(repeat.id, first.id);
    check(repeat, &[("savio_relay.answer", "duplicate"), ("http.response.status_code", "200")]);
}

#[tokio::test]
async fn event_of_a_batch_has_a_receipt_span_of_its_own() {
    let scene = Scene::new().await;
    let each = "[event]\neach = \"$[*]\"\nid = \"$.text\"\n[[feedback]]";
    let batched = FORM.replace("[[feedback]]", each);
    fs::write(scene.folder.path().join("mappings/form.toml"), batched).unwrap();
    let relay = scene.relay();
    let send = |texts: &[&str]| {
        let events: Vec<_> = texts.iter().map(|text| json!({ "text": text })).collect();
        accepted(webhook(&relay, "form", "").json(&events))
    };

    let [first, other] = [send(&["a"]).await, send(&["b", "a", "c"]).await];

    let receipts = receipts(&scene.collector.spans_from(10).await);
    let receipt =
        |at: usize| (&*receipts[at].trace, &*receipts[at].attributes["savio_relay.answer"]);
    let [first, other] = [first.replace('-', ""), other.replace('-', "")];
    assert_eq!([receipt(0), receipt(2)], [(&*first, "accepted"), (&*first, "duplicate")]);
    assert_eq!(receipt(1), (&*other, "accepted"));
    assert_eq!((receipt(3).1, &*receipts[3].parent), ("accepted", ""));
}

#[tokio::test]
async fn refused_webhook_has_a_trace() {
    let scene = Scene::new().await;
    let relay = scene.relay();
    let unproven = || http().post(format!("{}/hooks/form?token=no", relay.url)).body("{}");

    assert_eq!([status(unproven()).await, status(unproven()).await], [401, 401]);

    let spans = scene.collector.spans_from(2).await;
    assert_ne!(spans[0].trace, spans[1].trace);
    assert_eq!((&*spans[0].parent, &spans[0].error), ("", &None));
    let answered = [("http.response.status_code", "401"), ("savio_relay.answer", "rejected")];
    let reason = [("savio_relay.rejected", "signature wrong"), ("savio_relay.source", "form")];
    check(&spans[0], &[answered, reason].concat());
}

#[tokio::test]
async fn ignored_event_has_no_reason_written_by_the_sender() {
    let scene = Scene::new().await;
    let wanted = "events = [\"wanted\"]\n[event]\ntype = \"$.text\"\n[[feedback]]";
    let picky = FORM.replace("[[feedback]]", wanted);
    fs::write(scene.folder.path().join("mappings/form.toml"), picky).unwrap();
    let relay = scene.relay();

    assert_eq!(status(webhook(&relay, "form", "hushed")).await, 200);

    let spans = scene.collector.spans_from(1).await;
    check(&spans[0], &[("savio_relay.answer", "ignored"), ("http.response.status_code", "200")]);
    assert_eq!((&*spans[0].parent, &spans[0].error), ("", &None));
    assert!(!format!("{spans:?}").contains("hushed"));
}

#[tokio::test]
async fn webhook_for_a_source_that_is_off_is_an_error_span() {
    let scene = Scene::new().await;
    let relay = scene.relay();

    assert_eq!(status(webhook(&relay, "off", "Slow")).await, 503);

    let span = &scene.collector.spans_from(1).await[0];
    let reason = "the source is off: the environment variable NOBODY_SET_IT is not set";
    assert_eq!(span.error.as_deref(), Some(reason));
    check(span, &[("error.type", "source off"), ("savio_relay.rejected", "source off")]);
}

#[tokio::test]
async fn unknown_source_has_no_span_and_traceparent_is_ignored() {
    let scene = Scene::new().await;
    let relay = scene.relay();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    assert_eq!(status(webhook(&relay, "nobody", "Slow")).await, 404);
    let event = accepted(webhook(&relay, "form", "Slow").header("traceparent", parent)).await;
    scene.delivered(1).await;
    assert!(relay.stop().success());

    let spans = scene.collector.spans().await;
    let traces: Vec<_> = spans.iter().map(|span| span.trace.clone()).collect();
    assert_eq!(traces, vec![event.replace('-', ""); 3], "{spans:#?}");
}

#[tokio::test]
async fn dead_event_is_an_error_span_without_savios_text() {
    let scene = Scene::new().await;
    scene.savio_answers(400).await;
    let relay = scene.relay();

    accepted(webhook(&relay, "form", "Slow")).await;

    let spans = scene.collector.spans_from(3).await;
    let (delivery, attempt) = (named(&spans, "deliver form"), named(&spans, "send feedback"));
    assert_eq!(attempt.error.as_deref(), Some("Savio answered 400"));
    check(attempt, &[("savio_relay.outcome", "refused"), ("error.type", "400")]);
    assert_eq!(delivery.error.as_deref(), Some("the event is dead"));
    check(delivery, &[("savio_relay.state", "dead")]);
    assert!(!format!("{spans:?}").contains("Slow"));
}

#[tokio::test]
async fn later_process_continues_the_trace_of_an_event() {
    let scene = Scene::new().await;
    scene.savio_answers(503).await;
    let relay = scene.relay();
    accepted(webhook(&relay, "form", "Slow")).await;
    let before = scene.collector.spans_from(3).await;
    let waited = before.iter().find(|span| span.name == "deliver form").unwrap();
    assert!(relay.stop().success());
    scene.collector.answer(ResponseTemplate::new(200)).await;
    scene.savio_answers(201).await;

    let _relay = scene.relay();

    let after = scene.collector.spans_from(2).await;
    let delivered = named(&after, "deliver form");
    assert_eq!((&delivered.trace, &delivered.parent), (&waited.trace, &waited.parent));
}

#[tokio::test]
async fn span_of_a_waiting_event_has_its_next_attempt_time() {
    let scene = Scene::new().await;
    scene.savio_answers(503).await;
    let relay = scene.relay();

    accepted(webhook(&relay, "form", "Slow")).await;

    let spans = scene.collector.spans_from(5).await;
    let named_spans =
        |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let waits = named_spans("deliver form")[0];
    check(waits, &[("savio_relay.state", "waits")]);
    assert!(waits.attributes["savio_relay.next_attempt_at"].parse::<jiff::Timestamp>().is_ok());
    let attempt = named_spans("send feedback")[1];
    check(attempt, &[("savio_relay.attempt", "2"), ("savio_relay.outcome", "retry")]);
    assert_eq!(attempt.error.as_deref(), Some("Savio answered 503 (not available)"));
}

#[tokio::test]
async fn shutdown_sends_pending_spans() {
    let scene = Scene::new().await;
    let relay = scene.relay_to(&scene.collector.0.uri(), &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    accepted(webhook(&relay, "form", "Slow")).await;
    scene.delivered(1).await;
    assert_eq!(scene.collector.spans().await.len(), 0);

    assert!(relay.stop().success());

    assert_eq!(scene.collector.spans().await.len(), 3);
}

#[tokio::test]
async fn standard_variables_set_collector_headers_and_service() {
    let scene = Scene::new().await;
    let relay = scene.relay_with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &scene.collector.0.uri()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b"),
        ("OTEL_SERVICE_NAME", "relay-of-the-test"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ]);

    accepted(webhook(&relay, "form", "Slow")).await;

    scene.collector.spans_from(3).await;
    assert_eq!(scene.collector.requests().await[0].headers["x-tenant"], "a b");
    let resource = scene.collector.resource().await;
    assert_eq!(resource["service.name"], "relay-of-the-test");
    assert_eq!(resource["deployment.environment.name"], "test");
}

#[tokio::test]
async fn configured_headers_are_sent_and_foreign_ones_are_not() {
    let scene = Scene::new().await;
    let headers = "headers.authorization = \"env:COLLECTOR\"";
    let settings = format!("[traces]\nendpoint = \"{}\"\n{headers}", scene.collector.0.uri());
    fs::write(scene.folder.path().join("relay.toml"), settings).unwrap();
    let others = [("COLLECTOR", "Bearer it"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=other")];
    let relay = scene.relay_with(&others);

    accepted(webhook(&relay, "form", "Slow")).await;

    scene.collector.spans_from(3).await;
    let headers = &scene.collector.requests().await[0].headers;
    assert_eq!(headers["authorization"], "Bearer it");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert!(!headers.contains_key("x-tenant"));
}

#[tokio::test]
async fn service_name_defaults_to_the_program_name() {
    let scene = Scene::new().await;
    let relay = scene.relay();

    accepted(webhook(&relay, "form", "Slow")).await;

    scene.collector.spans_from(3).await;
    let resource = scene.collector.resource().await;
    assert_eq!(resource["service.name"], "savio-relay");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn sampling_ratio_of_0_sends_no_span() {
    let scene = Scene::new().await;
    let relay = scene.relay_to(&scene.collector.0.uri(), &[("SAVIO_RELAY_TRACES__SAMPLE", "0.0")]);

    accepted(webhook(&relay, "form", "Slow")).await;
    assert_eq!(status(webhook(&relay, "off", "Slow")).await, 503);
    scene.delivered(1).await;
    assert!(relay.stop().success());

    assert_eq!(scene.collector.requests().await.len(), 0);
}

/// Returns whether the process has the thread that sends spans.
fn has_thread(relay: &Relay) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", relay.id())).unwrap();
    let name =
        |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.unwrap())).any(|name| name.starts_with("OpenTelemetry"))
}

#[tokio::test]
async fn no_exporter_runs_without_a_collector() {
    let scene = Scene::new().await;
    let disabled =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_SDK_DISABLED", "true")];

    assert!(!has_thread(&scene.relay_with(&[])));
    assert!(!has_thread(&scene.relay_with(&disabled)));
    assert!(has_thread(&scene.relay_with(&disabled[..1])));
}

#[tokio::test]
async fn missing_header_secret_disables_traces_and_is_logged() {
    let scene = Scene::new().await;
    let settings = "[traces]\nendpoint = \"http://127.0.0.1:9\"\nheaders.key = \"env:NONE\"\n";
    fs::write(scene.folder.path().join("relay.toml"), settings).unwrap();

    let relay = scene.relay_with(&[]);

    assert!(!has_thread(&relay));
    let expected = "no traces are sent: the environment variable NONE is not set";
    assert!(relay.startup_output.contains(expected), "{}", relay.startup_output);
}
