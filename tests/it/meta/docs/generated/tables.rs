//! Tables of the admin API, the metrics and the functions of templates.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use savio_relay::mapping::TEMPLATE_FUNCTIONS;
use savio_relay::telemetry::metrics::{
    Counters, DestinationGauge, DiskGauges, Gauges, Metrics, ProcessUsage, SourceGauges, TextFormat,
};
use serde_json::Value;

use super::super::section;
use super::{cell, plain};
use crate::support::relay::program;

/// Renders the routes of the admin API.
pub(super) fn endpoints() -> String {
    let description = serde_json::to_value(savio_relay::admin::description()).unwrap();
    let mut out =
        String::from("\n| Endpoint | Role | Meaning | Parameters |\n| --- | --- | --- | --- |\n");
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(summary) = operation["summary"].as_str() else { continue };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let query: Vec<String> = parameters
                .filter(|it| it["in"] == "query")
                .map(|it| format!("`{}`", it["name"].as_str().unwrap()))
                .collect();
            let (method, summary) = (method.to_uppercase(), cell(&plain(summary)));
            let (role, query) = (operation["x-role"].as_str().unwrap(), query.join(", "));
            writeln!(out, "| `{method} {path}` | {role} | {summary} | {query} |").unwrap();
        }
    }
    out.push('\n');
    out
}

/// Returns a scrape in which each metric has a value.
fn scrape() -> String {
    let counters = Counters::default();
    let Counters { webhooks, commits, attempts, dead, certificates, alerts, .. } = &counters;
    alerts.expect("a");
    certificates.set("server", Timestamp::UNIX_EPOCH);
    dead.record("s");
    webhooks.answered("s", 200);
    webhooks.rejected("s", "signature wrong");
    webhooks.repeated("s", 1);
    webhooks.matched("s", 0, jiff::Timestamp::UNIX_EPOCH);
    commits.took(Duration::from_secs(1));
    attempts.record_outcome("d", "done");
    attempts.left_out("d", [&"source_url".to_owned()]);
    attempts.took("d", Duration::from_secs(1));
    let gauges = Gauges {
        sources: vec![SourceGauges {
            source: "s".to_owned(),
            events: vec![("queued", 1)],
            oldest_queued_seconds: 1,
        }],
        open_issues: vec![("dead", 1)],
        destinations: vec![DestinationGauge { destination: "d".to_owned(), paused: true }],
        disk: Some(DiskGauges { free_bytes: 1, reserve_bytes: 1 }),
        process: Some(ProcessUsage::read().expect("the table is made on Linux")),
        ..Gauges::default()
    };
    Metrics::new(&counters).text(&gauges, TextFormat::Prometheus)
}

/// Returns the labels of a metric, from the first line with a value of it.
fn labels(scrape: &str, name: &str) -> String {
    let line =
        scrape.lines().find(|line| !line.starts_with('#') && line.starts_with(name)).unwrap();
    let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let labels = labels.map_or("", |(labels, _)| labels).split(',');
    let labels = labels.filter_map(|label| label.split_once('=')).map(|(name, _)| name);
    labels.filter(|label| *label != "le").collect::<Vec<_>>().join(", ")
}

pub(super) fn metrics() -> String {
    let scrape = scrape();
    let mut out =
        String::from("\n| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n");
    let mut rows = BTreeMap::new();
    for line in scrape.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').unwrap();
        let of = format!("# TYPE {name} ");
        let kind = scrape.lines().find_map(|line| line.strip_prefix(&of)).unwrap();
        let labels = labels(&scrape, name);
        let help = cell(&plain(help.trim_end_matches('.')));
        rows.insert(name.to_owned(), format!("| `{name}` | {kind} | {labels} | {help} |"));
    }
    let files = [
        "",
        "/alert_counts",
        "/attempts",
        "/certificate_ends",
        "/commits",
        "/process_usage",
        "/reloads",
    ];
    // Less the registration of a part as a whole.
    let registered = |file| {
        let text = super::super::read(&format!("src/telemetry/metrics{file}.rs"));
        text.matches("registry.register(").count()
    };
    let registered: usize = files.into_iter().map(registered).sum();
    assert_eq!(rows.len(), registered, "`scrape` gives each metric a value");
    for row in rows.values() {
        writeln!(out, "{row}").unwrap();
    }
    out.push('\n');
    out
}

/// Renders templates with the payload of the page.
fn printed(templates: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let payload = section("docs/templates.md", "Templates");
    let (_, payload) = payload.split_once("```json\n").unwrap();
    fs::write(folder.path().join("payload.json"), payload.split_once("```").unwrap().0).unwrap();
    let blocks = templates.iter().map(|it| format!("[[feedback]]\nproblem = '''{it}'''\n"));
    let mapping =
        format!("provider = \"form\"\nsecrets = \"env:S\"\n{}", blocks.collect::<String>());
    fs::write(folder.path().join("example.toml"), mapping).unwrap();

    let mut command = program(folder.path());
    let output = command.args(["try", "example.toml", "payload.json", "--json"]).output().unwrap();
    let requests: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    requests.iter().map(|it| it["body"]["problem"].as_str().unwrap().to_owned()).collect()
}

/// Renders the functions and filters in addition to minijinja's, each with an example and its result.
pub(super) fn functions() -> String {
    let mut out = String::from(
        "\n| Function or filter | Meaning | Example | Result |\n| --- | --- | --- | --- |\n",
    );
    let examples = TEMPLATE_FUNCTIONS.map(|function| function.example);
    for (function, result) in TEMPLATE_FUNCTIONS.iter().zip(printed(&examples)) {
        let (usage, example) = (cell(function.usage), cell(function.example));
        let meaning = function.meaning;
        writeln!(out, "| `{usage}` | {meaning} | `{example}` | `{}` |", cell(&result)).unwrap();
    }
    out.push('\n');
    out
}
