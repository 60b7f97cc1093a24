//! The memory of parsed JSON: an estimate for one text, and one limit for all that this process
//! parses at the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memchr::memchr2;
use serde_json::Value;

/// Reservations of up to this size are granted without counting them.
// Intake parses texts of up to 16 KiB without a thread change, and they take at most 160 times
// that. They are as few at a time as there are threads, so waiting for one would cost more than it
// bounds.
pub const UNCOUNTED_BYTES_MAX: usize = 2 * 1024 * 1024;

// serde_json's own recursion limit: deeper nesting is refused before its memory is taken.
const DEPTH_MAX: usize = 128;

// The layout of serde_json's values with `preserve_order`: an object is an `IndexMap`, which has a
// vector of entries and a hash table of their positions, as hashbrown lays it out.
const VALUE_BYTES: usize = size_of::<Value>();
/// Size of an entry: the hash, the key, and the value.
const ENTRY_BYTES: usize = size_of::<u64>() + size_of::<String>() + VALUE_BYTES;
// `Vec` makes room for four elements of this size at the first push.
const LIST_CAPACITY_MIN: usize = 4;
/// Size of a bucket: the position of the entry and a control byte.
const BUCKET_BYTES: usize = size_of::<usize>() + 1;
const BUCKETS_MIN: usize = 4;
// hashbrown probes 16 control bytes at once, so a table ends with that many more.
const GROUP_BYTES: usize = 16;
const ALLOCATION_BYTES_MIN: usize = 16;

/// Most memory that a byte of text takes: an opening and a closing bracket make a list with room for
/// four values, and half of the largest list is there twice while it grows.
const BYTES_PER_BYTE_MAX: usize = 200;

/// Returns the most that [`parsed_bytes`] gives for any text of this length.
pub const fn parsed_bytes_max(length: usize) -> usize {
    length.saturating_add(1).saturating_mul(BYTES_PER_BYTE_MAX)
}

/// Returns the memory to reserve for parsing these texts, which is nothing for short ones.
// Reading a short text only to learn that its memory is not counted took a 25th of the time for
// accepting it.
pub fn bytes_to_reserve(texts: &[&str]) -> usize {
    let length = texts.iter().map(|text| text.len()).sum();
    if parsed_bytes_max(length) <= UNCOUNTED_BYTES_MAX {
        return 0;
    }
    texts.iter().map(|text| parsed_bytes(text)).sum()
}

/// Estimates the peak memory of `serde_json::from_str` for this text, in bytes: 1 to 160 times its
/// length. Text that is not JSON gets some estimate.
// One pass without parsing, since the result decides whether the text is parsed. For 13 shapes of
// 5 MiB it is at most 10 % below and 20 % above what a counting allocator saw.
pub fn parsed_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut weight = Weight { total: VALUE_BYTES, largest: 0, open: Vec::new() };
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at + 1);
                weight.add_string(end - at - 1);
                at = end;
            }
            b'[' => weight.open.push(Container { is_object: false, commas: 0, is_empty: true }),
            b'{' => weight.open.push(Container { is_object: true, commas: 0, is_empty: true }),
            b']' | b'}' => weight.close(),
            b',' => weight.add_comma(),
            byte if byte.is_ascii_whitespace() => {}
            _ => weight.mark_not_empty(),
        }
        if weight.open.len() > DEPTH_MAX {
            break;
        }
        at += 1;
    }
    // While a list or table grows, its old half is allocated beside the new whole. Only one grows
    // at a time, so the largest decides the peak.
    weight.total + weight.largest / 2
}

/// Returns the position of the closing quote of the string whose text begins at `start`, or the end of
/// the bytes.
pub fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

struct Container {
    is_object: bool,
    commas: usize,
    is_empty: bool,
}

struct Weight {
    total: usize,
    largest: usize,
    open: Vec<Container>,
}

impl Weight {
    fn add_string(&mut self, bytes: usize) {
        self.mark_not_empty();
        // An empty `String` allocates nothing.
        if bytes > 0 {
            self.total += allocated(bytes);
        }
    }

    fn add_comma(&mut self) {
        if let Some(container) = self.open.last_mut() {
            container.commas += 1;
        }
    }

    fn mark_not_empty(&mut self) {
        if let Some(container) = self.open.last_mut() {
            container.is_empty = false;
        }
    }

    fn close(&mut self) {
        let Some(closed) = self.open.pop() else { return };
        self.mark_not_empty();
        if closed.is_empty {
            return;
        }
        let bytes = closed.bytes();
        self.total += bytes;
        self.largest = self.largest.max(bytes);
    }
}

impl Container {
    /// Returns the bytes of its own allocations, without those of its members.
    fn bytes(&self) -> usize {
        let members = self.commas + 1;
        if !self.is_object {
            let capacity = members.next_power_of_two().max(LIST_CAPACITY_MIN);
            return allocated(capacity * VALUE_BYTES);
        }
        // hashbrown fills a table to seven eighths, and a small one up to one free bucket.
        let buckets = (members * 8 / 7 + 1).next_power_of_two().max(BUCKETS_MIN);
        let capacity = if buckets < 8 { buckets - 1 } else { buckets / 8 * 7 };
        allocated(capacity.max(members) * ENTRY_BYTES)
            + allocated(buckets * BUCKET_BYTES + GROUP_BYTES)
    }
}

/// Rounds a size up to the allocator's size class, of which there are eight between two powers of
/// two.
fn allocated(bytes: usize) -> usize {
    if bytes <= ALLOCATION_BYTES_MIN {
        return ALLOCATION_BYTES_MIN;
    }
    let step = if bytes <= 128 { 16 } else { bytes.next_power_of_two() / 8 };
    bytes.next_multiple_of(step)
}

/// The memory for all JSON that is parsed at the same time. Reservations are granted in the order
/// of their requests.
// Else small requests could keep a large one waiting for ever.
#[derive(Debug)]
pub struct ParseMemory {
    bytes_max: usize,
    queue: Mutex<PermitQueue>,
    /// Signals that memory was released or that the first in the queue has left.
    changed: Condvar,
}

#[derive(Debug)]
struct PermitQueue {
    free: usize,
    last: u64,
    waiting: VecDeque<u64>,
}

/// The error of a reservation that could not be granted in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMemory;

/// A reservation, released on drop.
#[derive(Debug)]
pub struct MemoryPermit {
    memory: Arc<ParseMemory>,
    bytes: usize,
}

impl ParseMemory {
    pub fn new(bytes_max: usize) -> ParseMemory {
        let queue = PermitQueue { free: bytes_max, last: 0, waiting: VecDeque::new() };
        ParseMemory { bytes_max, queue: Mutex::new(queue), changed: Condvar::new() }
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Waits until this much is free and reserves it; more than the whole memory reserves the
    /// whole. Blocks the thread.
    pub fn acquire(self: &Arc<Self>, bytes: usize) -> MemoryPermit {
        self.take_until(bytes, None).expect("only a deadline makes it fail")
    }

    /// Reserves like [`ParseMemory::acquire`], or fails after this time.
    pub fn acquire_within(
        self: &Arc<Self>,
        time: Duration,
        bytes: usize,
    ) -> Result<MemoryPermit, NoMemory> {
        self.take_until(bytes, Some(Instant::now() + time))
    }

    fn take_until(
        self: &Arc<Self>,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> Result<MemoryPermit, NoMemory> {
        let bytes = if bytes <= UNCOUNTED_BYTES_MAX { 0 } else { bytes.min(self.bytes_max) };
        if bytes > 0 {
            self.wait(bytes, deadline)?;
        }
        Ok(MemoryPermit { memory: Arc::clone(self), bytes })
    }

    fn wait(&self, bytes: usize, deadline: Option<Instant>) -> Result<(), NoMemory> {
        let mut queue = self.queue();
        queue.last += 1;
        let ticket = queue.last;
        queue.waiting.push_back(ticket);
        while queue.waiting.front() != Some(&ticket) || queue.free < bytes {
            let time = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            queue = match time {
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    queue.waiting.retain(|other| *other != ticket);
                    // The next may fit where this one did not. `notify_all`, since a condition
                    // variable cannot choose the one at the front.
                    self.changed.notify_all();
                    return Err(NoMemory);
                }
                Some(time) => {
                    let waited = self.changed.wait_timeout(queue, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        queue.waiting.pop_front();
        queue.free -= bytes;
        self.changed.notify_all();
        Ok(())
    }

    fn queue(&self) -> MutexGuard<'_, PermitQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.queue().free += self.bytes;
            self.memory.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1024 * 1024;

    /// Compares the estimate for a list of 5 MiB of this element with what a counting allocator
    /// saw.
    #[track_caller]
    fn check(element: &str, seen_mib: usize) {
        let count = 5 * MIB / (element.len() + 1);
        let text = format!("[{}]", vec![element; count].join(","));
        let weight = parsed_bytes(&text) / MIB;
        assert!(weight * 10 >= seen_mib * 9, "{element}: {weight} MiB, {seen_mib} seen");
        assert!(weight * 10 <= seen_mib * 12, "{element}: {weight} MiB, {seen_mib} seen");
    }

    #[test]
    fn weight_matches_a_counting_allocator() {
        check("0", 480);
        check("{}", 240);
        check("[]", 240);
        check("[0]", 560);
        check("[ 0 ]", 400);
        check(r#"{"a":0}"#, 330);
        check(r#""a""#, 256);
        check(r#""17 chars long....""#, 34);
        check(r#"{"a":0,"b":1,"c":2}"#, 128);
        check(r#"{"a":0,"b":1,"c":2,"d":3}"#, 198);
        check("[0,0,0,0,0]", 306);
        check("[[[[[0]]]]]", 706);
        check(r#""\n\n""#, 128);
    }

    proptest! {
        #[test]
        fn no_text_weighs_more_than_the_bound_of_its_length(text in "[\\[{\\]},:\"0\\\\ ]{0,300}") {
            prop_assert!(parsed_bytes(&text) <= parsed_bytes_max(text.len()));
        }
    }

    #[test]
    fn nested_lists_come_closest_to_the_bound() {
        let text = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        let (weight, bound) = (parsed_bytes(&text), parsed_bytes_max(text.len()));
        assert!(weight <= bound && weight > bound / 2, "{weight} of {bound}");
    }

    #[test]
    fn short_texts_reserve_nothing_and_others_their_weight() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count));
        assert_eq!(bytes_to_reserve(&[&list(4000)]), 0);
        let long = list(MIB);
        assert_eq!(bytes_to_reserve(&[&long, "1"]), parsed_bytes(&long) + VALUE_BYTES);
    }

    #[test]
    fn text_weighs_its_length() {
        let text = format!("\"{}\"", "x".repeat(5 * MIB));
        assert_eq!(parsed_bytes(&text) / MIB, 5);
        assert!(parsed_bytes("\"unfinished \\") < 200);
        assert!(parsed_bytes(&"[".repeat(MIB)) < MIB);
    }

    #[test]
    fn memory_is_waited_for_and_released() {
        let memory = Arc::new(ParseMemory::new(10 * MIB));
        let first = memory.acquire(6 * MIB);
        assert_eq!(memory.acquire_within(Duration::ZERO, 5 * MIB).err(), Some(NoMemory));
        assert!(memory.acquire_within(Duration::ZERO, 4 * MIB).is_ok());
        assert!(memory.acquire_within(Duration::ZERO, UNCOUNTED_BYTES_MAX).is_ok());

        drop(first);

        assert!(memory.acquire_within(Duration::ZERO, 99 * MIB).is_ok(), "it gets all there is");
    }

    #[test]
    fn waiters_are_served_in_order() {
        let memory = Arc::new(ParseMemory::new(10 * MIB));
        let reservation = memory.acquire(6 * MIB);
        let (served, order) = mpsc::channel();
        let mut threads = Vec::new();
        for (waiting, bytes) in [(1, 10 * MIB), (2, 3 * MIB)] {
            let (memory, served) = (Arc::clone(&memory), served.clone());
            threads.push(thread::spawn({
                let memory = Arc::clone(&memory);
                move || {
                    let taken = memory.acquire(bytes);
                    served.send(bytes).unwrap();
                    drop(taken);
                }
            }));
            while memory.queue().waiting.len() < waiting {
                thread::yield_now();
            }
        }

        drop(reservation);

        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [10 * MIB, 3 * MIB]);
    }
}
