//! Records of the sandbox's account, which find or create each other as Savio's reference
//! describes.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::collection::{Collection, ENTRIES_MAX, Fields};
use super::fields::FieldErrors;

/// State of a new feature request. The reference does not name one.
const STATE: &str = "UNDER_REVIEW";

#[derive(Debug)]
pub(super) struct Account {
    pub(super) feedback: Collection,
    pub(super) contacts: Collection,
    pub(super) companies: Collection,
    pub(super) feature_requests: Collection,
    tags: Collection,
    /// Pairs of a feature request and a person or company that asked for it, so that each is
    /// counted once.
    requesters: HashSet<(u64, u64)>,
    requesting_companies: HashSet<(u64, u64)>,
    /// Additional fields of feature requests on an account with products or product areas.
    pub(super) products: Vec<&'static str>,
}

impl Default for Account {
    fn default() -> Account {
        Account {
            feedback: Collection::new(&[]),
            contacts: Collection::new(&["internal_id", "email", "name"]),
            companies: Collection::new(&["internal_id", "name"]),
            feature_requests: Collection::new(&["title"]),
            tags: Collection::new(&["title"]),
            requesters: HashSet::new(),
            requesting_companies: HashSet::new(),
            products: Vec::new(),
        }
    }
}

impl Account {
    pub(super) fn create_feedback(&mut self, mut feedback: Fields, now: Timestamp) -> u64 {
        feedback.entry("state").or_insert_with(|| Value::from("ACTIVE"));
        let person = self.person(&feedback, now);
        let company = person.and_then(|person| self.employer(person, &feedback, now));
        // Savio ignores the company of feedback without a person.
        if person.is_none() {
            feedback.shift_remove("company_name");
        }
        for tag in feedback.get("tags").and_then(Value::as_array).into_iter().flatten() {
            self.tag(tag.as_str().unwrap_or_default());
        }
        let feature_request = text(&feedback, "feature_request_title").map(|title| {
            let known = self.feature_requests.find("title", title);
            known.unwrap_or_else(|| self.add_feature_request(named("title", title), now))
        });
        if let Some(id) = feature_request {
            self.count(id, (person, company), now);
        }
        for (name, id) in
            [("person", person), ("company", company), ("feature_request", feature_request)]
        {
            feedback.extend(id.map(|id| (name.to_owned(), Value::from(id))));
        }
        self.feedback.add(feedback)
    }

    /// Finds the person by the address, or by the name if there is no address, or creates one.
    fn person(&mut self, feedback: &Fields, now: Timestamp) -> Option<u64> {
        let (email, name) = (text(feedback, "person_email"), text(feedback, "person_name"));
        let known = match (email, name) {
            (Some(email), _) => self.contacts.find("email", email),
            (None, Some(name)) => self.contacts.find("name", name),
            (None, None) => return None,
        };
        Some(known.unwrap_or_else(|| {
            let fields = [("email", email), ("name", name)];
            let fields = fields.into_iter().filter_map(|(key, value)| Some((key, value?)));
            let fields = fields.map(|(key, value)| (key.to_owned(), Value::from(value)));
            self.contacts.add_at(now, fields.collect())
        }))
    }

    /// Returns the company that the feedback names, and moves the person to it; otherwise the
    /// person's own company.
    fn employer(&mut self, person: u64, feedback: &Fields, now: Timestamp) -> Option<u64> {
        let Some(name) = text(feedback, "company_name") else {
            return self.contacts.get(person)?.get("company")?.as_u64();
        };
        let known = self.companies.find("name", name);
        let id = known.unwrap_or_else(|| self.companies.add_at(now, named("name", name)));
        self.contacts.change(person, |it| drop(it.insert("company".to_owned(), id.into())));
        Some(id)
    }

    fn tag(&mut self, title: &str) -> Value {
        let known = self.tags.find("title", title);
        let id = known.unwrap_or_else(|| self.tags.add(named("title", title)));
        json!({ "id": id, "title": title })
    }

    /// Adds a feature request with these fields, and defaults for the others. `tags` are titles.
    pub(super) fn add_feature_request(&mut self, initial: Fields, now: Timestamp) -> u64 {
        let mut fields = Map::from_iter([
            ("title".to_owned(), Value::Null),
            ("description".to_owned(), Value::from("")),
            ("tags".to_owned(), json!([])),
            ("roadmaps".to_owned(), json!([])),
            ("shipped_at".to_owned(), Value::Null),
            ("state".to_owned(), Value::from(STATE)),
        ]);
        fields.extend(initial);
        let titles = fields["tags"].as_array().cloned().unwrap_or_default();
        let tags = titles.iter().filter_map(Value::as_str).map(|title| self.tag(title));
        fields.insert("tags".to_owned(), tags.collect());
        for name in ["state", "priority", "effort", "product", "product_area"] {
            let shown = text(&fields, name).map(label).map(Value::from);
            shown.map(|shown| fields.entry(format!("{name}_display")).or_insert(shown));
        }
        // Seed data may begin with counts of its own.
        fields.entry("is_public").or_insert(Value::from(false));
        for count in ["Requests", "Feedback", "Companies", "Votes"] {
            fields.entry(count).or_insert(Value::from(0));
        }
        self.feature_requests.add_at(now, fields)
    }

    fn count(&mut self, id: u64, by: (Option<u64>, Option<u64>), now: Timestamp) {
        // Bounded like the collections. Beyond that, the counts are too low, which a sandbox can
        // afford.
        let is_new = |seen: &mut HashSet<(u64, u64)>, other: Option<u64>| {
            other.is_some_and(|other| seen.len() < ENTRIES_MAX && seen.insert((id, other)))
        };
        let counted = [
            ("Feedback", true),
            ("Requests", is_new(&mut self.requesters, by.0)),
            ("Companies", is_new(&mut self.requesting_companies, by.1)),
        ];
        self.feature_requests.change(id, |fields| {
            for (name, _) in counted.into_iter().filter(|(_, is_counted)| *is_counted) {
                let count = fields.get(name).and_then(Value::as_u64).unwrap_or(0);
                fields.insert(name.to_owned(), Value::from(count.saturating_add(1)));
            }
            fields.insert("updated".to_owned(), Value::from(now.to_string()));
        });
    }

    /// Updates the contact with the same `internal_id` or address, or adds one.
    pub(super) fn upsert_contact(
        &mut self,
        mut contact: Fields,
        now: Timestamp,
    ) -> Result<u64, FieldErrors> {
        let company = contact.shift_remove("company").as_ref().and_then(Value::as_u64);
        if let Some(id) = company.filter(|id| self.companies.get(*id).is_none()) {
            let message = format!("Invalid pk \"{id}\" - object does not exist.");
            return Err(Map::from_iter([("company".to_owned(), json!([message]))]));
        }
        let internal_id = contact.shift_remove("company_internal_id");
        let internal_id = internal_id.as_ref().and_then(Value::as_str);
        let company =
            company.or_else(|| internal_id.and_then(|id| self.companies.find("internal_id", id)));
        contact.extend(company.map(|id| ("company".to_owned(), Value::from(id))));
        let find = |key| text(&contact, key).and_then(|value| self.contacts.find(key, value));
        let known = find("internal_id").or_else(|| find("email"));
        Ok(upsert(&mut self.contacts, known, contact, now))
    }

    /// Updates the company with the same `internal_id`, or adds one.
    pub(super) fn upsert_company(&mut self, company: Fields, now: Timestamp) -> u64 {
        let known =
            text(&company, "internal_id").and_then(|id| self.companies.find("internal_id", id));
        upsert(&mut self.companies, known, company, now)
    }

    /// Returns the contact as the API represents it.
    pub(super) fn show_contact(&self, contact: &Fields) -> Value {
        let company = contact.get("company").and_then(Value::as_u64);
        let company = company.and_then(|id| self.companies.get(id));
        let of_company = |name| company.and_then(|it| it.get(name)).cloned().unwrap_or_default();
        json!({
            "id": contact["id"],
            "internal_id": contact.get("internal_id"),
            "email": contact.get("email"),
            "name": contact.get("name"),
            "company": of_company("id"),
            "company_name": of_company("name"),
            "filterable_attributes": attributes(contact),
            "created": contact.get("created"),
            "updated": contact.get("updated"),
        })
    }

    pub(super) fn show_company(company: &Fields) -> Value {
        json!({
            "id": company["id"],
            "name": company.get("name"),
            "internal_id": company.get("internal_id"),
            "filterable_attributes": attributes(company),
            "created": company.get("created"),
            "updated": company.get("updated"),
        })
    }

    pub(super) fn show_feature_request(&self, feature_request: &Fields) -> Value {
        let mut shown = feature_request.clone();
        for name in &self.products {
            shown.entry(*name).or_insert(Value::Null);
        }
        Value::Object(shown)
    }
}

fn upsert(collection: &mut Collection, known: Option<u64>, fields: Fields, now: Timestamp) -> u64 {
    let Some(id) = known else {
        return collection.add_at(now, fields);
    };
    collection.update(id, fields, now);
    id
}

fn attributes(fields: &Fields) -> Value {
    fields.get("filterable_attributes").cloned().unwrap_or_else(|| json!({}))
}

fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields.get(name)?.as_str()
}

fn named(name: &str, value: &str) -> Fields {
    Map::from_iter([(name.to_owned(), Value::from(value))])
}

/// Display label of a value: `Under review` for `UNDER_REVIEW`.
fn label(word: &str) -> String {
    let words = word.replace(['_', '-'], " ").to_lowercase();
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_has_a_display_label() {
        assert_eq!(label("UNDER_REVIEW"), "Under review");
        assert_eq!(label("mobile-app"), "Mobile app");
        assert_eq!(label(""), "");
    }
}
