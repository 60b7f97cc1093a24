//! Data that the values of one event can read, built at most once, and the budgets of their work.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::Value as Shared;
use serde_json::Value;

use super::form_answers::FormAnswers;
use super::query::{BudgetExceeded, Condition, Query};
use super::taken::TakenNodes;
use super::value::{Scalar, ValueError};
use crate::event::{Event, Headers};

/// Steps of all queries of one event: twenty queries at their own limit.
const STEPS_MAX: usize = 20_000_000;
/// Fuel of all templates of one event: twenty templates at their own limit.
const FUEL_MAX: u64 = 2_000_000;
/// Bytes of all values of one event: three times the largest payload.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of copied parts of the payload: the item of a `for_each`, and separately all results of
/// `jsonpath()` in one event.
const COPIED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Copies of the whole payload that the items of all `for_each` of one event may take, in addition
/// to `COPIED_BYTES_MAX`.
// Items beside each other take no more than one; replies and the replies to them
// (`$..replies[*]`) one for each level. Without a bound, `$.x[0,0,...]` copied 16 MiB a thousand
// times.
const PAYLOAD_COPIES_MAX: usize = 4;

/// Bytes of the payload's texts that templates may read: about a hundred times the largest payload.
// Counted at each read, because minijinja owns its texts: each read makes a copy.
const READ_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Source of a form's answers.
// A trait, because the rules that describe where answers are lie above the language.
pub(crate) trait AnswerSource {
    /// Reads all answers of one event.
    fn collect(&self, scope: &Scope<'_>) -> Result<FormAnswers, ValueError>;
}

/// Data of one event, shared by all of its values.
pub(crate) struct Scope<'a> {
    pub(crate) payload: &'a Value,
    pub(crate) headers: &'a Headers,
    /// `None` while an extractor reads the id and type that the event will have.
    pub(crate) event: Option<&'a Event>,
    answers: Option<&'a dyn AnswerSource>,
    pub(crate) budget: Budget,
    fuel: Cell<u64>,
    bytes: Cell<usize>,
    /// Bytes that the copies of items may still take; `None` before the first copy.
    item_bytes: Cell<Option<usize>>,
    collected: OnceCell<Result<Arc<FormAnswers>, ValueError>>,
    pub(crate) shared: TemplateValues,
    /// What the values take of the payload, for an explanation.
    pub(crate) taken: TakenNodes,
}

/// Parts of an event in the form of templates, each made when the first template needs it.
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
            item_bytes: Cell::new(None),
            collected: OnceCell::new(),
            shared: TemplateValues::default(),
            taken: TakenNodes::default(),
        }
    }

    pub(crate) fn of_event(
        event: &'a Event,
        payload: &'a Arc<Value>,
        answers: Option<&'a dyn AnswerSource>,
        taken: TakenNodes,
    ) -> Scope<'a> {
        let shared =
            TemplateValues { json: Arc::clone(payload).into(), ..TemplateValues::default() };
        Scope { event: Some(event), answers, shared, taken, ..Scope::new(payload, &event.headers) }
    }

    /// Returns the payload in the form of templates: shared for an event, copied otherwise.
    pub(crate) fn json(&self) -> Arc<Value> {
        Arc::clone(self.shared.json.get_or_init(|| Arc::new(self.payload.clone())))
    }

    /// Returns the answers of the form; `None` if the file has no `[answers]`.
    pub(crate) fn form_answers(&self) -> Result<Option<Arc<FormAnswers>>, ValueError> {
        let Some(answers) = self.answers else {
            return Ok(None);
        };
        // What is read here belongs to the answers, and not to the template that looks one up first.
        let collect = || self.taken.during(|| answers.collect(self).map(Arc::new)).0;
        self.collected.get_or_init(collect).clone().map(Some)
    }

    /// Returns the answers of the form, if a value needed them.
    pub(crate) fn used_answers(&self) -> Option<&FormAnswers> {
        self.collected.get()?.as_deref().ok()
    }

    /// Returns notes on answers that could not be read.
    pub(crate) fn answer_notes(&self) -> Vec<String> {
        self.used_answers().map(|answers| answers.notes.clone()).unwrap_or_default()
    }

    pub(crate) fn consume_fuel(&self, fuel: u64) -> Result<(), ValueError> {
        let left = self.fuel.get().checked_sub(fuel);
        // What exceeded the budget has been spent all the same: nothing is left for later templates.
        self.fuel.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| ValueError::new("the templates of this event take too long"))
    }

    /// Copies an item of a `for_each` for templates.
    fn copy_item(&self, item: &Value) -> Result<Arc<Value>, ValueError> {
        let left = self.item_bytes.get().unwrap_or_else(|| item_bytes_max(self.payload));
        let bytes_max = left.min(COPIED_BYTES_MAX);
        let copied = copy_within(item, bytes_max);
        // An item that is too large was measured up to the limit, which takes as long as a copy.
        let bytes = copied.as_ref().map_or(bytes_max, |(_, bytes)| *bytes);
        self.item_bytes.set(Some(left - bytes));
        match copied {
            Ok((copy, _)) => Ok(copy),
            Err(too_large) if bytes_max == COPIED_BYTES_MAX => Err(too_large),
            Err(_) => {
                let message = "the items of this event are copied too often for templates";
                Err(ValueError::new(message))
            }
        }
    }

    /// Charges the event for the nodes of a value, and returns them.
    pub(crate) fn charge(&self, nodes: Vec<Scalar>) -> Result<Vec<Scalar>, ValueError> {
        // A `for_each` could otherwise put a copy of a large text into each of 1,000 requests.
        let bytes = nodes.iter().map(Scalar::bytes).sum();
        let left = self.bytes.get().checked_sub(bytes);
        self.bytes.set(left.unwrap_or(0));
        left.map(|_| nodes).ok_or_else(|| ValueError::new("the values of this event are too large"))
    }
}

/// Scope of an event with the current item of a `for_each`.
pub(crate) struct ItemScope<'a> {
    pub(crate) event_scope: &'a Scope<'a>,
    pub(crate) item: Option<&'a Value>,
    item_json: OnceCell<Result<Arc<Value>, ValueError>>,
}

impl<'a> ItemScope<'a> {
    pub(crate) fn new(event_scope: &'a Scope<'a>, item: Option<&'a Value>) -> ItemScope<'a> {
        ItemScope { event_scope, item, item_json: OnceCell::new() }
    }

    /// Returns the item in the form of templates, which is a copy.
    pub(crate) fn item_json(&self) -> Result<Option<Arc<Value>>, ValueError> {
        let Some(item) = self.item else { return Ok(None) };
        let copied = || self.event_scope.copy_item(item);
        self.item_json.get_or_init(copied).clone().map(Some)
    }

    /// Returns the value of `@`.
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

/// Steps that the queries of one event have left, and bytes of the payload that templates may still
/// copy and read. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<BudgetLeft>);

// Templates hold the budget in objects of minijinja, which have to be `Send` and `Sync`. One event
// is mapped by one thread at a time, so plain loads and stores lose nothing.

#[derive(Debug)]
struct BudgetLeft {
    steps: AtomicUsize,
    copied_bytes: AtomicUsize,
    read_bytes: AtomicUsize,
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget(Arc::new(BudgetLeft {
            steps: AtomicUsize::new(STEPS_MAX),
            copied_bytes: AtomicUsize::new(COPIED_BYTES_MAX),
            read_bytes: AtomicUsize::new(READ_BYTES_MAX),
        }))
    }

    /// Copies a part of the payload for a template.
    pub(crate) fn copy(&self, json: &Value) -> Result<Arc<Value>, ValueError> {
        let left = self.0.copied_bytes.load(Ordering::Relaxed);
        let (copy, bytes) = copy_within(json, left)?;
        self.0.copied_bytes.store(left - bytes, Ordering::Relaxed);
        Ok(copy)
    }

    /// Charges a text that a template reads.
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
        let mut budget = self.0.steps.load(Ordering::Relaxed);
        if budget == 0 {
            return Err(ValueError::new("the queries of this event take too many steps"));
        }
        let found = evaluate(&mut budget);
        self.0.steps.store(budget, Ordering::Relaxed);
        found.map_err(|error| ValueError(error.to_string()))
    }
}

/// Returns the bytes that the copies of all items of an event may take.
fn item_bytes_max(payload: &Value) -> usize {
    let mut left = usize::MAX;
    deduct_size(payload, &mut left);
    PAYLOAD_COPIES_MAX.saturating_mul(usize::MAX - left).saturating_add(COPIED_BYTES_MAX)
}

/// Returns a copy and the memory that it takes.
fn copy_within(json: &Value, bytes_max: usize) -> Result<(Arc<Value>, usize), ValueError> {
    let mut left = bytes_max;
    // Measured first: a copy that is too large is never made.
    if !deduct_size(json, &mut left) {
        return Err(ValueError::new("a template gets no more than 16 MiB of the payload copied"));
    }
    Ok((Arc::new(json.clone()), bytes_max - left))
}

/// Deducts the memory of the value from `left`; false if that is too little.
fn deduct_size(json: &Value, left: &mut usize) -> bool {
    // Key, hash and index of a member in the map, beside the bytes of its name and its value.
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
        Value::Array(items) => items.iter().all(|item| deduct_size(item, left)),
        Value::Object(members) => members.values().all(|member| deduct_size(member, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
