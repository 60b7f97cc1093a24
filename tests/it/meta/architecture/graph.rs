//! Graph of the uses among files of `src`: its cycles, and uses of a front page from below.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::Named;
use super::{is_of_tests, module_of, resolve};

/// File and another that it uses, both relative to `src`.
pub(super) type Use = (String, String);

/// Returns the uses among these files, except in tests. Each file has its path relative to `src` and
/// the paths that it names.
pub(super) fn uses(files: &[(String, Vec<Named>)]) -> BTreeSet<Use> {
    let modules: BTreeMap<Vec<String>, &str> =
        files.iter().map(|(path, _)| (module_of(path), path.as_str())).collect();
    let mut found = BTreeSet::new();
    for (path, named) in files {
        for named in named.iter().filter(|named| !is_of_tests(named)) {
            let target = target(path, named, &modules);
            if let Some(target) = target.filter(|target| target != path) {
                found.insert((path.clone(), target.to_owned()));
            }
        }
    }
    found
}

/// Returns the file that a path leads to: that of the deepest module on it that has one.
fn target<'m>(
    path: &str,
    named: &Named,
    modules: &BTreeMap<Vec<String>, &'m str>,
) -> Option<&'m str> {
    let target = resolve(path, named).or_else(|| {
        // A child of the module that names it.
        let child = named.module.iter().chain(named.segments.first()).cloned().collect::<Vec<_>>();
        modules
            .contains_key(&child)
            .then(|| named.module.iter().chain(&named.segments).cloned().collect())
    })?;
    let deepest = (1..=target.len()).rev().find_map(|length| modules.get(&target[..length]));
    deepest.copied()
}

/// Returns whether a file uses the front page above it, as `a/b.rs` does `a.rs`.
pub(super) fn is_into_front_page((file, used): &Use) -> bool {
    file.strip_prefix(used.trim_end_matches(".rs")).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the groups of files that use each other in a cycle, each in the order of its names.
pub(super) fn cycles(uses: &BTreeSet<Use>) -> Vec<Vec<String>> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (file, _) in uses {
        let mut open = vec![file.as_str()];
        let seen = reached.entry(file).or_default();
        while let Some(from) = open.pop() {
            let next = uses.iter().filter(|(by, _)| by == from).map(|(_, used)| used.as_str());
            open.extend(next.filter(|used| seen.insert(used)).collect::<Vec<_>>());
        }
    }
    let is_mutual = |a: &str, b: &str| {
        reached.get(a).is_some_and(|seen| seen.contains(b))
            && reached.get(b).is_some_and(|seen| seen.contains(a))
    };
    let mut groups: Vec<Vec<String>> = Vec::new();
    for file in reached.keys().filter(|file| is_mutual(file, file)) {
        match groups.iter_mut().find(|group| is_mutual(&group[0], file)) {
            Some(group) => group.push((*file).to_owned()),
            None => groups.push(vec![(*file).to_owned()]),
        }
    }
    groups
}
