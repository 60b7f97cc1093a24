//! Templates: minijinja with filters and functions of Savio Relay, within bounds of work and output.

mod advice;
mod bounds;
mod builtins;
mod check;
mod error;
mod foreign_names;
mod functions;
mod guard;
mod json_value;
mod lexer;
mod lookups;
mod output;
mod reference;
mod variable;
mod weight;
mod zero_comparisons;

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::value::{DynObject, ValueKind};
use minijinja::{Environment, UndefinedBehavior, Value};

use super::query::Patterns;
use super::scope::ItemScope;
use super::value::{Scalar, ScalarList, ValueError, clean};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText};
use check::TemplateCheck;
use error::failure;
use functions::{QueryRoots, ROOTS, StaticQueries};
use guard::Guarded;
use json_value::share;
pub(crate) use output::literal;
use output::{EXPRESSION, RenderedOutput, gather, print, squeeze};
pub use reference::{TEMPLATE_FUNCTIONS, TemplateFunction};
pub(crate) use variable::Variable;

/// Fuel of one rendering: about one unit for each step or 64 bytes.
// In a debug build 100,000 units take about a second.
const FUEL_MAX: u64 = 100_000;
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Templates of a file.
// Even a short one takes 10 KiB.
const TEMPLATES_MAX: usize = 2_000;
/// Levels of nested calls, includes and expressions while a template is rendered.
const RECURSION_MAX: usize = 100;

/// All templates of one file.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    environment: Environment<'static>,
    queries: StaticQueries,
    /// Budget of the regular expressions of their file.
    pub(crate) patterns: Patterns,
    count: usize,
}

/// One template of a file.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    name: String,
    uses: Vec<Variable>,
    /// Members of the payload's root object that it depends on; `None` if it may depend on any.
    pub(crate) members: Option<Vec<String>>,
    /// Queries that may give several nodes, of which it prints all.
    pub(crate) multi_value_queries: Vec<String>,
}

impl Template {
    pub(crate) fn is_expression(&self) -> bool {
        self.name.starts_with(EXPRESSION)
    }
}

impl Templates {
    pub(crate) fn new(patterns: &Patterns) -> Templates {
        let mut environment = Environment::new();
        // Payloads lack optional members: `payload.a.b` without `a` is empty, not an error.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        // The texts are sent as JSON, never shown as HTML.
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL_MAX));
        environment.set_recursion_limit(RECURSION_MAX);
        // On in debug builds by default: each error would copy the template and values around it.
        environment.set_debug(false);
        environment.set_formatter(print);
        // Templates are named by number: `{% include '0' %}` would otherwise print another value.
        environment.set_path_join_callback(|_, _| Cow::Borrowed(""));
        functions::add_filters(&mut environment);
        Templates {
            environment,
            queries: StaticQueries::new(),
            patterns: patterns.clone(),
            count: 0,
        }
    }

    /// Compiles one template; `known` are the variables at its place in the file.
    pub(crate) fn add(
        &mut self,
        text: &SpannedText,
        known: &[Variable],
        mistakes: &mut Diagnostics,
    ) -> Option<Template> {
        let source = text.text.trim();
        if self.count == TEMPLATES_MAX {
            let message = format!("the file has more than {TEMPLATES_MAX} templates");
            mistakes.push(Diagnostic::error(text.place.clone(), message));
            return None;
        }
        let pieces = match bounds::pieces_within(source) {
            Ok(pieces) => pieces,
            Err(out) => {
                TemplateCheck::new(text, &[], mistakes).bounds(out);
                return None;
            }
        };
        let mut check = TemplateCheck::new(text, &pieces, mistakes);
        // The unguarded text is never compiled: minijinja evaluates constants when it compiles, and
        // `[1] * 100000000` would take its memory while the file is read.
        let guarded = Guarded::new(source, &pieces);
        let is_expression = self.is_expression(&guarded.text);
        // The formatter, `print`, knows only the name of the template that it prints for.
        let mark = if is_expression { EXPRESSION.to_string() } else { String::new() };
        let name = format!("{mark}{}", self.count);
        self.count += 1;
        if let Err(error) = self.environment.add_template_owned(name.clone(), guarded.text.clone())
        {
            check.syntax(&error, error.range().map(|at| guarded.original(at)), &pieces);
            return None;
        }
        let compiled = self.environment.get_template(&name).expect("it was just added");
        let mut undeclared: Vec<String> =
            compiled.undeclared_variables(false).into_iter().collect();
        undeclared.extend(self.sliced_variables(&guarded.text));
        undeclared.sort();
        undeclared.dedup();
        check.variables(&undeclared, known);
        check.calls(&undeclared, &self.environment);
        check.queries(&mut self.queries, &self.patterns, known.contains(&Variable::Item));
        let uses = known.iter().copied().filter(|it| lookups::uses(&pieces, it.name())).collect();
        let may_query = lookups::uses(&pieces, Variable::Jsonpath.name());
        // A query may read any member.
        let members = lookups::members(&pieces, Variable::Payload.name()).filter(|_| !may_query);
        let several = lookups::bare_queries(&pieces)
            .filter(|text| self.queries.get(*text).is_some_and(|query| !query.is_singular()))
            .map(str::to_owned)
            .collect();
        check.comparisons(&pieces);
        check.joins();
        Some(Template { name, uses, members, multi_value_queries: several })
    }

    /// Returns the undeclared variables in slices, which minijinja leaves out of its own list.
    fn sliced_variables(&self, guarded: &str) -> impl Iterator<Item = String> {
        let without = lookups::without_slices(guarded);
        let without = without.and_then(|text| {
            let template = self.environment.template_from_named_str("slices", &text).ok()?;
            Some(template.undeclared_variables(false))
        });
        without.into_iter().flatten()
    }

    /// Registers `jsonpath()`; call it once, after the last template.
    pub(crate) fn seal(mut self) -> Templates {
        // The function owns the parsed queries of all templates, so these have to be complete.
        let queries = Arc::new(std::mem::take(&mut self.queries));
        functions::add_jsonpath(&mut self.environment, queries);
        self
    }

    fn is_expression(&self, source: &str) -> bool {
        let inside = source.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        // `{{ a }} - {{ b }}` also begins and ends so, but its inside does not compile.
        inside.is_some_and(|inside| {
            let inside = inside.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']);
            self.environment.compile_expression(inside).is_ok()
        })
    }

    pub(crate) fn nodes(
        &self,
        template: &Template,
        view: &ItemScope<'_>,
    ) -> Result<Vec<Scalar>, ValueError> {
        let (text, printed) = self.render(template, view)?;
        let mut nodes = ScalarList::default();
        if template.is_expression() {
            gather(&printed.last, &mut nodes)?;
        // A text around values that are all empty is empty: no "crm-" without an id.
        } else if printed.prints == 0 || printed.shown > 0 {
            nodes.push_text(&squeeze(&clean(&text)))?;
        }
        Ok(nodes.finish())
    }

    /// Returns whether an expression's value is neither empty nor false.
    pub(crate) fn holds(
        &self,
        template: &Template,
        view: &ItemScope<'_>,
    ) -> Result<bool, ValueError> {
        let (text, printed) = self.render(template, view)?;
        if !template.is_expression() {
            return Ok(!text.trim().is_empty());
        }
        let value = printed.last;
        Ok(match value.kind() {
            ValueKind::Undefined | ValueKind::None => false,
            ValueKind::String => value.as_str().is_some_and(|text| !text.trim().is_empty()),
            // 0 is a value, such as a score, and not an empty one.
            ValueKind::Number => true,
            _ => value.is_true(),
        })
    }

    fn render(
        &self,
        template: &Template,
        view: &ItemScope<'_>,
    ) -> Result<(String, RenderedOutput), ValueError> {
        let context = context(&template.uses, view)?;
        let compiled = self.environment.get_template(&template.name).map_err(failure)?;
        let rendered = compiled.render_captured(context);
        let burnt = match &rendered {
            Ok(captured) => captured.state().fuel_levels().map_or(0, |(burnt, _)| burnt),
            // After an error there is no state left that knows how much was burnt.
            Err(_) => FUEL_MAX,
        };
        let spent = view.event_scope.consume_fuel(burnt);
        // The template's own error first: it is more exact than that of the event's budget.
        let mut captured = rendered.map_err(failure)?;
        spent?;
        let printed = captured.with_state_mut(|state| {
            std::mem::take(state.get_or_insert_extension_with(RenderedOutput::default))
        });
        let text = captured.into_output();
        if text.len() > OUTPUT_BYTES_MAX {
            return Err(too_long());
        }
        Ok((text, printed))
    }
}

/// Returns whether the text would look up a variable if it was a template.
pub(crate) fn looks_up_variable(text: &str) -> bool {
    let pieces = lexer::pieces(text);
    Variable::ALL.iter().any(|variable| lookups::uses(&pieces, variable.name()))
}

/// Makes the variables that a template uses; headers and event are made once for an event.
fn context(uses: &[Variable], view: &ItemScope<'_>) -> Result<Value, ValueError> {
    let mut variables = Vec::with_capacity(uses.len());
    let scope = view.event_scope;
    for variable in uses {
        let value = match variable {
            Variable::Payload => {
                share(&scope.json(), &scope.budget, scope.taken.origin(scope.payload))
            }
            Variable::Headers => scope.shared.headers.get_or_init(|| headers(view)).clone(),
            Variable::Event => scope.shared.event.get_or_init(|| event(view)).clone(),
            Variable::Answers => scope.form_answers()?.map_or(Value::UNDEFINED, |collected| {
                Value::from_dyn_object(DynObject::new(collected))
            }),
            Variable::Item => {
                let item = view.item_json()?;
                let origin = view.item.and_then(|item| scope.taken.origin(item));
                item.map_or(Value::UNDEFINED, |item| share(&item, &scope.budget, origin))
            }
            Variable::Jsonpath => {
                variables.push((ROOTS, roots(view)?));
                continue;
            }
        };
        variables.push((variable.name(), value));
    }
    Ok(Value::from_pairs(variables))
}

fn roots(view: &ItemScope<'_>) -> Result<Value, ValueError> {
    let (payload, item) = (view.event_scope.json(), view.item_json()?);
    let scope = view.event_scope;
    Ok(Value::from_object(QueryRoots {
        payload,
        item,
        budget: scope.budget.clone(),
        payload_origin: scope.taken.origin(scope.payload),
        item_origin: view.item.and_then(|item| scope.taken.origin(item)),
    }))
}

fn headers(view: &ItemScope<'_>) -> Value {
    Value::from_pairs(view.event_scope.headers.iter().map(|(name, value)| (name.as_str(), value)))
}

fn event(view: &ItemScope<'_>) -> Value {
    let Some(event) = view.event_scope.event else {
        return Value::UNDEFINED;
    };
    Value::from_pairs([
        ("id", Value::from(event.id.to_string())),
        ("type", event.event_type.as_deref().map_or(Value::UNDEFINED, Value::from)),
        ("source", Value::from(event.source.as_str())),
        ("received_at", Value::from(event.received_at.to_string())),
    ])
}

fn too_long() -> ValueError {
    ValueError::new("the template prints more than 256 KiB")
}
