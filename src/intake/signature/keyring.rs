//! The keys that a signature is compared with, and a bound on the number of comparisons.

use std::cell::Cell;

use jiff::Timestamp;

use super::key::Key;

/// Remaining tries. A try is one key and one URL: an HMAC or a digest of the message, or one verification of one
/// signature with a public key.
#[derive(Debug)]
pub struct Tries(Cell<usize>);

impl Tries {
    pub fn at_most(tries: usize) -> Tries {
        Tries(Cell::new(tries))
    }

    /// Does not limit, for a single verification, which the number of keys, URLs and signatures bounds.
    pub(super) fn unlimited() -> Tries {
        Tries::at_most(usize::MAX)
    }

    pub fn left(&self) -> usize {
        self.0.get()
    }

    /// Spends one try, and returns whether there was one.
    fn spend(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// The keys of a source that are valid at one time.
#[derive(Debug)]
pub struct Keyring<'k> {
    pub(super) keys: Vec<&'k Key>,
    /// The time for which the keys were selected.
    pub(super) now: Timestamp,
    tries: &'k Tries,
}

impl<'k> Keyring<'k> {
    /// Selects the valid keys. A signature that would need more tries than these counts as wrong.
    pub fn new(keys: &'k [Key], now: Timestamp, tries: &'k Tries) -> Keyring<'k> {
        Keyring { keys: keys.iter().filter(|key| key.is_valid_at(now)).collect(), now, tries }
    }

    /// Returns whether a candidate is valid, within the tries.
    pub(super) fn any<T>(&self, candidates: &[T], is_right: impl FnMut(&T) -> bool) -> bool {
        candidates.iter().take_while(|_| self.tries.spend()).any(is_right)
    }

    pub(super) fn spend(&self) -> bool {
        self.tries.spend()
    }
}
