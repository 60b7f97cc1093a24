//! Blocks `[[feedback]]`, `[[contact]]` and `[[company]]`: the events they accept, the requests
//! they make.

use std::ops::Range;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::event_filter::events;
use super::fields::{EmptyPolicy, FieldRule, FieldValue, fields};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::event::{Event, FieldSet, FilledBlock, Request, RequestKind, TypePattern, storable};
use crate::mapping::explanation::{FieldResult, Recorder};
use crate::mapping::language::condition::WhenClause;
use crate::mapping::language::item_values::ItemValues;
use crate::mapping::language::literal_path::WrittenLiteral;
use crate::mapping::language::query::Query;
use crate::mapping::language::scope::{ItemScope, Scope};
use crate::mapping::language::template::{Templates, Variable};
use crate::mapping::language::value::ValueError;
use crate::mapping::language::value_reader::ValueReader;
use crate::mapping::result::{FeatureRequestLink, MappedRequests, MappingError};

/// Requests that one event may become.
const REQUESTS_MAX: usize = 1_000;

#[derive(Debug)]
pub(crate) struct RuleBlock {
    kind: RequestKind,
    /// Such as `feedback[0]`.
    pub(crate) name: String,
    /// Tells whether it is the same block in another text of the file.
    pub(crate) id: Arc<str>,
    pub(crate) place: Range<usize>,
    /// `None` if it accepts every event.
    pub(crate) events: Option<Vec<TypePattern>>,
    when: Option<WhenClause>,
    for_each: Option<Query>,
    fields: Vec<BlockField>,
    /// Texts that are sent as they are, although they may be meant as paths.
    literals: Vec<WrittenLiteral>,
}

/// One field of a block, and what is written for it.
#[derive(Debug)]
struct BlockField {
    rule: &'static FieldRule,
    /// Its position among the fields of its kind.
    position: usize,
    value: FieldValue,
    /// Place of the value in the file.
    place: Range<usize>,
}

/// Reads the blocks of a file.
pub(crate) struct BlockCompiler<'c> {
    pub(crate) templates: &'c mut Templates,
    pub(crate) has_answers: bool,
    pub(crate) mistakes: &'c mut Diagnostics,
}

impl BlockCompiler<'_> {
    pub(crate) fn block(
        &mut self,
        BlockPlace { kind, position, of_kind }: BlockPlace,
        mut table: TomlTable<'_>,
    ) -> RuleBlock {
        let events = events(&mut table, self.mistakes);
        let mut known =
            vec![Variable::Payload, Variable::Headers, Variable::Event, Variable::Jsonpath];
        known.extend(self.has_answers.then_some(Variable::Answers));
        let document = table.document();
        // `for_each` is read while there is no item yet; the keys after it may use `@` and `item`.
        let mut reader = ValueReader::new(document, self.templates, &known, self.mistakes);
        let for_each = table.text("for_each", reader.mistakes);
        let for_each = for_each.and_then(|text| nodes_query(&text, &mut reader));
        // Also if `for_each` is a mistake: otherwise each `@` would be reported as another one.
        if table.value("for_each").is_some() || table.misspells("for_each") {
            known.push(Variable::Item);
        }
        let mut reader = ValueReader::new(document, self.templates, &known, self.mistakes);
        let when = WhenClause::read(&mut table, &mut reader);
        let mut read = Vec::new();
        let mut literals = Vec::new();
        for (at, field) in fields(kind).iter().enumerate() {
            let value = field.read(&mut table, &mut reader);
            let place = table.whole_value_place(field.name);
            let of = |value| BlockField { rule: field, position: at, value, place };
            read.extend(value.map(of));
            literals.extend(reader.literals.drain(..).map(|literal| WrittenLiteral {
                is_whole: literal.is_whole && !field.takes_words(),
                ..literal
            }));
            // A required key that is there and wrong has been reported already.
            if field.if_empty != EmptyPolicy::LeaveOut && table.value(field.name).is_none() {
                reader.mistakes.push(missing(kind, field, &table));
            }
        }
        let place = table.place.clone();
        let conditions = ["events", "when", "for_each"].map(|key| {
            let written = table.has(key).then(|| table.whole_value_place(key));
            written.and_then(|place| document.text.get(place)).unwrap_or_default()
        });
        table.finish(self.mistakes);
        let name = format!("{}[{position}]", kind.as_str());
        let id = block_id(&name, of_kind, &conditions).into();
        RuleBlock { kind, name, id, place, events, when, for_each, fields: read, literals }
    }
}

/// Where a block is: the position among those of its kind, and how many these are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockPlace {
    pub(crate) kind: RequestKind,
    pub(crate) position: usize,
    pub(crate) of_kind: usize,
}

/// Returns an id that a block has as long as it runs for the same events and none is put before it.
fn block_id(name: &str, of_kind: usize, conditions: &[&str; 3]) -> String {
    let mut digest = Sha256::new();
    digest.update(of_kind.to_le_bytes());
    for text in conditions {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    let digest = HEXLOWER.encode(&digest.finalize()[..4]);
    format!("{name} {digest}")
}

fn nodes_query(text: &SpannedText, reader: &mut ValueReader<'_>) -> Option<Query> {
    if text.text.starts_with(['$', '@']) {
        return reader.query(text);
    }
    let message = "`for_each` must be a query that gives the items";
    let help = "write for_each = \"$.items[*]\"";
    reader.mistakes.push(Diagnostic::error(text.place.clone(), message).help(help));
    None
}

fn missing(kind: RequestKind, field: &FieldRule, table: &TomlTable<'_>) -> Diagnostic {
    let message = format!("this {} has no `{}`", kind.as_str(), field.name);
    let help = format!("Savio requires it: write {} = \"$.path\"", field.name);
    Diagnostic::error(table.place.clone(), message).help(help).missing(vec![field.name])
}

/// State of mapping one event through all blocks.
pub(crate) struct MappingRun<'r, 'l> {
    pub(crate) scope: &'r Scope<'r>,
    pub(crate) templates: &'r Templates,
    pub(crate) mapped: MappedRequests,
    pub(crate) recorder: Recorder<'l>,
    /// Whether it goes on where a field fails, to give what the event says all the same.
    pub(crate) keeps_rest: bool,
}

/// Request that a block is building.
struct RequestDraft<'m> {
    view: ItemValues<'m>,
    /// Number of its `for_each` item, from 1.
    item: Option<usize>,
}

impl RuleBlock {
    pub(crate) fn accepts(&self, event: &Event) -> bool {
        let Some(patterns) = &self.events else {
            return true;
        };
        let event_type = event.event_type.as_deref();
        event_type.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
    }

    /// Adds the requests of this block, whose position among all blocks is `position`.
    pub(crate) fn run(
        &self,
        position: usize,
        run: &mut MappingRun<'_, '_>,
    ) -> Result<(), MappingError> {
        let Some(query) = &self.for_each else {
            let view = ItemValues::new(run.scope, run.templates, None);
            return self.request(position, &RequestDraft { view, item: None }, run);
        };
        let items = ItemScope::new(run.scope, None).nodes(query);
        let items = items.map_err(|failure| self.unmappable("for_each", &failure))?;
        if items.is_empty() {
            run.recorder.reason("`for_each` gives no item");
        }
        for (index, item) in items.into_iter().enumerate() {
            let view = ItemValues::new(run.scope, run.templates, Some(item));
            self.request(position, &RequestDraft { view, item: Some(index + 1) }, run)?;
        }
        Ok(())
    }

    fn request(
        &self,
        position: usize,
        draft: &RequestDraft<'_>,
        run: &mut MappingRun<'_, '_>,
    ) -> Result<(), MappingError> {
        if let Some(when) = &self.when
            && !when.holds(&draft.view).map_err(|failure| self.unmappable("when", &failure))?
        {
            run.recorder.reason(&format!("`when` is false{}", draft.item_suffix()));
            return Ok(());
        }
        let Some(body) = self.body(draft, run)? else {
            return Ok(());
        };
        let filled = |field: &&BlockField| body.contains_key(field.rule.name);
        let (filled, missing): (Vec<_>, Vec<_>) = self.fields.iter().partition(filled);
        self.note_fields(&filled, &missing, run);
        // Not by the number of items, since `when` and empty fields may leave few requests.
        if run.mapped.requests.len() == REQUESTS_MAX {
            let failure =
                ValueError(format!("the event becomes more than {REQUESTS_MAX} requests"));
            return Err(self.unmappable("for_each", &failure));
        }
        run.recorder.request();
        // Before the push, while the length is the position that the request will have.
        run.mapped.links.extend(self.links(&body, draft, run.mapped.requests.len()));
        run.mapped.requests.push(Request { kind: self.kind, body });
        run.mapped.made_by.push(position);
        Ok(())
    }

    /// Builds the body; `None` if a field without which there is no request is empty. Of a body that fails,
    /// the run gets the rest, if it keeps that.
    fn body(
        &self,
        draft: &RequestDraft<'_>,
        run: &mut MappingRun<'_, '_>,
    ) -> Result<Option<Map<String, Value>>, MappingError> {
        let (mut body, mut failure) = (Map::new(), None);
        for field in &self.fields {
            let rule = field.rule;
            let value = self.value(field, draft, run).or_else(|failed| {
                failure.get_or_insert(failed);
                if run.keeps_rest { Ok(None) } else { Err(()) }
            });
            let Ok(value) = value else { break };
            match value {
                // Savio cannot store NUL, which literals and names of attributes may still contain.
                Some(value) => drop(body.insert(rule.name.to_owned(), storable(value))),
                None if rule.if_empty == EmptyPolicy::NoRequest && failure.is_none() => {
                    let reason = format!("`{}` is empty{}", rule.name, draft.item_suffix());
                    run.recorder.reason(&reason);
                    run.note(format!("{}: no request, {reason}", self.name));
                    // Of the other fields this says nothing.
                    self.note_fields(&[], &[field], run);
                    return Ok(None);
                }
                None => {}
            }
        }
        let Some(failure) = failure else { return Ok(Some(body)) };
        run.mapped.requests.push(Request { kind: self.kind, body });
        Err(failure)
    }

    /// Notes which fields a request of the block has, or which one kept it from being made.
    fn note_fields(
        &self,
        filled: &[&BlockField],
        missing: &[&BlockField],
        run: &mut MappingRun<'_, '_>,
    ) {
        let set = |fields: &[&BlockField]| {
            fields.iter().fold(FieldSet::default(), |set, it| set.with(FieldSet::of(it.position)))
        };
        let (filled, missing) = (set(filled), set(missing));
        if let Some(block) = run.mapped.filled.last_mut().filter(|last| last.block == self.id) {
            block.add(filled, missing);
        } else {
            let block = Arc::clone(&self.id);
            run.mapped.filled.push(FilledBlock { block, filled, missing });
        }
    }

    /// Returns the fields that the file fills, by their positions among those of its kind.
    pub(crate) fn field_names(&self) -> Vec<(usize, &'static str)> {
        self.fields.iter().map(|field| (field.position, field.rule.name)).collect()
    }

    /// Returns the fields of this request that delivery looks up.
    fn links(
        &self,
        body: &Map<String, Value>,
        draft: &RequestDraft<'_>,
        request: usize,
    ) -> impl Iterator<Item = FeatureRequestLink> {
        let present = self.fields.iter().filter(|field| body.contains_key(field.rule.name));
        present.filter_map(move |BlockField { rule, value, .. }| {
            let field = format!("{}.{}{}", self.name, rule.name, draft.item_suffix());
            value.existing().map(|existing| FeatureRequestLink { request, field, existing })
        })
    }

    fn value(
        &self,
        BlockField { rule: field, value, place, .. }: &BlockField,
        draft: &RequestDraft<'_>,
        run: &mut MappingRun<'_, '_>,
    ) -> Result<Option<Value>, MappingError> {
        let mut log = run.recorder.query_log();
        let filled = field.fill(value, &draft.view, &mut log);
        let name = || format!("{}.{}", self.name, field.name);
        match filled {
            Ok(filled) => {
                let shown = filled.value.as_ref().unwrap_or(&Value::Null);
                run.recorder.field((name, place), log, FieldResult::Value(shown));
                if filled.value.is_some()
                    && let Some(existing) = value.existing()
                {
                    run.recorder.add_note(existing.remark());
                }
                for note in filled.notes {
                    run.note(format!("{}{}: {note}", name(), draft.item_suffix()));
                }
                if filled.value.is_none() && field.if_empty == EmptyPolicy::Unmappable {
                    let empty = ValueError(format!("it is empty{}", draft.item_suffix()));
                    return Err(self.unmappable(field.name, &empty));
                }
                Ok(filled.value)
            }
            Err(failure) => {
                run.recorder.field((name, place), log, FieldResult::Note(&failure.0));
                if field.if_empty != EmptyPolicy::LeaveOut {
                    return Err(self.unmappable(field.name, &failure));
                }
                run.mapped.left_out.insert(field.name.to_owned());
                run.note(format!("{}{} was left out: {failure}", name(), draft.item_suffix()));
                Ok(None)
            }
        }
    }

    fn unmappable(&self, field: &str, failure: &ValueError) -> MappingError {
        MappingError { field: format!("{}.{field}", self.name), reason: failure.0.clone() }
    }

    /// Returns warnings about what, by this sample, is probably not meant.
    pub(crate) fn lints(&self, scope: &Scope<'_>) -> Vec<Diagnostic> {
        let payload: &Value = scope.payload;
        let Some(query) = &self.for_each else {
            return self.lints_of(payload, None);
        };
        let items = ItemScope::new(scope, None).nodes(query).unwrap_or_default();
        let mut warnings = Vec::new();
        for item in items.into_iter().take(REQUESTS_MAX) {
            for warning in self.lints_of(payload, Some(item)) {
                // Most items raise the same one.
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        warnings
    }

    fn lints_of(&self, payload: &Value, item: Option<&Value>) -> Vec<Diagnostic> {
        let of_when =
            self.when.iter().flat_map(|when| when.lints(payload, item.unwrap_or(payload)));
        let of_literals = self.literals.iter().filter_map(|literal| literal.lint(payload, item));
        of_when.chain(of_literals).collect()
    }
}

impl RequestDraft<'_> {
    fn item_suffix(&self) -> String {
        self.item.map_or(String::new(), |item| format!(" (item {item})"))
    }
}

impl MappingRun<'_, '_> {
    /// Notes kept for one event.
    const NOTES_MAX: usize = 100;

    pub(crate) fn note(&mut self, note: String) {
        if self.mapped.notes.len() < MappingRun::NOTES_MAX {
            self.mapped.notes.push(note);
        }
    }
}
