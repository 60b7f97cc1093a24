//! Several states, as a parameter or in a body.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::event::State;

/// At least one state: a name, names separated by commas, or a list of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct States(pub(super) Vec<State>);

impl<'de> Deserialize<'de> for States {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<States, D::Error> {
        deserializer.deserialize_any(StatesVisitor).map(States)
    }
}

struct StatesVisitor;

impl<'de> Visitor<'de> for StatesVisitor {
    type Value = Vec<State>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a state or a list of states")
    }

    fn visit_str<E: Error>(self, names: &str) -> Result<Vec<State>, E> {
        let parsed = names.split(',').map(|name| {
            let name: StrDeserializer<'_, E> = name.trim().into_deserializer();
            State::deserialize(name)
        });
        parsed.collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Vec<State>, A::Error> {
        let mut states = Vec::new();
        while let Some(state) = names.next_element()? {
            states.push(state);
        }
        // It would match every event.
        if states.is_empty() {
            return Err(A::Error::custom("`state` is empty: leave it out or give it a value"));
        }
        Ok(states)
    }
}

impl PartialSchema for States {
    fn schema() -> RefOr<Schema> {
        let list = ArrayBuilder::new().items(State::schema()).min_items(Some(1));
        OneOfBuilder::new().item(State::schema()).item(list).into()
    }
}

impl ToSchema for States {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn states_are_read_from_a_name_from_names_and_from_a_list() {
        let read = |value: Value| serde_json::from_value::<States>(value).map(|States(it)| it);
        assert_eq!(read(json!("dead")).unwrap(), [State::Dead]);
        assert_eq!(read(json!("dead, held")).unwrap(), [State::Dead, State::Held]);
        assert_eq!(read(json!(["queued", "held"])).unwrap(), [State::Queued, State::Held]);
        for wrong in [json!([]), json!(""), json!("dead,"), json!("lost"), json!(7), json!([null])]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
