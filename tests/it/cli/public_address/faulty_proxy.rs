//! A proxy before a relay, with one fault.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use reqwest::Client;
use tokio::net::TcpListener;

use crate::support::relay::{Relay, http};
use crate::support::server::TestIntake;

/// What the proxy does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Forwards `/hooks/` to the relay, unchanged, with the address of its client.
    None,
    NotForwarded,
    NoUpstream,
    DefaultPage,
    OtherRelay,
    Redirect,
    LoginRedirect,
    LoginPage,
    BasicAuth,
    Challenge,
    Blocked,
    JsonRewritten,
    LineEnds,
    Decompressed,
    Cut,
    BodyLost,
    SizeLimit,
    HooksRemoved,
    PrefixAdded,
    /// Removes `/relay` from paths, as it should for a public URL with that prefix.
    PrefixRemoved,
    SlashDoubled,
    PathDecoded,
    QueryLost,
    QueryReencoded,
    AuthorizationLost,
    RelayTokenLost,
    ContentTypeChanged,
    ChunkedRefused,
    NoForwardedFor,
    ForwardedForPassedOn,
    AnswerChanged,
    SignatureLost,
    ToAdmin,
    AdminExposed,
    /// Forwards `/admin/` to the admin API, without that prefix.
    AdminBelowPrefix,
    /// Forwards the address of the source `form` and nothing else.
    OneName,
    /// Refuses POST, and forwards GET.
    PostBlocked,
    TooManyRequests,
    /// Answers 502 to a large body, and to all that comes after it.
    DownAfterLarge,
    LongRedirect,
}

/// The size at which it cuts bodies, or refuses them: the default of nginx.
const BYTES_MAX: usize = 1024 * 1024;

pub(super) struct FaultyProxy {
    pub(super) url: String,
    _other_relay: Option<TestIntake>,
}

struct Forwarder {
    fault: Fault,
    client: Client,
    relay: String,
    admin: String,
    has_had_large: AtomicBool,
}

impl FaultyProxy {
    pub(super) async fn start(relay: &Relay, fault: Fault) -> FaultyProxy {
        let other_relay = match fault {
            Fault::OtherRelay => Some(TestIntake::new().await),
            _ => None,
        };
        let target = other_relay.as_ref().map(|it| format!("http://{}", it.address));
        let forwarder = Forwarder {
            fault,
            client: http(),
            relay: target.unwrap_or_else(|| relay.url.clone()),
            admin: relay.admin_url.clone(),
            has_had_large: AtomicBool::new(false),
        };
        let routes = Router::new().fallback(forward).with_state(std::sync::Arc::new(forwarder));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        FaultyProxy { url, _other_relay: other_relay }
    }
}

async fn forward(State(forwarder): State<std::sync::Arc<Forwarder>>, request: Request) -> Response {
    let Forwarder { fault, .. } = *forwarder;
    let path = request.uri().path().to_owned();
    if let Some(answer) = own_answer(fault, &path, &request) {
        return answer;
    }
    let is_admin = ["/api/", "/metrics"].iter().any(|it| path.starts_with(it));
    let target = match fault {
        Fault::ToAdmin => &forwarder.admin,
        Fault::AdminExposed if is_admin => &forwarder.admin,
        Fault::AdminBelowPrefix if path.starts_with("/admin/") => &forwarder.admin,
        Fault::PrefixRemoved => &forwarder.relay,
        _ if path.contains("/hooks/") => &forwarder.relay,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    // Only now, since an answer before the end of the body may be lost with the connection.
    if fault == Fault::SizeLimit && body.len() > BYTES_MAX {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    if fault == Fault::DownAfterLarge {
        let is_large = body.len() > BYTES_MAX;
        if forwarder.has_had_large.fetch_or(is_large, Ordering::SeqCst) || is_large {
            return StatusCode::BAD_GATEWAY.into_response();
        }
    }
    let url = format!("{target}{}", changed_target(fault, &parts.uri.to_string()));
    let headers = changed_headers(fault, parts.headers);
    let body = changed_body(fault, &headers, body);
    let sent = forwarder.client.request(parts.method, url).headers(headers).body(body).send();
    let answer = sent.await.unwrap();
    let status = match fault {
        Fault::AnswerChanged => StatusCode::ACCEPTED,
        _ => answer.status(),
    };
    let mut headers = answer.headers().clone();
    if fault == Fault::SignatureLost {
        headers.remove("x-relay-echo");
    }
    (status, headers, Body::from(answer.bytes().await.unwrap())).into_response()
}

/// Returns the answer that the proxy gives itself, if it does.
fn own_answer(fault: Fault, path: &str, request: &Request) -> Option<Response> {
    let has_length = request.headers().contains_key(header::CONTENT_LENGTH);
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    let to = |url: String| [(header::LOCATION, url)];
    Some(match fault {
        Fault::NotForwarded => StatusCode::NOT_FOUND.into_response(),
        Fault::NoUpstream => StatusCode::BAD_GATEWAY.into_response(),
        Fault::DefaultPage => (html, "<h1>It works!</h1>").into_response(),
        Fault::Redirect => {
            let to = to(format!("https://relay.example.com{path}"));
            (StatusCode::MOVED_PERMANENTLY, to).into_response()
        }
        Fault::LongRedirect => {
            let to = to(format!("/{}", "x".repeat(4000)));
            (StatusCode::FOUND, to).into_response()
        }
        Fault::OneName if path != "/hooks/form" => StatusCode::NOT_FOUND.into_response(),
        Fault::PostBlocked if request.method() == Method::POST => {
            StatusCode::FORBIDDEN.into_response()
        }
        Fault::TooManyRequests => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Fault::LoginRedirect => {
            let to = to("https://sso.example.com/login?next=%2Fhooks".to_owned());
            (StatusCode::FOUND, to).into_response()
        }
        Fault::LoginPage => (html, "<form><input type=\"password\"></form>").into_response(),
        Fault::BasicAuth => StatusCode::UNAUTHORIZED.into_response(),
        Fault::Challenge => {
            let headers =
                [("cf-mitigated", "challenge"), ("cf-ray", "1-TXL"), ("server", "cloudflare")];
            (StatusCode::FORBIDDEN, headers, "Just a moment...").into_response()
        }
        Fault::Blocked => StatusCode::FORBIDDEN.into_response(),
        Fault::ChunkedRefused if !has_length && path.contains("/hooks/") => {
            StatusCode::LENGTH_REQUIRED.into_response()
        }
        _ => return None,
    })
}

fn changed_target(fault: Fault, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = match fault {
        Fault::HooksRemoved => path.replace("/hooks", ""),
        Fault::PrefixAdded => format!("/relay{path}"),
        Fault::PrefixRemoved => path.replace("/relay", ""),
        Fault::AdminBelowPrefix => path.replace("/admin", ""),
        Fault::SlashDoubled => format!("/{path}"),
        Fault::PathDecoded => path.replace("%7E", "~"),
        _ => path.to_owned(),
    };
    let query = match fault {
        Fault::QueryLost => String::new(),
        Fault::QueryReencoded => query.replace("%2f", "%2F").replace("%20", "+"),
        _ => query.to_owned(),
    };
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn changed_headers(fault: Fault, mut headers: HeaderMap) -> HeaderMap {
    for framing in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(framing);
    }
    let is_sent = headers.contains_key("x-forwarded-for");
    if fault == Fault::NoForwardedFor {
        headers.remove("x-forwarded-for");
    } else if fault != Fault::ForwardedForPassedOn || !is_sent {
        headers.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
    }
    match fault {
        Fault::AuthorizationLost => drop(headers.remove(header::AUTHORIZATION)),
        Fault::RelayTokenLost => drop(headers.remove("x-relay-token")),
        Fault::Decompressed => drop(headers.remove(header::CONTENT_ENCODING)),
        Fault::ContentTypeChanged => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        _ => {}
    }
    headers
}

fn changed_body(fault: Fault, headers: &HeaderMap, body: Vec<u8>) -> Vec<u8> {
    let text = || String::from_utf8(body.clone()).ok();
    match fault {
        Fault::JsonRewritten => {
            let parsed = serde_json::from_slice::<serde_json::Value>(&body);
            parsed.map_or(body, |it| it.to_string().into_bytes())
        }
        Fault::LineEnds => text().map_or(body, |it| it.replace("\r\n", "\n").into_bytes()),
        Fault::Decompressed if !headers.contains_key(header::CONTENT_ENCODING) => {
            let mut plain = Vec::new();
            match GzDecoder::new(&body[..]).read_to_end(&mut plain) {
                Ok(_) => plain,
                Err(_) => body,
            }
        }
        Fault::Cut => body[..body.len().min(BYTES_MAX)].to_vec(),
        Fault::BodyLost => Vec::new(),
        _ => body,
    }
}
