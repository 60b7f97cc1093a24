//! Value of a mapping file: a query, a template, a literal, alternatives, or a table of steps.

use std::ops::Range;

use super::item_values::ItemValues;
use super::query::Query;
use super::query_log::QueryLog;
use super::steps::ValueSteps;
use super::template::Template;
use super::value::{Cardinality, Scalar, ScalarList, SpannedScalar, ValueError};

#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Query {
        query: Query,
        written: String,
        place: Range<usize>,
    },
    Template {
        template: Template,
        written: String,
        place: Range<usize>,
    },
    Literal(SpannedScalar),
    /// An empty literal.
    Nothing,
    Alternatives(Vec<Expression>),
    /// The table form: the value of `from`, and the steps that change it.
    Table {
        from: Box<Expression>,
        steps: Box<ValueSteps>,
    },
}

/// Check of whether Savio accepts the nodes as the value of a field.
pub(crate) type NodesCheck<'c> = &'c dyn Fn(&[Scalar]) -> Result<(), ValueError>;

#[derive(Debug, Default)]
pub(crate) struct ValidNodes {
    pub(crate) nodes: Vec<Scalar>,
    /// Reason why `default` replaced the value.
    pub(crate) replaced: Option<ValueError>,
}

impl From<Vec<Scalar>> for ValidNodes {
    fn from(nodes: Vec<Scalar>) -> ValidNodes {
        ValidNodes { nodes, replaced: None }
    }
}

impl Expression {
    /// Returns the members of the payload's root object that the value depends on; `None` if it
    /// may depend on any of them.
    pub(crate) fn members(&self) -> Option<Vec<String>> {
        match self {
            Expression::Query { query, .. } => Some(vec![query.member()?.to_owned()]),
            Expression::Template { template, .. } => template.members.clone(),
            Expression::Literal(_) | Expression::Nothing => Some(Vec::new()),
            Expression::Alternatives(alternatives) => {
                let all: Option<Vec<_>> = alternatives.iter().map(Expression::members).collect();
                all.map(|members| members.concat())
            }
            // Only extractors need the members, and an extractor is never a table.
            Expression::Table { .. } => None,
        }
    }

    /// Evaluates the value; each query, template and literal on the way is added to `log`.
    pub(crate) fn nodes(
        &self,
        view: &ItemValues<'_>,
        cardinality: Cardinality,
        log: &mut QueryLog,
    ) -> Result<Vec<Scalar>, ValueError> {
        match self {
            Expression::Query { query, written, place } => {
                let scope = view.scope.event_scope;
                log.evaluate((written, place), &scope.taken, || {
                    let values = view.scope.nodes(query)?;
                    scope.taken.add(&values);
                    let nodes = match cardinality {
                        Cardinality::One | Cardinality::Many => ScalarList::of_json(values),
                        Cardinality::Answer => ScalarList::of_answer(values),
                    };
                    scope.charge(nodes?)
                })
            }
            Expression::Template { template, written, place } => {
                let scope = view.scope.event_scope;
                log.evaluate((written, place), &scope.taken, || {
                    scope.charge(view.templates.nodes(template, &view.scope)?)
                })
            }
            Expression::Literal(literal) => {
                log.add_literal(literal);
                Ok(vec![literal.value.clone()])
            }
            Expression::Nothing => Ok(Vec::new()),
            Expression::Alternatives(alternatives) => {
                let mut all = Vec::new();
                for alternative in alternatives {
                    all.extend(alternative.nodes(view, cardinality, log)?);
                    if cardinality != Cardinality::Many && !all.is_empty() {
                        break;
                    }
                }
                Ok(all)
            }
            Expression::Table { from, steps } => {
                let before = log.len();
                let found = from.nodes(view, cardinality, log)?;
                let changed = steps.changed(found, cardinality)?;
                if changed.is_empty() {
                    log.unused_from(before);
                }
                steps.finished(changed, log)
            }
        }
    }

    /// Returns the nodes of the first alternative that `check` accepts. If it accepts none: the
    /// nodes or the error of the first alternative that is not empty.
    pub(crate) fn valid_nodes(
        &self,
        view: &ItemValues<'_>,
        check: NodesCheck<'_>,
        log: &mut QueryLog,
    ) -> Result<ValidNodes, ValueError> {
        let alternatives = match self {
            Expression::Alternatives(alternatives) => alternatives,
            Expression::Table { from, steps } => {
                return table_nodes((from, steps), view, check, log);
            }
            // The caller checks a single value itself, to report why it is refused.
            _ => return self.nodes(view, Cardinality::One, log).map(ValidNodes::from),
        };
        let mut refused = None;
        let first = log.len();
        for alternative in alternatives {
            let own = log.len();
            match alternative.valid_nodes(view, check, log) {
                Ok(found) if found.nodes.is_empty() => {}
                Ok(found) if check(&found.nodes).is_ok() => {
                    log.unused_between(first, own);
                    return Ok(found);
                }
                // The first refusal becomes the note: it is that of the preferred value.
                other => drop(refused.get_or_insert(other)),
            }
        }
        refused.unwrap_or_else(|| Ok(ValidNodes::default()))
    }
}

/// Returns the changed nodes of the first alternative of `from` that `check` accepts, or `default`.
fn table_nodes(
    (from, steps): (&Expression, &ValueSteps),
    view: &ItemValues<'_>,
    check: NodesCheck<'_>,
    log: &mut QueryLog,
) -> Result<ValidNodes, ValueError> {
    let changed = |found: &[Scalar]| {
        let nodes = steps.changed(found.to_vec(), Cardinality::One)?;
        nodes.into_iter().map(|node| steps.finish(node)).collect::<Result<Vec<_>, _>>()
    };
    // Each alternative is judged by what would be sent: after markup, map, join and max.
    let is_valid = |found: &[Scalar]| check(&changed(found)?);
    let before = log.len();
    let found = from.valid_nodes(view, &is_valid, log);
    let value = found.and_then(|found| {
        let nodes = changed(&found.nodes)?;
        Ok(ValidNodes { nodes, ..found })
    });
    if steps.default.is_none() {
        return value;
    }
    let replaced = match &value {
        // An empty value is what `default` is for: nothing to note.
        Ok(valid) if valid.nodes.is_empty() => None,
        Ok(valid) => match check(&valid.nodes) {
            Ok(()) => return value,
            Err(refusal) => Some(refusal),
        },
        Err(failure) => Some(failure.clone()),
    };
    log.unused_from(before);
    Ok(ValidNodes { nodes: steps.finished(Vec::new(), log)?, replaced })
}
