//! Names that are known to be at Savio: as many as fit, the newest surely among them.

use std::collections::HashSet;

use crate::event::Name;

/// Two generations of half that many each: what is asked for stays, what nobody asks for is forgotten.
#[derive(Debug)]
pub(super) struct Known {
    names_max: usize,
    young: HashSet<Name>,
    old: HashSet<Name>,
}

impl Known {
    pub(super) fn new(names_max: usize) -> Known {
        Known { names_max, young: HashSet::new(), old: HashSet::new() }
    }

    pub(super) fn contains(&self, name: Name) -> bool {
        self.young.contains(&name) || self.old.contains(&name)
    }

    pub(super) fn learn(&mut self, name: Name) {
        if self.young.len() >= self.names_max / 2 && !self.young.contains(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        Name::new("tag", &number.to_string()).unwrap()
    }

    #[test]
    fn the_newest_are_known_and_the_oldest_forgotten() {
        let mut known = Known::new(10);

        for number in 0..100 {
            known.learn(name(number));
            known.learn(name(0));
            assert!(known.young.len() + known.old.len() <= 10);
        }

        assert!(known.contains(name(0)), "one in use stays");
        assert!((96..100).all(|number| known.contains(name(number))));
        assert!((1..90).all(|number| !known.contains(name(number))));
    }
}
