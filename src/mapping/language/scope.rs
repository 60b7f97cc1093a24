//! Data that the values of one event can see, made at most once per event, and the budget of their work.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::Value as Shared;
use serde_json::Value;

use super::form_answers::FormAnswers;
use super::query::{BudgetExceeded, Condition, Query};
use super::value::{Scalar, ValueError};
use crate::event::{Event, Headers};

/// Steps of all queries of one event together: twenty queries at their own limit.
const STEPS_MAX: usize = 20_000_000;
/// Fuel of all templates of one event together: twenty templates at their own limit.
const FUEL_MAX: u64 = 2_000_000;
/// Text that all values of one event may hold together: three times the largest payload.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Memory that copies of parts of the payload may take: the item that a template looks at, and what
/// `jsonpath()` gave to the templates of one event together.
const COPIED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Text of the payload that templates may look at, counted at each look, since each is a copy.
const READ_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Source of a form's answers. The language does not know the rules that say where they lie.
pub(crate) trait AnswerSource {
    /// Reads all answers of one event.
    fn collect(&self, scope: &Scope<'_>) -> Result<FormAnswers, ValueError>;
}

/// One event, as all of its values see it.
pub(crate) struct Scope<'a> {
    pub(crate) payload: &'a Value,
    pub(crate) headers: &'a Headers,
    /// None where a provider's file only asks for an id or a type.
    pub(crate) event: Option<&'a Event>,
    answers: Option<&'a dyn AnswerSource>,
    pub(crate) budget: Budget,
    fuel: Cell<u64>,
    bytes: Cell<usize>,
    collected: OnceCell<Result<Arc<FormAnswers>, ValueError>>,
    pub(crate) shared: TemplateValues,
}

/// The parts of an event in the form that templates want.
#[derive(Default)]
pub(crate) struct TemplateValues {
    pub(crate) headers: OnceCell<Shared>,
    pub(crate) event: OnceCell<Shared>,
    json: OnceCell<Arc<Value>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(payload: &'a Value, headers: &'a Headers) -> Scope<'a> {
        Scope {
            payload,
            headers,
            event: None,
            answers: None,
            budget: Budget::new(),
            fuel: Cell::new(FUEL_MAX),
            bytes: Cell::new(BYTES_MAX),
            collected: OnceCell::new(),
            shared: TemplateValues::default(),
        }
    }

    pub(crate) fn of_event(
        event: &'a Event,
        payload: &'a Arc<Value>,
        answers: Option<&'a dyn AnswerSource>,
    ) -> Scope<'a> {
        let shared =
            TemplateValues { json: Arc::clone(payload).into(), ..TemplateValues::default() };
        Scope { event: Some(event), answers, shared, ..Scope::new(payload, &event.headers) }
    }

    /// The payload in the form that templates want; of an event, it is there already.
    pub(crate) fn json(&self) -> Arc<Value> {
        Arc::clone(self.shared.json.get_or_init(|| Arc::new(self.payload.clone())))
    }

    /// The form's questions with their answers; none where the provider has no `[answers]`.
    pub(crate) fn collected(&self) -> Result<Option<Arc<FormAnswers>>, ValueError> {
        let Some(answers) = self.answers else {
            return Ok(None);
        };
        self.collected.get_or_init(|| answers.collect(self).map(Arc::new)).clone().map(Some)
    }

    /// Notes on answers that could not be read.
    pub(crate) fn answer_notes(&self) -> Vec<String> {
        match self.collected.get() {
            Some(Ok(collected)) => collected.notes.clone(),
            Some(Err(_)) | None => Vec::new(),
        }
    }

    pub(crate) fn consume_fuel(&self, fuel: u64) -> Result<(), ValueError> {
        let left = self.fuel.get().checked_sub(fuel);
        self.fuel.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| ValueError::new("the templates of this event take too long"))
    }

    /// Counts what a value holds, so that many requests cannot each take a copy of a large payload.
    pub(crate) fn charge(&self, nodes: Vec<Scalar>) -> Result<Vec<Scalar>, ValueError> {
        let bytes = nodes.iter().map(Scalar::bytes).sum();
        let left = self.bytes.get().checked_sub(bytes);
        self.bytes.set(left.unwrap_or(0));
        left.map(|_| nodes).ok_or_else(|| ValueError::new("the values of this event are too large"))
    }
}

/// The scope, and the item of a `for_each` in it.
pub(crate) struct ItemScope<'a> {
    pub(crate) event_scope: &'a Scope<'a>,
    pub(crate) item: Option<&'a Value>,
    item_json: OnceCell<Result<Arc<Value>, ValueError>>,
}

impl<'a> ItemScope<'a> {
    pub(crate) fn new(event_scope: &'a Scope<'a>, item: Option<&'a Value>) -> ItemScope<'a> {
        ItemScope { event_scope, item, item_json: OnceCell::new() }
    }

    /// The item in the form that templates want.
    pub(crate) fn item_json(&self) -> Result<Option<Arc<Value>>, ValueError> {
        let Some(item) = self.item else { return Ok(None) };
        let copied = || copy_within(item, COPIED_BYTES_MAX).map(|(copy, _)| copy);
        self.item_json.get_or_init(copied).clone().map(Some)
    }

    /// The value of `@`.
    fn current(&self) -> &'a Value {
        self.item.unwrap_or(self.event_scope.payload)
    }

    pub(crate) fn nodes(&self, query: &Query) -> Result<Vec<&'a Value>, ValueError> {
        self.event_scope.budget.nodes(query, self.event_scope.payload, self.current())
    }

    pub(crate) fn holds(&self, condition: &Condition) -> Result<bool, ValueError> {
        self.event_scope.budget.holds(condition, self.event_scope.payload, self.current())
    }
}

/// Steps that the queries of one event have left, and bytes of the payload that may be copied and read.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Left>);

#[derive(Debug)]
struct Left {
    steps: AtomicUsize,
    copied_bytes: AtomicUsize,
    read_bytes: AtomicUsize,
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget(Arc::new(Left {
            steps: AtomicUsize::new(STEPS_MAX),
            copied_bytes: AtomicUsize::new(COPIED_BYTES_MAX),
            read_bytes: AtomicUsize::new(READ_BYTES_MAX),
        }))
    }

    /// A copy that outlives the event's payload.
    pub(crate) fn copy(&self, json: &Value) -> Result<Arc<Value>, ValueError> {
        let left = self.0.copied_bytes.load(Ordering::Relaxed);
        let (copy, bytes) = copy_within(json, left)?;
        self.0.copied_bytes.store(left - bytes, Ordering::Relaxed);
        Ok(copy)
    }

    /// A text that a template looks at.
    pub(crate) fn read(&self, bytes: usize) -> Result<(), ValueError> {
        let left = self.0.read_bytes.load(Ordering::Relaxed).checked_sub(bytes);
        self.0.read_bytes.store(left.unwrap_or(0), Ordering::Relaxed);
        let too_much = || ValueError::new("the templates of this event read too much text");
        left.map(drop).ok_or_else(too_much)
    }

    pub(crate) fn nodes<'v>(
        &self,
        query: &Query,
        root: &'v Value,
        current: &'v Value,
    ) -> Result<Vec<&'v Value>, ValueError> {
        self.spend(|budget| query.nodes_within(root, current, budget))
    }

    fn holds(
        &self,
        condition: &Condition,
        root: &Value,
        current: &Value,
    ) -> Result<bool, ValueError> {
        self.spend(|budget| condition.holds_within(root, current, budget))
    }

    fn spend<T>(
        &self,
        evaluate: impl FnOnce(&mut usize) -> Result<T, BudgetExceeded>,
    ) -> Result<T, ValueError> {
        // One event is mapped by one thread at a time; the atomic only lets templates share it.
        let mut budget = self.0.steps.load(Ordering::Relaxed);
        if budget == 0 {
            return Err(ValueError::new("the queries of this event take too many steps"));
        }
        let found = evaluate(&mut budget);
        self.0.steps.store(budget, Ordering::Relaxed);
        found.map_err(|error| ValueError(error.to_string()))
    }
}

/// Returns the copy with the memory that it takes.
fn copy_within(json: &Value, bytes_max: usize) -> Result<(Arc<Value>, usize), ValueError> {
    let mut left = bytes_max;
    if !takes(json, &mut left) {
        return Err(ValueError::new("a template gets no more than 16 MiB of the payload copied"));
    }
    Ok((Arc::new(json.clone()), bytes_max - left))
}

/// Takes the size of the value from what is left; false if that is too little.
fn takes(json: &Value, left: &mut usize) -> bool {
    const MEMBER_BYTES: usize = 2 * size_of::<Value>();
    let own = match json {
        Value::String(text) => text.len(),
        Value::Object(members) => members.keys().map(|key| key.len() + MEMBER_BYTES).sum(),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    match left.checked_sub(own + size_of::<Value>()) {
        Some(rest) => *left = rest,
        None => return false,
    }
    match json {
        Value::Array(items) => items.iter().all(|item| takes(item, left)),
        Value::Object(members) => members.values().all(|member| takes(member, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
