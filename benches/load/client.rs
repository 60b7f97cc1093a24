//! Posts as fast as it is answered, over connections that are kept: HTTP/1.1 by hand, to be cheap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failed;
use crate::process::Process;
use crate::webhook::Sender;

/// Hands out numbers that were never used before, over all runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub(crate) fn take(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed)
    }
}

/// What came of posting for a while.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    /// The numbers that were answered 2xx.
    pub(crate) accepted: Vec<u64>,
    /// From the first byte sent to the last byte received.
    pub(crate) waits: Vec<Duration>,
    pub(crate) refused: u64,
    pub(crate) took: Duration,
}

impl Posted {
    pub(crate) fn rate(&self) -> f64 {
        let count = u32::try_from(self.accepted.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.took.as_secs_f64()
    }

    fn add(&mut self, other: Posted) {
        self.accepted.extend(other.accepted);
        self.waits.extend(other.waits);
        self.refused += other.refused;
    }
}

/// Posts over so many connections at a time, and lets every request end that was begun.
pub(crate) async fn post(
    process: &Process,
    connections: usize,
    during: Duration,
    numbers: &Numbers,
) -> Result<Posted, Failed> {
    let (address, sender) =
        (process.address, Arc::new(Sender::new(&process.prefix, process.varies)));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (sender, numbers) = (Arc::clone(&sender), numbers.clone());
        let connection = Connection::open(address).await?;
        tasks.spawn(post_one_by_one(connection, sender, numbers, start + during));
    }
    let mut all = Posted::default();
    while let Some(posted) = tasks.join_next().await {
        all.add(posted??);
    }
    all.took = start.elapsed();
    Ok(all)
}

async fn post_one_by_one(
    mut connection: Connection,
    sender: Arc<Sender>,
    numbers: Numbers,
    end: Instant,
) -> Result<Posted, Failed> {
    let mut posted = Posted::default();
    let mut request = Vec::new();
    while Instant::now() < end {
        let number = numbers.take(1);
        sender.write(&mut request, number);
        let start = Instant::now();
        let status = connection.call(&request).await?;
        posted.waits.push(start.elapsed());
        match status {
            200..=299 => posted.accepted.push(number),
            _ => posted.refused += 1,
        }
    }
    Ok(posted)
}

/// One that is kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Connection, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, answer: Vec::with_capacity(4096) })
    }

    /// Sends one request and reads the whole answer; gives its status.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<u16, Failed> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            if let Some(status) = status_of_whole(&self.answer) {
                return Ok(status);
            }
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the connection was closed before the answer".into());
            }
        }
    }
}

fn status_of_whole(answer: &[u8]) -> Option<u16> {
    let (head, body) = split(answer)?;
    let status = head.get(9..12)?.parse().ok()?;
    (body.len() >= content_length(head)).then_some(status)
}

/// The head, and what there is of the body.
pub(crate) fn split(message: &[u8]) -> Option<(&str, &[u8])> {
    let end = message.windows(4).position(|part| part == b"\r\n\r\n")?;
    Some((str::from_utf8(&message[..end]).ok()?, &message[end + 4..]))
}

pub(crate) fn content_length(head: &str) -> usize {
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(named).unwrap_or(0)
}
