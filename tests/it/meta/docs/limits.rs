//! Numbers of docs/limits.md, compared with the constants of the code.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{files, read};

/// Returns the expression of a constant by its name and a part of its file's path.
// Only a part, so that the constant may move to another file.
fn constant(path: &str, name: &str) -> String {
    let start = format!("const {name}: ");
    let mut found = Vec::new();
    for file in files("src", ".rs").into_iter().filter(|file| file.contains(path)) {
        let code = read(&file);
        let lines = code.lines().filter_map(|line| line.trim().split_once(&start));
        found.extend(
            lines.filter_map(|(_, rest)| rest.split_once(" = ")).map(|(_, it)| it.to_owned()),
        );
    }
    let [expression] = found.as_slice() else { panic!("{path}: {} times {name}", found.len()) };
    expression.trim_end_matches(';').to_owned()
}

fn number(path: &str, name: &str) -> u64 {
    let expression = constant(path, name);
    let factors = expression.split('*').map(|it| it.trim().replace('_', ""));
    factors
        .map(|it| it.parse::<u64>().unwrap_or_else(|_| panic!("{name} = {expression}")))
        .product()
}

fn bytes(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn count(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let mut groups = vec![&digits[..first]];
    groups.extend((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.retain(|group| !group.is_empty());
    groups.join(",")
}

/// Returns `Duration::from_secs(5)` as `5 s`.
fn duration(path: &str, name: &str) -> String {
    let expression = constant(path, name);
    let (unit, rest) = expression.strip_prefix("Duration::from_").unwrap().split_once('(').unwrap();
    let number = rest.trim_end_matches(')');
    match unit {
        "millis" => format!("{number} ms"),
        "secs" => format!("{number} s"),
        "mins" => format!("{number} min"),
        "hours" => format!("{number} h"),
        _ => panic!("{name} = {expression}"),
    }
}

/// Returns the default of a setting from its schema.
fn default(setting: &str) -> String {
    let schema: Value = serde_json::from_str(&read("relay.schema.json")).unwrap();
    let (section, key) = setting.split_once('.').unwrap();
    let section = if section == "savio" {
        &schema["$defs"]["destination"]
    } else {
        &schema["properties"][section]
    };
    match &section["properties"][key]["default"] {
        Value::Number(number) if key.contains("bytes") => bytes(number.as_u64().unwrap()),
        Value::Number(number) if key.contains("depth") => format!("{number} levels"),
        Value::Number(number) => number.to_string(),
        Value::String(span) => {
            let (number, unit) = span.split_at(span.len() - 1);
            format!("{number} {}", if unit == "d" { "days" } else { unit })
        }
        other => panic!("{setting} has the default {other}"),
    }
}

fn intake_limits() -> Vec<(&'static str, String)> {
    let intake = savio_relay::intake::Settings::default();
    let listener = savio_relay::listener::Settings::default();
    let size = |size: usize| u64::try_from(size).unwrap();
    let bytes_of = |path, name| bytes(number(path, name));
    let count_of = |path, name| count(number(path, name));
    let per_second = |count: u64| format!("{count} a second");
    assert!(constant("intake/", "HINTS").contains("per_second(2)"));
    assert!(constant("intake/", "RATE").contains("count: 5, period: Duration::from_secs(1)"));
    vec![
        (
            "slowest body, after the first 5 s",
            format!("{} a second", bytes_of("intake/", "PACE_BYTES_PER_SECOND")),
        ),
        ("size of the headers", bytes_of("listener", "HEADER_BYTES_MAX")),
        ("events", count_of("intake/payload", "EVENTS_MAX")),
        ("form fields", count_of("payload/form.rs", "FIELDS_MAX")),
        ("names in form fields (`a[b]` has two)", count_of("payload/", "NAMES_MAX")),
        ("parts of a multipart form", count_of("payload/", "PARTS_MAX")),
        ("elements and attributes of XML", count_of("payload/xml.rs", "NODES_MAX")),
        ("members of a gzip body", count_of("payload/", "MEMBERS_MAX")),
        ("webhooks of a source in a time", "none".to_owned()),
        ("connections", count(size(listener.connections_max))),
        (
            "webhooks being processed, counted once their bodies have arrived",
            count(size(intake.requests_max)),
        ),
        ("bodies", bytes(size(intake.bodies_bytes_max))),
        ("requests to the admin API", count_of("src/admin", "REQUESTS_MAX")),
        ("request bodies of the admin API", count_of("src/admin/", "AT_A_TIME_MAX")),
        ("streams of changes", count_of("src/admin/streams", "STREAMS_MAX")),
        ("unverified bodies of one client", count_of("intake/", "UNVERIFIED_OF_CLIENT_MAX")),
        (
            "share of the room for bodies that one client's unverified bodies can use",
            format!("1/{}", number("intake/", "SHARE")),
        ),
        (
            "unsigned handshakes answered for one client",
            duration("intake/", "HANDSHAKES_APART").replace(" s", " a second"),
        ),
        ("wrong signatures diagnosed for one source", per_second(2)),
        ("signatures compared in one request", count_of("intake/signature/", "SIGNATURES_MAX")),
        (
            "signatures verified with a public key in one request",
            count_of("intake/signature/", "VERIFIED_MAX"),
        ),
        ("refused webhooks logged for one source and reason", per_second(5)),
    ]
}

fn rejection_limits() -> Vec<(&'static str, String)> {
    let count_of = |path, name| count(number(path, name));
    let days = number("store/", "REJECTIONS_KEPT_DAYS");
    let of_source = count_of("store/", "REJECTIONS_OF_SOURCE_MAX");
    vec![
        ("refused webhooks waiting to be recorded for one source", count_of("intake/", "KEPT_MAX")),
        ("refused webhooks recorded for one source", format!("{of_source}, for {days} days")),
    ]
}

fn mapping_limits() -> Vec<(&'static str, String)> {
    let bytes_of = |path, name| bytes(number(path, name));
    let count_of = |path, name| count(number(path, name));
    vec![
        ("size of a mapping file", bytes_of("document.rs", "FILE_BYTES_MAX")),
        ("templates in a mapping file", count_of("mapping/", "TEMPLATES_MAX")),
        (
            "compiled regular expressions of a mapping file",
            bytes(1024 * number("mapping/", "FILE_KIB_MAX")),
        ),
        ("mistakes shown for a file", count_of("src/", "MISTAKES_MAX")),
        ("questions of a form", count_of("mapping/", "QUESTIONS_MAX")),
        ("requests of an event", count_of("mapping/", "REQUESTS_MAX")),
        ("memory of an event's requests", bytes_of("scope.rs", "BYTES_MAX")),
        (
            "memory of an item of `for_each` that templates use",
            bytes_of("scope.rs", "COPIED_BYTES_MAX"),
        ),
        (
            "memory of all such items of an event",
            format!(
                "{} and {} times the payload",
                bytes_of("scope.rs", "COPIED_BYTES_MAX"),
                number("scope.rs", "PAYLOAD_COPIES_MAX"),
            ),
        ),
        ("length of a query", bytes_of("language/query.rs", "TEXT_BYTES_MAX")),
        ("steps of a query", count_of("query/evaluator", "STEPS_MAX")),
        ("results of a query", count_of("query/evaluator", "NODES_MAX")),
        ("nesting of a query", format!("{} levels", number("mapping/", "NESTING_MAX"))),
        (
            "nesting of function calls in a query",
            format!("{} levels", number("mapping/", "CALLS_NESTED_MAX")),
        ),
        ("length of a template", bytes_of("template/bounds", "TEXT_BYTES_MAX")),
        ("depth of a template", count_of("template/bounds", "DEPTH_MAX")),
        ("units of work of a template", count_of("template.rs", "FUEL_MAX")),
        ("output of a template", bytes_of("mapping/", "OUTPUT_BYTES_MAX")),
        ("input of `html_to_text` and `slack_to_text`", bytes_of("mapping/", "INPUT_BYTES_MAX")),
    ]
}

fn search_limits() -> Vec<(&'static str, String)> {
    vec![
        (
            "events of a state that a count of a filter counts",
            count(number("sqlite/archive/", "COUNTED_MAX")),
        ),
        (
            "time in which a list or count compares events one by one",
            duration("sqlite/archive/", "LOOKUP_TIME_MAX"),
        ),
        (
            "time of a search of texts, and of the count of a replay's dry run",
            duration("sqlite/archive/", "SEARCH_MAX"),
        ),
        ("searches of events at a time", count(number("engine/readers", "SEARCHES_MAX"))),
        ("time for which a search waits for another", duration("engine/readers", "SEARCH_TIMEOUT")),
        (
            "length of a summary, a person and a company",
            count(number("store/headline", "CHARS_MAX")) + " characters",
        ),
    ]
}

fn audit_limits() -> Vec<(&'static str, String)> {
    let count_of = |path, name| count(number(path, name));
    vec![
        (
            "events, or actions of the audit, on a page of the admin API",
            count_of("src/admin/", "LIMIT_MAX"),
        ),
        (
            "days for which it is kept what people did",
            count_of("store/maintenance", "AUDIT_KEPT_DAYS"),
        ),
        (
            "people that the audit names to filter by",
            count_of("store/sqlite/operations/", "NAMES_MAX"),
        ),
        ("characters of a name in the audit", count_of("store/audit", "WHO_CHARS_MAX")),
        ("characters of what an action was on", count_of("store/audit", "TARGET_CHARS_MAX")),
        ("characters of the detail of an action", count_of("store/audit", "DETAIL_CHARS_MAX")),
    ]
}

fn admin_limits() -> Vec<(&'static str, String)> {
    let bytes_of = |path, name| bytes(number(path, name));
    let count_of = |path, name| count(number(path, name));
    vec![
        ("body of a request to the admin API", bytes_of("src/admin/", "BYTES_MAX")),
        ("time for the body of a request to the admin API", duration("src/admin/", "TIME_MAX")),
        (
            "events that `diff` or the API compares at most",
            count_of("src/comparison.rs", "EVENTS_MAX"),
        ),
        ("time for one comparison by the API", duration("src/admin/", "COMPARED_FOR")),
        (
            "events that the dry run of a replay maps",
            count_of("comparison/replay_trial", "EVENTS_MAX"),
        ),
        ("time for which it maps them", duration("comparison/replay_trial", "TRIED_FOR")),
        ("threads for all comparisons and dry runs", "half of the cores".to_owned()),
        (
            "differing events on a page of a comparison",
            format!(
                "{}, and {}",
                count_of("src/admin/", "PAGE_EVENTS_MAX"),
                bytes_of("src/admin/", "PAGE_BYTES_MAX")
            ),
        ),
        (
            "differences that are told of one event",
            count_of("comparison/field_changes", "FIELDS_MAX"),
        ),
        (
            "versions of each mapping file that are kept",
            format!("{}, and those that events name", count_of("store/", "VERSIONS_KEPT")),
        ),
        (
            "mapping texts that the admin API checks at a time",
            count_of("admin/text_checks", "CHECKS_MAX"),
        ),
        (
            "changes of mapping files that wait for each other",
            count_of("admin/mapping_changes", "WAITING_MAX"),
        ),
        (
            "time after which no further test of a saved mapping begins",
            duration("admin/mapping_text", "TESTS_TIME_MAX"),
        ),
        ("secret that is set by the admin API", bytes_of("src/admin/", "SECRET_BYTES_MAX")),
    ]
}

fn login_limits() -> Vec<(&'static str, String)> {
    let count_of = |path, name| count(number(path, name));
    let failures = |name| constant("admin/logins/failures", name);
    assert!(failures("OF_ONE").contains("count: 5, period: Duration::from_secs(10)"));
    assert!(failures("ALL").contains("count: 5, period: Duration::from_secs(1)"));
    vec![
        (
            "time for which a session at the admin address lasts",
            duration("admin/logins/sessions", "LASTS"),
        ),
        (
            "sessions of one token or user, and in all",
            format!(
                "{}, and {}",
                count_of("store/", "SESSIONS_OF_ONE_MAX"),
                count_of("store/", "SESSIONS_MAX")
            ),
        ),
        (
            "interruptions that are kept of a destination",
            format!("{}, and for 90 days", count_of("store/interruption", "INTERRUPTIONS_MAX")),
        ),
        ("failed logins of one client, and in all", "5 in 10 s, and 5 a second".to_owned()),
        ("time for which a login link is valid", duration("admin/logins/links", "VALID_FOR")),
        ("login links at a time", count_of("admin/logins/", "LINKS_MAX")),
    ]
}

fn other_limits() -> Vec<(&'static str, String)> {
    let bytes_of = |path, name| bytes(number(path, name));
    let count_of = |path, name| count(number(path, name));
    vec![
        ("longest `Retry-After` that is honoured", duration("delivery/", "RETRY_AFTER_MAX")),
        (
            "crashes while mapping an event, after which it is dead",
            count_of("store/", "DEATHS_MAX"),
        ),
        (
            "pages of feature requests that are read for `existing`",
            count_of("delivery/feature_requests/", "PAGES_MAX"),
        ),
        ("spans that wait for the trace collector", count_of("telemetry/", "QUEUE_MAX")),
        ("size of a secret's file", bytes_of("secret/location.rs", "FILE_BYTES_MAX")),
        ("shortest secret that is recognised in headers", bytes_of("intake/", "SECRET_BYTES_MIN")),
        ("keys for the test webhooks of `doctor` at a time", count_of("intake/echo", "KEYS_MAX")),
        ("time for which such a key is valid", duration("intake/echo", "VALID_FOR")),
        ("test webhooks with one such key", count_of("intake/echo", "REQUESTS_MAX")),
        (
            "batches of changes that a stream can continue with",
            count_of("streams/batch_ring", "BATCHES_MAX"),
        ),
        ("events whose lines are in one batch", count_of("admin/live_feed", "LINES_MAX")),
        (
            "events that may change between two batches of a stream",
            count_of("engine/change_log", "EVENTS_MAX"),
        ),
        ("line of a bulk upsert", bytes_of("cli/savio/", "LINE_BYTES_MAX")),
        ("entries of each kind in the sandbox", count_of("sandbox/", "ENTRIES_MAX")),
        ("JSON in the sandbox", bytes_of("sandbox/", "BYTES_MAX")),
    ]
}

#[test]
fn streams_leave_half_of_the_connections_for_requests() {
    let streams = number("src/admin/streams", "STREAMS_MAX");
    let connections = savio_relay::listener::Settings::default().connections_max;
    assert!(streams * 2 <= u64::try_from(connections).unwrap());
}

#[test]
fn documented_limits_are_those_of_the_code() {
    let page = read("docs/limits.md");
    let mut documented = BTreeMap::new();
    let all = [
        intake_limits(),
        rejection_limits(),
        mapping_limits(),
        search_limits(),
        audit_limits(),
        admin_limits(),
        login_limits(),
        other_limits(),
    ];
    let mut of_code: BTreeMap<String, String> =
        all.into_iter().flatten().map(|(limit, value)| (limit.to_owned(), value)).collect();
    let mut is_limits = false;
    for line in page.lines() {
        is_limits = line.starts_with("| Limit |") || (is_limits && line.starts_with('|'));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if !is_limits || cells[1] == "Limit" || cells[1].starts_with("---") {
            continue;
        }
        documented.insert(cells[1].to_owned(), cells[2].to_owned());
        let setting = cells.get(3).map(|cell| cell.trim_matches('`')).filter(|it| it.contains('.'));
        if let Some(setting) = setting {
            of_code.insert(cells[1].to_owned(), default(setting));
        }
    }

    for (limit, value) in &documented {
        assert_eq!(Some(value), of_code.get(limit), "{limit}");
    }
    assert_eq!(documented.len(), of_code.len(), "limits that are not documented");
}
