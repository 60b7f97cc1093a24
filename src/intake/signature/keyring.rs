//! The keys that a proof is compared with, and how often: a bound on the work that a stranger can cause.

use std::cell::Cell;

use jiff::Timestamp;

use super::key::Key;

/// Each try is one signature, one key and one URL: an HMAC or a digest of the message, or one
/// verification with a public key.
#[derive(Debug)]
pub struct Tries(Cell<usize>);

impl Tries {
    pub fn at_most(tries: usize) -> Tries {
        Tries(Cell::new(tries))
    }

    /// For one verification, which is bounded by the number of keys, URLs and signatures.
    pub(super) fn unlimited() -> Tries {
        Tries::at_most(usize::MAX)
    }

    pub fn left(&self) -> usize {
        self.0.get()
    }

    /// Whether one more is allowed; it is spent then.
    fn spend(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// The keys of a source that count at a time.
#[derive(Debug)]
pub struct Keyring<'k> {
    pub(super) keys: Vec<&'k Key>,
    /// The time at which they count.
    pub(super) now: Timestamp,
    tries: &'k Tries,
}

impl<'k> Keyring<'k> {
    /// A proof that would need more tries than these counts as wrong.
    pub fn new(keys: &'k [Key], now: Timestamp, tries: &'k Tries) -> Keyring<'k> {
        Keyring { keys: keys.iter().filter(|key| key.in_force(now)).collect(), now, tries }
    }

    /// The first of these that is right with the key, as far as the tries go.
    pub(super) fn any<T>(&self, given: &[T], is_right: impl FnMut(&T) -> bool) -> bool {
        given.iter().take_while(|_| self.tries.spend()).any(is_right)
    }

    pub(super) fn spend(&self) -> bool {
        self.tries.spend()
    }
}
