//! Structs that are read from JSON objects only. A derived `Deserialize` also accepts a list, by
//! position: `[true]` for `{"arrived": true}`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deserializes a struct from a JSON object only. Lists of structs inside it need [`objects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<T>(pub T);

const EXPECTED: &str = "a JSON object is expected";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        // `deserialize_map` would refuse other types itself: "invalid type: sequence, expected …".
        deserializer.deserialize_any(ObjectVisitor(PhantomData)).map(Object)
    }
}

/// Deserializes a list of structs, each from a JSON object only; for `deserialize_with`.
pub fn objects<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(object)| object).collect())
}

/// Deserializes a struct from the text of a JSON object, which may begin with a byte order mark.
pub fn from_slice<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(without_bom(text)).map(|Object(object)| object)
}

/// Strips the byte order mark that some editors and tools write before a text. RFC 8259 allows a
/// parser to ignore it, and serde_json refuses it.
pub fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    // The defaults of these methods would name Rust's types: "invalid type: sequence, expected …".
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        arrived: bool,
        #[serde(default, deserialize_with = "objects")]
        parts: Vec<Part>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        id: u64,
    }

    fn error(text: &str) -> String {
        from_slice::<Order>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn object_is_read() {
        let order: Order = from_slice(br#"{"arrived": true, "parts": [{"id": 7}]}"#).unwrap();

        assert_eq!(order, Order { arrived: true, parts: vec![Part { id: 7 }] });
        assert!(error(r#"{"arived": true}"#).starts_with("unknown field `arived`"));
    }

    #[test]
    fn other_json_types_are_refused_with_the_expectation() {
        let others = ["[true]", "[]", "[[true]]", "7", "-7", "1.5", "\"arrived\"", "null", "true"];
        for other in others {
            assert!(error(other).starts_with(EXPECTED), "{other}: {}", error(other));
        }
    }

    #[test]
    fn list_for_an_inner_object_is_refused() {
        assert!(error(r#"{"arrived": true, "parts": [[7]]}"#).starts_with(EXPECTED));
    }
}
