//! What a sender without a secret can make the relay do: little work, no signatures, no inside knowledge.

use std::time::{Duration, Instant};

use savio_relay::clock;
use savio_relay::event::{Headers, SourceName};
use savio_relay::intake::Settings;
use savio_relay::intake::signature::Presented;
use savio_relay::mistake::Document;
use savio_relay::sources::SourceFile;
use tokio::io::AsyncReadExt as _;

use crate::intake::house::{House, Request};

#[tokio::test]
async fn body_of_backslashes_is_refused_in_linear_time() {
    let house = House::new().await;
    let webhook = Request::new("POST", "/hooks/github")
        .header("x-hub-signature-256", &format!("sha256={:064}", 0))
        .body(&vec![b'\\'; 64 * 1024]);

    let begun = Instant::now();
    let answer = house.send(&webhook).await;

    // Milliseconds where it is linear; 2,000,000,000 steps where it is quadratic.
    assert_eq!(answer.status, 401);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// A source with a public key, and what its sender would put into the header `X-Sig` for this body.
fn paired(body: &[u8]) -> (SourceFile, String) {
    let text = "secrets = [\"env:PUBLIC_KEY\"]\n\
                [signature]\nscheme = \"ecdsa-p256\"\nheader = \"X-Sig\"\nseparator = \",\"\n\
                [[feedback]]\nproblem = \"$.x\"\n";
    let document = Document { name: "paired.toml".to_owned(), text: text.to_owned() };
    let read = |environment| SourceFile::read(document.clone(), &environment);
    let signature = read([].into()).source.unwrap().signature.clone();
    let (public, private) = signature.invent(&[7; 32]).unwrap();
    let headers = Headers::new();
    let presented = Presented { method: "POST", url: None, query: None, headers: &headers, body };
    let stamp = signature.sign(&signature.signing_key(&private).unwrap(), &presented, clock::now());
    let public = secrecy::ExposeSecret::expose_secret(&public).to_owned();
    (read([("PUBLIC_KEY".to_owned(), public)].into()), stamp.unwrap().headers[0].1.clone())
}

#[tokio::test]
async fn health_is_answered_while_a_wrong_signature_is_diagnosed() {
    let (file, signed) = paired(&[&vec![b'x'; 30_000][..], b"\n"].concat());
    let sources = [(file.name.clone().unwrap(), file.standing(clock::now()))].into();
    let house = House::of(Settings::default(), sources).await;
    // Three of another message before the right one, so that the diagnosis takes a while.
    let wrong = paired(b"other").1;
    let list = format!("{wrong},{wrong},{wrong},{signed}");
    let webhook = Request::new("POST", "/hooks/paired").header("x-sig", &list);
    let webhook = webhook.body(&vec![b'x'; 30_000]);

    let mut stream = house.begin(&webhook, 30_000).await;
    let alive = house.send(&Request::new("GET", "/healthz")).await;
    let answered_before = stream.try_read(&mut [0]);
    stream.read_to_end(&mut Vec::new()).await.unwrap();

    assert_eq!(alive.status, 200);
    assert_eq!(answered_before.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let refusal = &house.door.rejected.last(&"paired".parse::<SourceName>().unwrap())[0];
    let hint = "right with a line end behind the body: it was cut off";
    assert_eq!(refusal.hint.as_deref(), Some(hint));
}
