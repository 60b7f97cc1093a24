//! A stand-in for Savio that records what arrives.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Number of times that each feedback arrived, by its text.
pub(crate) type Arrived = Arc<Mutex<BTreeMap<String, usize>>>;

pub(crate) async fn start_savio(arrived: Arrived) -> String {
    async fn create(
        State(arrived): State<Arrived>,
        Json(body): Json<Value>,
    ) -> (StatusCode, Json<Value>) {
        let text = body["problem"].as_str().unwrap().to_owned();
        *arrived.lock().unwrap().entry(text).or_default() += 1;
        (StatusCode::CREATED, Json(json!({"id": 1})))
    }
    let router = Router::new().route("/app/api/create-feedback/", post(create)).with_state(arrived);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/app/api/")
}
