//! Nodes of one relay that differ. A relay with one node never has this issue.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::issues::condition::{IssueCondition, Measure, RuleFinding};
use crate::store::{IssuePlace, IssueWords};

/// How far a clock may be off.
const OFFSET_MAX: SignedDuration = SignedDuration::from_secs(2);

/// What a node said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    pub name: String,
    pub program: String,
    /// Digest of all of its mapping files.
    pub mappings: String,
    /// By how much its clock differs from that of the store.
    pub offset: SignedDuration,
}

pub fn judge(nodes: &[NodeReport], now: Timestamp) -> RuleFinding {
    let mut holds = Vec::new();
    if let Some(names) = differing(nodes, |node| &node.mappings) {
        let text = format!("The nodes {names} run different mapping files.");
        let advice = "Put the same files into the folder of each node.";
        holds.push(condition(("mappings", text, None), advice, (nodes.len(), "nodes"), now));
    }
    if let Some(names) = differing(nodes, |node| &node.program) {
        let text = format!("The nodes {names} run different versions of savio-relay.");
        let advice = "Upgrade the older ones.";
        holds.push(condition(("programs", text, None), advice, (nodes.len(), "nodes"), now));
    }
    for NodeReport { name, offset, .. } in nodes.iter().filter(|_| nodes.len() > 1) {
        if offset.abs() > OFFSET_MAX {
            let off = offset.abs().as_millis();
            let text = format!("The clock of {name} is {}.{} s off.", off / 1000, off % 1000 / 100);
            let key = format!("clock {name}");
            let advice = "Let NTP set the clock of that machine.";
            let seconds = usize::try_from(off / 1000).unwrap_or(usize::MAX);
            holds.push(condition((&key, text, None), advice, (seconds, "s"), now));
        }
    }
    RuleFinding::holds(holds)
}

/// Returns the names of the nodes if they differ.
fn differing<'n>(
    nodes: &'n [NodeReport],
    by: impl Fn(&'n NodeReport) -> &'n str,
) -> Option<String> {
    let values: BTreeSet<&str> = nodes.iter().map(by).collect();
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    (values.len() > 1).then(|| names.join(", "))
}

fn condition(
    (key, text, reason): (&str, String, Option<String>),
    advice: &str,
    (count, unit): (usize, &'static str),
    now: Timestamp,
) -> IssueCondition {
    IssueCondition {
        key: key.to_owned(),
        place: IssuePlace::default(),
        words: IssueWords { text, reason, hint: None, advice: advice.to_owned() },
        count: u64::try_from(count).unwrap_or(u64::MAX),
        unit,
        measure: Measure::Level,
        last_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, program: &str, milliseconds: i64) -> NodeReport {
        NodeReport {
            name: name.to_owned(),
            program: program.to_owned(),
            mappings: "a".to_owned(),
            offset: SignedDuration::from_millis(milliseconds),
        }
    }

    fn keys(nodes: &[NodeReport]) -> Vec<String> {
        let RuleFinding::Known(known) = judge(nodes, Timestamp::UNIX_EPOCH) else {
            return Vec::new();
        };
        known.holds.into_iter().map(|it| it.key).collect()
    }

    #[test]
    fn one_node_never_differs() {
        assert_eq!(keys(&[node("a", "1", 60_000)]), [""; 0]);
        assert_eq!(keys(&[]), [""; 0]);
    }

    #[test]
    fn differing_programs_and_clocks_are_found() {
        assert_eq!(keys(&[node("a", "1", 2_000), node("b", "1", -2_000)]), [""; 0]);
        assert_eq!(keys(&[node("a", "1", 0), node("b", "2", -2_001)]), ["programs", "clock b"]);
    }
}
