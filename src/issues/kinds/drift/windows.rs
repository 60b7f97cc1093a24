//! The windows of all fields, within a bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::window::Window;
use crate::event::{FieldSet, FilledBlock, SourceName};

/// Number of windows that are kept, of some 100 bytes each. Of those beyond it, the type of event that
/// came least recently is forgotten.
pub const WINDOWS_MAX: usize = 2_000;

#[derive(Debug, Default)]
pub struct Windows {
    types: BTreeMap<TypeKey, TypeWindows>,
    /// Number of all windows.
    count: usize,
    /// Number of events so far.
    events: u64,
}

/// A source, and a type of its events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct TypeKey {
    source: SourceName,
    event_type: Option<String>,
}

#[derive(Debug, Default)]
struct TypeWindows {
    /// By block, and by the position of the field.
    fields: BTreeMap<(Arc<str>, usize), Window>,
    /// Number of the last event.
    last: u64,
}

/// A window, and of what it is.
#[derive(Debug, Clone, Copy)]
pub struct FieldWindow<'w> {
    pub source: &'w SourceName,
    pub event_type: Option<&'w str>,
    pub block: &'w str,
    pub position: usize,
    pub window: &'w Window,
}

impl Windows {
    /// Notes which fields an event has.
    pub fn note(
        &mut self,
        (source, event_type): (&SourceName, Option<&str>),
        blocks: &[FilledBlock],
        at: Timestamp,
    ) {
        self.events += 1;
        let (event_type, source) = (event_type.map(str::to_owned), source.clone());
        let key = TypeKey { source, event_type };
        let of_type = self.types.entry(key.clone()).or_default();
        of_type.last = self.events;
        let before = of_type.fields.len();
        for FilledBlock { block, filled, missing } in blocks {
            for position in (0..FieldSet::FIELDS_MAX).filter(|it| filled.with(*missing).has(*it)) {
                let field = (Arc::clone(block), position);
                if of_type.fields.len() < WINDOWS_MAX || of_type.fields.contains_key(&field) {
                    of_type.fields.entry(field).or_default().note(filled.has(position), at);
                }
            }
        }
        self.count += of_type.fields.len() - before;
        while self.count > WINDOWS_MAX {
            self.forget_oldest(&key);
        }
    }

    fn forget_oldest(&mut self, except: &TypeKey) {
        let others = self.types.iter().filter(|(key, _)| *key != except);
        let oldest = others.min_by_key(|(_, windows)| windows.last);
        let removed = oldest.map(|(key, _)| key.clone()).and_then(|key| self.types.remove(&key));
        self.count = match removed {
            Some(windows) => self.count.saturating_sub(windows.fields.len()),
            // The one that is left has at most as many as are kept.
            None => self
                .types
                .values()
                .map(|windows| windows.fields.len())
                .sum::<usize>()
                .min(WINDOWS_MAX),
        };
    }

    /// Forgets the fields of blocks that are not wanted, such as those of an earlier mapping.
    pub fn keep(&mut self, is_wanted: impl Fn(&SourceName, &str, usize) -> bool) {
        for (key, of_type) in &mut self.types {
            of_type.fields.retain(|(block, field), _| is_wanted(&key.source, block, *field));
        }
        self.types.retain(|_, of_type| !of_type.fields.is_empty());
        self.count = self.types.values().map(|windows| windows.fields.len()).sum();
    }

    pub fn all(&self) -> impl Iterator<Item = FieldWindow<'_>> {
        self.types.iter().flat_map(|(TypeKey { source, event_type }, of_type)| {
            of_type.fields.iter().map(move |((block, position), window)| FieldWindow {
                source,
                event_type: event_type.as_deref(),
                block,
                position: *position,
                window,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(windows: &mut Windows, event_type: &str, blocks: usize) {
        let block = |it| FilledBlock {
            block: format!("feedback[{it}] 1").into(),
            filled: FieldSet::of(0),
            missing: FieldSet::of(3),
        };
        let source = "form".parse().unwrap();
        let blocks: Vec<FilledBlock> = (0..blocks).map(block).collect();
        windows.note((&source, Some(event_type)), &blocks, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn type_that_came_least_recently_is_forgotten() {
        let mut windows = Windows::default();
        for it in 0..1_000 {
            note(&mut windows, &it.to_string(), 1);
        }
        note(&mut windows, "0", 1);

        note(&mut windows, "new", 2);

        let types: Vec<&str> = windows.all().filter_map(|it| it.event_type).collect();
        assert_eq!((types.len(), windows.count), (WINDOWS_MAX, WINDOWS_MAX));
        let has = |name| types.contains(&name);
        assert!(has("0") && has("new") && has("3") && !has("1") && !has("2"));
    }

    #[test]
    fn one_type_has_no_more_windows_than_are_kept() {
        let mut windows = Windows::default();
        note(&mut windows, "other", 1);

        note(&mut windows, "huge", 5_000);

        assert_eq!((windows.all().count(), windows.count), (WINDOWS_MAX, WINDOWS_MAX));
        windows.keep(|_, block, position| block == "feedback[7] 1" && position == 3);
        assert_eq!((windows.all().count(), windows.count), (1, 1));
    }
}
