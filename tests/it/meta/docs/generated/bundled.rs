//! Tables and sections of the bundled mapping files and provider files.

use std::fmt::Write;

use savio_relay::diagnostics::document::Document;
use savio_relay::mapping_file::setup;

use super::super::{files, read};
use super::plain;

struct MappingFile {
    name: String,
    path: String,
    /// `None` if the file describes its own.
    provider: Option<String>,
    /// Comments before the first key, without `# `.
    comments: Vec<String>,
}

impl MappingFile {
    fn all() -> Vec<MappingFile> {
        files("mappings", ".toml")
            .into_iter()
            .map(|path| {
                let text = read(&path);
                let comments = text.lines().skip(1).map_while(|line| line.strip_prefix('#'));
                let comments = comments.map(|line| line.strip_prefix(' ').unwrap_or(line));
                let comments = comments.map(str::to_owned).collect();
                let name = path.rsplit('/').next().unwrap().trim_end_matches(".toml").to_owned();
                let keys: toml::Table = toml::from_str(&text).unwrap();
                let provider = keys.get("provider").map(|it| it.as_str().unwrap().to_owned());
                MappingFile { name, path, provider, comments }
            })
            .collect()
    }

    /// Returns the first line: the tool's name, and what becomes of its webhooks.
    fn summary(&self) -> &str {
        self.comments.iter().find(|line| !line.is_empty()).unwrap()
    }

    /// Returns the comments after the first line: what it does, its set-up, what may be changed.
    fn details(&self) -> String {
        let lines = self.comments.iter().skip_while(|line| line.is_empty()).skip(1);
        // A sentence in place of a heading is the last line, about `check`, the same in every file.
        // In the place of the sentence about the set-up are its steps.
        let lines = lines.filter(|line| {
            line.starts_with(' ') || !line.ends_with('.') || line.starts_with("Setup: ")
        });
        let mut details = Vec::new();
        for line in lines {
            if line.starts_with("Setup: ") {
                details.push("Setup".to_owned());
                details.extend(self.setup().iter().map(|line| format!("  {line}")));
            } else {
                details.push(line.trim_end().to_owned());
            }
        }
        details.join("\n").trim_matches('\n').to_owned()
    }

    fn setup(&self) -> Vec<String> {
        let document = Document { name: self.path.clone(), text: read(&self.path) };
        let file = savio_relay::mapping_file::file::MappingFile::of_text(document);
        setup::steps(&file, "https://YOUR-RELAY").lines()
    }
}

/// Renders a row for each mapping file.
pub(super) fn mappings() -> String {
    let mut out = String::from("\n| Source | What it does |\n| --- | --- |\n");
    for file in MappingFile::all() {
        writeln!(out, "| [`{0}`](#{0}) | {1} |", file.name, plain(file.summary())).unwrap();
    }
    out.push('\n');
    out
}

/// Renders a section for each mapping file.
pub(super) fn setup() -> String {
    let mut out = String::new();
    for file in MappingFile::all() {
        let MappingFile { name, path, .. } = &file;
        writeln!(out, "\n### {name}\n\n{}", plain(file.summary())).unwrap();
        writeln!(out, "[The file](../{path}).\n\n```text\n{}\n```", file.details()).unwrap();
    }
    out.push('\n');
    out
}

struct ProviderFile {
    name: String,
    title: String,
    docs: String,
    scheme: String,
}

impl ProviderFile {
    fn all() -> Vec<ProviderFile> {
        files("src", ".toml")
            .into_iter()
            .map(|path| {
                let file: toml::Table = toml::from_str(&read(&path)).unwrap();
                let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
                let name = path.rsplit('/').next().unwrap().trim_end_matches(".toml").to_owned();
                let scheme = text(&file["signature"]["scheme"]);
                ProviderFile {
                    name,
                    title: text(&file["title"]),
                    docs: text(&file["docs"]),
                    scheme,
                }
            })
            .collect()
    }
}

/// Renders a row for each known provider.
pub(super) fn providers() -> String {
    let mappings = MappingFile::all();
    let mut out = String::from(
        "\n| `provider` | Tool | Signature | Mapping file |\n| --- | --- | --- | --- |\n",
    );
    for ProviderFile { name, title, docs, scheme } in ProviderFile::all() {
        let own = mappings.iter().filter(|mapping| mapping.provider.as_ref() == Some(&name));
        let own: Vec<String> = own.map(|it| format!("[`{0}`](#{0})", it.name)).collect();
        let own = own.join(", ");
        writeln!(out, "| `{name}` | [{title}]({docs}) | `{scheme}` | {own} |").unwrap();
    }
    out.push('\n');
    out
}

/// Renders the numbers of mapping files and providers, for the README.
pub(super) fn counts() -> String {
    let (mappings, providers) = (MappingFile::all().len(), ProviderFile::all().len());
    let names = [
        "Typeform",
        "Intercom",
        "Zendesk",
        "HubSpot",
        "Salesforce",
        "Slack",
        "GitHub",
        "Jira",
        "Stripe",
        "Segment",
    ];
    let titles: Vec<String> = ProviderFile::all().into_iter().map(|it| it.title).collect();
    for name in names {
        assert!(titles.iter().any(|it| it.starts_with(name)), "{name} is no known provider");
    }
    format!(
        "\n{mappings} mapping files are bundled, and the signatures of {providers} tools are known, among them\n{}.\n\n",
        names.join(", ")
    )
}
