//! Keys of a mapping file that act before an event is mapped: a comparison of stored events cannot
//! show what they would change.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use crate::diagnostics::table::{self, Diagnostics};
use crate::intake::provider::Provider;
use crate::mapping_file::file::MappingFile;

/// Keys of the mapping itself, whose effect is compared.
const COMPARED: [&str; 4] = ["feedback", "contact", "company", "answers"];

/// Keys without an effect on events. Of `provider`, the keys that it stands for count.
const WITHOUT_EFFECT: [&str; 4] = ["provider", "title", "docs", "test"];

/// Event types that are stored. A file that does not have the key stores what its blocks name.
const EVENTS: &str = "events";

/// Returns the keys that differ and act at intake, or on where requests are sent.
pub fn not_compared(old: &MappingFile, new: &MappingFile) -> Vec<String> {
    let mut ignored = Diagnostics::new();
    let mut old_table = table::parse(&old.document, &mut ignored);
    let mut new_table = table::parse(&new.document, &mut ignored);
    Provider::inherit(old_table.get_mut());
    Provider::inherit(new_table.get_mut());
    let (old_table, new_table) = (old_table.get_ref(), new_table.get_ref());

    let keys = old_table.keys().chain(new_table.keys()).map(|key| key.get_ref().as_ref());
    let keys: BTreeSet<&str> = keys.collect();
    let is_other =
        |key: &&str| !COMPARED.contains(key) && !WITHOUT_EFFECT.contains(key) && *key != EVENTS;
    let differs = |key: &&str| !is_same(member(old_table, key), member(new_table, key));
    let mut differing: Vec<String> =
        keys.into_iter().filter(is_other).filter(differs).map(str::to_owned).collect();
    let stored = |file: &MappingFile| file.source.as_ref().map(|source| source.events.clone());
    if stored(old) != stored(new) {
        differing.push(EVENTS.to_owned());
        differing.sort_unstable();
    }
    differing
}

fn member<'t, 'd>(table: &'t DeTable<'d>, key: &str) -> Option<&'t DeValue<'d>> {
    table.get(key).map(toml::Spanned::get_ref)
}

/// Compares values without regard to how and where they are written.
fn is_same(old: Option<&DeValue<'_>>, new: Option<&DeValue<'_>>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(DeValue::Table(old)), Some(DeValue::Table(new))) => {
            old.len() == new.len()
                && old.keys().all(|key| {
                    let key = key.get_ref().as_ref();
                    is_same(member(old, key), member(new, key))
                })
        }
        (Some(DeValue::Array(old)), Some(DeValue::Array(new))) => {
            let mut pairs = old.iter().zip(new.iter());
            old.len() == new.len()
                && pairs.all(|(old, new)| is_same(Some(old.get_ref()), Some(new.get_ref())))
        }
        (Some(DeValue::String(old)), Some(DeValue::String(new))) => old == new,
        (Some(DeValue::Boolean(old)), Some(DeValue::Boolean(new))) => old == new,
        (Some(DeValue::Datetime(old)), Some(DeValue::Datetime(new))) => old == new,
        (Some(DeValue::Integer(old)), Some(DeValue::Integer(new))) => {
            (old.as_str(), old.radix()) == (new.as_str(), new.radix())
        }
        (Some(DeValue::Float(old)), Some(DeValue::Float(new))) => old.as_str() == new.as_str(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::document::Document;

    const FORM: &str = "provider = \"form\"\nsecrets = [\"env:S\"]\n";
    const BLOCK: &str = "[[feedback]]\nproblem = \"$.text\"\n";

    fn file(text: &str) -> MappingFile {
        let file = MappingFile::of_text(Document { name: "form.toml".into(), text: text.into() });
        assert!(file.source.is_some(), "{text}: {:?}", file.mistakes);
        file
    }

    #[track_caller]
    fn check(old: &str, new: &str, expected: &[&str]) {
        assert_eq!(not_compared(&file(old), &file(new)), expected);
        assert_eq!(not_compared(&file(new), &file(old)), expected);
    }

    #[test]
    fn keys_that_act_at_intake_are_named() {
        let old = format!("{FORM}{BLOCK}");
        let with = |keys: &str| format!("{FORM}{keys}{BLOCK}");
        check(&old, &with("[event]\nid = \"$.id\"\n"), &["event"]);
        check(&old, &with("events = [\"message\"]\n"), &["events"]);
        check(&old, &with("destination = \"eu\"\nrate = \"5/s\"\n"), &["destination", "rate"]);
        check(&old, &old.replace("env:S", "env:T"), &["secrets"]);
        let typed = old.replace("problem", "events = [\"message\"]\nproblem");
        check(&old, &typed, &["events"]);
    }

    #[test]
    fn keys_without_an_effect_and_other_ways_to_write_are_not_named() {
        let old = format!("{FORM}{BLOCK}");
        let written = "secrets = ['env:S'] # the same\nprovider = \"form\"\n".to_owned()
            + "[[feedback]]\nproblem = \"$.other\"\ntags = [\"a\"]\n";
        check(&old, &written, &[]);
        let test = "[[test]]\npayload = \"a.json\"\nexpect = \"b.json\"\n";
        check(&old, &format!("{old}{test}"), &[]);
    }

    #[test]
    fn provider_counts_by_what_it_stands_for() {
        let of =
            |provider: &str| format!("provider = \"{provider}\"\nsecrets = [\"env:S\"]\n{BLOCK}");
        let differing = not_compared(&file(&of("form")), &file(&of("typeform")));
        assert!(differing.contains(&"signature".to_owned()), "{differing:?}");
        assert!(!differing.contains(&"provider".to_owned()), "{differing:?}");
    }
}
