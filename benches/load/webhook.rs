//! Webhooks as providers send them: a few KB, signed, each with its own number in its text.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The relay's path before the source's name.
pub(crate) const HOOKS: &str = "/hooks/";

pub(crate) const SECRET: &str = "made-up-secret-of-the-load-tool";

/// Stands before the number in every text, and after it a blank.
pub(crate) const MARK: &str = "Wish No. ";
pub(crate) const DIGITS: usize = 12;

/// How many events one webhook of the batch source carries.
pub(crate) const BATCH: u64 = 100;

/// The source for deep queues: many small events in one webhook.
pub(crate) const BATCH_MAPPING: &str = r#"
secrets = ["env:BATCH_SECRET"]

[signature]
scheme    = "hmac"
algorithm = "sha256"
header    = "X-Signature"
encoding  = "hex"
signed    = "{body}"

[event]
id   = "$.id"
each = "$[*]"

[[feedback]]
problem      = "$.text"
person_email = "$.email"
"#;

const TYPEFORM: &str = include_str!("../../mappings/samples/typeform.form_response.json");
const GITHUB: &str = include_str!("../../mappings/samples/github.issues.opened.json");

/// Bodies with a gap for the number.
#[derive(Debug)]
pub(crate) struct Sender {
    /// What comes before the source's name in the path.
    prefix: String,
    typeform: String,
    github: String,
    /// Set if the bodies differ in length, by up to a page of the store.
    varies: bool,
}

/// Stands where a body is made longer.
const PADDING: &str = "@@padding@@";
const PAGE: u64 = 4096;

const GAP: &str = "############";

impl Sender {
    pub(crate) fn new(prefix: &str, varies: bool) -> Sender {
        // Without its account the form becomes one request, as the issue does.
        let typeform = TYPEFORM
            .replace("01KDR8Y6M4VZ5T2QJ9WXB7HNCE", GAP)
            .replace("\"account_id\"", "\"visitor_id\"")
            .replace("A weekly export", &format!("{PADDING}{MARK}{GAP} A weekly export"));
        let github = GITHUB.replace("We print", &format!("{PADDING}{MARK}{GAP} We print"));
        Sender { prefix: prefix.to_owned(), typeform, github, varies }
    }

    /// Writes the whole request over what the buffer held. Every second one is GitHub's.
    pub(crate) fn write(&self, request: &mut Vec<u8>, number: u64) {
        let number_text = format!("{number:0DIGITS$}");
        // Odd, so that each length comes.
        let padding = if self.varies { number * 1_021 % PAGE } else { 0 };
        let padding = "x".repeat(usize::try_from(padding).unwrap_or_default());
        let body = |template: &str| template.replace(PADDING, &padding).replace(GAP, &number_text);
        if number.is_multiple_of(2) {
            let body = body(&self.typeform);
            let proof = data_encoding::BASE64.encode(&digest(&body));
            let headers =
                format!("User-Agent: Typeform Webhooks\r\nTypeform-Signature: sha256={proof}\r\n");
            write(request, &format!("{}typeform", self.prefix), &headers, &body);
        } else {
            let body = body(&self.github);
            let proof = data_encoding::HEXLOWER.encode(&digest(&body));
            let headers = format!(
                "User-Agent: GitHub-Hookshot/0000000\r\nX-GitHub-Delivery: {number_text}\r\n\
                 X-GitHub-Event: issues\r\nX-GitHub-Hook-ID: 292430182\r\n\
                 X-Hub-Signature-256: sha256={proof}\r\n"
            );
            write(request, &format!("{}github", self.prefix), &headers, &body);
        }
    }

    /// One webhook with the numbers from `first` on.
    pub(crate) fn write_batch(request: &mut Vec<u8>, first: u64) {
        let events: Vec<String> = (first..first + BATCH)
            .map(|number| {
                format!(
                    "{{\"id\":\"batch-{number}\",\"email\":\"ada@harbour.example.com\",\"text\":\
                     \"{MARK}{number:0DIGITS$} We would like the tide beside the plan, please.\"}}"
                )
            })
            .collect();
        let body = format!("[{}]", events.join(","));
        let proof = data_encoding::HEXLOWER.encode(&digest(&body));
        write(request, &format!("{HOOKS}batch"), &format!("X-Signature: {proof}\r\n"), &body);
    }
}

fn write(request: &mut Vec<u8>, path: &str, headers: &str, body: &str) {
    request.clear();
    let length = body.len();
    request.extend_from_slice(
        format!(
            "POST {path} HTTP/1.1\r\nHost: relay.example.com\r\nAccept: */*\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        .as_bytes(),
    );
    request.extend_from_slice(body.as_bytes());
}

fn digest(body: &str) -> Vec<u8> {
    seal(body.as_bytes()).finalize().into_bytes().to_vec()
}

/// The signature's computation, for who verifies it.
pub(crate) fn seal(body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length will do");
    mac.update(body);
    mac
}

/// The number in a text that was made here.
pub(crate) fn number_in(text: &[u8]) -> Option<u64> {
    let at = text.windows(MARK.len()).position(|part| part == MARK.as_bytes())? + MARK.len();
    str::from_utf8(text.get(at..at + DIGITS)?).ok()?.parse().ok()
}
