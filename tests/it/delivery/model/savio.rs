//! A scripted Savio that reports each request to the reference model.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, yield_now};

use super::Answer;
use super::reference::Reference;

/// Starts the server, which runs until the task is aborted, and returns its URL.
pub(super) async fn start(reference: Arc<Mutex<Reference>>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, reference.clone()));
        }
    });
    (url, task)
}

/// One connection, until either side closes it.
async fn serve(stream: TcpStream, reference: Arc<Mutex<Reference>>) {
    let mut stream = BufReader::new(stream);
    while let Some((first, body)) = read(&mut stream).await {
        let answer = if first.starts_with("GET") {
            probed(reference.lock().unwrap().probe_works)
        } else {
            let path = first.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (life, path) = path.split_once('/').unwrap();
            let (sender, body) = (life.parse().unwrap(), serde_json::from_slice(&body).unwrap());
            match receive(&reference, (sender, &format!("/{path}")), &body).await {
                Some(answer) => answer,
                None => return,
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The first line and the body of a request.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok().filter(|bytes| *bytes > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

/// None: the connection is closed without a word. What a process sent before it was killed may
/// arrive when the next one is there: whether it does is left open, for nobody can know it.
async fn receive(
    reference: &Mutex<Reference>,
    (sender, path): (usize, &str),
    body: &Value,
) -> Option<String> {
    let arrived = {
        let mut reference = reference.lock().unwrap();
        if reference.life != sender {
            return None;
        }
        reference.arrives(path, body)
    };
    let Some((event, answer, yields)) = arrived else {
        // The process is killed meanwhile.
        std::future::pending().await
    };
    for _ in 0..yields {
        yield_now().await;
    }
    {
        let mut reference = reference.lock().unwrap();
        if reference.life != sender {
            return None;
        }
        reference.answers(event, answer);
    }
    match answer {
        Answer::Created => Some(written("201 Created", "", r#"{"id":1}"#)),
        Answer::Page => Some(written("200 OK", "", "<html>")),
        Answer::Refused => Some(written("400 Bad Request", "", "no")),
        Answer::Forbidden => Some(written("403 Forbidden", "", "no")),
        Answer::Busy => Some(written("503 Service Unavailable", "", "")),
        Answer::Later(seconds) => {
            let header = format!("Retry-After: {seconds}\r\n");
            Some(written("429 Too Many Requests", &header, ""))
        }
        Answer::Nothing => None,
    }
}

fn probed(works: bool) -> String {
    if works {
        written("200 OK", "", r#"{"count":0,"next":null,"results":[]}"#)
    } else {
        written("401 Unauthorized", "", "")
    }
}

fn written(status: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{header}Content-Length: {length}\r\n\r\n{body}")
}
