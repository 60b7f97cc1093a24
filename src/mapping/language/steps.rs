//! Changes of the table form of a value to the nodes of its `from`, in a fixed order.

use std::collections::HashMap;

use super::query_log::QueryLog;
use super::value::{Cardinality, Scalar, ScalarList, ValueError, joined};
use crate::mapping::markup::{html_to_text, slack_to_text};
use crate::mapping::result::LinkMode;

#[derive(Debug, Clone)]
pub(crate) struct ValueSteps {
    pub(super) markup: Option<Markup>,
    pub(super) map: Option<HashMap<String, Scalar>>,
    pub(super) join: Option<String>,
    pub(super) default: Option<Scalar>,
    pub(super) number: bool,
    /// Characters, the ellipsis included.
    pub(super) max: Option<usize>,
    pub(crate) existing: Option<LinkMode>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Markup {
    Html,
    Slack,
}

impl ValueSteps {
    /// The nodes with all done to them that comes before `default`.
    pub(super) fn changed(
        &self,
        found: Vec<Scalar>,
        takes: Cardinality,
    ) -> Result<Vec<Scalar>, ValueError> {
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

    /// The nodes as they are sent: `default` where there are none, numbers and lengths as they are wanted.
    pub(super) fn finished(
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

    /// Changes one node by itself.
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

    pub(super) fn finish(&self, node: Scalar) -> Result<Scalar, ValueError> {
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
