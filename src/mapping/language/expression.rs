//! One value of a mapping file: a query, a template, a literal, alternatives, or a table of steps.

use super::item_values::ItemValues;
use super::query::Query;
use super::query_log::QueryLog;
use super::steps::ValueSteps;
use super::template::Template;
use super::value::{Cardinality, Scalar, ScalarList, ValueError};

#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Query {
        query: Query,
        written: String,
    },
    Template {
        template: Template,
        written: String,
    },
    Literal(Scalar),
    /// A text without `{{ }}` that is empty.
    Nothing,
    Alternatives(Vec<Expression>),
    /// A table: the value of `from`, and what is then done to it.
    Table {
        from: Box<Expression>,
        steps: Box<ValueSteps>,
    },
}

/// Checks whether Savio would take the nodes as the value of a field.
pub(crate) type NodesCheck<'c> = &'c dyn Fn(&[Scalar]) -> Result<(), ValueError>;

#[derive(Debug, Default)]
pub(crate) struct ValidNodes {
    pub(crate) nodes: Vec<Scalar>,
    /// Reason why `default` took the place of the value.
    pub(crate) replaced: Option<ValueError>,
}

impl From<Vec<Scalar>> for ValidNodes {
    fn from(nodes: Vec<Scalar>) -> ValidNodes {
        ValidNodes { nodes, replaced: None }
    }
}

impl Expression {
    /// The members of the payload's outermost object that it looks at; none if it may look at all.
    pub(crate) fn members(&self) -> Option<Vec<String>> {
        match self {
            Expression::Query { query, .. } => Some(vec![query.member()?.to_owned()]),
            Expression::Template { template, .. } => template.members.clone(),
            Expression::Literal(_) | Expression::Nothing => Some(Vec::new()),
            Expression::Alternatives(alternatives) => {
                let all: Option<Vec<_>> = alternatives.iter().map(Expression::members).collect();
                all.map(|members| members.concat())
            }
            Expression::Table { .. } => None,
        }
    }

    /// The nodes that this value comes to; each leaf that was asked is noted in `tries`.
    pub(crate) fn nodes(
        &self,
        view: &ItemValues<'_>,
        takes: Cardinality,
        tries: &mut QueryLog,
    ) -> Result<Vec<Scalar>, ValueError> {
        match self {
            Expression::Query { query, written } => {
                let found = view.scope.nodes(query).and_then(|values| match takes {
                    Cardinality::One | Cardinality::Many => ScalarList::of_json(values),
                    Cardinality::Answer => ScalarList::of_answer(values),
                });
                let found = found.and_then(|nodes| view.scope.event_scope.charge(nodes));
                tries.add(written, &found);
                found
            }
            Expression::Template { template, written } => {
                let found = view.templates.nodes(template, &view.scope);
                let found = found.and_then(|nodes| view.scope.event_scope.charge(nodes));
                tries.add(written, &found);
                found
            }
            Expression::Literal(literal) => {
                let found = Ok(vec![literal.clone()]);
                tries.add(&literal.text(), &found);
                found
            }
            Expression::Nothing => Ok(Vec::new()),
            Expression::Alternatives(alternatives) => {
                let mut all = Vec::new();
                for alternative in alternatives {
                    all.extend(alternative.nodes(view, takes, tries)?);
                    if takes != Cardinality::Many && !all.is_empty() {
                        break;
                    }
                }
                Ok(all)
            }
            Expression::Table { from, steps } => {
                let found = from.nodes(view, takes, tries)?;
                steps.finished(steps.changed(found, takes)?, tries)
            }
        }
    }

    /// Returns the nodes of the first alternative that `check` takes; where it takes none, what the first gives that
    /// is not empty, or its failure.
    pub(crate) fn valid_nodes(
        &self,
        view: &ItemValues<'_>,
        check: NodesCheck<'_>,
        tries: &mut QueryLog,
    ) -> Result<ValidNodes, ValueError> {
        let alternatives = match self {
            Expression::Alternatives(alternatives) => alternatives,
            Expression::Table { from, steps } => {
                return table_nodes((from, steps), view, check, tries);
            }
            _ => return self.nodes(view, Cardinality::One, tries).map(ValidNodes::from),
        };
        let mut refused = None;
        for alternative in alternatives {
            match alternative.valid_nodes(view, check, tries) {
                Ok(found) if found.nodes.is_empty() => {}
                Ok(found) if check(&found.nodes).is_ok() => return Ok(found),
                other => drop(refused.get_or_insert(other)),
            }
        }
        refused.unwrap_or_else(|| Ok(ValidNodes::default()))
    }
}

/// The nodes of the first alternative of `from` that `check` takes once it is changed; `default` where it takes none.
fn table_nodes(
    (from, steps): (&Expression, &ValueSteps),
    view: &ItemValues<'_>,
    check: NodesCheck<'_>,
    tries: &mut QueryLog,
) -> Result<ValidNodes, ValueError> {
    let changed = |found: &[Scalar]| {
        let nodes = steps.changed(found.to_vec(), Cardinality::One)?;
        nodes.into_iter().map(|node| steps.finish(node)).collect::<Result<Vec<_>, _>>()
    };
    let is_valid = |found: &[Scalar]| check(&changed(found)?);
    let found = from.valid_nodes(view, &is_valid, tries);
    let given = found.and_then(|found| {
        let nodes = changed(&found.nodes)?;
        Ok(ValidNodes { nodes, ..found })
    });
    if steps.default.is_none() {
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
    Ok(ValidNodes { nodes: steps.finished(Vec::new(), tries)?, replaced })
}
