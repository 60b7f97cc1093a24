//! What the values of one event can see, made at most once per event, and what they may cost.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::Value as Shared;
use serde_json::Value;

use super::answers::{Answers, Collected};
use super::plain::{Failure, Plain};
use super::query::{BudgetExceeded, Condition, Query};
use super::template::Templates;
use crate::event::{Event, Headers};

/// What all queries of one event may take together.
const STEPS_MAX: usize = 20_000_000;
/// What all templates of one event may burn together.
const FUEL_MAX: u64 = 2_000_000;
/// How much text all values of one event may hold together.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// One event, as all of its values see it.
pub(super) struct Scope<'a> {
    pub(super) payload: &'a Value,
    pub(super) headers: &'a Headers,
    /// None where a provider's file only asks for an id or a type.
    pub(super) event: Option<&'a Event>,
    pub(super) answers: Option<&'a Answers>,
    pub(super) budget: Budget,
    fuel: Cell<u64>,
    bytes: Cell<usize>,
    collected: OnceCell<Result<Arc<Collected>, Failure>>,
    pub(super) shared: SharedParts,
}

/// The parts of an event in the form that templates want.
#[derive(Default)]
pub(super) struct SharedParts {
    pub(super) payload: OnceCell<Shared>,
    pub(super) headers: OnceCell<Shared>,
    pub(super) event: OnceCell<Shared>,
    pub(super) json: OnceCell<Arc<Value>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(payload: &'a Value, headers: &'a Headers) -> Scope<'a> {
        Scope {
            payload,
            headers,
            event: None,
            answers: None,
            budget: Budget(Arc::new(AtomicUsize::new(STEPS_MAX))),
            fuel: Cell::new(FUEL_MAX),
            bytes: Cell::new(BYTES_MAX),
            collected: OnceCell::new(),
            shared: SharedParts::default(),
        }
    }

    pub(super) fn of_event(
        event: &'a Event,
        payload: &'a Value,
        answers: Option<&'a Answers>,
    ) -> Scope<'a> {
        Scope { event: Some(event), answers, ..Scope::new(payload, &event.headers) }
    }

    /// The form's questions with their answers; none where the provider has no `[answers]`.
    pub(super) fn collected(&self) -> Result<Option<Arc<Collected>>, Failure> {
        let Some(answers) = self.answers else {
            return Ok(None);
        };
        self.collected.get_or_init(|| answers.collect(self).map(Arc::new)).clone().map(Some)
    }

    /// What could not be told while the answers were read.
    pub(super) fn answer_notes(&self) -> Vec<String> {
        match self.collected.get() {
            Some(Ok(collected)) => collected.notes.clone(),
            Some(Err(_)) | None => Vec::new(),
        }
    }

    pub(super) fn burn(&self, fuel: u64) -> Result<(), Failure> {
        let left = self.fuel.get().checked_sub(fuel);
        self.fuel.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| Failure::new("the templates of this event take too long"))
    }

    /// Counts what a value holds, so that many requests cannot each take a copy of a large payload.
    pub(super) fn hold(&self, nodes: Vec<Plain>) -> Result<Vec<Plain>, Failure> {
        let bytes = nodes.iter().map(Plain::bytes).sum();
        let left = self.bytes.get().checked_sub(bytes);
        self.bytes.set(left.unwrap_or(0));
        left.map(|_| nodes).ok_or_else(|| Failure::new("the values of this event are too large"))
    }
}

/// The scope, and the item of a `for_each` in it.
pub(super) struct View<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) templates: &'a Templates,
    pub(super) item: Option<&'a Value>,
    pub(super) shared_item: OnceCell<Shared>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        scope: &'a Scope<'a>,
        templates: &'a Templates,
        item: Option<&'a Value>,
    ) -> View<'a> {
        View { scope, templates, item, shared_item: OnceCell::new() }
    }

    /// What `@` is.
    fn current(&self) -> &'a Value {
        self.item.unwrap_or(self.scope.payload)
    }

    pub(super) fn nodes(&self, query: &Query) -> Result<Vec<&'a Value>, Failure> {
        self.scope.budget.nodes(query, self.scope.payload, self.current())
    }

    pub(super) fn holds(&self, condition: &Condition) -> Result<bool, Failure> {
        self.scope.budget.holds(condition, self.scope.payload, self.current())
    }
}

/// How many steps the queries of one event have left.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(super) fn nodes<'v>(
        &self,
        query: &Query,
        root: &'v Value,
        current: &'v Value,
    ) -> Result<Vec<&'v Value>, Failure> {
        self.spend(|budget| query.nodes_within(root, current, budget))
    }

    fn holds(&self, condition: &Condition, root: &Value, current: &Value) -> Result<bool, Failure> {
        self.spend(|budget| condition.holds_within(root, current, budget))
    }

    fn spend<T>(
        &self,
        evaluate: impl FnOnce(&mut usize) -> Result<T, BudgetExceeded>,
    ) -> Result<T, Failure> {
        // One event is mapped by one thread at a time; the atomic only lets templates share it.
        let mut budget = self.0.load(Ordering::Relaxed);
        if budget == 0 {
            return Err(Failure::new("the queries of this event take too many steps"));
        }
        let found = evaluate(&mut budget);
        self.0.store(budget, Ordering::Relaxed);
        found.map_err(|error| Failure(error.to_string()))
    }
}
