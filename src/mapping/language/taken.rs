//! Values of the payload that a field took, by their places in it: recorded for an explanation, and
//! for nothing else.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// Values that are kept of one query or template.
const NODES_MAX: usize = 100;
/// Values that are kept of one event.
const EVENT_NODES_MAX: usize = 20_000;
/// Values that are visited to find places in copies, for one event: about 0.1 s.
const VISITS_MAX: usize = 5_000_000;
/// Longer paths are left out: keys are the sender's, and may have megabytes.
const PATH_BYTES_MAX: usize = 1_000;

/// Place of a value: an address in the payload, or in what stands in for a part of it, and the
/// normalized path below that.
// An address, because queries give references: their paths are found by one walk through the payload,
// and only if somebody asks for an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NodePlace {
    root: usize,
    below: String,
}

impl NodePlace {
    pub(crate) fn of(node: &Value) -> NodePlace {
        NodePlace { root: address(node), below: String::new() }
    }

    /// Returns the place below this one; `None` if its path is too long.
    pub(crate) fn below(&self, path: &str) -> Option<NodePlace> {
        let below = format!("{}{path}", self.below);
        (below.len() <= PATH_BYTES_MAX).then_some(NodePlace { root: self.root, below })
    }
}

/// Record of what is taken; the default one discards everything. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TakenNodes(Option<Arc<Mutex<Taken>>>);

// Templates hold the record in objects of minijinja, which have to be `Send` and `Sync`. One event is
// mapped by one thread at a time.
#[derive(Debug)]
struct Taken {
    current: Vec<NodePlace>,
    nodes_left: usize,
    visits_left: usize,
}

impl TakenNodes {
    pub(crate) fn recording() -> TakenNodes {
        let taken =
            Taken { current: Vec::new(), nodes_left: EVENT_NODES_MAX, visits_left: VISITS_MAX };
        TakenNodes(Some(Arc::new(Mutex::new(taken))))
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Adds values of the payload that a query gave.
    pub(crate) fn add(&self, nodes: &[&Value]) {
        if self.is_recording() {
            let shown = nodes.iter().filter(|node| !is_blank(node)).take(NODES_MAX);
            self.add_places(shown.map(|node| NodePlace::of(node)));
        }
    }

    pub(crate) fn add_places(&self, places: impl IntoIterator<Item = NodePlace>) {
        let Some(taken) = &self.0 else { return };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            if taken.current.len() == NODES_MAX || taken.nodes_left == 0 {
                return;
            }
            taken.nodes_left -= 1;
            taken.current.push(place);
        }
    }

    /// Returns what was taken during an evaluation, besides its result.
    // Evaluations nest: a template that is the first to look up an answer has all answers read.
    pub(crate) fn during<T>(&self, evaluate: impl FnOnce() -> T) -> (T, Vec<NodePlace>) {
        let outer = self.exchange(Vec::new());
        let result = evaluate();
        (result, self.exchange(outer))
    }

    fn exchange(&self, nodes: Vec<NodePlace>) -> Vec<NodePlace> {
        let Some(taken) = &self.0 else { return Vec::new() };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut taken.current, nodes)
    }

    /// Returns the origin of a value that templates get as a copy; `None` if nothing is recorded.
    pub(crate) fn origin(&self, node: &Value) -> Option<NodeOrigin> {
        self.is_recording().then(|| NodeOrigin { taken: self.clone(), place: NodePlace::of(node) })
    }

    /// Finds the places of some values of a copy, as far as the work of one event permits.
    fn places_in(&self, copy: &Value, nodes: &[&Value]) -> HashMap<usize, String> {
        let Some(taken) = &self.0 else { return HashMap::new() };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = nodes.iter().take(NODES_MAX).map(|node| address(node));
        let mut walk = PathWalk::new(wanted, taken.visits_left);
        walk.visit(copy);
        taken.visits_left = walk.visits_left;
        walk.found
    }
}

/// Place from which a value was copied, and the record of what is taken of it.
#[derive(Debug, Clone)]
pub(crate) struct NodeOrigin {
    taken: TakenNodes,
    place: NodePlace,
}

impl NodeOrigin {
    /// Records that a value below the origin is read.
    pub(crate) fn read(&self, path: &str, node: &Value) {
        if !is_blank(node) {
            self.taken.add_places(self.place.below(path));
        }
    }

    /// Returns the origins of values that a query found in this copy, or in the payload itself.
    pub(crate) fn origins(&self, copy: &Value, nodes: &[&Value]) -> Vec<Option<NodeOrigin>> {
        let paths = self.taken.places_in(copy, nodes);
        let origin = |node: &&Value| {
            let place = self.place.below(paths.get(&address(node))?)?;
            Some(NodeOrigin { taken: self.taken.clone(), place })
        };
        nodes.iter().map(origin).collect()
    }
}

/// Values that stand in for parts of the payload while they are read: each with the value it is a
/// copy of, by which the places in it are replaced.
pub(crate) struct StandIns(HashMap<usize, NodePlace>);

impl StandIns {
    /// Reads entries of the form `{"key": ..., "value": ...}` that are made of the members of
    /// objects, given in the same order.
    pub(crate) fn of_entries<'v>(
        taken: &TakenNodes,
        entries: &'v [Value],
        members: impl Iterator<Item = &'v Value>,
    ) -> StandIns {
        let mut places = HashMap::new();
        if !taken.is_recording() {
            return StandIns(places);
        }
        for (entry, member) in entries.iter().zip(members) {
            let member = NodePlace::of(member);
            // The name of a member has no place of its own: it is shown at the value.
            places.insert(address(entry), member.clone());
            places.extend(entry.get("key").map(|key| (address(key), member.clone())));
            let Some(value) = entry.get("value") else { continue };
            let mut walk = PathWalk::of_all(EVENT_NODES_MAX.saturating_sub(places.len()));
            walk.visit(value);
            let inner = walk.found.into_iter();
            places.extend(inner.filter_map(|(at, path)| Some((at, member.below(&path)?))));
        }
        StandIns(places)
    }

    /// Replaces the places that are in a stand-in.
    pub(crate) fn replace(&self, places: &mut [NodePlace]) {
        for place in places {
            let Some(original) = self.0.get(&place.root) else { continue };
            // Templates read below the entry itself.
            let below = place.below.strip_prefix("['value']");
            let below = below.or(place.below.strip_prefix("['key']")).unwrap_or(&place.below);
            if let Some(moved) = original.below(below) {
                *place = moved;
            }
        }
    }
}

/// Returns the normalized paths of places in the payload, each list without repeats.
pub(crate) fn normalized_paths(payload: &Value, lists: &[Vec<NodePlace>]) -> Vec<Vec<String>> {
    if lists.iter().all(Vec::is_empty) {
        return vec![Vec::new(); lists.len()];
    }
    let wanted = lists.iter().flatten().map(|place| place.root);
    let mut walk = PathWalk::new(wanted, usize::MAX);
    walk.visit(payload);
    let path = |place: &NodePlace| {
        walk.found.get(&place.root).map(|path| format!("${path}{}", place.below))
    };
    let paths = lists.iter().map(|places| {
        let mut paths: Vec<String> = Vec::new();
        for path in places.iter().filter_map(path) {
            if path.len() <= PATH_BYTES_MAX && !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    });
    paths.collect()
}

/// Walk through a value that finds the paths of some of the values in it.
struct PathWalk<'v> {
    /// `None` for all.
    wanted: Option<HashSet<usize>>,
    found: HashMap<usize, String>,
    path: Vec<PathStep<'v>>,
    visits_left: usize,
}

enum PathStep<'v> {
    Name(&'v str),
    Index(usize),
}

impl<'v> PathWalk<'v> {
    fn new(wanted: impl Iterator<Item = usize>, visits_max: usize) -> PathWalk<'v> {
        let wanted = Some(wanted.collect());
        PathWalk { wanted, found: HashMap::new(), path: Vec::new(), visits_left: visits_max }
    }

    fn of_all(visits_max: usize) -> PathWalk<'v> {
        PathWalk { wanted: None, found: HashMap::new(), path: Vec::new(), visits_left: visits_max }
    }

    // The recursion is as deep as the JSON, which intake bounds.
    fn visit(&mut self, value: &'v Value) {
        let is_complete = self.wanted.as_ref().is_some_and(|it| it.len() == self.found.len());
        if self.visits_left == 0 || is_complete {
            return;
        }
        self.visits_left -= 1;
        if self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&address(value))) {
            self.found.insert(address(value), self.written());
        }
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.inside(PathStep::Index(at), item);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.inside(PathStep::Name(name), member);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn inside(&mut self, step: PathStep<'v>, value: &'v Value) {
        self.path.push(step);
        self.visit(value);
        self.path.pop();
    }

    fn written(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            // Too long already: whoever asked leaves it out.
            if path.len() > PATH_BYTES_MAX {
                break;
            }
            match step {
                PathStep::Name(name) => push_name(&mut path, name),
                PathStep::Index(at) => push_index(&mut path, *at),
            }
        }
        path
    }
}

fn address(node: &Value) -> usize {
    ptr::from_ref(node).addr()
}

fn is_blank(node: &Value) -> bool {
    match node {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Appends a name selector in its normalized form (RFC 9535, section 2.7).
pub(crate) fn push_name(path: &mut String, name: &str) {
    path.push_str("['");
    // One longer than permitted is enough to be left out.
    for c in name.chars().take(PATH_BYTES_MAX + 1) {
        match c {
            '\u{8}' => path.push_str("\\b"),
            '\t' => path.push_str("\\t"),
            '\n' => path.push_str("\\n"),
            '\u{c}' => path.push_str("\\f"),
            '\r' => path.push_str("\\r"),
            '\'' | '\\' => path.extend(['\\', c]),
            c if c < ' ' => append(path, format_args!("\\u{:04x}", u32::from(c))),
            c => path.push(c),
        }
    }
    path.push_str("']");
}

/// Appends an index selector.
pub(crate) fn push_index(path: &mut String, at: usize) {
    append(path, format_args!("[{at}]"));
}

fn append(path: &mut String, text: std::fmt::Arguments<'_>) {
    path.write_fmt(text).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mapping::language::query::Query;

    #[test]
    fn normalized_path_finds_its_value_again() {
        let payload = json!({
            "a": [{"b'c\\": 1}, ["x", {"\u{1}\n\u{8}\r\t\u{c}é": true}]], "": {"": "y"},
        });
        let all = Query::parse("$..*").unwrap().nodes(&payload, &payload).unwrap();
        assert_eq!(all.len(), 9);

        for node in all {
            let paths = normalized_paths(&payload, &[vec![NodePlace::of(node)]]);
            let [path] = paths[0].as_slice() else { panic!("{node}: {paths:?}") };
            let found = Query::parse(path).unwrap();
            let found = found.nodes(&payload, &payload).unwrap();
            assert!(ptr::eq(found[0], node), "{path}");
        }
    }

    #[test]
    fn longest_names_and_lists_are_bounded() {
        let payload = json!({"x".repeat(5_000): 1, "list": vec![1; 1_000]});
        let taken = TakenNodes::recording();

        let query = |text: &str| Query::parse(text).unwrap();
        let ((), places) = taken.during(|| {
            taken.add(&query("$.*").nodes(&payload, &payload).unwrap());
            taken.add(&query("$.list[*]").nodes(&payload, &payload).unwrap());
        });

        assert_eq!(places.len(), NODES_MAX);
        let paths = normalized_paths(&payload, &[places]);
        assert_eq!(paths[0][..2], ["$['list']", "$['list'][0]"]);
    }
}
