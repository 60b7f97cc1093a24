//! One hostile request, whose kind and content follow from its number.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::relay::SECRET;

/// Interval of requests that are as large as they may be.
const HEAVY_EVERY: usize = 200;

/// The largest body for which a wrong signature is diagnosed, and the largest accepted one.
const DIAGNOSED_BYTES: usize = 64 * 1024;
const BODY_BYTES: usize = 5 * 1024 * 1024;

pub(super) struct Attack(Vec<u8>);

impl Attack {
    pub(super) fn new(number: usize) -> Attack {
        let random = &mut Rng::with_seed(number as u64);
        if number % HEAVY_EVERY == HEAVY_EVERY - 1 {
            return Attack(heavy(number / HEAVY_EVERY));
        }
        Attack(match number % 14 {
            0 => bytes(random, 2_000),
            1 => headers(random),
            2 => forged(random),
            3 => broken(random),
            4 => signed("", &deep(random)),
            5 => signed("", &wide(random)),
            6 => signed("content-encoding: gzip\r\n", &bomb(random)),
            7 => signed("content-encoding: gzip\r\n", &bytes(random, 2_000)),
            8 => signed("", &bytes(random, 2_000)),
            9 => with_token("form", "application/x-www-form-urlencoded", &form(random)),
            10 => with_token("form", "multipart/form-data; boundary=b", &parts(random)),
            11 => with_token("form", "multipart/form-data; boundary=b", &bytes(random, 2_000)),
            12 => with_token("salesforce", "text/xml", &xml(random)),
            _ => with_token("salesforce", "text/xml", &bytes(random, 2_000)),
        })
    }

    /// Sends the request and reads the response, if there is one.
    pub(super) async fn run(self, address: SocketAddr) {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            return;
        };
        let mut answer = Vec::new();
        let exchange = async {
            stream.write_all(&self.0).await?;
            stream.shutdown().await?;
            stream.read_to_end(&mut answer).await
        };
        // The relay may close the connection, or wait for more than is sent.
        let _ = tokio::time::timeout(Duration::from_secs(20), exchange).await;
    }
}

/// Returns a request that costs most for its size to diagnose, parse or map.
fn heavy(number: usize) -> Vec<u8> {
    let list = |bytes: usize, text: &str| {
        format!("[{}]", vec![text; bytes / (text.len() + 1)].join(",")).into_bytes()
    };
    match number % 10 {
        0 => wrongly_signed(&vec![b'\\'; DIAGNOSED_BYTES]),
        1 => wrongly_signed(&vec![b'"'; DIAGNOSED_BYTES]),
        2 => wrongly_signed(&vec![b'/'; DIAGNOSED_BYTES]),
        3 => wrongly_signed(&vec![b'\\'; BODY_BYTES]),
        4 => signed("", &list(BODY_BYTES, "{\"a\":0}")),
        5 => signed("", &list(BODY_BYTES, "[0]")),
        // As heavy as an accepted one may be.
        6 => signed("", &list(BODY_BYTES / 3, "{\"a\":0}")),
        7 => signed("", &list(BODY_BYTES / 6, "[[0]]")),
        8 => signed("", &list(BODY_BYTES, "\"some words of a text\"")),
        _ => signed("", format!("{{\"text\":\"{}\"}}", "\\n".repeat(BODY_BYTES / 3)).as_bytes()),
    }
}

/// Returns a webhook of `github` with the signature of another body.
fn wrongly_signed(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256={:064x}\r\n\
         content-length: {}\r\n\r\n",
        1,
        body.len(),
    );
    [head.as_bytes(), body].concat()
}

fn bytes(random: &mut Rng, most: usize) -> Vec<u8> {
    let length = random.usize(0..most);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn headers(random: &mut Rng) -> Vec<u8> {
    let mut request = String::from("POST /hooks/github HTTP/1.1\r\nhost: x\r\n");
    let long = "v".repeat(random.usize(0..200));
    for number in 0..random.usize(1..2_000) {
        request += &format!("x-{number}: {long}\r\n");
    }
    (request + "\r\n").into_bytes()
}

fn forged(random: &mut Rng) -> Vec<u8> {
    let body = vec![b'{'; random.usize(0..100_000)];
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256={:064x}\r\n\
         content-length: {}\r\n\r\n",
        random.u128(..),
        body.len(),
    );
    [head.into_bytes(), body].concat()
}

/// Returns bytes that are not valid HTTP.
fn broken(random: &mut Rng) -> Vec<u8> {
    let choices: [&[u8]; 8] = [
        b"POST /hooks/github HTTP/1.1\r\ncontent-length: 18446744073709551616\r\n\r\n",
        b"POST /hooks/github HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n123456",
        b"POST /hooks/github HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{",
        b"POST /hooks/github HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n{",
        b"POST /hooks/%00%ff/../../etc HTTP/1.1\r\n\r\n",
        b"GET  HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    random.choice(choices).unwrap().to_vec()
}

fn deep(random: &mut Rng) -> Vec<u8> {
    let levels = random.usize(1..100_000);
    let text = ["[", "{\"a\":", "[{\"a\":["][random.usize(0..3)];
    text.repeat(levels).into_bytes()
}

fn wide(random: &mut Rng) -> Vec<u8> {
    let items = random.usize(1..50_000);
    let text = ["{\"\":0}", "\"\\ud800\"", "1e999", "[[],[]]"][random.usize(0..4)];
    format!("[{}]", vec![text; items].join(",")).into_bytes()
}

fn bomb(random: &mut Rng) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![b'['; 1_000_000];
    for _ in 0..random.usize(1..10) {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

fn form(random: &mut Rng) -> Vec<u8> {
    let fields = random.usize(1..20_000);
    match random.usize(0..3) {
        0 => "a[]=1&".repeat(fields).into_bytes(),
        1 => format!("a{}=1", "[b]".repeat(fields)).into_bytes(),
        _ => "a[0][b]=%ff&a[1]=".repeat(fields / 2).into_bytes(),
    }
}

fn parts(random: &mut Rng) -> Vec<u8> {
    let count = random.usize(1..3_000);
    let part = "--b\r\ncontent-disposition: form-data; name=\"a[]\"; filename=\"b\"\r\n\r\n1\r\n";
    let end = ["--b--", "--b", ""][random.usize(0..3)];
    match random.usize(0..3) {
        0 => (part.repeat(count) + end).into_bytes(),
        1 => format!("--b\r\n{}", "x: y\r\n".repeat(count)).into_bytes(),
        _ => "\r\n--".repeat(count * 10).into_bytes(),
    }
}

fn xml(random: &mut Rng) -> Vec<u8> {
    let count = random.usize(1..50_000);
    match random.usize(0..4) {
        0 => "<a>".repeat(count).into_bytes(),
        1 => format!("<a>{}</a>", "<b/>".repeat(count)).into_bytes(),
        2 => format!("<a {}/>", "b='&#120;' ".repeat(count)).into_bytes(),
        _ => b"<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>".to_vec(),
    }
}

/// Returns a signed request, as an attacker sends it who has the secret or the provider's account.
fn signed(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    let signature = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nhost: x\r\n{headers}x-hub-signature-256: \
         sha256={signature}\r\ncontent-length: {}\r\n\r\n",
        body.len(),
    );
    [head.as_bytes(), body].concat()
}

fn with_token(source: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let token = SECRET.replace(' ', "%20");
    let head = format!(
        "POST /hooks/{source}?token={token} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\n\r\n",
        body.len(),
    );
    [head.as_bytes(), body].concat()
}
