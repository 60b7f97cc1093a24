//! Seed data of the sandbox: a JSON file that users write, with its mistakes shown in place.

use std::collections::HashSet;
use std::ops::Range;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::account::Account;
use super::collection::Fields;
use super::fields::{self, FieldKind, Need, Rule};
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::suggestion::nearest;
use crate::json;

/// Validated records to start with.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    companies: Vec<Fields>,
    contacts: Vec<Fields>,
    feature_requests: Vec<Fields>,
    feedback: Vec<Fields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFile<'t> {
    #[serde(borrow, default)]
    companies: Vec<&'t RawValue>,
    #[serde(borrow, default)]
    contacts: Vec<&'t RawValue>,
    #[serde(borrow, default)]
    feature_requests: Vec<&'t RawValue>,
    #[serde(borrow, default)]
    feedback: Vec<&'t RawValue>,
}

// Without `company`, unlike the API's: Savio's own ids are not known before the sandbox has
// started.
const CONTACT: &[Rule] = &[
    ("internal_id", FieldKind::Text, Need::Required),
    ("name", FieldKind::Text, Need::Required),
    ("email", FieldKind::Email, Need::Optional),
    ("company_internal_id", FieldKind::Text, Need::Optional),
    ("filterable_attributes", FieldKind::Object, Need::Optional),
];

const FEATURE_REQUEST: &[Rule] = &[
    ("title", FieldKind::Text, Need::Required),
    ("description", FieldKind::Text, Need::Optional),
    ("tags", FieldKind::Texts, Need::Optional),
    ("roadmaps", FieldKind::Placements, Need::Optional),
    ("shipped_at", FieldKind::Text, Need::Optional),
    ("state", FieldKind::Text, Need::Optional),
    ("state_display", FieldKind::Text, Need::Optional),
    ("product", FieldKind::Text, Need::Optional),
    ("product_display", FieldKind::Text, Need::Optional),
    ("product_area", FieldKind::Text, Need::Optional),
    ("product_area_display", FieldKind::Text, Need::Optional),
    ("priority", FieldKind::Text, Need::Optional),
    ("priority_display", FieldKind::Text, Need::Optional),
    ("effort", FieldKind::Text, Need::Optional),
    ("effort_display", FieldKind::Text, Need::Optional),
    ("is_public", FieldKind::Boolean, Need::Optional),
    ("created", FieldKind::Text, Need::Optional),
    ("updated", FieldKind::Text, Need::Optional),
];

impl Seed {
    /// Reads a file, or returns all of its mistakes.
    pub fn read(document: &Document) -> Result<Seed, Vec<Diagnostic>> {
        let file: SeedFile<'_> = json::from_slice(document.text.as_bytes())
            .map_err(|error| vec![no_json(document, &error)])?;
        let mut mistakes = Vec::new();
        let mut take = |list: &[&RawValue], rules: &'static [Rule]| {
            let reader = SeedReader { rules };
            let entries = list.iter().filter_map(|raw| {
                reader.entry(raw, document).map_err(|wrong| mistakes.extend(wrong)).ok()
            });
            entries.collect()
        };
        let seed = Seed {
            companies: take(&file.companies, fields::COMPANY),
            contacts: take(&file.contacts, CONTACT),
            feature_requests: take(&file.feature_requests, FEATURE_REQUEST),
            feedback: take(&file.feedback, fields::FEEDBACK),
        };
        // Only without other mistakes: a company that was refused would be reported again for each
        // of its contacts, and the entries would not match the file's.
        if mistakes.is_empty() {
            mistakes = seed.unknown_companies(&file.contacts, document);
        }
        if mistakes.is_empty() { Ok(seed) } else { Err(mistakes) }
    }

    /// Reports contacts of companies that are not in the file.
    fn unknown_companies(&self, contacts: &[&RawValue], document: &Document) -> Vec<Diagnostic> {
        const KEY: &str = "company_internal_id";
        let id = |company: &'_ Fields| company.get("internal_id").cloned();
        let known: HashSet<Value> = self.companies.iter().filter_map(id).collect();
        let pairs = self.contacts.iter().zip(contacts);
        let unknown = pairs.filter(|(it, _)| it.get(KEY).is_some_and(|id| !known.contains(id)));
        let mistake = |(_, raw): (&Fields, &&RawValue)| {
            let message = format!("`{KEY}`: there is no company of this internal id in the file");
            Diagnostic::error(place(raw.get(), Some(KEY), document), message)
        };
        unknown.map(mistake).collect()
    }

    /// Creates an account with the records of the seed.
    pub(super) fn into_account(self, now: Timestamp) -> Account {
        let mut account = Account::default();
        for fields in [["product", "product_display"], ["product_area", "product_area_display"]] {
            if self.feature_requests.iter().any(|it| it.contains_key(fields[0])) {
                account.products.extend(fields);
            }
        }
        // In this order, so that contacts find their companies, and feedback finds its person and
        // its feature request.
        for company in self.companies {
            account.upsert_company(company, now);
        }
        for contact in self.contacts {
            let stored = account.upsert_contact(contact, now);
            stored.expect("a contact of a seed names no company by a number");
        }
        for feature_request in self.feature_requests {
            account.add_feature_request(feature_request, now);
        }
        for feedback in self.feedback {
            account.create_feedback(feedback, now);
        }
        account
    }
}

#[derive(Debug, Clone, Copy)]
struct SeedReader {
    rules: &'static [Rule],
}

impl SeedReader {
    fn entry(self, raw: &RawValue, document: &Document) -> Result<Fields, Vec<Diagnostic>> {
        let at = |key: Option<&str>| place(raw.get(), key, document);
        let Ok(Value::Object(entry)) = serde_json::from_str(raw.get()) else {
            return Err(vec![
                Diagnostic::error(at(None), "this is not an object").help("write { ... }"),
            ]);
        };
        let mut mistakes = Vec::new();
        let mut columns = Map::new();
        for (name, value) in entry.iter().filter(|(name, _)| !self.knows(name)) {
            if self.has_columns() && value.is_number() {
                columns.insert(name.clone(), value.clone());
            } else {
                mistakes.push(self.unknown(name, at(Some(name))));
            }
        }
        // A null counts as missing.
        let present: Fields = entry.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let valid = fields::clean(&present, self.rules).map_err(|errors| {
            let wrong = |(name, messages): (String, Value)| {
                let message = messages[0].as_str().unwrap_or_default().to_owned();
                Diagnostic::error(at(Some(&name)), format!("`{name}`: {message}"))
            };
            errors.into_iter().map(wrong).collect::<Vec<_>>()
        });
        match valid {
            Ok(mut valid) if mistakes.is_empty() => {
                valid.extend(columns);
                Ok(valid)
            }
            valid => {
                mistakes.extend(valid.err().unwrap_or_default());
                Err(mistakes)
            }
        }
    }

    /// Returns whether entries may have numbers of any name, as only feature requests may.
    fn has_columns(self) -> bool {
        self.knows("title")
    }

    fn knows(self, name: &str) -> bool {
        self.rules.iter().any(|(known, _, _)| *known == name)
    }

    fn unknown(self, name: &str, place: Range<usize>) -> Diagnostic {
        let known: Vec<&str> = self.rules.iter().map(|(known, _, _)| *known).collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None if self.has_columns() => "a column of your own is a number".to_owned(),
            None => format!("known here: {}", known.join(", ")),
        };
        Diagnostic::error(place, format!("unknown field `{name}`")).help(help)
    }
}

/// Position of a key of an entry in the file, or of the beginning of the entry. `entry` is a part
/// of the document's text.
fn place(entry: &str, key: Option<&str>, document: &Document) -> Range<usize> {
    // serde_json gives no positions of values. `RawValue` borrows from the text, so its address is
    // the position.
    let start = entry.as_ptr().addr().saturating_sub(document.text.as_ptr().addr());
    let quoted = key.map(|key| Value::from(key).to_string());
    match quoted.and_then(|quoted| Some((entry.find(&quoted)?, quoted.len()))) {
        Some((at, length)) => start + at..start + at + length,
        None => start..start + entry.lines().next().map_or(0, str::len),
    }
}

fn no_json(document: &Document, error: &serde_json::Error) -> Diagnostic {
    let lines = document.text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let start = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let start = start.min(document.text.len());
    let help = "known are companies, contacts, feature_requests and feedback, each a list";
    let mistake = Diagnostic::error(start..(start + 1).min(document.text.len()), message);
    if error.is_data() { mistake.help(help) } else { mistake }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, usize, &str)]) {
        let document = Document { name: "seed.json".to_owned(), text: text.to_owned() };
        let mistakes = Seed::read(&document).err().unwrap_or_default();
        let shown: Vec<(usize, usize, &str)> = mistakes
            .iter()
            .map(|mistake| {
                let (line, column) = mistake.line_and_column(&document);
                (line, column, mistake.message.as_str())
            })
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn valid_seed_is_accepted() {
        check("{}", &[]);
        check(r#"{"feature_requests": [{"title": "A", "MRR": 7.5, "shipped_at": null}]}"#, &[]);
        check(r#"{"feature_requests": [{"title": "A", "roadmaps": [{"roadmap": "2027"}]}]}"#, &[]);
    }

    #[test]
    fn each_mistake_of_a_seed_is_shown_in_place() {
        check("{\n", &[(2, 1, "EOF while parsing an object")]);
        check(
            "{\"feature_requests\": [\n{\"title\": \"A\", \"stat\": \"X\"}]}",
            &[(2, 16, "unknown field `stat`")],
        );
        check("{\"contacts\": [7]}", &[(1, 15, "this is not an object")]);
        let contact = r#"{"internal_id": "7", "name": "Ada", "company_internal_id": "6"}"#;
        check(
            &format!("{{\"contacts\": [\n{contact}]}}"),
            &[(
                2,
                37,
                "`company_internal_id`: there is no company of this internal id in the file",
            )],
        );
        check(
            "{\"companies\": [{\"internal_id\": \"6\"}]}",
            &[(1, 16, "`name`: This field is required.")],
        );
        check(
            "{\"feature_requests\": [{\"title\": \"A\", \"is_public\": \"no\"}]}",
            &[(1, 38, "`is_public`: Must be a valid boolean.")],
        );
    }
}
