//! Locations in a request, as `[signature]` names them.

use std::ops::Range;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::intake::signature::{BodyField, CredentialLocation};

/// Reads the locations of the proof; reports a mistake if there is none.
pub(super) fn credential_locations(
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Vec<CredentialLocation> {
    let mistakes_before = mistakes.len();
    let headers = table.texts("header", mistakes).unwrap_or_default();
    let mut locations: Vec<CredentialLocation> = headers
        .iter()
        .filter_map(|name| header_name(&name.text, &name.place, mistakes))
        .map(CredentialLocation::Header)
        .collect();
    let query = table.text("query", mistakes);
    locations.extend(query.map(|name| CredentialLocation::Query(name.text)));
    let field = table.text("field", mistakes).and_then(|name| body_field(&name, 0, mistakes));
    locations.extend(field.map(CredentialLocation::Field));
    if table.boolean("bearer", mistakes) == Some(true) {
        locations.push(CredentialLocation::Bearer);
        warn_of_bearer(&headers, table, mistakes);
    }
    // A location that is written wrong is reported already; that none is left only follows from it.
    if locations.is_empty() && mistakes.len() == mistakes_before {
        let message = "[signature] does not say where the proof is";
        let help =
            "write header = \"X-Signature\", query = \"token\", field = \"Key\" or bearer = true";
        let mistake = Diagnostic::error(table.place.clone(), message).help(help);
        mistakes.push(mistake.missing(vec!["header", "query", "field", "bearer"]));
    }
    locations
}

/// Warns of keys that repeat what `bearer` says.
// Requests are verified all the same, so these are no errors.
fn warn_of_bearer(headers: &[SpannedText], table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) {
    for name in headers.iter().filter(|it| it.text.trim().eq_ignore_ascii_case("authorization")) {
        let message = "`bearer = true` reads the header Authorization already";
        let warning = Diagnostic::warning(name.place.clone(), message);
        mistakes.push(warning.help("leave this name out"));
    }
    let prefix = table.value("prefix").and_then(|prefix| prefix.get_ref().as_str());
    if prefix.is_some_and(|prefix| prefix.trim().eq_ignore_ascii_case("bearer")) {
        let message = "`bearer = true` takes `Bearer ` off before `prefix` is looked for";
        let warning = Diagnostic::warning(table.value_place("prefix"), message);
        mistakes.push(warning.help("leave `prefix` out"));
    }
}

/// Parses the part of the text from byte `from` on as a field of the body.
pub(super) fn body_field(
    text: &SpannedText,
    from: usize,
    mistakes: &mut Diagnostics,
) -> Option<BodyField> {
    let name = &text.text[from..];
    let field = BodyField::parse(name);
    if field.is_none() {
        let message = format!("`{name}` is not a field");
        let help = "write a form's field by its name, or one of JSON as $.data.key";
        mistakes.push(Diagnostic::error(text.place.clone(), message).help(help));
    }
    field
}

pub(super) fn header_name(
    name: &str,
    place: &Range<usize>,
    mistakes: &mut Diagnostics,
) -> Option<String> {
    // By the rules of HTTP (RFC 9110, section 5.1): another name would never be found in a request.
    let parsed = http::HeaderName::from_bytes(name.trim().as_bytes());
    if parsed.is_err() {
        mistakes.push(Diagnostic::error(
            place.clone(),
            format!("`{name}` is not the name of a header"),
        ));
    }
    parsed.ok().map(|name| name.as_str().to_owned())
}
