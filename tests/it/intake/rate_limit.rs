//! The rate of a source, and the limit of diagnoses.

use super::payload::{check, server_of};
use crate::support::server::{Request, hex_hmac, signed};
use savio_relay::event::SourceName;
use savio_relay::store::RejectionFilter;
use serde_json::json;

#[tokio::test]
pub(super) async fn only_signed_webhooks_count_against_the_rate() {
    let server = server_of("github", "rate = \"2/h\"\n").await;
    let webhook = signed("/hooks/github", b"{}");

    for _ in 0..5 {
        assert_eq!(server.send(&Request::new("POST", "/hooks/github")).await.status, 401);
    }
    assert_eq!(server.send(&webhook).await.status, 202);
    assert_eq!(server.send(&webhook).await.status, 202);
    let refused = server.send(&webhook).await;

    assert_eq!((refused.status, &refused.body["error"]), (429, &json!("rate limited")));
    assert!(refused.head.contains("\r\nretry-after: 1"), "{}", refused.head);
}

#[tokio::test]
pub(super) async fn signature_hint_is_logged_and_not_returned() {
    let server = server_of("github", "").await;
    let source: SourceName = "github".parse().unwrap();
    let bare = Request::new("POST", "/hooks/github")
        .header("x-hub-signature-256", &hex_hmac(b"{}"))
        .header("x-forwarded-for", "6.6.6.6, 203.0.113.9")
        .body(b"{}");

    let answer = server.send(&bare).await;

    let rejection = &server.intake.rejected.latest(&RejectionFilter::of(source.clone()))[0];
    let hint = "right, but without the prefix `sha256=`";
    assert_eq!(rejection.hint.as_deref(), Some(hint));
    assert_eq!(rejection.client, Some("203.0.113.9".parse().unwrap()));
    check(&answer, 401, r#"{"error":"signature wrong","reason":"the signature is wrong"}"#);
}

#[tokio::test]
pub(super) async fn flood_of_wrong_signatures_is_not_diagnosed() {
    let server = server_of("github", "").await;
    let source: SourceName = "github".parse().unwrap();
    let bare = Request::new("POST", "/hooks/github")
        .header("x-hub-signature-256", &hex_hmac(b"{}"))
        .body(b"{}");

    for _ in 0..50 {
        server.send(&bare).await;
    }

    let last = server.intake.rejected.latest(&RejectionFilter::of(source.clone()));
    let hints: u64 = last.iter().filter(|it| it.hint.is_some()).map(|it| it.count).sum();
    assert_eq!(last.iter().map(|it| it.count).sum::<u64>(), 50);
    assert!((2..50).contains(&hints), "{hints}");
}
