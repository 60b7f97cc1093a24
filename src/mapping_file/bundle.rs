//! Mapping files and samples that are part of the program.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use crate::diagnostics::document::Document;

/// Paths below `mappings/`, each with its text.
// Written by build.rs, so that a new file in `mappings/` needs no line of code.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Digests of all texts that bundled mapping files ever had, the present ones included, each line
/// with the source's name.
// By their digests, an unchanged copy of a former text is known as such for good, and the old texts
// do not fill the program. A test demands the line of each new text, so the list is never behind.
const DIGESTS: &str = include_str!("bundle/digests.txt");

/// Where a mapping file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Disk,
    /// It is part of the program.
    Bundled,
}

/// How the text of a file compares with the bundled file of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyState {
    /// It is the bundled text.
    Current,
    /// It is an earlier bundled text, unchanged.
    Outdated,
    /// Somebody has changed it, or it is no copy at all.
    Own,
}

/// Returns the mapping files in the order of their names; `text` finds their samples.
pub(crate) fn mappings() -> Vec<Document> {
    let file = |name| Document { name: format!("{name}.toml"), text: mapping(name).to_owned() };
    names().map(file).collect()
}

/// Returns the names of the sources, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    // `build.rs` sorts the paths, by which `discord-commands.toml` comes before `discord.toml`.
    let mut names: Vec<&str> = FILES
        .iter()
        .filter_map(|(path, _)| path.strip_suffix(".toml").filter(|name| !name.contains('/')))
        .collect();
    names.sort_unstable();
    names.into_iter()
}

/// Returns the text of a source's mapping file, if there is one in the program.
pub(crate) fn of(name: &str) -> Option<&'static str> {
    text(&format!("{name}.toml"))
}

fn mapping(name: &str) -> &'static str {
    of(name).unwrap_or_default()
}

pub(crate) fn text(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}

/// Returns the first sentence of a source's file, such as "Typeform: a completed form becomes
/// feedback.".
pub(crate) fn summary(name: &str) -> &'static str {
    let comment = mapping(name).lines().skip(1).map_while(|line| line.strip_prefix('#'));
    comment.map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// Returns the content of a source's file.
pub(crate) fn entries(name: &str) -> Option<Map<String, Value>> {
    toml::from_str(of(name)?).ok()
}

/// Returns the names of the sources, each with its provider. A file that describes its sender itself is
/// its own provider.
pub(crate) fn providers() -> Vec<(&'static str, String)> {
    // Only this key is read: compiling all mapping files takes far longer.
    let provider = |name: &'static str| {
        let root = DeTable::parse(mapping(name)).ok()?;
        Some(root.get_ref().get("provider")?.get_ref().as_str()?.to_owned())
    };
    names().map(|name| (name, provider(name).unwrap_or_else(|| name.to_owned()))).collect()
}

/// Returns the names of the sources of a provider. The first, the one with its name, is the usual one.
pub(crate) fn of_provider(provider: &str) -> Vec<&'static str> {
    let own = providers().into_iter().filter(|(_, its)| its == provider);
    let mut names: Vec<&str> = own.map(|(name, _)| name).collect();
    names.sort_by_key(|name| *name != provider);
    names
}

/// Compares the text of a source's file with the bundled ones.
pub(crate) fn compare(name: &str, text: &str) -> CopyState {
    let bundled = mapping(name);
    let digest = digest(text);
    if !bundled.is_empty() && digest == self::digest(bundled) {
        return CopyState::Current;
    }
    let line = format!("{digest} {name}");
    if DIGESTS.lines().any(|known| known == line) { CopyState::Outdated } else { CopyState::Own }
}

/// Returns the SHA-256 digest of a text, in which all line ends count the same.
// Git and editors on Windows change them.
fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.replace("\r\n", "\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::provider::setup_guide::SecretFrom;
    use crate::mapping_file::file::MappingFile;
    use crate::mapping_file::setup;

    #[test]
    fn digest_of_every_bundled_text_is_listed() {
        let lines: Vec<String> =
            names().map(|name| format!("{} {name}", digest(mapping(name)))).collect();

        let missing: Vec<&String> =
            lines.iter().filter(|line| !DIGESTS.lines().any(|known| known == *line)).collect();

        let advice = "append these lines to src/mapping_file/bundle/digests.txt, and remove none";
        assert!(missing.is_empty(), "{advice}: {missing:#?}");
    }

    #[test]
    fn unchanged_copy_of_a_former_text_is_outdated() {
        let former = |name: &str| {
            let current = format!("{} {name}", digest(mapping(name)));
            let of_name = |line: &&str| line.ends_with(&format!(" {name}")) && **line != current;
            DIGESTS.lines().filter(of_name).count()
        };
        assert!(former("typeform") > 0, "it has had another text before");

        assert_eq!(compare("typeform", mapping("typeform")), CopyState::Current);
        let windows = mapping("typeform").replace('\n', "\r\n");
        assert_eq!(compare("typeform", &windows), CopyState::Current);
        assert_eq!(compare("typeform", mapping("form")), CopyState::Own);
        assert_eq!(compare("acme", mapping("form")), CopyState::Own);
        assert_eq!(compare("acme", ""), CopyState::Own);
    }

    #[test]
    fn sources_are_in_the_order_of_their_names() {
        let names: Vec<&str> = names().collect();

        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(names.len(), mappings().len());
    }

    #[test]
    fn every_bundled_file_says_what_it_does_and_how_to_set_it_up() {
        for document in mappings() {
            let file = MappingFile::of_text(document);
            let name = file.name.as_ref().unwrap().as_str();
            let summary = summary(name);
            assert!(summary.contains(": ") && summary.ends_with('.'), "{name}: {summary}");

            let setup = setup::steps(&file, "https://relay.example.com");
            let words = setup.lines().join(" ");
            let text = words.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(file.setup.secret_from.is_some(), "{name}");
            assert!(setup.steps.len() >= 2, "{name}: {text}");
            let address = match file.setup.secret_from {
                Some(SecretFrom::FirstRequest) => format!("/hooks/{name} with ?setup="),
                _ => format!("https://relay.example.com/hooks/{name}"),
            };
            assert!(text.contains(&address), "{name}: {text}");
            let variable = name.to_uppercase().replace('-', "_");
            assert!(text.contains(&format!("variable {variable}_SECRET to it")), "{name}: {text}");
            // What the tool is to send is known for a bundled mapping.
            assert!(!text.contains("your mapping file"), "{name}: {text}");
        }
        assert_eq!(summary("typeform"), "Typeform: a completed form becomes feedback.");
    }

    #[test]
    fn setup_steps_name_the_address_and_the_secret() {
        let mut documents = mappings().into_iter();
        let typeform = documents.find(|document| document.name == "typeform.toml").unwrap();

        let setup = setup::steps(&MappingFile::of_text(typeform), "https://YOUR-RELAY");

        let lines = [
            "1. Generate a random secret, for example with: openssl rand -hex 32",
            "2. Set the relay's environment variable TYPEFORM_SECRET to it.",
            "3. In Typeform, open the form, then Connect, Webhooks, Add a webhook.",
            "   URL:     https://YOUR-RELAY/hooks/typeform",
            "   Secret:  the same secret (Edit, then Secret)",
            "4. Enable the webhook and send a test request.",
        ];
        assert_eq!(setup.lines(), lines);
    }
}
