//! Uses the client of Savio's API as a library. Start `savio-relay sandbox`, then run
//! `cargo run --example savio -- [BASE_URL]`. The token is read from the environment variable SAVIO_API_TOKEN.

use std::error::Error;
use std::time::Duration;

use savio_relay::savio::{Client, ContactUpsert, FeatureRequestQuery, NewFeedback, Settings};
use serde_json::{Map, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = client()?;

    let contact = ContactUpsert {
        internal_id: "4711".to_owned(),
        name: "Ada Rossi".to_owned(),
        email: Some("ada@example.com".to_owned()),
        filterable_attributes: Map::from_iter([("mrr".to_owned(), json!(49.5))]),
        ..ContactUpsert::default()
    };
    let contact = client.upsert_contact(&contact).await?;
    println!("contact {} is {}", contact.id, contact.name.unwrap_or_default());

    let feedback = NewFeedback {
        problem: "There is no weekly export.".to_owned(),
        person_email: Some("ada@example.com".to_owned()),
        feature_request_title: Some("Weekly export".to_owned()),
        ..NewFeedback::default()
    };
    client.create_feedback(&feedback).await?;

    let newest = FeatureRequestQuery {
        ordering: Some("-updated".to_owned()),
        ..FeatureRequestQuery::default()
    };
    let mut pages = client.feature_requests(&newest).at_most(100);
    while let Some(page) = pages.next().await? {
        for one in page.results {
            println!("{}: {} ({} pieces of feedback)", one.id, one.title, feedback_count(&one));
        }
    }
    Ok(())
}

fn feedback_count(one: &savio_relay::savio::FeatureRequest) -> String {
    one.count("Feedback").map_or("?".to_owned(), |count| count.to_string())
}

#[expect(clippy::disallowed_methods, reason = "an example reads its own environment")]
fn client() -> Result<Client, Box<dyn Error>> {
    let base_url = std::env::args().nth(1).unwrap_or("http://127.0.0.1:9090/app/api/".to_owned());
    let token = std::env::var("SAVIO_API_TOKEN").unwrap_or("anything".to_owned());
    let settings = Settings {
        base_url: base_url.parse()?,
        token: token.into(),
        timeout: Duration::from_secs(30),
    };
    Ok(Client::new(settings)?)
}
