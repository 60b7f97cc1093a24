//! Comments of a drafted mapping file: why a value was taken, and what else could be.

use crate::diagnostics::one_line;
use crate::draft::event_identity::IdentityValue;
use crate::draft::field_guesses::{Choice, FieldGuesses, Offer};
use crate::draft::provider_guess::Recognition;
use crate::draft::toml_text::quoted;
use crate::event::SourceName;
use crate::intake::provider::Provider;
use crate::mapping_file::bundle;

/// Letters of a value that are shown.
const CHARS_MAX: usize = 60;

/// Returns the first lines of the file.
pub(super) fn opening(name: &SourceName, provider: Option<&Recognition>) -> String {
    let mut opening = "#:schema ./mapping.schema.json\n#\n".to_owned();
    match provider {
        None => {
            opening +=
                "# A first draft for a tool that the relay does not know, made from one payload.\n";
        }
        Some(Recognition { provider, why }) => {
            opening += &format!(
                "# {}: a first draft, made from one payload.\n",
                Provider::title_of(provider)
            );
            if !why.is_empty() {
                opening += &format!("# It was recognised, since {why}.\n");
            }
            for name in bundle::of_provider(provider) {
                opening += &format!(
                    "# A finished mapping is shipped, which may fit better: savio-relay init {name}\n"
                );
            }
        }
    }
    opening
        + &format!(
            "# Read it, change it, and run\n#   savio-relay check mappings/{name}.toml\n\
             #   savio-relay try {name} PAYLOAD --explain\n\n"
        )
}

/// Returns the comment above a field.
pub(super) fn taken(what: &str, choice: &Choice) -> String {
    format!("# {what}: {}.\n", choice.why)
}

/// Returns the comment in the place of a field.
pub(super) fn absent(what: &str, name: &str, choice: &Choice) -> String {
    let why = if choice.others.is_empty() {
        "nothing like it was found. Write the path to it here"
    } else {
        "nothing was sure enough. Write one of those below here"
    };
    format!("# {what}: {why}.\n# {name} = \"$.path\"\n")
}

/// Returns the comment below a field, with the values that were not taken.
pub(super) fn others(choice: &Choice) -> String {
    offers("Also found", &choice.others)
}

/// Returns the comment with ids that were not taken.
pub(super) fn ids(others: &[IdentityValue], repeats: bool) -> String {
    let offer = |id: &IdentityValue| Offer {
        written: id.written.clone(),
        value: id.value.clone(),
        why: String::new(),
    };
    let others: Vec<Offer> = others.iter().map(offer).collect();
    let mut comment = String::new();
    if repeats {
        comment += "# No id is used: several events could have the same, and all but the first would be lost.\n";
    }
    comment + &offers("Other ids that were found", &others)
}

/// Returns a block for the person as a comment, if their id was found.
pub(super) fn contact(guesses: &FieldGuesses) -> String {
    let FieldGuesses { internal_id, person_name, person_email, .. } = guesses;
    let (Some(id), Some(name)) = (internal_id, &person_name.taken) else { return String::new() };
    let mut block = format!(
        "\n# To keep the person up to date as well, if this is their id in your own system ({}):\n\
         # [[contact]]\n# internal_id = {}\n# name = {}\n",
        shown(&id.value),
        quoted(&id.written),
        quoted(name)
    );
    if let Some(email) = &person_email.taken {
        block += &format!("# email = {}\n", quoted(email));
    }
    block
}

fn offers(title: &str, offers: &[Offer]) -> String {
    if offers.is_empty() {
        return String::new();
    }
    let offer = |Offer { written, value, why }: &Offer| {
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        format!("#   {}: {}{why}\n", quoted(written), shown(value))
    };
    format!("# {title}:\n{}", offers.iter().map(offer).collect::<String>())
}

/// Returns a value of the payload in one short line.
pub(super) fn shown(value: &str) -> String {
    // A replacement character would count as damage of the file.
    let line = one_line(value).replace(char::REPLACEMENT_CHARACTER, "?");
    if line.chars().count() <= CHARS_MAX {
        return line;
    }
    line.chars().take(CHARS_MAX).chain(['…']).collect()
}
