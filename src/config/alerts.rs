//! `[[alerts]]` and `[heartbeat]`: who is sent what of the issues, and the sign of life.

use std::collections::BTreeSet;
use std::time::Duration;

use super::secret_headers::secret_headers;
use super::values::{duration, set_if_some};
use crate::alerts::{Format, HeartbeatSettings, Rules, Settings, TARGETS_MAX, TargetSettings};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable, word};
use crate::event::SourceName;
use crate::secret::{self, Environment};
use crate::store::IssueKind;

const HEARTBEAT_EVERY: Duration = Duration::from_mins(5);

/// Shortest time between two heartbeats, and between two messages about an issue.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);

/// Applies `[[alerts]]` and `[heartbeat]`.
pub(super) fn take(
    settings: &mut Settings,
    root: &mut TomlTable<'_>,
    environment: &Environment,
    mistakes: &mut Diagnostics,
) {
    let alone = root.value("alerts").is_some_and(|value| {
        value.get_ref().as_table().is_some_and(|table| table.get("heartbeat").is_some())
    });
    if alone {
        // `[alerts.heartbeat]` without any `[[alerts]]`.
        mistakes.push(misplaced_heartbeat(root.key_place("alerts")));
    } else {
        for table in root.tables("alerts", mistakes) {
            take_target(settings, table, environment, mistakes);
        }
    }
    if let Some(section) = root.table("heartbeat", mistakes) {
        set_if_some(&mut settings.heartbeat, heartbeat(section, environment, mistakes).map(Some));
    }
}

fn misplaced_heartbeat(place: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(place, "the heartbeat is a section of its own").help("write [heartbeat]")
}

fn take_target(
    settings: &mut Settings,
    mut table: TomlTable<'_>,
    environment: &Environment,
    mistakes: &mut Diagnostics,
) {
    let place = table.place.clone();
    if table.value("heartbeat").is_some() {
        // TOML adds a table `[alerts.heartbeat]` to the last of `[[alerts]]`.
        mistakes.push(misplaced_heartbeat(table.key_place("heartbeat")));
    }
    let name = table.required_text("name", mistakes);
    let url = table.required_text("url", mistakes);
    let url = url.and_then(|named| secret::find(&named, environment, mistakes));
    let format = table.keyword("format", &Format::NAMED, mistakes).unwrap_or(Format::Slack);
    let headers = table.table_headed("headers", "alerts.headers", mistakes);
    let headers = headers.map(|it| secret_headers(&it, environment, mistakes)).unwrap_or_default();
    let mut rules = Rules {
        kinds: kinds(&mut table, mistakes),
        sources: sources(&mut table, mistakes),
        ..Rules::default()
    };
    set_if_some(&mut rules.remind, duration(&mut table, "remind", mistakes));
    set_if_some(&mut rules.close_after, duration(&mut table, "close_after", mistakes));
    table.finish(mistakes);
    let (Some(name), Some(url)) = (name, url) else { return };
    // The characters of all names in metrics and logs.
    if name.text.parse::<SourceName>().is_err() {
        let message =
            "a name of alerts has 1 to 64 of a-z, 0-9, - and _, and begins with a letter or digit";
        mistakes.push(Diagnostic::error(name.place, message));
    } else if settings.targets.iter().any(|it| it.name == name.text) {
        let message = format!("there are two [[alerts]] with the name \"{}\"", name.text);
        let help = "give each a name of its own: what each was sent is kept by its name";
        mistakes.push(Diagnostic::error(name.place, message).help(help));
    } else if settings.targets.len() == TARGETS_MAX {
        let message = format!("there are more than {TARGETS_MAX} [[alerts]]");
        mistakes.push(Diagnostic::error(place, message));
    } else {
        settings.targets.push(TargetSettings { name: name.text, url, format, headers, rules });
    }
}

fn kinds(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<BTreeSet<IssueKind>> {
    let named = IssueKind::ALL.map(|kind| (kind.as_str(), kind));
    let texts = table.texts("kinds", mistakes)?;
    Some(texts.iter().filter_map(|text| word(text, &named, mistakes)).collect())
}

fn sources(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<BTreeSet<SourceName>> {
    let mut names = BTreeSet::new();
    for text in table.texts("sources", mistakes)? {
        if let Ok(name) = text.text.parse() {
            names.insert(name);
        } else {
            let message = format!("`{}` is not the name of a source", text.text);
            let help = "a source has the name of its mapping file, without .toml";
            mistakes.push(Diagnostic::error(text.place, message).help(help));
        }
    }
    Some(names)
}

fn heartbeat(
    mut section: TomlTable<'_>,
    environment: &Environment,
    mistakes: &mut Diagnostics,
) -> Option<HeartbeatSettings> {
    let url = section.required_text("url", mistakes);
    let url = url.and_then(|named| secret::find(&named, environment, mistakes));
    let every = duration(&mut section, "every", mistakes).unwrap_or(HEARTBEAT_EVERY);
    if every < HEARTBEAT_MIN {
        let place = section.value_place("every");
        mistakes.push(Diagnostic::error(place, "`every` is 1s or more"));
    }
    section.finish(mistakes);
    Some(HeartbeatSettings { url: url?, every: every.max(HEARTBEAT_MIN) })
}

#[cfg(test)]
mod tests {
    use crate::alerts::Format;
    use crate::config::tests::read;

    #[track_caller]
    fn check_mistake(text: &str, expected: &str) {
        let shown = read(text, &[("URL", "https://hooks.example.com/x")]).unwrap_err();
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn alerts_have_a_name_a_url_and_rules() {
        let text = "[[alerts]]\nname = \"ops\"\nurl = \"env:URL\"\n\
                    [[alerts]]\nname = \"form-team\"\nurl = \"env:URL\"\nformat = \"json\"\n\
                    kinds = [\"dead\", \"held\"]\nsources = \"form\"\nremind = \"3d\"\n\
                    close_after = \"5m\"\nheaders = { Authorization = \"env:KEY\" }\n\
                    [heartbeat]\nurl = \"env:PING\"\n";
        let alerts = read(text, &[("URL", "https://hooks.example.com/x")]).unwrap().alerts;

        let [ops, team] = alerts.targets.try_into().unwrap();
        assert_eq!((ops.format, ops.rules.kinds, ops.rules.sources), (Format::Slack, None, None));
        assert_eq!((ops.rules.remind.as_secs(), ops.rules.close_after.as_secs()), (86_400, 120));
        assert_eq!((team.format, team.rules.kinds.unwrap().len()), (Format::Json, 2));
        assert_eq!((team.rules.remind.as_secs(), team.rules.close_after.as_secs()), (259_200, 300));
        assert!(team.headers["authorization"].value().is_err() && ops.url.value().is_ok());
        assert_eq!(alerts.heartbeat.unwrap().every.as_secs(), 300);
    }

    #[test]
    fn mistakes_in_alerts_are_explained() {
        let one = "[[alerts]]\nname = \"ops\"\nurl = \"env:URL\"\n";
        check_mistake("[[alerts]]\nname = \"ops\"", "`url` is missing here");
        check_mistake("[[alerts]]\nurl = \"env:URL\"", "`name` is missing here");
        check_mistake("[[alerts]]\nname = \"a b\"\nurl = \"env:URL\"", "a name of alerts has");
        check_mistake(&format!("{one}{one}"), "two [[alerts]] with the name \"ops\"");
        check_mistake(&one.repeat(21).replacen("ops", "o", 1), "two [[alerts]]");
        check_mistake(&format!("{one}kinds = [\"deed\"]"), "did you mean \"dead\"?");
        check_mistake(&format!("{one}sources = [\"A B\"]"), "not the name of a source");
        check_mistake(&format!("{one}format = \"teams\""), "write one of: slack, json");
        check_mistake(&format!("{one}headers.\"x y\" = \"env:A\""), "not the name of a header");
        check_mistake(&format!("{one}[alerts.heartbeat]\nurl = \"env:A\""), "write [heartbeat]");
        check_mistake("[alerts.heartbeat]\nurl = \"env:A\"", "write [heartbeat]");
        check_mistake("[alerts]\nname = \"ops\"", "[[alerts]]");
        check_mistake("[heartbeat]\nevery = \"1m\"", "`url` is missing here");
        check_mistake("[heartbeat]\nurl = \"env:A\"\nevery = \"10ms\"", "1s or more");
        let many: String = (0..21).map(|it| one.replace("ops", &format!("o{it}"))).collect();
        check_mistake(&many, "more than 20 [[alerts]]");
    }

    #[test]
    fn url_of_alerts_is_a_secret() {
        let text = "[[alerts]]\nname = \"ops\"\nurl = \"https://hooks.example.com/hunter2\"";
        let shown = read(text, &[]).unwrap_err();

        assert!(shown.contains("env:NAME") && !shown.contains("hunter2"), "{shown}");
    }
}
