//! The table form of a value: `from`, and what is then done to its nodes, in a fixed order.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::DeValue;

use super::expression::{Cardinality, Expression, NodesCheck, ValidNodes, ValueReader};
use super::scope::ItemScope;
use super::value::{Scalar, ScalarList, ValueError, joined};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{TomlTable, word};
use crate::mapping::LinkMode;
use crate::mapping::explanation::QueryLog;
use crate::mapping::markup::{html_to_text, slack_to_text};

/// The one field whose value may be looked up among what is there.
const TITLE: &str = "feature_request_title";

#[derive(Debug, Clone)]
pub(crate) struct ValueSteps {
    from: Expression,
    markup: Option<Markup>,
    map: Option<HashMap<String, Scalar>>,
    join: Option<String>,
    default: Option<Scalar>,
    number: bool,
    /// Characters, the ellipsis included.
    max: Option<usize>,
    pub(crate) existing: Option<LinkMode>,
}

#[derive(Debug, Clone, Copy)]
enum Markup {
    Html,
    Slack,
}

impl ValueReader<'_> {
    pub(crate) fn steps(&mut self, key: &str, mut table: TomlTable<'_>) -> Option<ValueSteps> {
        let written = table.value("from");
        let one = self.one;
        if table.value("map").is_some() {
            // What `map` gives is sent, not what it is looked up by.
            self.one = None;
        }
        let from = written.and_then(|value| self.read("from", value));
        self.one = one;
        let markup = self.markup(&mut table);
        let map = table.table("map", self.mistakes).map(|map| self.map(&map));
        let join = table.text("join", self.mistakes).map(|text| text.text);
        let default = table.value("default").and_then(|value| self.sent_literal("default", value));
        let number = table.boolean("number", self.mistakes).unwrap_or(false);
        let max = self.max(&mut table);
        let existing = self.existing(key, &mut table);
        if written.is_none() {
            let message = format!("`{key}` has no `from`");
            let help = "write from = \"$.path\", the value that the other keys change";
            self.mistakes.push(Diagnostic::error(table.place.clone(), message).help(help));
        }
        table.finish(self.mistakes);
        let default = default.filter(|default| !default.text().trim().is_empty());
        Some(ValueSteps { from: from?, markup, map, join, default, number, max, existing })
    }

    fn markup(&mut self, table: &mut TomlTable<'_>) -> Option<Markup> {
        let text = table.text("markup", self.mistakes)?;
        match text.text.as_str() {
            "html" => Some(Markup::Html),
            "slack" => Some(Markup::Slack),
            other => {
                let message = format!("there is no markup `{other}`");
                let help = match nearest(other, ["html", "slack"]) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => "write \"html\" or \"slack\"".to_owned(),
                };
                self.mistakes.push(Diagnostic::error(text.place, message).help(help));
                None
            }
        }
    }

    fn map(&mut self, table: &TomlTable<'_>) -> HashMap<String, Scalar> {
        let mut map = HashMap::new();
        for (key, value) in table.entries() {
            if let Some(literal) = self.sent_literal(&key.text, value) {
                map.insert(key.text, literal);
            }
        }
        map
    }

    fn sent_literal(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Scalar> {
        let literal = self.literal(key, value)?;
        self.warn_of_refused(&literal, value.span());
        Some(literal)
    }

    /// Only of the title itself: behind alternatives nobody could tell which of them is meant.
    fn existing(&mut self, key: &str, table: &mut TomlTable<'_>) -> Option<LinkMode> {
        let text = table.text("existing", self.mistakes)?;
        if key != TITLE || self.depth != 1 {
            let message = format!("`existing` belongs to `{TITLE}` itself");
            let help =
                format!("write {TITLE} = {{ from = [\"$.a\", \"$.b\"], existing = \"prefer\" }}");
            self.mistakes.push(Diagnostic::error(table.key_place("existing"), message).help(help));
            return None;
        }
        let words = [("prefer", LinkMode::Prefer), ("only", LinkMode::Only)];
        word(&text, &words, self.mistakes)
    }

    fn max(&mut self, table: &mut TomlTable<'_>) -> Option<usize> {
        let max = table.number("max", self.mistakes)?;
        if max == 0 {
            let place = table.key_place("max");
            self.mistakes.push(Diagnostic::error(place, "`max` is 1 or more"));
        }
        Some(usize::try_from(max).unwrap_or(usize::MAX))
    }
}

impl ValueSteps {
    pub(crate) fn nodes(
        &self,
        view: &ItemScope<'_>,
        takes: Cardinality,
        tries: &mut QueryLog,
    ) -> Result<Vec<Scalar>, ValueError> {
        let found = self.from.nodes(view, takes, tries)?;
        let nodes = self.changed(found, takes)?;
        self.finished(nodes, tries)
    }

    /// The nodes of the first alternative of `from` that `check` takes once it is changed; `default` where it takes none.
    pub(crate) fn valid_nodes(
        &self,
        view: &ItemScope<'_>,
        check: NodesCheck<'_>,
        tries: &mut QueryLog,
    ) -> Result<ValidNodes, ValueError> {
        let changed = |found: &[Scalar]| {
            let nodes = self.changed(found.to_vec(), Cardinality::One)?;
            nodes.into_iter().map(|node| self.finish(node)).collect::<Result<Vec<_>, _>>()
        };
        let is_valid = |found: &[Scalar]| check(&changed(found)?);
        let found = self.from.valid_nodes(view, &is_valid, tries);
        let given = found.and_then(|found| {
            let nodes = changed(&found.nodes)?;
            Ok(ValidNodes { nodes, ..found })
        });
        if self.default.is_none() {
            return given;
        }
        let replaced = match &given {
            Ok(given) if given.nodes.is_empty() => None,
            Ok(value) => match check(&value.nodes) {
                Ok(()) => return given,
                Err(refusal) => Some(refusal),
            },
            Err(failure) => Some(failure.clone()),
        };
        Ok(ValidNodes { nodes: self.finished(Vec::new(), tries)?, replaced })
    }

    fn changed(&self, found: Vec<Scalar>, takes: Cardinality) -> Result<Vec<Scalar>, ValueError> {
        let mut nodes = ScalarList::default();
        for node in found {
            self.change(node, &mut nodes)?;
        }
        let mut nodes = nodes.finish();
        let is_one = takes != Cardinality::Many && (self.number || self.max.is_some());
        if nodes.len() > 1 && (self.join.is_some() || is_one) {
            let text = joined(&nodes, self.join.as_deref().unwrap_or(", "));
            nodes = vec![Scalar::Text(text)];
        }
        Ok(nodes)
    }

    fn finished(
        &self,
        mut nodes: Vec<Scalar>,
        tries: &mut QueryLog,
    ) -> Result<Vec<Scalar>, ValueError> {
        if nodes.is_empty()
            && let Some(default) = &self.default
        {
            tries.add_default(default);
            nodes.push(default.clone());
        }
        nodes.into_iter().map(|node| self.finish(node)).collect()
    }

    /// What is done to each node by itself.
    fn change(&self, node: Scalar, nodes: &mut ScalarList) -> Result<(), ValueError> {
        let node = match self.markup {
            Some(Markup::Html) => Scalar::Text(html_to_text(&node.text())),
            Some(Markup::Slack) => Scalar::Text(slack_to_text(&node.text())),
            None => node,
        };
        let node = match &self.map {
            Some(map) => map.get(&node.text()).cloned(),
            None => Some(node),
        };
        match node {
            Some(Scalar::Text(text)) => nodes.push_text(&text),
            Some(node) => nodes.push(node),
            None => Ok(()),
        }
    }

    fn finish(&self, node: Scalar) -> Result<Scalar, ValueError> {
        if self.number {
            return node.into_number().map(Scalar::Number);
        }
        Ok(match self.max {
            Some(max) => Scalar::Text(cut(node.text(), max)),
            None => node,
        })
    }
}

fn cut(text: String, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text;
    }
    let kept: String = text.chars().take(max - 1).collect();
    kept + "…"
}
