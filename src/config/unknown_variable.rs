//! Variables that look like settings and are none: a misspelled one is an error that names the right
//! one, since the setting would be ignored without a word.

use std::ops::Range;

use super::known_keys::{KnownKey, PREFIX};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::suggestion::nearest_within;

/// Returns what is wrong with the variable; nothing if an orchestrator sets it.
pub(super) fn judge(variable: &str, place: Range<usize>, keys: &[KnownKey]) -> Option<Diagnostic> {
    let name = variable.trim_start_matches(PREFIX).to_lowercase();
    let parts: Vec<&str> = name.split("__").collect();
    if let Some(tables) = keys.iter().find(|key| is_in_tables(key, &parts)) {
        let table = tables.toml();
        let message = format!("{variable}: [[{table}]] cannot be set by a variable");
        let help = format!(
            "write it into relay.toml: [[{table}]] is a list of tables, and its secrets can be in \
             variables, as \"env:NAME\""
        );
        return Some(Diagnostic::error(place, message).help(help));
    }
    let message = format!("{variable} is not a setting");
    if let Some(meant) = meant(&name, keys) {
        return Some(Diagnostic::error(place, message).help(format!("write {meant}")));
    }
    if name.contains("__") {
        return Some(Diagnostic::error(place, message).help(known(&parts, keys)));
    }
    if is_of_orchestrator(&name) {
        return None;
    }
    let message =
        format!("{message}, and no file names it as \"env:{variable}\": it has no effect");
    let help = match without_section(&name, keys).as_slice() {
        [] => "a setting is written SAVIO_RELAY_SECTION__KEY, with two underscores".to_owned(),
        names => format!("did you mean {}?", names.join(" or ")),
    };
    Some(Diagnostic::warning(place, message).help(help))
}

fn is_in_tables(key: &KnownKey, parts: &[&str]) -> bool {
    key.kind == super::known_keys::ValueKind::Tables && key.is_prefix_of(parts)
}

/// Returns the variable of the setting that was probably meant.
fn meant(name: &str, keys: &[KnownKey]) -> Option<String> {
    // Whatever the underscores: one in place of two is the most frequent mistake.
    let plain = single(name);
    let candidates: Vec<String> =
        keys.iter().filter_map(|key| Some(key.variable(&chosen_name(&plain, key)?))).collect();
    let plain_candidates: Vec<String> = candidates.iter().map(|it| single(it)).collect();
    // A fifth: `nearest` allows a third, for a help; here a stranger's variable would be an error.
    let distance_max = (plain.chars().count() / 5).max(1);
    let found = nearest_within(&plain, plain_candidates.iter().map(String::as_str), distance_max)?;
    let at = plain_candidates.iter().position(|candidate| candidate == found)?;
    Some(format!("{PREFIX}{}", candidates[at].to_uppercase()))
}

/// Returns what stands where the key has a name of the person's choice; the empty text if it has
/// none.
fn chosen_name(plain: &str, key: &KnownKey) -> Option<String> {
    if !key.has_any() {
        return Some(String::new());
    }
    let section = key.section()?;
    let plural = format!("{section}_");
    let singular = format!("{}_", section.trim_end_matches('s'));
    let mut rest = plain.strip_prefix(&plural).or_else(|| plain.strip_prefix(&singular))?;
    let (before, after) = key.variable("\0").split_once('\0').map(|(before, after)| {
        (single(before.strip_prefix(section).unwrap_or_default()), single(after))
    })?;
    rest = rest.strip_prefix(before.trim_start_matches('_')).unwrap_or(rest);
    let chosen = match rest.strip_suffix(&after) {
        Some(chosen) => chosen,
        // The key is misspelled: the name is what comes first.
        None => rest.split_once('_')?.0,
    };
    let chosen = chosen.trim_matches('_');
    (!chosen.is_empty()).then(|| chosen.to_owned())
}

fn single(name: &str) -> String {
    name.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// Returns what could be written instead, if nothing comes close.
fn known(parts: &[&str], keys: &[KnownKey]) -> String {
    let of_section = keys.iter().filter(|key| key.section() == parts.first().copied());
    let names: Vec<String> = of_section.map(|key| key.name().to_uppercase()).collect();
    if let Some(section) = parts.first().filter(|_| !names.is_empty()) {
        return format!("[{section}] has: {}", names.join(", "));
    }
    let mut sections: Vec<String> =
        keys.iter().filter_map(KnownKey::section).map(str::to_uppercase).collect();
    sections.dedup();
    format!("write {PREFIX}SECTION__KEY; the sections are: {}", sections.join(", "))
}

/// Returns the variables of the keys that have this name in a section.
fn without_section(name: &str, keys: &[KnownKey]) -> Vec<String> {
    let same = keys.iter().filter(|key| !key.has_any() && key.name() == name);
    same.map(|key| format!("{PREFIX}{}", key.variable("").to_uppercase())).collect()
}

/// Returns whether Kubernetes or Docker sets such a variable, for a service called savio-relay or
/// savio-relay-SOMETHING.
fn is_of_orchestrator(name: &str) -> bool {
    let begins = |beginning: &str| name == beginning || name.starts_with(&format!("{beginning}_"));
    begins("port")
        || name.starts_with("service_")
        || name.ends_with("_service_host")
        || name.ends_with("_port")
        || name.contains("_port_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::known_keys;

    #[track_caller]
    fn check(variable: &str, expected: Option<(bool, &str)>) {
        let found = judge(variable, 0..0, &known_keys::all());
        let shown = found.map(|it| (it.is_error(), it.help.unwrap_or_default()));
        let is_same = match (&shown, expected) {
            (None, None) => true,
            (Some((is_error, help)), Some((expected, part))) => {
                *is_error == expected && help.contains(part)
            }
            _ => false,
        };
        assert!(is_same, "{variable}: {shown:?}");
    }

    #[test]
    fn misspelled_setting_is_an_error_that_names_the_right_one() {
        let error = |help| Some((true, help));
        check("SAVIO_RELAY_SERVER_LISTEN", error("write SAVIO_RELAY_SERVER__LISTEN"));
        check("SAVIO_RELAY__SERVER__LISTEN", error("write SAVIO_RELAY_SERVER__LISTEN"));
        check("SAVIO_RELAY_SERVER___LISTEN", error("write SAVIO_RELAY_SERVER__LISTEN"));
        check("SAVIO_RELAY_SEVER__LISTEN", error("write SAVIO_RELAY_SERVER__LISTEN"));
        check("SAVIO_RELAY_SERVER__LISTN", error("write SAVIO_RELAY_SERVER__LISTEN"));
        check("SAVIO_RELAY_SAVIO_BASE_URL", error("write SAVIO_RELAY_SAVIO__BASE_URL"));
        check("SAVIO_RELAY_SAVIO__MAX__IN__FLIGHT", error("SAVIO_RELAY_SAVIO__MAX_IN_FLIGHT"));
        check("SAVIO_RELAY_MAPPING", error("write SAVIO_RELAY_MAPPINGS"));
        check("SAVIO_RELAY_TRUSTED_PROXIES", Some((false, "SAVIO_RELAY_SERVER__TRUSTED_PROXIES")));
        check("SAVIO_RELAY_SERVER__PORT", error("[server] has: LISTEN, ADMIN_LISTEN"));
        check("SAVIO_RELAY_HTTP__PORT", error("the sections are: SERVER, STORE, SAVIO"));
    }

    #[test]
    fn misspelled_setting_with_a_name_inside_keeps_the_name() {
        let eu = Some((true, "write SAVIO_RELAY_DESTINATIONS__EU__TOKEN"));
        check("SAVIO_RELAY_DESTINATIONS_EU_TOKEN", eu);
        check("SAVIO_RELAY_DESTINATION__EU__TOKEN", eu);
        check("SAVIO_RELAY_DESTINATIONS__EU__TOKN", eu);
        let two = Some((true, "write SAVIO_RELAY_DESTINATIONS__EU_WEST__BASE_URL"));
        check("SAVIO_RELAY_DESTINATIONS_EU_WEST_BASE_URL", two);
        let header = Some((true, "write SAVIO_RELAY_TRACES__HEADERS__AUTHORIZATION"));
        check("SAVIO_RELAY_TRACES_HEADERS_AUTHORIZATION", header);
    }

    #[test]
    fn variable_of_others_is_no_error() {
        for variable in [
            "SAVIO_RELAY_PORT",
            "SAVIO_RELAY_PORT_8080_TCP_ADDR",
            "SAVIO_RELAY_SERVICE_HOST",
            "SAVIO_RELAY_SERVICE_PORT_HTTP",
            "SAVIO_RELAY_ADMIN_PORT",
            "SAVIO_RELAY_ADMIN_SERVICE_HOST",
            "SAVIO_RELAY_ADMIN_PORT_8081_TCP",
        ] {
            check(variable, None);
        }
        check("SAVIO_RELAY_IMAGE", Some((false, "with two underscores")));
        check("SAVIO_RELAY_TOKEN", Some((false, "did you mean SAVIO_RELAY_")));
    }
}
