//! Steps of a value's table form, which change the nodes of its `from` in a fixed order.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::query_log::QueryLog;
use super::value::{Cardinality, Scalar, ScalarList, SpannedScalar, ValueError, joined};
use crate::mapping::markup::{html_to_text, slack_to_text};
use crate::mapping::result::LinkMode;

#[derive(Debug, Clone)]
pub(crate) struct ValueSteps {
    pub(super) markup: Option<Markup>,
    pub(super) map: Option<HashMap<String, Scalar>>,
    pub(super) join: Option<String>,
    pub(super) default: Option<SpannedScalar>,
    pub(super) number: bool,
    /// Characters, including the ellipsis.
    pub(super) max: Option<NonZeroUsize>,
    pub(crate) existing: Option<LinkMode>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Markup {
    Html,
    Slack,
}

impl ValueSteps {
    /// Applies the steps before `default`: markup, map and join.
    pub(super) fn changed(
        &self,
        found: Vec<Scalar>,
        cardinality: Cardinality,
    ) -> Result<Vec<Scalar>, ValueError> {
        let mut nodes = ScalarList::default();
        for node in found {
            self.change(node, &mut nodes)?;
        }
        let mut nodes = nodes.finish();
        // `number` and `max` are about the one text that is sent; of tags, each is changed itself.
        let is_one = cardinality != Cardinality::Many && (self.number || self.max.is_some());
        if nodes.len() > 1 && (self.join.is_some() || is_one) {
            let text = joined(&nodes, self.join.as_deref().unwrap_or(", "));
            nodes = vec![Scalar::Text(text)];
        }
        Ok(nodes)
    }

    /// Applies the steps from `default` on: `default` if there are no nodes, then number and max.
    pub(super) fn finished(
        &self,
        mut nodes: Vec<Scalar>,
        log: &mut QueryLog,
    ) -> Result<Vec<Scalar>, ValueError> {
        if nodes.is_empty()
            && let Some(default) = &self.default
        {
            log.add_default(default);
            nodes.push(default.value.clone());
        }
        nodes.into_iter().map(|node| self.finish(node)).collect()
    }

    /// Applies markup and map to one node.
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
            // Markup may leave white space or nothing, which `push_text` trims or drops.
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

fn cut(text: String, max: NonZeroUsize) -> String {
    if text.chars().nth(max.get()).is_none() {
        return text;
    }
    let kept: String = text.chars().take(max.get() - 1).collect();
    kept + "…"
}
