//! The length of the log under a flood of unauthenticated requests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::relay::{Relay, SECRET};

const REQUESTS: usize = 3_000;

/// Sends unsigned webhooks on one connection.
fn flood(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = b"POST /hooks/form HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let last =
        b"POST /hooks/form HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(&request.repeat(REQUESTS - 1)).unwrap();
        writer.write_all(last).unwrap();
    });
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    writing.join().unwrap();
    assert_eq!(answers.matches("HTTP/1.1 401").count(), REQUESTS);
}

#[test]
fn flood_of_unsigned_webhooks_is_a_few_lines_and_a_count() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    let file =
        "provider = \"form\"\nsecrets = [\"env:SECRET\"]\n[[feedback]]\nproblem = \"$.text\"";
    std::fs::write(folder.path().join("mappings/form.toml"), file).unwrap();
    let relay = Relay::start(folder.path(), &[("SECRET", SECRET)]);

    flood(relay.url.trim_start_matches("http://"));

    let log = relay.log_at_stop();
    let lines = log.lines().filter(|line| line.contains("refused a webhook for form")).count();
    let more: usize = log
        .lines()
        .filter(|line| line.contains(" for form: signature missing"))
        .filter_map(|line| line.split_once(" more webhook"))
        .filter_map(|(before, _)| before.rsplit(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(lines + more, REQUESTS, "{log}");
    assert!(lines < REQUESTS / 10, "{lines} lines");
}
