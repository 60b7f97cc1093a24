//! What a mapping file inherits from its provider's file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys that say where the proof is. A mapping file that has one of them inherits none of them.
const PROOF_LOCATION: [&str; 4] = ["header", "query", "field", "bearer"];

/// Adds the keys of `base` that a table does not have itself. They get the place of the key that
/// inherits them.
// Their own place is in another file: a mistake would be underlined anywhere in the mapping file.
pub(super) fn inherit<'t>(own: &mut DeTable<'t>, base: DeTable<'t>, place: &Range<usize>) {
    for (key, value) in base {
        let value = value.into_inner();
        let Some((own_key, _)) = own.get_key_value(key.get_ref().as_ref()) else {
            own.insert(Spanned::new(place.clone(), key.into_inner()), placed(value, place));
            continue;
        };
        let place = own_key.span();
        let own_value = own.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut);
        if let (Some(DeValue::Table(own)), DeValue::Table(base)) = (own_value, value) {
            match key.get_ref().as_ref() {
                "signature" => inherit_signature(own, base, &place),
                // Other tables, such as `[body]` and `[answer]`, replace the provider's: half of
                // one and half of the other would describe no sender.
                "timestamp" | "event" | "setup" => inherit(own, base, &place),
                _ => {}
            }
        }
    }
}

/// A `[signature]` that names a scheme stands alone; one that does not changes the provider's.
fn inherit_signature<'t>(own: &mut DeTable<'t>, mut base: DeTable<'t>, place: &Range<usize>) {
    // Most schemes take no key of another one: an inherited one would be a mistake in a file that
    // does not have it.
    if own.contains_key("scheme") {
        return;
    }
    // All locations are accepted: the provider's beside the file's own would be a second one that
    // nobody intended.
    if PROOF_LOCATION.iter().any(|key| own.contains_key(*key)) {
        for key in PROOF_LOCATION {
            base.remove(key);
        }
    }
    inherit(own, base, place);
}

/// Returns the value with the same place for all of its parts.
fn placed<'t>(value: DeValue<'t>, place: &Range<usize>) -> Spanned<DeValue<'t>> {
    let value = match value {
        DeValue::Array(items) => {
            DeValue::Array(items.into_iter().map(|item| placed(item.into_inner(), place)).collect())
        }
        DeValue::Table(entries) => {
            let entries = entries.into_iter();
            let entries = entries.map(|(key, value)| (key, placed(value.into_inner(), place)));
            DeValue::Table(entries.collect())
        }
        plain => plain,
    };
    Spanned::new(place.clone(), value)
}
