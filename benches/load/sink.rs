//! Stands for Savio, on a thread of its own: answers, and counts which numbers came how often.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::Failed;
use crate::client::{content_length, split};
use crate::webhook::number_in;

const ANSWER: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\
    Content-Length: 14\r\n\r\n{\"id\": 184467}";

/// For how long nothing may arrive until what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// For how long arrivals are awaited at most. The relay takes seconds; others in a comparison may take
/// hours.
const DRAIN_MAX: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    came: Arc<Mutex<Came>>,
}

/// How often each number came, and how many came in all.
#[derive(Debug, Default)]
struct Came {
    times: Vec<u8>,
    all: u64,
}

/// How what was accepted compares with what came.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) missing: u64,
    pub(crate) twice: u64,
}

impl Sink {
    /// Answers after a random time of this range, in milliseconds.
    pub(crate) fn start(delay: RangeInclusive<u64>) -> Result<Sink, Failed> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let came = Arc::<Mutex<Came>>::default();
        let counted = Arc::clone(&came);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || runtime.block_on(serve(listener, counted, delay)));
        Ok(Sink { address, came })
    }

    /// How many arrivals there were, of whatever number.
    pub(crate) fn arrivals(&self) -> u64 {
        lock(&self.came).all
    }

    /// Waits until all of these have come, or nothing comes any more, or too slowly.
    pub(crate) async fn await_all(&self, numbers: &[u64]) -> Tally {
        let (mut seen, mut since, start) = (self.arrivals(), Instant::now(), Instant::now());
        loop {
            let tally = self.tally(numbers);
            if tally.missing == 0 || since.elapsed() > PATIENCE || start.elapsed() > DRAIN_MAX {
                return tally;
            }
            sleep(Duration::from_millis(20)).await;
            let arrivals = self.arrivals();
            if arrivals != seen {
                (seen, since) = (arrivals, Instant::now());
            }
        }
    }

    fn tally(&self, numbers: &[u64]) -> Tally {
        let came = lock(&self.came);
        let mut tally = Tally::default();
        for number in numbers {
            let times = usize::try_from(*number).ok().and_then(|at| came.times.get(at));
            match times.copied().unwrap_or(0) {
                0 => tally.missing += 1,
                1 => {}
                2.. => tally.twice += 1,
            }
        }
        tally
    }
}

fn lock(came: &Mutex<Came>) -> MutexGuard<'_, Came> {
    came.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    listener: std::net::TcpListener,
    came: Arc<Mutex<Came>>,
    delay: RangeInclusive<u64>,
) {
    let listener = TcpListener::from_std(listener).expect("it is listening already");
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&came), delay.clone()));
    }
}

async fn answer(
    mut stream: TcpStream,
    came: Arc<Mutex<Came>>,
    delay: RangeInclusive<u64>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(16 * 1024);
    loop {
        while !is_whole(&request) {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        if let Some(number) = number_in(&request) {
            note(&mut lock(&came), number);
        }
        request.clear();
        if *delay.end() > 0 {
            sleep(Duration::from_millis(fastrand::u64(delay.clone()))).await;
        }
        stream.write_all(ANSWER).await?;
    }
}

fn is_whole(request: &[u8]) -> bool {
    split(request).is_some_and(|(head, body)| body.len() >= content_length(head))
}

fn note(came: &mut Came, number: u64) {
    let Ok(at) = usize::try_from(number) else { return };
    if came.times.len() <= at {
        came.times.resize(at + 1, 0);
    }
    came.times[at] = came.times[at].saturating_add(1);
    came.all += 1;
}
